"""Plaudit's own lines, which lose nothing: items, then the questions about them, then every judgement as it arrived.

    {"plaudit": 1}
    {"item": id, "messages": [[role, text], ...], "model": ...}          a dialogue
    {"item": id, "encoding": "safetensors+zlib", "data": base64, "source": [rollout, row, start]}    a segment
    {"question": id, "kind": ..., "items": [ids], "wording": ..., "guideline": ..., "round": ..., "project": ...,
     "options": ..., "wanted": ..., "purpose": ..., "only_for": ...}
    {"judgement": id, "on": question id, "annotator": ..., "value": ..., "order": ..., "shown_at": ...,
     "first_input_at": ..., "submitted_at": ..., "rationale": ..., "supersedes": ...}

An item stands before the first question about it, a question before the judgements on it. Ids are checked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plaudit.feedback import codec
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Fields, Omissions, Record, Setting
from plaudit.feedback.kinds import KINDS
from plaudit.feedback.ledger import ANY
from plaudit.types import Dialogue, Item, Judgement, Message, PlauditError, Question, Source

VERSION = 1


class Plaudit(Format):
    """Everything about what was asked and said."""

    name = "plaudit"
    title = "Plaudit"
    suffixes = (".jsonl", ".jsonl.gz")
    kinds = tuple(KINDS)
    lossy: ClassVar[Mapping[str, str]] = {
        "accounts, projects, guidelines' texts, known answers, leases, drafts": "not feedback: back up the store"
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """The first line."""
        return "plaudit" in first

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One item, question or judgement, as it was. The project and the annotator of ``setting`` are not used."""
        if row.has("plaudit"):
            if row.whole("plaudit") > VERSION:
                raise row.fault(
                    "plaudit", f"is version {row.get('plaudit')}, but this Plaudit reads {VERSION}: upgrade"
                )
        elif row.has("item"):
            yield Record(None, (_item(row),))
        elif row.has("question"):
            question = _question(row)
            yield replace(question, seats=ANY) if setting.closed else question
        else:
            yield Record(None, (), (_judgement(row),))

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a fact."""
        yield {"plaudit": VERSION}
        for record in records:
            yield from map(_item_row, record.items)
            if record.question is not None:
                yield _question_row(record.question, record)
            yield from map(_judgement_row, record.judgements)


def _item(row: Fields) -> Item:
    identity = row.text("item")
    if not row.has("data"):
        pairs = row.list("messages")
        if not all(isinstance(pair, list) and [type(part) for part in pair] == [str, str] for pair in pairs):
            raise row.fault("messages", "must be pairs of role and text")
        if not {role for role, _ in pairs} <= {"system", "user", "assistant"}:
            raise row.fault("messages", "must be of the system, the user or the assistant")
        item: Item = Dialogue(tuple(Message(role, text) for role, text in pairs), row.text("model", None))
        if item.id != identity:
            raise row.fault("item", f"is {identity}, but its content is that of {item.id}: the file was changed")
        return item
    source = row.list("source", None)
    if source is not None and (len(source) != 3 or not all(type(index) is int for index in source)):
        raise row.fault("source", "must be rollout, row and start")
    try:
        data = base64.b64decode(row.text("data"), validate=True)
        return codec.unpack(identity, row.text("encoding"), data, Source(*source) if source else None)
    except binascii.Error as error:
        raise row.fault("data", f"is not base64: {error}") from error
    except PlauditError as error:
        raise row.fault("data", f"does not match its id: {error}") from error


def _question(row: Fields) -> Record:
    ids = row.list("items")
    if not all(isinstance(name, str) for name in ids):
        raise row.fault("items", "must be ids")
    texts = [row.text(name) for name in ("kind", "wording", "guideline")]
    options = dict(row.object("options", {}).value)
    question = Question(texts[0], tuple(ids), texts[1], texts[2], row.whole("round"), row.text("project"), options)
    if question.id != row.text("question"):
        raise row.fault("question", f"is {row.get('question')}, but its content is that of {question.id}")
    purpose, seats = row.text("purpose", "train"), row.whole("wanted", 1)
    if purpose not in ("train", "gold", "repeat"):
        raise row.fault("purpose", f"must be train, gold or repeat, got {purpose!r}")
    if seats < 1:
        raise row.fault("wanted", f"must be at least 1, got {seats}")
    return Record(question, (), (), seats, purpose, row.text("only_for", None))


def _judgement(row: Fields) -> Judgement:
    order = row.list("order")
    if not all(type(index) is int for index in order):
        raise row.fault("order", "must be whole numbers")
    return Judgement(
        question=row.text("on"),
        annotator=row.text("annotator"),
        value=dict(row.object("value").value),
        order=tuple(order),
        shown_at=float(row.number("shown_at")),
        first_input_at=float(row.number("first_input_at")),
        submitted_at=float(row.number("submitted_at")),
        id=row.text("judgement"),
        rationale=row.text("rationale", None),
        supersedes=row.text("supersedes", None),
    )


def _item_row(item: Item) -> dict[str, Any]:
    if isinstance(item, Dialogue):
        return {
            "item": item.id,
            "messages": [[message.role, message.content] for message in item.messages],
            "model": item.model,
        }
    encoding, data = codec.pack(item)
    source = item.source and [item.source.rollout, item.source.row, item.source.start]
    return {"item": item.id, "encoding": encoding, "data": base64.b64encode(data).decode(), "source": source}


def _question_row(question: Question, record: Record) -> dict[str, Any]:
    return {
        "question": question.id,
        "kind": question.kind,
        "items": list(question.items),
        "wording": question.wording,
        "guideline": question.guideline,
        "round": question.round,
        "project": question.project,
        "options": dict(question.options),
        "wanted": record.seats,
        "purpose": record.purpose,
        "only_for": record.only_for,
    }


def _judgement_row(judgement: Judgement) -> dict[str, Any]:
    return {
        "judgement": judgement.id,
        "on": judgement.question,
        "annotator": judgement.annotator,
        "value": dict(judgement.value),
        "order": list(judgement.order),
        "shown_at": judgement.shown_at,
        "first_input_at": judgement.first_input_at,
        "submitted_at": judgement.submitted_at,
        "rationale": judgement.rationale,
        "supersedes": judgement.supersedes,
    }


FORMAT = Plaudit()
