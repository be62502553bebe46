"""Chatbot Arena: two conversations with unnamed models side by side, and a vote. Zheng et al. 2023.

Also the judgements of MT-bench by people and by models, which are about one turn of a conversation of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import chat, conversation, texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make
from plaudit.types import Dialogue

STRENGTHS = {
    "model_a": 4,
    "model_b": -4,
    **dict.fromkeys(("tie", "tie (bothbad)", "both_bad", "tie (inconsistent)"), 0),
}
BOTH_BAD = "both bad"  # the rationales that keep these ties apart from others
INCONSISTENT = "inconsistent"  # a judge preferred the other one when it saw them in the other order
REASONS = {"tie (bothbad)": BOTH_BAD, "both_bad": BOTH_BAD, "tie (inconsistent)": INCONSISTENT}
TIES = {BOTH_BAD: "tie (bothbad)", INCONSISTENT: "tie (inconsistent)"}


class ChatbotArena(Format):
    """Votes between two conversations."""

    name = "chatbot-arena"
    title = "Chatbot Arena"
    suffixes = (".parquet", ".json", ".jsonl")
    kinds = ("comparison",)
    lossy: ClassVar[Mapping[str, str]] = {
        "question_id": "not kept; written as the question's id in the store",
        "strength": "written as the winner; read as 4, the clearest",
        "can't tell": "left out: it is not a tie",
        "winner tie (bothbad), tie (inconsistent)": "kept as a tie whose rationale is 'both bad' or 'inconsistent'; "
        "other rationales are not written",
        "judge": "a list of texts is joined with /",
        "turn": "the conversations are cut behind that turn; written as the number of the user's turns",
        "language": "not kept; written as null",
        "anony, toxic_chat_tag, openai_moderation": "not kept",
        "times": "one, when it was submitted",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two conversations and a winner."""
        return {"conversation_a", "conversation_b", "winner"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        turn = row.whole("turn", None)
        items = [
            _cut(conversation(row, f"conversation_{side}", row.text(f"model_{side}", None)), turn) for side in "ab"
        ]
        strength, rationale = read_winner(row)
        moment = float(row.number("tstamp", 0.0))
        answer = Answer(_judge(row) or setting.annotator, {"strength": strength}, rationale, moment, moment)
        yield make("comparison", items, [answer], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a judgement."""
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            for judgement in record.judgements:
                strength = judgement.value["strength"]
                if strength is None:
                    left.add("they say 'can't tell'")
                    continue
                tie = TIES.get(judgement.rationale or "", "tie")
                yield {
                    "question_id": judgement.question,
                    "model_a": items[0].model,
                    "model_b": items[1].model,
                    "winner": "model_a" if strength > 0 else "model_b" if strength < 0 else tie,
                    "judge": judgement.annotator,
                    "conversation_a": chat(items[0].messages),
                    "conversation_b": chat(items[1].messages),
                    "turn": sum(message.role == "user" for message in items[0].messages),
                    "language": None,
                    "tstamp": judgement.submitted_at,
                }


def read_winner(row: Fields) -> tuple[int, str | None]:
    """The strength and the rationale that the column ``winner`` stands for."""
    winner = row.text("winner")
    if winner not in STRENGTHS:
        raise row.fault("winner", f"must be one of {', '.join(STRENGTHS)}, got {winner!r}")
    return STRENGTHS[winner], REASONS.get(winner)


def _judge(row: Fields) -> str:
    """The judge: a text, or a list of texts such as a model and the name of its instructions."""
    judge = row.get("judge", "")
    return row.text("judge", "") if isinstance(judge, str) else "/".join(row.texts("judge", ()))


def _cut(dialogue: Dialogue, turn: int | None) -> Dialogue:
    """A conversation up to the answer in the turn that was judged."""
    starts = [index for index, message in enumerate(dialogue.messages) if message.role == "user"]
    if turn is None or not 0 < turn < len(starts):
        return dialogue
    return Dialogue(dialogue.messages[: starts[turn]], dialogue.model)


FORMAT = ChatbotArena()
