"""Chatbot Arena: two conversations with unnamed models side by side, and a vote. Zheng et al. 2023."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import chat, conversation, texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make

STRENGTHS = {"model_a": 4, "model_b": -4, "tie": 0, "tie (bothbad)": 0}
BOTH_BAD = "both bad"  # the rationale that keeps the one tie apart from the other


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
        "winner tie (bothbad)": "kept as a tie whose rationale is 'both bad'; other rationales are not written",
        "turn": "not read; written as the number of the user's turns",
        "language": "not kept; written as null",
        "anony, toxic_chat_tag, openai_moderation": "not kept",
        "times": "one, when it was submitted",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two conversations and a winner."""
        return {"conversation_a", "conversation_b", "winner"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        items = [conversation(row, f"conversation_{side}", row.text(f"model_{side}", None)) for side in "ab"]
        winner = row.text("winner")
        if winner not in STRENGTHS:
            raise row.fault("winner", f"must be one of {', '.join(STRENGTHS)}, got {winner!r}")
        rationale = BOTH_BAD if winner == "tie (bothbad)" else None
        moment = float(row.number("tstamp", 0.0))
        answer = Answer(
            row.text("judge", setting.annotator), {"strength": STRENGTHS[winner]}, rationale, moment, moment
        )
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
                tie = "tie (bothbad)" if judgement.rationale == BOTH_BAD else "tie"
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


FORMAT = ChatbotArena()
