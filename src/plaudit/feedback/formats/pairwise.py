"""Two numbered or lettered responses and which is preferred, in the columns of any table: ties are kept.

``prompt, response_a, response_b, winner``, ``prompt, response_0, response_1, better_response_id`` and the like. The
preference names a response by its column or by the column's last character, or says "tie".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import PROMPTS, continue_prompt, cut_prompt, read_prompt
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting, make
from plaudit.types import Dialogue

STEMS = ("response", "answer", "completion", "output", "text", "summary", "assistant")
SIDES = (("a", "b"), ("A", "B"), ("0", "1"), ("1", "2"))
PAIRS = tuple((f"{stem}{link}{a}", f"{stem}{link}{b}") for a, b in SIDES for stem in STEMS for link in ("_", "", " "))
PREFERENCES = (
    "preference",
    "winner",
    "better",
    "preferred",
    "choice",
    "label",
    "better_response_id",
    "overall_preference",
    "preference_strength",
)
SIGNED = ("preference_strength",)  # HelpSteer2's: -3 to 3, below 0 the first is better
TIES = ("tie", "draw", "equal", "both", "same", "neither", "both good", "both bad")


class Pairwise(Format):
    """One comparison an object."""

    name = "pairwise"
    title = "Two responses and a preference"
    suffixes = (".jsonl", ".json", ".csv", ".parquet")
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "preference": "read as 4, the clearest, or as a tie",
        "annotator": "not in the file",
        "model": "not read",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two responses to a prompt, and a preference."""
        names = set(first)
        pairs = [pair for pair in PAIRS if set(pair) <= names]
        chosen = {"chosen", "rejected"} <= names
        return len(pairs) == 1 and not chosen and bool(names & set(PROMPTS) and names & set(PREFERENCES))

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        pair = next((pair for pair in PAIRS if set(pair) <= set(row.value)), PAIRS[0])
        strength = _read_preference(row, pair)
        row = cut_prompt(row, pair)
        prompt = read_prompt(row, required=True)
        items = [Dialogue(continue_prompt(row, name, prompt)) for name in pair]
        for name, item in zip(pair, items, strict=True):
            if item.response is None:
                raise Empty(f"field '{name}' does not end with a response")
        yield make("comparison", items, [Answer(setting.annotator, {"strength": strength})], setting)


def _read_preference(row: Fields, pair: tuple[str, str]) -> int:
    """4 for the first response, -4 for the second, 0 for a tie."""
    column = row.find(PREFERENCES, required=True) or PREFERENCES[0]
    value = row.get(column)
    if column in SIGNED:
        strength = row.whole(column)
        return max(-4, min(4, -strength))
    word = str(int(value) if isinstance(value, float) and value in (0, 1, 2) else value).strip().casefold()
    for strength, name in ((4, pair[0]), (-4, pair[1])):
        if word in (name.casefold(), name[-1].casefold(), f"model_{name[-1]}".casefold()) and not isinstance(
            value, bool
        ):
            return strength
    if any(word == tie or word.startswith(f"{tie} (") for tie in TIES):
        return 0
    message = f"must be {pair[0]}, {pair[1]}, {pair[0][-1]}, {pair[1][-1]} or tie, got {value!r:.60}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        message += f": write those, or, if below 0 prefers the first, say --columns preference_strength={column}"
    raise row.fault(column, message)


FORMAT = Pairwise()
