"""What a report is made of. The template shows each kind of block in one way, whichever domain fills it.

Every text here is untrusted and is escaped when it is shown; only ``Markup`` is not, and only our own plots are that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from markupsafe import Markup

from plaudit.run.report.values import Record
from plaudit.types import Array


@dataclass(frozen=True)
class Tile:
    """One headline number: its label, the number, and a note to compare it with."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Key:
    """One entry of a plot's key: what a colour and a line mean."""

    colour: str
    label: str
    line: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot with its title and caption, or the sentence that is shown when there is no plot yet."""

    title: str
    svg: Markup | None
    caption: str
    missing: str
    key: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Plots:
    """Plots side by side."""

    block: ClassVar[str] = "plots"
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Cell:
    """A number of a table, its interval, and its difference from the first column."""

    value: str
    interval: str = ""
    difference: str = ""
    clear: bool = False  # the interval of the difference does not hold 0


@dataclass(frozen=True)
class Table:
    """Numbers in rows. A table with row labels has a name, under which a screen reader finds and scrolls it."""

    block: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    labels: Sequence[str] = ()  # one for each row, or none
    name: str = ""


@dataclass(frozen=True)
class Entry:
    """A result in words: its title, value and interval, a sentence, facts by name, and a line to copy."""

    title: str
    text: str
    value: str = ""
    interval: str = ""
    facts: Sequence[tuple[str, str]] = ()  # of each: its name and text
    line: str = ""


@dataclass(frozen=True)
class Entries:
    """Results below each other."""

    block: ClassVar[str] = "entries"
    entries: Sequence[Entry]


@dataclass(frozen=True)
class Clip:
    """A clip of the agent, before training or after."""

    caption: str
    webm: bytes
    poster: bytes  # PNG
    kind: Literal["before", "after"]
    tag: str = ""  # what stands above the clip, in place of "Before training" or "After training"


@dataclass(frozen=True)
class Clips:
    """Clips in pairs, before and after."""

    block: ClassVar[str] = "clips"
    clips: Sequence[Clip]

    @property
    def pairs(self) -> list[Clip]:
        """First clip before, first clip after, second before, and so on."""
        before, after = ([clip for clip in self.clips if clip.kind == kind] for kind in ("before", "after"))
        longest = max(len(before), len(after))
        return [clip for index in range(longest) for clips in (before, after) for clip in clips[index : index + 1]]


@dataclass(frozen=True)
class Response:
    """A policy's response, and notes about it."""

    policy: str
    text: str
    notes: str
    new: bool  # not of the policy that training started from


@dataclass(frozen=True)
class Sample:
    """A prompt and the responses to it, side by side."""

    prompt: Sequence[tuple[str, str]]  # role and text
    responses: Sequence[Response]


@dataclass(frozen=True)
class Samples:
    """Prompts with responses."""

    block: ClassVar[str] = "samples"
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Group:
    """Settings that belong together."""

    name: str
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class Settings:
    """Names and values in groups."""

    block: ClassVar[str] = "settings"
    groups: Sequence[Group]


@dataclass(frozen=True)
class Command:
    """The command that reproduces the run, and the versions that it ran on; either may be empty."""

    block: ClassVar[str] = "command"
    command: str
    versions: str


@dataclass(frozen=True)
class Link:
    """A link to a file next to the page."""

    block: ClassVar[str] = "link"
    file: str
    text: str


@dataclass(frozen=True)
class Placeholder:
    """The sentence that a section shows when it has nothing yet."""

    block: ClassVar[str] = "missing"
    sentence: str


@dataclass(frozen=True)
class Details:
    """A block that a reader opens."""

    block: ClassVar[str] = "details"
    summary: str
    content: Table | Samples


Block = Plots | Table | Entries | Clips | Samples | Settings | Command | Link | Placeholder | Details


@dataclass(frozen=True)
class Section:
    """A heading, a sentence or two that say how to read the section, and its blocks."""

    id: str  # unique in the page
    heading: str
    lead: str
    blocks: Sequence[Block]


@dataclass(frozen=True, eq=False)
class Report:
    """A page and its headline."""

    title: str
    subject: str  # the environment, or the model
    verdict: str  # one sentence
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    curves: Sequence[tuple[str, Array]] = ()  # of the headline in a terminal: name, and values on one scale
    remarks: Sequence[str] = ()  # sentences that a reader of the numbers should know
    changes: bool = False  # tiles show a value before and after training, so they are wide
    script: bool = False  # the page may run our script, which plays clips and copies the command


def groups(settings: Record) -> list[Group]:
    """Nested settings as groups of rows: plain values first, then one group per mapping, deeper ones dotted."""
    plain = [(str(name), _text(value)) for name, value in settings.items() if not isinstance(value, Mapping)]
    nested = [
        Group(str(name), _rows(value)) for name, value in settings.items() if isinstance(value, Mapping) and value
    ]
    return [Group("run", plain), *nested] if plain else nested


def _rows(settings: Record, prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _rows(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _text(value)))
    return rows


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(_text, value)) or "none"
        case _:
            return str(value)


def command(line: str, versions: Record) -> Command:
    """The last block of a report."""
    return Command(line, " · ".join(f"{name} {version}" for name, version in versions.items()))
