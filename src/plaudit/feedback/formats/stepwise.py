"""Stepwise supervision as TRL trains on it: ``prompt, completions, labels``, a label for each step of a solution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import read_prompt
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting, parse_cell
from plaudit.feedback.formats._steps import mark_steps


class Stepwise(Format):
    """One solution an object."""

    name = "stepwise"
    title = "Stepwise supervision (TRL)"
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "completions": "joined to one response, a line each; a span marks each step",
        "labels": "true is the category correct, false incorrect; null is no span",
        "annotator": "not in the file",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A prompt, steps, and a label for each."""
        lists = [parse_cell(first.get(name)) for name in ("completions", "labels")]
        return "prompt" in first and all(isinstance(values, list) for values in lists)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The spans over one solution."""
        steps, labels = row.texts("completions"), row.list("labels")
        if len(steps) != len(labels):
            raise row.fault("labels", f"must be {len(steps)}, one for each step, got {len(labels)}")
        for index, label in enumerate(labels):
            if label not in (0, 1, None):
                raise row.fault(f"labels[{index}]", f"must be true or false, got {label!r}")
        categories = {None: None, 0: "incorrect", 1: "correct"}
        marked = [(step, categories[label]) for step, label in zip(steps, labels, strict=True)]
        yield mark_steps(read_prompt(row, required=True), marked, Answer(setting.annotator, {}), setting)


FORMAT = Stepwise()
