"""Checks of conversations and chats: a whole names judgements of this annotator, in this very talk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.feedback import history, talks
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Conflict
from plaudit.server.assignments import opening
from plaudit.server.services import Services
from plaudit.types import Dialogue, Message, PlauditError, Question


def check(services: Services, annotator: str, question: Question, value: Mapping[str, Any]) -> None:
    """Raise :class:`PlauditError` unless the annotator gave the named judgements in this talk, in this order."""
    ids, talk = talks.part_ids(value), kind(question.kind)
    if not talk.live or not ids:
        return
    if len(ids) > talk.most_parts:
        raise PlauditError(f"an answer to a {question.kind} names at most {talk.most_parts} judgements")
    parts, foreign = talks.load_parts(services.store, annotator, question, ids)
    missing = [identity for identity in ids if identity not in parts or parts[identity].annotator != annotator]
    if missing:
        raise PlauditError(f"judgement {missing[0][:64]!r}, which this answer names, is not yours")
    if used := [identity for identity in ids if identity in foreign]:
        raise PlauditError(f"judgement {used[0][:64]!r} belongs to another {question.kind} of yours")
    questions = services.store.questions([parts[identity].question for identity in ids])
    begin = opening(_dialogue(services, question))[0]
    for identity, part in zip(ids, questions, strict=True):
        item = _dialogue(services, part)
        belongs = part.project == question.project and part.kind in talk.parts
        if not belongs or item.messages[: len(begin)] != begin:
            raise PlauditError(f"judgement {identity[:64]!r} was not given in this {question.kind}")
    if talk.in_turns:
        _check_order(services, ids, questions)


def _dialogue(services: Services, question: Question) -> Dialogue:
    item = services.items.get(services.store, question.items[:1])[question.items[0]]
    if not isinstance(item, Dialogue):
        raise PlauditError("this question is about a clip: a conversation is text")
    return item


def _check_order(services: Services, ids: Sequence[str], turns: Sequence[Question]) -> None:
    """Each turn continues one of the two responses of the turn before.

    It need not be the better one, because the annotator may have edited that judgement since.
    """
    heads: list[tuple[Message, ...]] = []
    for identity, part in zip(ids, turns, strict=True):
        items = services.items.get(services.store, part.items)
        dialogues = [item.messages for name in part.items if isinstance(item := items[name], Dialogue)]
        first = dialogues[0]
        if heads and not any(first[: len(head)] == head and len(first) > len(head) for head in heads):
            raise PlauditError(f"judgement {identity[:64]!r} does not continue the turn before it")
        heads = dialogues


def check_open(services: Services, annotator: str, question: Question, judgement: str | None = None) -> None:
    """Raise :class:`Conflict` if the whole has been sent; a part that was stored before may be sent again."""
    if not talks.is_sent(services.store, annotator, question):
        return
    if judgement is None or history.status(services.store, judgement) is None:
        raise Conflict(f"you have sent this {question.kind}: take it back to continue it")
