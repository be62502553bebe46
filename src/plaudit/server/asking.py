"""Asking by the API: questions written as JSON, texts along with them, gold with the answer that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select

from plaudit.feedback.codec import to_json
from plaudit.feedback.kinds import comparison, kind
from plaudit.feedback.rows import chunks
from plaudit.feedback.schema import QUESTIONS
from plaudit.feedback.schema_people import GOLD
from plaudit.feedback.store import Conflict, Store
from plaudit.server.audit import note
from plaudit.server.project_settings import check_options
from plaudit.server.projects import Project
from plaudit.types import Dialogue, Message, PlauditError, Question

GOLD_WANTED = 1_000_000  # everybody is to answer a gold question


@dataclass(frozen=True)
class Asked:
    """What became of a batch: how many were new, and all ids in the order given."""

    new: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Questions as somebody wrote them down, for one project, under one version of the guideline.

    Each of ``questions`` has ``items`` (a list: the id of an item in the store, a dialogue ``{"messages": [{"role",
    "content"}], "model"?}``, or ``{"prompt": text, "response"?: text, "model"?}``), and may have ``kind``, ``wording``,
    ``options``, and ``gold``: ``{"value", "note"?}``.
    """

    project: Project
    guideline: str
    questions: Sequence[Mapping[str, Any]]
    judgements_wanted: int


def ask(store: Store, by: str, at: float, batch: Batch) -> Asked:
    """Put the batch on the project's queue, gold apart; all of it or, with :class:`PlauditError`, none.

    The message names the question that was wrong, counted from 1. Questions asked before are left as they are.
    """
    plain: list[Question] = []
    gold: list[tuple[Question, dict[str, Any], str]] = []
    items: dict[str, Dialogue] = {}
    ids = []
    for number, given in enumerate(batch.questions, 1):
        try:
            question = _question(batch, given, items)
            ids.append(question.id)
            if given.get("gold") is None:
                plain.append(question)
            else:
                gold.append((question, *_gold(question, given["gold"])))
        except (PlauditError, ValueError) as error:  # ValueError: what a Question or Dialogue refuses
            raise PlauditError(f"question {number}: {error}") from error
    _check_purposes(store, plain, [each[0] for each in gold])
    new = store.ask([each[0] for each in gold], list(items.values()), GOLD_WANTED, "gold") if gold else 0
    new += store.ask(plain, list(items.values()), batch.judgements_wanted) if plain else 0
    with store.database.write() as connection:
        for question, value, words in gold:
            connection.execute(delete(GOLD).where(GOLD.c.question == question.id))
            connection.execute(insert(GOLD).values(question=question.id, value=to_json(value), note=words))
        details = {"questions": len(ids), "new": new, "gold": len(gold)}
        note(connection, at, by, "asked questions", batch.project.name, details)
    return Asked(new, tuple(ids))


def _question(batch: Batch, given: Mapping[str, Any], items: dict[str, Dialogue]) -> Question:
    unknown = sorted(set(given) - {"items", "kind", "wording", "options", "gold"})
    if unknown:
        raise PlauditError(f"there is no field {unknown[0]!r}: use items, kind, wording, options, gold")
    written = given.get("items")
    if not isinstance(written, list) or not 1 <= len(written) <= 9:
        raise PlauditError("items must be a list of 1 to 9")
    names = []
    for place, each in enumerate(written):
        item = each if isinstance(each, str) else _dialogue(each, f"items[{place}]")
        if isinstance(item, Dialogue):
            items[item.id] = item
        names.append(item if isinstance(item, str) else item.id)
    project = batch.project
    options = given.get("options")
    if options is not None and not isinstance(options, Mapping):
        raise PlauditError("options must be an object")
    of = given.get("kind") or project.kind
    wording = given.get("wording") or (project.wording if of == project.kind else kind(str(of)).wording)
    if wording == comparison.KIND.wording and not any(isinstance(each, str) for each in written):
        wording = comparison.RESPONSES  # the project's own is for clips
    if not isinstance(of, str) or not isinstance(wording, str) or len(wording) > 2000:
        raise PlauditError("kind and wording must be texts")
    chosen = dict(project.options if of == project.kind else {}) | dict(options or {})
    check_options(chosen)
    question = Question(of, tuple(names), wording, batch.guideline, 0, project.name, chosen)
    kind(of).check(question)
    return question


def _dialogue(given: Any, where: str) -> Dialogue:
    if not isinstance(given, Mapping):
        raise PlauditError(f"{where} must be an item's id, or an object with messages, or with prompt and response")
    model = given.get("model")
    if model is not None and not isinstance(model, str):
        raise PlauditError(f"{where}.model must be a text")
    if "messages" in given:
        _known(given, {"messages", "model"}, where)
        written = given["messages"]
        if not isinstance(written, list) or not all(isinstance(each, Mapping) for each in written):
            raise PlauditError(f"{where}.messages must be a list of objects with role and content")
        return Dialogue(tuple(_message(each.get("role"), each.get("content"), where) for each in written), model)
    _known(given, {"prompt", "response", "model"}, where)
    messages = [_message("user", given.get("prompt"), where)]
    if given.get("response") is not None:
        messages.append(_message("assistant", given["response"], where))
    return Dialogue(tuple(messages), model)


def _known(given: Mapping[str, Any], fields: set[str], where: str) -> None:
    unknown = sorted(set(given) - fields)
    if unknown:
        raise PlauditError(f"{where} has no field {unknown[0]!r}: use {', '.join(sorted(fields))}")


def _message(role: Any, content: Any, where: str) -> Message:
    if role not in ("system", "user", "assistant"):
        raise PlauditError(f"{where}: a message's role is system, user or assistant, got {role!r}")
    if not isinstance(content, str):
        raise PlauditError(f"{where}: a message's content is text, got {type(content).__name__}")
    return Message(role, content)


def _gold(question: Question, given: Any) -> tuple[dict[str, Any], str]:
    if not isinstance(given, Mapping) or not isinstance(given.get("value"), Mapping):
        raise PlauditError('gold must be {"value": {...}, "note"?: text}: the answer that is known to be right')
    if not isinstance(given.get("note", ""), str):
        raise PlauditError("gold.note must be a text")
    return kind(question.kind).validate(given["value"], question), given.get("note", "")[:5000]


def _check_purposes(store: Store, plain: Sequence[Question], gold: Sequence[Question]) -> None:
    """A question that stands in the store for training cannot become gold afterwards, nor the other way round."""
    wanted = {each.id: "gold" for each in gold}
    if twice := wanted.keys() & {each.id for each in plain}:
        raise Conflict(f"question {min(twice)} is asked twice, once as gold")
    wanted |= {each.id: "train" for each in plain}
    with store.database.read() as connection:
        for chunk in chunks(wanted):
            found = select(QUESTIONS.c.id, QUESTIONS.c.purpose).where(QUESTIONS.c.id.in_(chunk))
            for identity, purpose in connection.execute(found):
                if purpose != wanted[identity] and "gold" in (purpose, wanted[identity]):
                    raise Conflict(
                        f"question {identity} was asked before as {purpose}: change its wording to ask it as "
                        f"{wanted[identity]}"
                    )
