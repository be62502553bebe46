"""Math-Shepherd: solutions whose steps end with a mark, and the same text with "+" or "-" for it. Wang et al. 2024."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import user
from plaudit.feedback.formats._format import Format, sample
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting
from plaudit.feedback.formats._steps import mark_steps

MARK = "\u043a\u0438"  # Cyrillic "ки", which ends each step
LABELS = {"+": "correct", "-": "incorrect"}
FIRST = "Step 1:"


class MathShepherd(Format):
    """One solution an object."""

    name = "math-shepherd"
    title = "Math-Shepherd"
    suffixes = (".jsonl", ".parquet")
    lossy: ClassVar[Mapping[str, str]] = {
        "input": "the problem stands before 'Step 1:'; the steps are joined to one response, a line each",
        "label": "+ is the category correct, - incorrect",
        "task": "not read",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A text with marks, and a label that is a text, too."""
        texts = sample(first, "input")
        return bool(texts) and isinstance(first.get("label"), str) and any(MARK in str(text) for text in texts)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The spans over one solution."""
        problem, first, solution = row.text("input").partition(FIRST)
        parts = [part.strip() for part in (first + solution).split(MARK)]
        steps, rest = parts[:-1], row.text("label").removeprefix(problem)
        if not first or parts[-1] or not steps:
            raise row.fault("input", f"must hold {FIRST!r} and end with {MARK!r}")
        marked: list[tuple[str, str | None]] = []
        for number, step in enumerate(steps, 1):
            text, rest = rest.strip()[: len(step)], rest.strip()[len(step) :].lstrip()
            if text != step or rest[:1] not in LABELS or not rest:
                raise row.fault("label", f"must repeat step {number} of 'input', with + or - behind it")
            marked.append((step, LABELS[rest[0]]))
            rest = rest[1:]
        yield mark_steps(user(problem.strip()), marked, Answer(setting.annotator, {}), setting)


FORMAT = MathShepherd()
