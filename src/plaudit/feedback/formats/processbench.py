"""ProcessBench: solutions in steps, and the first step with an error. Zheng et al. 2024."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import read_prompt
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting, parse_cell
from plaudit.feedback.formats._steps import mark_steps


class ProcessBench(Format):
    """One solution an object."""

    name = "processbench"
    title = "ProcessBench"
    lossy: ClassVar[Mapping[str, str]] = {
        "steps": "joined to one response, a line each",
        "label": "steps before it are the category correct, it is incorrect, those behind it have no span; "
        "with -1 all are correct",
        "final_answer_correct, generator": "not read",
        "annotator": "not in the file",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A problem, steps, and a label that is a number."""
        label = first.get("label")
        numbered = isinstance(label, int) and not isinstance(label, bool)
        return {"problem", "steps"} <= set(first) and numbered and isinstance(parse_cell(first.get("steps")), list)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The spans over one solution."""
        steps, error = row.texts("steps"), row.whole("label")
        if not -1 <= error < len(steps):
            raise row.fault("label", f"must be -1, or the number of one of the {len(steps)} steps from 0, got {error}")
        checked = len(steps) if error == -1 else error
        categories = [*["correct"] * checked, "incorrect", *[None] * len(steps)]
        marked = list(zip(steps, categories, strict=False))
        yield mark_steps(read_prompt(row, required=True), marked, Answer(setting.annotator, {}), setting)


FORMAT = ProcessBench()
