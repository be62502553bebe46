"""Questions asked by the API: JSON with texts in place, and with the known answer if a question is gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.feedback import gold
from plaudit.feedback.kinds import comparison, kind
from plaudit.feedback.store import Conflict, Store
from plaudit.server.project_settings import check_options
from plaudit.server.projects import Project
from plaudit.types import Dialogue, Message, PlauditError, Question

GOLD_WANTED = 1_000_000  # judgements: every annotator answers a gold question


@dataclass(frozen=True)
class BatchReceipt:
    """The number of new questions of a batch, and all ids in the order of the batch."""

    new: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Questions in JSON for one project, under one version of the guideline.

    Each of ``questions`` has ``items`` (a list: the id of an item in the store, a dialogue ``{"messages": [{"role",
    "content"}], "model"?}``, or ``{"prompt": text, "response"?: text, "model"?}``), and may have ``kind``, ``wording``,
    ``options``, and ``gold``: ``{"value", "note"?}``.
    """

    project: Project
    guideline: str
    questions: Sequence[Mapping[str, Any]]
    judgements_wanted: int


def ask(store: Store, actor: str, now: float, batch: Batch) -> BatchReceipt:
    """Put the batch on the project's queue, questions for training and gold; all of it or, with
    :class:`PlauditError`, none.

    The message names the question that was wrong, counted from 1. Questions asked before are left as they are.
    """
    plain: list[Question] = []
    checks: list[Question] = []
    answers: list[tuple[str, dict[str, Any], str]] = []
    items: dict[str, Dialogue] = {}
    ids = []
    for number, record in enumerate(batch.questions, 1):
        try:
            question = _question(batch, record, items)
            ids.append(question.id)
            if record.get("gold") is None:
                plain.append(question)
            else:
                answers.append((question.id, *_answer(question, record["gold"])))
                checks.append(question)
        except (PlauditError, ValueError) as error:  # ValueError: from Question or Dialogue
            raise PlauditError(f"question {number}: {error}") from error
    _check_purposes(store, plain, checks)
    new = store.ask(checks, list(items.values()), GOLD_WANTED, "gold") if checks else 0
    new += store.ask(plain, list(items.values()), batch.judgements_wanted) if plain else 0
    details = {"questions": len(ids), "new": new, "gold": len(checks)}
    gold.save(store, answers, actor=actor, now=now, project=batch.project.name, details=details)
    return BatchReceipt(new, tuple(ids))


def _question(batch: Batch, record: Mapping[str, Any], items: dict[str, Dialogue]) -> Question:
    unknown = sorted(set(record) - {"items", "kind", "wording", "options", "gold"})
    if unknown:
        raise PlauditError(f"there is no field {unknown[0]!r}: use items, kind, wording, options, gold")
    entries = record.get("items")
    if not isinstance(entries, list) or not 1 <= len(entries) <= 9:
        raise PlauditError("items must be a list of 1 to 9")
    names = []
    for position, entry in enumerate(entries):
        item = entry if isinstance(entry, str) else _dialogue(entry, f"items[{position}]")
        if isinstance(item, Dialogue):
            items[item.id] = item
        names.append(item if isinstance(item, str) else item.id)
    project = batch.project
    options = record.get("options")
    if options is not None and not isinstance(options, Mapping):
        raise PlauditError("options must be an object")
    name = record.get("kind") or project.kind
    wording = record.get("wording") or (project.wording if name == project.kind else kind(str(name)).wording)
    if wording == comparison.KIND.wording and not any(isinstance(entry, str) for entry in entries):
        wording = comparison.RESPONSES  # the wording of the kind is for clips
    if not isinstance(name, str) or not isinstance(wording, str) or len(wording) > 2000:
        raise PlauditError("kind and wording must be texts")
    merged = dict(project.options if name == project.kind else {}) | dict(options or {})
    check_options(merged)
    question = Question(name, tuple(names), wording, batch.guideline, 0, project.name, merged)
    kind(name).check(question)
    return question


def _dialogue(record: Any, field: str) -> Dialogue:
    if not isinstance(record, Mapping):
        raise PlauditError(f"{field} must be an item's id, or an object with messages, or with prompt and response")
    model = record.get("model")
    if model is not None and not isinstance(model, str):
        raise PlauditError(f"{field}.model must be a text")
    if "messages" in record:
        _check_fields(record, {"messages", "model"}, field)
        turns = record["messages"]
        if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
            raise PlauditError(f"{field}.messages must be a list of objects with role and content")
        return Dialogue(tuple(_message(turn.get("role"), turn.get("content"), field) for turn in turns), model)
    _check_fields(record, {"prompt", "response", "model"}, field)
    messages = [_message("user", record.get("prompt"), field)]
    if record.get("response") is not None:
        messages.append(_message("assistant", record["response"], field))
    return Dialogue(tuple(messages), model)


def _check_fields(record: Mapping[str, Any], fields: set[str], field: str) -> None:
    unknown = sorted(set(record) - fields)
    if unknown:
        raise PlauditError(f"{field} has no field {unknown[0]!r}: use {', '.join(sorted(fields))}")


def _message(role: Any, content: Any, field: str) -> Message:
    if role not in ("system", "user", "assistant"):
        raise PlauditError(f"{field}: a message's role is system, user or assistant, got {role!r}")
    if not isinstance(content, str):
        raise PlauditError(f"{field}: a message's content is text, got {type(content).__name__}")
    return Message(role, content)


def _answer(question: Question, record: Any) -> tuple[dict[str, Any], str]:
    if not isinstance(record, Mapping) or not isinstance(record.get("value"), Mapping):
        raise PlauditError('gold must be {"value": {...}, "note"?: text}: the answer that is known to be right')
    if not isinstance(record.get("note", ""), str):
        raise PlauditError("gold.note must be a text")
    return kind(question.kind).validate(record["value"], question), record.get("note", "")[:5000]


def _check_purposes(store: Store, plain: Sequence[Question], checks: Sequence[Question]) -> None:
    """Refuse to ask a stored question for another purpose: one for training cannot become gold, nor the reverse."""
    purposes = dict.fromkeys((question.id for question in checks), "gold")
    repeated = purposes.keys() & {question.id for question in plain}
    if repeated:
        raise Conflict(f"question {min(repeated)} is asked twice, once as gold")
    purposes |= dict.fromkeys((question.id for question in plain), "train")
    for identity, purpose in gold.purposes(store, purposes).items():
        if purpose != purposes[identity] and "gold" in (purpose, purposes[identity]):
            raise Conflict(
                f"question {identity} was asked before as {purpose}: change its wording to ask it as "
                f"{purposes[identity]}"
            )
