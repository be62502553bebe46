"""PRISM: conversations in which several models answer each message, each answer has a score. Kirk et al. 2024.

``conversations.jsonl`` has a conversation an object, ``utterances.jsonl`` an answer. Each message of the person is a
ranking of its answers, after the answers that were chosen before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._rankings import rank_responses
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Row, Setting, make
from plaudit.types import Message

HISTORY = "conversation_history"


class Prism(Format):
    """The messages of one conversation."""

    name = "prism"
    title = "PRISM"
    suffixes = (".jsonl", ".parquet")
    lossy: ClassVar[Mapping[str, str]] = {
        "score": "read as ranks: how far two scores are apart is not kept",
        "if_chosen": "the answer that the conversation continues with",
        "turn": "one with a single answer or equal answers is counted and left out",
        "user_id": "the annotator",
        "performance_attributes, choice_attributes, open_feedback": "not read",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A history of scored answers, or one of them."""
        utterance = {"user_prompt", "model_response", "score", "if_chosen", "conversation_id", "turn"}
        return {HISTORY, "user_id"} <= set(first) or utterance <= set(first)

    def gather(self, rows: Iterator[Row]) -> Iterator[Row]:
        """One row for each conversation; rows of neither file come as they are."""
        for identity, group in groupby(rows, key=_identify):
            if identity is None:
                yield from group
                continue
            utterances = list(group)
            first, last = utterances[0], utterances[-1]
            values = [row.value for row in utterances]
            yield Row(
                first.location if first is last else f"{first.location} to {last.location}",
                {"user_id": values[0].get("user_id"), HISTORY: [turn for value in values for turn in _turns(value)]},
            )

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """A ranking for each message of the person."""
        annotator = row.text("user_id", None) or setting.annotator
        before: tuple[Message, ...] = ()
        rankings = 0
        for _, group in groupby(row.objects(HISTORY), key=lambda turn: turn.whole("turn")):
            turns = list(group)
            person = next((turn for turn in turns if turn.text("role") == "user"), None)
            answers = [turn for turn in turns if turn.text("role") != "user"]
            if person is None:
                raise row.fault(HISTORY, "has a turn without the person's message")
            prompt = (*before, Message("user", person.text("content")))
            record = _rank(prompt, answers, annotator, setting)
            if record is None:
                row.note("a turn with a single answer, or with equal answers, is left out")
            else:
                rankings += 1
                yield record
            chosen = next((answer for answer in answers if answer.get("if_chosen", False) is True), None)
            if chosen is None:
                break  # nothing follows
            before = (*prompt, Message("assistant", chosen.text("content")))
        if not rankings:
            raise Empty("none of its turns has two different answers: there is nothing to rank")


def _identify(row: Row) -> str | None:
    """The conversation of an utterance; None for other rows."""
    utterance = isinstance(row.value, Mapping) and "model_response" in row.value and row.fault is None
    return str(row.value.get("conversation_id")) if utterance else None


def _turns(utterance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An utterance as the entries of a history: the person's message and the answer."""
    person = {"turn": utterance.get("turn"), "role": "user", "content": utterance.get("user_prompt")}
    names = ("turn", "score", "if_chosen", "model_name")
    answer = {name: utterance.get(name) for name in names}
    return [person, {**answer, "role": "model", "content": utterance.get("model_response")}]


def _rank(prompt: tuple[Message, ...], answers: Sequence[Fields], annotator: str, setting: Setting) -> Record | None:
    """The ranking of the answers to a message by their scores; None if there are no two of them."""
    scored = [(answer.number("score"), answer) for answer in answers]
    scores = sorted({score for score, _ in scored}, reverse=True)
    items, ranks = rank_responses(
        (scores.index(score) + 1, reply(prompt, answer.text("content"), answer.text("model_name", None)))
        for score, answer in scored
    )
    if len(items) < 2:
        return None
    return make("ranking", items, [Answer(annotator, {"ranks": ranks})], setting)


FORMAT = Prism()
