"""What passes between files and the store, and how a file's fault is said: one line, with its place and its field."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.feedback import codec
from plaudit.feedback.kinds import kind
from plaudit.feedback.ledger import ANY
from plaudit.feedback.rows import Purpose
from plaudit.types import Dialogue, Item, Judgement, PlauditError, Question

NAMESPACE = uuid.UUID("5d0f3c52-6b1e-5f7a-9a53-0c1f6b7c2e11")  # of the ids of judgements that came without one
QUOTED = 5  # problems that the summary quotes


class Fault(PlauditError):
    """A row that cannot be read; the reader adds the file and the line."""


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


@dataclass(frozen=True)
class Setting:
    """What a file does not say about what it holds."""

    project: str = "default"
    annotator: str = ""  # who judged, if the file does not say; "": the format's name
    length: int = 25  # steps in a segment, where a file holds whole episodes
    closed: bool = False  # nobody is asked what the file leaves open, and all that it says counts


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
    """What could not be read: all of it counted, the first few quoted. With ``strict``, the first is raised."""

    file: str
    strict: bool = False
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, location: str, message: str) -> None:
        """One problem, at a place such as "line 17"."""
        line = " ".join(f"{self.file}, {location}: {message}".split())
        if self.strict:
            raise PlauditError(f"{line}; stopped here: mend it and import again, nothing is stored twice")
        self.count += 1
        if len(self.first) < QUOTED:
            self.first.append(line)


@dataclass
class LeftOut:
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
        raise Fault("two of its responses are the same: nothing can be compared with itself")
    wording = form.wording if form.import_wording is None else form.import_wording
    question = Question(
        name, tuple(item.id for item in items), wording, project=setting.project, options=dict(options or {})
    )
    form.check(question)
    return Record(question, tuple(items), tuple(judgement(question, answer) for answer in answers))


def judgement(question: Question, answer: Answer) -> Judgement:
    """What ``answer`` is as an event: items shown in the question's order; the same contents have the same id."""
    value = kind(question.kind).validate(answer.value, question)
    body = json.dumps([question.id, answer.annotator, codec.to_json(value), answer.rationale])
    identity = str(uuid.uuid5(NAMESPACE, body))
    order = tuple(range(len(question.items)))
    shown_at, submitted = min(answer.shown_at, answer.submitted_at), answer.submitted_at
    return Judgement(
        question.id, answer.annotator, value, order, shown_at, shown_at, submitted, identity, answer.rationale
    )


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
    """A JSON object whose fields are looked up with a line for the one that is missing or wrong."""

    value: Any
    path: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            raise Fault(f"{self._called()} must be an object, got {_short(self.value)}")

    def _called(self, name: str = "") -> str:
        path = ".".join(part for part in (self.path, name) if part)
        return f"field '{path}'" if path else "the row"

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.value.get(name) is not None

    def fault(self, name: str, message: str) -> Fault:
        """A fault of the field ``name``."""
        return Fault(f"{self._called(name)} {message}")

    def get(self, name: str, default: Any = REQUIRED) -> Any:
        """The field as it is; null counts as missing."""
        value = self.value.get(name)
        if value is None:
            if default is REQUIRED:
                raise self.fault(name, "is null" if name in self.value else "is missing")
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
        if not isinstance(number, int | float) or isinstance(number, bool) or number != number:
            raise self.fault(name, f"must be a number, got {_short(value)}")
        return number

    def whole(self, name: str, default: Any = REQUIRED) -> Any:
        """A whole number, also where it is spelled 3.0; ``default`` where it is missing."""
        value = self.number(name, default)
        if value is default:
            return default
        if abs(value) == float("inf") or value != int(value):
            raise self.fault(name, f"must be a whole number, got {_short(value)}")
        return int(value)

    def list(self, name: str, default: Any = REQUIRED) -> Any:
        """A list; ``default`` where it is missing."""
        value = self.get(name, default)
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
        return Fields(self.get(name, default), self._path(name))

    def objects(self, name: str, default: Any = REQUIRED) -> list[Fields]:
        """A list of objects."""
        return [
            Fields(element, f"{self._path(name)}[{index}]") for index, element in enumerate(self.list(name, default))
        ]

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
