"""Chatbot Arena as Kaggle's competitions have it: a table of prompts, two responses to each, and the winner.

The cells of "LMSYS" hold the turns of a conversation as a JSON list, and three columns of 0 and 1 the winner; those of
"WSDM Cup" hold one turn as text, and one column the winner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._format import Format, sample
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting, make, parse_cell
from plaudit.feedback.formats.chatbot_arena import STRENGTHS, read_winner
from plaudit.types import Dialogue, Message

WINNERS = {"winner_model_a": 4, "winner_model_b": -4, "winner_tie": 0}


class ArenaCsv(Format):
    """Votes between two conversations, in a table."""

    name = "arena-csv"
    title = "Chatbot Arena tables (Kaggle)"
    suffixes = (".csv", ".parquet", ".jsonl")
    lossy: ClassVar[Mapping[str, str]] = {
        "strength": "only the winner is in the file; read as 4, the clearest",
        "response null": "a turn in which the model wrote nothing: an empty text",
        "annotator": "not in the file",
        "id, language": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two responses and a winner."""
        winners = [winner for winner in sample(first, "winner") if isinstance(winner, str)]
        one_column = bool(winners) and set(winners) <= set(STRENGTHS)
        return (one_column or set(WINNERS) <= set(first)) and {"prompt", "response_a", "response_b"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        items = [_conversation(row, f"response_{side}", row.text(f"model_{side}", None)) for side in "ab"]
        strength, rationale = (_read_columns(row), None) if row.has("winner_model_a") else read_winner(row)
        yield make("comparison", items, [Answer(setting.annotator, {"strength": strength}, rationale)], setting)


def _conversation(row: Fields, name: str, model: str | None) -> Dialogue:
    prompts, responses = _turns(row, "prompt"), _turns(row, name)
    if len(prompts) != len(responses):
        raise row.fault(name, f"has {len(responses)} turns, and the prompt has {len(prompts)}")
    turns = zip(prompts, responses, strict=True)
    messages = [part for ask, answer in turns for part in (Message("user", ask), Message("assistant", answer))]
    return Dialogue(tuple(messages), model)


def _turns(row: Fields, name: str) -> list[str]:
    """The turns in a cell; null is an empty one."""
    if isinstance(row.get(name), str) and not isinstance(parse_cell(row.get(name)), list):
        return [row.text(name)]
    turns = row.list(name)
    if not turns or not all(turn is None or isinstance(turn, str) for turn in turns):
        raise row.fault(name, "must be a list of texts, one for each turn")
    return [turn or "" for turn in turns]


def _read_columns(row: Fields) -> int:
    strengths = [strength for name, strength in WINNERS.items() if row.number(name) == 1]
    if len(strengths) != 1:
        raise row.fault("winner_model_a", "and the other two must hold one 1 and two 0")
    return strengths[0]


FORMAT = ArenaCsv()
