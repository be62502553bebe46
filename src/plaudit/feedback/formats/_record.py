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
SHOWN = 5  # problems that the summary quotes


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
    wanted: int = ANY  # judgements that the question waits for; ANY: it came with them, and nobody is asked
    purpose: Purpose = "train"
    only_for: str | None = None
    outcome: Dialogue | None = None  # of a conversation: the whole talk, as far as the chosen responses led


@dataclass(frozen=True)
class Row:
    """One object of a file, where it stood ("line 17"), and what is wrong with it where it is none."""

    place: str
    value: Any = None
    fault: str | None = None


@dataclass(frozen=True)
class Setting:
    """What a file does not say about what it holds."""

    project: str = "default"
    annotator: str = ""  # who judged, where the file names nobody; "": the format's name
    length: int = 25  # steps in a segment, where a file holds whole episodes
    closed: bool = False  # nobody is asked what the file leaves open, and all that it says counts


@dataclass(frozen=True)
class Said:
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

    def add(self, place: str, message: str) -> None:
        """One problem, at a place such as "line 17"."""
        line = " ".join(f"{self.file}, {place}: {message}".split())
        if self.strict:
            raise PlauditError(f"{line}; stopped here: mend it and import again, nothing is stored twice")
        self.count += 1
        if len(self.first) < SHOWN:
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
    said: Iterable[Said],
    setting: Setting,
    options: Mapping[str, Any] | None = None,
) -> Record:
    """A record of a question of the kind ``name``, each judgement in canonical form, with an id that follows from it.

    Raises :class:`PlauditError` or ValueError where a kind, or a type, refuses.
    """
    about = kind(name)
    if len({item.id for item in items}) < len(items):
        raise Fault("two of its responses are the same: nothing can be compared with itself")
    wording = about.wording if about.import_wording is None else about.import_wording
    question = Question(
        name, tuple(item.id for item in items), wording, project=setting.project, options=dict(options or {})
    )
    about.check(question)
    return Record(question, tuple(items), tuple(judgement(question, each) for each in said))


def judgement(question: Question, said: Said) -> Judgement:
    """What ``said`` is as an event: items shown in the question's order; the same contents have the same id."""
    value = kind(question.kind).validate(said.value, question)
    body = json.dumps([question.id, said.annotator, codec.to_json(value), said.rationale])
    identity = str(uuid.uuid5(NAMESPACE, body))
    order = tuple(range(len(question.items)))
    shown, submitted = min(said.shown_at, said.submitted_at), said.submitted_at
    return Judgement(question.id, said.annotator, value, order, shown, shown, submitted, identity, said.rationale)


def storable(record: Record) -> None:
    """Raise :class:`Fault` where a text cannot be written as UTF-8: it holds half a character."""
    texts = [] if record.question is None else [record.question.wording, codec.to_json(record.question.options)]
    for each in record.judgements:
        texts += [each.annotator, codec.to_json(each.value), each.rationale or ""]
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text) or "\0" in text:
            raise Fault("a text holds half a character (a lone surrogate) or NUL, which cannot be stored")


def numbered(annotator: str) -> int | str:
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
        found = self.value.get(name)
        if found is None:
            if default is REQUIRED:
                raise self.fault(name, "is null" if name in self.value else "is missing")
            return default
        return found

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        """A text; ``default`` where it is missing."""
        found = self.get(name, default)
        if found is not default and not isinstance(found, str):
            raise self.fault(name, f"must be text, got {_short(found)}")
        return found

    def number(self, name: str, default: Any = REQUIRED) -> Any:
        """A number, or text that spells one; ``default`` where it is missing."""
        found = self.get(name, default)
        if found is default:
            return default
        try:
            number = float(found) if isinstance(found, str) else found
        except ValueError:
            number = None
        if not isinstance(number, int | float) or isinstance(number, bool) or number != number:
            raise self.fault(name, f"must be a number, got {_short(found)}")
        return number

    def whole(self, name: str, default: Any = REQUIRED) -> Any:
        """A whole number, also where it is spelled 3.0; ``default`` where it is missing."""
        found = self.number(name, default)
        if found is default:
            return default
        if abs(found) == float("inf") or found != int(found):
            raise self.fault(name, f"must be a whole number, got {_short(found)}")
        return int(found)

    def list(self, name: str, default: Any = REQUIRED) -> Any:
        """A list; ``default`` where it is missing."""
        found = self.get(name, default)
        if found is not default and not isinstance(found, list | tuple):
            raise self.fault(name, f"must be a list, got {_short(found)}")
        return found

    def texts(self, name: str, default: Any = REQUIRED) -> Any:
        """A list of texts."""
        found = self.list(name, default)
        if not all(isinstance(each, str) for each in found):
            raise self.fault(name, f"must be a list of texts, got {_short(found)}")
        return found

    def object(self, name: str, default: Any = REQUIRED) -> Fields:
        """An object."""
        return Fields(self.get(name, default), self._path(name))

    def objects(self, name: str, default: Any = REQUIRED) -> list[Fields]:
        """A list of objects."""
        return [Fields(each, f"{self._path(name)}[{index}]") for index, each in enumerate(self.list(name, default))]

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
