"""Two numbered or lettered responses and which is preferred, in the columns of any table: ties are kept.

``prompt, response_a, response_b, winner``, ``prompt, response_0, response_1, better_response_id`` and the like. The
preference names a response by its column or by the column's last character ("B", "[[B]]", "B>A", "B is slightly
better"), or says "tie". Without a preference, a score of each response (``score_a, score_b``) decides.
"""

from __future__ import annotations

import re
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
    "chosen",
    "verdict",
    "judgment",
    "judgement",
    "safer_response_id",  # of PKU-SafeRLHF, where there is no better_response_id
)
SCORES = ("score", "rating", "reward")
SIGNED = ("preference_strength",)  # HelpSteer2's: -3 to 3, below 0 the first is better
TIES = (
    "tie",
    "draw",
    "equal",
    "both",
    "same",
    "neither",
    "both good",
    "both bad",
    "about the same",
    "[[c]]",
    "equally good",
)
VERDICT = re.compile(  # "response b is slightly better", "[[b]]"
    r"(?:\[\[)?(?:the )?(?:(?:response|answer|assistant|model|output|option|completion)[ _]?)?"
    r"(?P<side>[ab012])(?:\]\])?"
    r"(?: (?:is|wins)\b)?(?: (?P<degree>slightly|marginally|a bit|much|clearly|significantly|far|a lot))?"
    r"(?: (?:better|preferred))?\.?"
)
GREATER = re.compile(r"(?:\[\[)?([ab12])\s*(<<|>>|<|>|=)\s*([ab12])(?:\]\])?")
SLIGHTLY = ("slightly", "marginally", "a bit")


class Pairwise(Format):
    """One comparison an object."""

    name = "pairwise"
    title = "Two responses and a preference"
    suffixes = (".jsonl", ".json", ".csv", ".parquet")
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "preference": "read as 4, the clearest, or as a tie; as 1 if it says slightly",
        "score_a, score_b": "read where there is no preference: the higher one is preferred",
        "annotator": "not in the file",
        "model": "not read",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two responses to a prompt, and a preference."""
        names = set(first)
        pairs = [pair for pair in PAIRS if set(pair) <= names]
        chosen = {"chosen", "rejected"} <= names
        if len(pairs) != 1 or chosen or not names & set(PROMPTS):
            return False
        return bool(names & set(PREFERENCES)) or _scores_of(first, pairs[0]) is not None

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


def _scores_of(columns: Mapping[str, Any], pair: tuple[str, str]) -> tuple[str, str] | None:
    """The columns with a score of each of two responses, which end as theirs do."""
    sides = [re.sub(rf"^(?:{'|'.join(STEMS)})", "", name) for name in pair]
    names = [(f"{stem}{sides[0]}", f"{stem}{sides[1]}") for stem in SCORES]
    names += [(f"{pair[0]}_{stem}", f"{pair[1]}_{stem}") for stem in SCORES]
    return next((scores for scores in names if set(scores) <= set(columns)), None)


def _parse_words(word: str, pair: tuple[str, str]) -> int | None:
    """A preference in words, such as "b>a" or "response b is slightly better"; None if they name no response."""
    sides = [name[-1].casefold() for name in pair]
    comparison = GREATER.fullmatch(word)
    if comparison is not None and {comparison[1], comparison[3]} == set(sides):
        if comparison[2] == "=":
            return 0
        return 4 if (comparison[1] == sides[0]) == (comparison[2][0] == ">") else -4
    verdict = VERDICT.fullmatch(word)
    if verdict is None or verdict["side"] not in sides:
        return None
    strength = 1 if verdict["degree"] in SLIGHTLY else 4
    return strength if verdict["side"] == sides[0] else -strength


def _read_preference(row: Fields, pair: tuple[str, str]) -> int:
    """4 for the first response, -4 for the second, 0 for a tie; 1 and -1 if the file says "slightly"."""
    scores = _scores_of(row.value, pair)
    if scores is not None and not any(row.value.get(name) is not None for name in PREFERENCES):
        first, second = (row.number(name) for name in scores)
        return 4 * ((first > second) - (first < second))
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
    strength = None if isinstance(value, bool | int | float) else _parse_words(word.replace("-", " "), pair)
    if strength is not None:
        return strength
    message = f"must be {pair[0]}, {pair[1]}, {pair[0][-1]}, {pair[1][-1]} or tie, got {value!r:.60}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        message += f": write those, or, if below 0 prefers the first, say --columns preference_strength={column}"
    raise row.fault(column, message)


FORMAT = Pairwise()
