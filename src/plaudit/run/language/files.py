"""What was passed over in the files of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from plaudit.feedback.cards import Summary
from plaudit.feedback.formats.incoming import ImportSummary
from plaudit.feedback.formats.preview import describe_reading
from plaudit.language.special_tokens import SpecialTokens
from plaudit.language.template import TemplateConfig
from plaudit.language.template_check import Findings


@dataclass
class FileCounts:
    """What was not learned from in the files of a run, and lines about it for people."""

    surplus: int = 0  # judgements that contradict what came before
    repeats: int = 0  # exact repeats of a demonstration
    empty: int = 0  # rows that say nothing
    unread: int = 0  # rows that could not be read
    changes: dict[str, int] = field(default_factory=dict)  # conversations by what the chat template does to them
    special_tokens: dict[str, int] = field(default_factory=dict)  # texts in which a special token stayed text
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # of rows that were passed over, the first of each file
    formats: dict[str, str] = field(default_factory=dict)  # of files, by name
    judgements: Summary | list[str] = field(default_factory=lambda: ["- None: the files hold prompts"])  # for a card

    def add(self, name: str, imported: ImportSummary) -> None:
        """Count what became of a file."""
        self.surplus += imported.surplus
        self.repeats += imported.repeats
        self.empty += imported.problems.empty.total()
        self.unread += imported.problems.count
        self.formats[name] = imported.format
        problems = imported.problems
        self.faults += problems.first[:1]
        self.faults += [f"{name}, {location}: {reason}" for reason, location in list(problems.first_empty.items())[:1]]
        details = [line.strip() for line in describe_reading(imported)] + imported.problems.first
        self.lines += [f"{name} ({imported.format}): {line}" for line in details]

    def count_changes(self, findings: Findings, config: TemplateConfig) -> None:
        """Count what the chat template does; raises as :meth:`plaudit.language.template_check.Findings.check`."""
        self.lines += findings.check(config.changes)
        self.changes = dict(findings.counts)

    def count_special_tokens(self, special_tokens: SpecialTokens) -> None:
        """Count the texts in which special tokens stayed text."""
        self.lines += special_tokens.describe_refused()
        self.special_tokens = special_tokens.count_refused()

    def __str__(self) -> str:
        return "".join(f", {text}" for text in self._parts())

    def _parts(self) -> Iterator[str]:
        if self.surplus:
            yield f"{self.surplus} more that contradict what came before"
        if self.repeats:
            yield f"{self.repeats} exact repeats left out"
        if self.empty:
            yield f"{self.empty} rows that say nothing"
        if self.unread:
            yield f"{self.unread} rows that could not be read"
