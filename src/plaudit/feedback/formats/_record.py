"""What passes between files and the store, and how a file's fault is said: one line, with its place and its field."""

from __future__ import annotations

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from plaudit.feedback import codec
from plaudit.feedback.kinds import kind
from plaudit.feedback.ledger import ANY
from plaudit.feedback.rows import Purpose
from plaudit.types import Dialogue, Item, Judgement, PlauditError, Question

NAMESPACE = uuid.UUID("5d0f3c52-6b1e-5f7a-9a53-0c1f6b7c2e11")  # of the ids of judgements that came without one
LARGEST = sys.float_info.max  # of numbers; infinity, NaN and longer integers are faults
QUOTED = 5  # problems that the summary quotes


class Fault(PlauditError):
    """A row that cannot be read; the reader adds the file and the line."""


class Empty(Fault):
    """A row that can be read and says nothing: two equal responses, a null, an empty completion."""


@dataclass(frozen=True)
class Record:
    """One question with its items and what was said about it.

    ``question`` is None where ``items`` stand alone, or where ``judgements`` answer questions that came before.
    """

    question: Question | None
    items: tuple[Item, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    seats: int = ANY  # judgements that the question waits for; ANY: it came with them, and nobody is asked
    purpose: Purpose = "train"
    only_for: str | None = None
    outcome: Dialogue | None = None  # of a conversation: the whole talk, as far as the chosen responses led


@dataclass(frozen=True)
class Row:
    """One object of a file, where it stood ("line 17"), and what is wrong with it where it is none."""

    location: str
    value: Any = None
    fault: str | None = None
    cut: bool = False  # the file breaks off here


@dataclass
class Trace:
    """The columns of a file that a format read, those that it had, and what it left out of its objects."""

    columns: dict[str, str] = field(default_factory=dict)  # the field that a column was taken for, by column
    present: dict[str, None] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)  # the column of the file, by the field that it was renamed to
    notes: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)  # where a note was first made
    location: str = ""

    def begin(self, row: Row) -> None:
        """Begin with another object."""
        self.location = row.location
        if isinstance(row.value, Mapping):
            self.present.update(dict.fromkeys(map(str, row.value)))

    def note(self, message: str) -> None:
        """Count something that an object holds and a record does not."""
        self.notes[message] += 1
        self.first.setdefault(message, self.location)

    @property
    def unread(self) -> list[str]:
        """The columns that the format did not look at."""
        return [name for name in self.present if name not in self.columns]


@dataclass(frozen=True)
class Labeling:
    """A Label Studio project's labeling configuration: the fields of data that each tag is about, and its scales."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scales: Mapping[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What a file does not say about what it holds."""

    project: str = "default"
    annotator: str = ""  # who judged, if the file does not say; "": the format's name
    length: int = 25  # steps in a segment, where a file holds whole episodes
    closed: bool = False  # nobody is asked what the file leaves open, and all that it says counts
    labeling: Labeling = field(default_factory=Labeling)  # of a Label Studio project


@dataclass(frozen=True)
class Answer:
    """What one annotator said about one question. Times are seconds since the epoch, UTC; 0.0 where unknown."""

    annotator: str
    value: Mapping[str, Any]
    rationale: str | None = None
    shown_at: float = 0.0
    submitted_at: float = 0.0


@dataclass
class Problems:
    """Objects that could not be read, and objects that say nothing. With ``strict``, the first is raised.

    All are counted; of those that could not be read the first few are quoted, of the others the first for each reason.
    """

    file: str
    strict: bool = False
    count: int = 0
    first: list[str] = field(default_factory=list)
    empty: Counter[str] = field(default_factory=Counter)
    first_empty: dict[str, str] = field(default_factory=dict)
    cut: str | None = None  # where the file breaks off, and why

    def add(self, location: str, fault: PlauditError | ValueError | str) -> None:
        """One object, at a place such as "line 17"."""
        message = " ".join(str(fault).split())
        line = f"{self.file}, {location}: {message}"
        if self.strict:
            raise PlauditError(f"{line}; stopped here (--strict): mend it, or leave --strict out to pass over it")
        if isinstance(fault, Empty):
            self.empty[message] += 1
            self.first_empty.setdefault(message, location)
            return
        self.count += 1
        if len(self.first) < QUOTED:
            self.first.append(line)


@dataclass
class Omissions:
    """Judgements that a file could not express, counted by reason."""

    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, judgements: int = 1) -> None:
        """Count ``judgements`` that were left out."""
        if judgements:
            self.reasons[reason] += judgements


def make(
    name: str,
    items: Sequence[Item],
    answers: Iterable[Answer],
    setting: Setting,
    options: Mapping[str, Any] | None = None,
) -> Record:
    """A record of a question of the kind ``name``, each judgement in canonical form, with an id that follows from it.

    Raises :class:`PlauditError` or ValueError where a kind, or a type, refuses.
    """
    form = kind(name)
    if len({item.id for item in items}) < len(items):
        raise Empty("two of its responses are the same: there is nothing to compare")
    wording = form.wording if form.import_wording is None else form.import_wording
    question = Question(
        name, tuple(item.id for item in items), wording, project=setting.project, options=dict(options or {})
    )
    form.check(question)
    return Record(question, tuple(items), tuple(judgement(question, answer) for answer in answers))


def judgement(question: Question, answer: Answer) -> Judgement:
    """What ``answer`` is as an event: items shown in the question's order; the same contents have the same id."""
    value = kind(question.kind).validate(answer.value, question)
    identity = _identity(question.id, answer.annotator, value, answer.rationale)
    order = tuple(range(len(question.items)))
    shown_at, submitted = min(answer.shown_at, answer.submitted_at), answer.submitted_at
    return Judgement(
        question.id, answer.annotator, value, order, shown_at, shown_at, submitted, identity, answer.rationale
    )


def rename_annotator(event: Judgement, annotator: str) -> Judgement:
    """The same judgement by another annotator, with the id that :func:`judgement` gives it."""
    identity = _identity(event.question, annotator, event.value, event.rationale)
    return replace(event, annotator=annotator, id=identity)


def _identity(question: str, annotator: str, value: Mapping[str, Any], rationale: str | None) -> str:
    return str(uuid.uuid5(NAMESPACE, json.dumps([question, annotator, codec.to_json(value), rationale])))


def storable(record: Record) -> None:
    """Raise :class:`Fault` where a text cannot be written as UTF-8: it holds half a character."""
    texts = [] if record.question is None else [record.question.wording, codec.to_json(record.question.options)]
    for event in record.judgements:
        texts += [event.annotator, codec.to_json(event.value), event.rationale or ""]
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text) or "\0" in text:
            raise Fault("a text holds half a character (a lone surrogate) or NUL, which cannot be stored")


def parse_number(annotator: str) -> int | str:
    """An annotator whom a file had named by a number, as that number again."""
    number = annotator.isascii() and annotator.isdigit() and len(annotator) < 12 and str(int(annotator)) == annotator
    return int(annotator) if number else annotator


REQUIRED: Any = object()


@dataclass(frozen=True)
class Fields:
    """A JSON object whose fields are looked up with a line for the one that is missing or wrong.

    With a trace, the fields of a whole object that are looked up count as columns that were read.
    """

    value: Any
    path: str = ""
    trace: Trace | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            raise Fault(f"{self._path_of()} must be an object, got {_short(self.value)}")

    def _path_of(self, name: str = "") -> str:
        path = ".".join(part for part in (self.path, name) if part)
        return f"field '{path}'" if path else "the row"

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        self.mark(name, name)
        return self.value.get(name) is not None

    def find(self, names: Sequence[str], required: bool = False) -> str | None:
        """The first of several names that the object has, taken for the first of them.

        Raises:
            Fault: ``required``, and the object has none of them, or only null.
        """
        name = next((name for name in names if self.value.get(name) is not None), None)
        if name is not None:
            self.mark(name, names[0])
        elif required and (null := next((name for name in names if name in self.value), None)) is not None:
            raise Empty(f"{self._path_of(null)} is null")
        elif required:
            raise self.fault(names[0], f"is missing (and so are {', '.join(names[1:])})")
        return name

    def note(self, message: str) -> None:
        """Count something that the object holds and a record does not."""
        if self.trace is not None:
            self.trace.note(message)

    def mark(self, name: str, role: str) -> None:
        """Count a column as one that was read, as the field ``role``."""
        if self.trace is not None and not self.path and name in self.value:
            self.trace.columns.setdefault(name, role)

    def fault(self, name: str, message: str) -> Fault:
        """A fault of the field ``name``."""
        return Fault(f"{self._path_of(name)} {message}")

    def get(self, name: str, default: Any = REQUIRED) -> Any:
        """The field as it is; null counts as missing."""
        self.mark(name, name)
        value = self.value.get(name)
        if value is None:
            if default is REQUIRED and name in self.value:
                raise Empty(f"{self._path_of(name)} is null")
            if default is REQUIRED:
                raise self.fault(name, "is missing")
            return default
        return value

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        """A text; ``default`` where it is missing."""
        value = self.get(name, default)
        if value is not default and not isinstance(value, str):
            raise self.fault(name, f"must be text, got {_short(value)}")
        return value

    def number(self, name: str, default: Any = REQUIRED) -> Any:
        """A number, or text that spells one; ``default`` where it is missing."""
        value = self.get(name, default)
        if value is default:
            return default
        try:
            number = float(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        finite = isinstance(number, int | float) and -LARGEST <= number <= LARGEST
        if number is None or not finite or isinstance(number, bool):
            raise self.fault(name, f"must be a number, got {_short(value)}")
        return number

    def whole(self, name: str, default: Any = REQUIRED) -> Any:
        """A whole number, also where it is spelled 3.0; ``default`` where it is missing."""
        value = self.number(name, default)
        if value is default:
            return default
        if value != int(value):
            raise self.fault(name, f"must be a whole number, got {_short(value)}")
        return int(value)

    def list(self, name: str, default: Any = REQUIRED) -> Any:
        """A list, also one that a cell of a table spells as JSON; ``default`` where it is missing."""
        value = parse_cell(self.get(name, default))
        if value is not default and not isinstance(value, list | tuple):
            raise self.fault(name, f"must be a list, got {_short(value)}")
        return value

    def texts(self, name: str, default: Any = REQUIRED) -> Any:
        """A list of texts."""
        values = self.list(name, default)
        if not all(isinstance(value, str) for value in values):
            raise self.fault(name, f"must be a list of texts, got {_short(values)}")
        return values

    def object(self, name: str, default: Any = REQUIRED) -> Fields:
        """An object."""
        return Fields(parse_cell(self.get(name, default)), self._path(name), self.trace)

    def objects(self, name: str, default: Any = REQUIRED) -> list[Fields]:
        """A list of objects."""
        return [
            Fields(element, f"{self._path(name)}[{index}]", self.trace)
            for index, element in enumerate(self.list(name, default))
        ]

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def parse_cell(value: Any) -> Any:
    """A list or an object that a text spells as JSON, as cells of CSV files do; anything else as it is."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
