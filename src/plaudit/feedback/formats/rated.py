"""Responses with one rating each, in the columns of any table: ``prompt, response, rating``.

A rating is a number, or a text such as "4/5", "4 out of 5" or "★★★★☆". Where only numbers are given, the scale ends at
the largest of 1, 5, 10 or 100 that the first rows need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import PROMPTS
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Row, Setting, make
from plaudit.feedback.formats._verdicts import is_judged
from plaudit.feedback.formats.prompt_completion import COMPLETIONS, read_exchange
from plaudit.types import Dialogue

RATINGS = ("rating", "score", "overall_score", "overall_rating", "stars", "grade", "quality")
OUT_OF = re.compile(r"\s*([-+]?\d+(?:[.,]\d+)?)\s*(?:(?:/|out of|of)\s*(\d+))?\s*(?:stars?|points?)?\s*", re.IGNORECASE)
STARS = re.compile(r"\s*(★+)(☆*)\s*")
DIGITS = 40  # characters of a rating that is a text
ENDS = (1, 5, 10, 100)  # of scales
SAMPLE = 100  # rows that tell a scale
SCALE = "the scale of its ratings"  # a column that is added to each row: its end, and points per unit


class RatedResponses(Format):
    """One rating an object."""

    name = "rated"
    title = "Responses with a rating"
    suffixes = (".jsonl", ".json", ".csv", ".parquet")
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "rating": "the ends of a scale are not in the file: from 0 to 1, 5, 10 or 100, as the first rows need",
        "fractions": "read in tenths, rounded",
        "annotator": "not in the file",
        "model": "not read",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A response to a prompt, and a rating that is no thumb."""
        names = set(first)
        exchange = bool(names & set(PROMPTS) and names & set(COMPLETIONS))
        return exchange and "rejected" not in names and not is_judged(first) and _rating_of(first) is not None

    def gather(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The same rows with the end of the file's scale, and whether its ratings are in tenths."""
        begin = list(islice(rows, SAMPLE))
        parsed = [rating for row in begin if isinstance(row.value, Mapping) and (rating := _rating_of(row.value))]
        largest = max((end or value for value, end in parsed), default=1)
        end = next((end for end in ENDS if end >= largest), int(largest) + 1)
        if any(scale_end for _, scale_end in parsed):
            end = int(max(scale_end or 0 for _, scale_end in parsed))
        units = 10 if any(value != int(value) for value, _ in parsed) else 1
        for row in chain(begin, rows):
            whole = isinstance(row.value, Mapping)
            yield Row(row.location, {**row.value, SCALE: (end, units)} if whole else row.value, row.fault)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One rating."""
        column = row.find(RATINGS, required=True) or RATINGS[0]
        rating = parse_rating(row.get(column))
        end, units = row.value.get(SCALE, (ENDS[-1], 1))
        if row.trace is not None:
            row.trace.present.pop(SCALE, None)
        if rating is None:
            raise row.fault(column, f"must be a number, or a text such as 4/5, got {row.get(column)!r:.60}")
        value, scale_end = rating
        if not 0 <= value <= end or scale_end not in (None, end):
            raise row.fault(column, f"must be from 0 to {end}, as the first rows are, got {row.get(column)!r:.60}")
        turns = read_exchange(row)
        if turns[-1].role != "assistant":
            raise Empty("it does not end with a response")
        name = column if units == 1 else f"{column} in tenths"
        answer = Answer(setting.annotator, {"ratings": {name: round(units * value)}})
        yield make("rating", [Dialogue(turns)], [answer], setting, {"scales": {name: [0, units * end]}})


def parse_rating(value: Any) -> tuple[float, int | None] | None:
    """A rating and the end of its scale, if the value names one; None if it is no rating."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e9:
        return float(value), None
    if not isinstance(value, str):
        return None
    stars = STARS.fullmatch(value)
    if stars:
        return float(len(stars[1])), len(stars[1]) + len(stars[2]) if stars[2] else None
    match = OUT_OF.fullmatch(value[:DIGITS])
    return (float(match[1].replace(",", ".")), int(match[2]) if match[2] else None) if match else None


def _rating_of(row: Mapping[str, Any]) -> tuple[float, int | None] | None:
    return parse_rating(next((row[name] for name in RATINGS if row.get(name) is not None), None))


FORMAT = RatedResponses()
