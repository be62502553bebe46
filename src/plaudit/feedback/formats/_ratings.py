"""Columns that rate a response, whatever their name: a number, "4/5", stars, a grade, or an object of several of them.

A response that was rated must not be taken for one to imitate. So the formats of demonstrations refuse files with such
a column, and ``rated`` reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from plaudit.feedback.formats._format import sample
from plaudit.feedback.formats._record import parse_cell
from plaudit.feedback.formats._verdicts import PROMPT_WORDS, find_verdicts, split_name

RATINGS = ("rating", "score", "overall_score", "overall_rating", "stars", "grade", "quality", "reward")  # preferred
WORDS = frozenset(  # of other names, such as "judge_score" or "user_ratings"
    (
        *("rating", "ratings", "score", "scores", "stars", "grade", "grades", "quality", "helpfulness", "correctness"),
        *("usefulness", "satisfaction", "coherence", "harmlessness", "honesty", "truthfulness"),
    )
)
ANNOTATIONS = ("annotation", "annotations", "evaluation", "evaluations", "feedback", "judgement", "judgment", "review")
ADVERSE = frozenset(("harmfulness", "toxicity", "severity"))  # more of it is worse
UNRELATED = frozenset(
    (
        *(*PROMPT_WORDS, "id", "count", "num", "difficulty", "lang", "language", "langdetect", "similarity", "length"),
        *("perplexity", "ppl", "compression", "model", "models", "max", "min", "chosen", "rejected", "task", "edu"),
        *("type", "name", "reason", "rationale", "explanation", "generator", "int", "image", "aesthetic"),
    )
)
OUT_OF = re.compile(r"\s*([-+]?\d+(?:[.,]\d+)?)\s*(?:(?:/|out of|of)\s*(\d+))?\s*(?:stars?|points?)?\s*", re.IGNORECASE)
STARS = re.compile(r"\s*(★+)(☆*)\s*")
GRADES = {"A": 4, "B": 3, "C": 2, "D": 1, "F": 0}
DIGITS = 40  # characters of a rating that is a text
ENDS = (1, 5, 10, 100)  # of scales


@dataclass(frozen=True)
class Scale:
    """A column of ratings: the object that it stands in, its ends, and the points that a unit is divided into."""

    column: str  # of the row
    name: str  # in the column's object, or the column's own
    low: int = 0
    high: int = ENDS[-1]
    units: int = 1

    @property
    def title(self) -> str:
        """The scale's name in the store. A rating of something bad is turned round, so that more is better."""
        return f"{self.name}{' reversed' if self._adverse else ''}{' in tenths' if self.units > 1 else ''}"

    @property
    def ends(self) -> list[int]:
        """The least and the most points."""
        return [self.units * self.low, self.units * self.high]

    @property
    def _adverse(self) -> bool:
        return bool(split_name(self.name) & ADVERSE)

    def read(self, row: Mapping[str, Any]) -> Any:
        """The rating in a row as it stands there; None if there is none."""
        value = _parse_ratings(row.get(self.column))
        return value.get(self.name) if isinstance(value, Mapping) else value

    def parse(self, value: Any) -> int | None:
        """A rating as a point of the scale; None if it is no rating, or beyond the ends."""
        rating, end = parse_rating(value) or (math.inf, None)
        if not self.low <= rating <= self.high or end not in (None, self.high):
            return None
        return round(self.units * (self.low + self.high - rating if self._adverse else rating))


def parse_rating(value: Any) -> tuple[float, int | None] | None:
    """A rating and the end of its scale, if the value names one; None if it is no rating."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e9:
        return float(value), None
    if not isinstance(value, str):
        return None
    stars = STARS.fullmatch(value)
    if stars:
        return float(len(stars[1])), len(stars[1]) + len(stars[2]) if stars[2] else None
    if value.strip() in GRADES:
        return float(GRADES[value.strip()]), GRADES["A"]
    match = OUT_OF.fullmatch(value[:DIGITS])
    return (float(match[1].replace(",", ".")), int(match[2]) if match[2] else None) if match else None


def is_rated(columns: Mapping[str, Any]) -> bool:
    """Whether a row, or a file's first rows, rate responses."""
    return bool(find_ratings(columns))


def find_ratings(columns: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The ratings in a row, or in a file's first rows: the column of each and its name there, or the column's own name.

    A column of one of the usual names is preferred to others, and then it is enough that one of its values is a rating.
    """
    for name in RATINGS:
        if ratings := _names(name, sample(columns, name), any):
            return ratings
    verdicts = find_verdicts(columns)
    names = [name for name in columns if isinstance(name, str) and name not in verdicts]
    return [
        (name, inner)
        for name in names
        for outer, inner in _names(name, sample(columns, name), all)
        if is_rating_name(name) or (outer != inner and _is_rated_in(name, inner))
    ]


def _is_rated_in(column: str, name: str) -> bool:
    """Whether an entry of an object rates the response; a score in one called "metadata" may be about anything."""
    if column in ANNOTATIONS:
        return name in RATINGS or is_rating_name(name)
    return is_rating_name(name) and bool(split_name(name) & {"rating", "ratings", "stars"})


def is_rating_name(name: str) -> bool:
    """Whether a column's name says that it rates a response."""
    words = split_name(name)
    return bool(words & (WORDS | ADVERSE)) and not words & UNRELATED


def _names(column: str, values: list[Any], quantifier: Callable[[Iterable[bool]], bool]) -> list[tuple[str, str]]:
    """The ratings of a column: itself, or those of an object of several; [] if its values are no ratings."""
    cells = [cell for cell in map(_parse_ratings, values) if cell not in ("", "N/A")]
    if cells and all(isinstance(cell, Mapping) for cell in cells):
        names = dict.fromkeys(str(name) for cell in cells for name in cell)
        return [
            (column, name)
            for name in names
            if all(parse_rating(cell.get(name)) is not None for cell in cells if cell.get(name) is not None)
        ]
    return [(column, column)] if cells and quantifier(parse_rating(cell) is not None for cell in cells) else []


def _parse_ratings(value: Any) -> Any:
    """A cell; of an object, or of a list of objects with a name and a value each, the entries that are not null."""
    cell = parse_cell(value)
    entries = cell if isinstance(cell, list) else []
    if entries and all(isinstance(entry, Mapping) and {"name", "value"} <= set(entry) for entry in entries):
        cell = {str(entry["name"]): entry["value"] for entry in entries}
    return {name: inner for name, inner in cell.items() if inner is not None} if isinstance(cell, Mapping) else cell


def find_scales(columns: Mapping[str, Any]) -> list[Scale]:
    """The scales of a file's first rows. Each ends at the nearest of 1, 5, 10 or 100 that its column needs."""
    names = find_ratings(columns)
    parsed: dict[tuple[str, str], list[tuple[float, int | None]]] = {}
    for column, name in names:
        cells = (Scale(column, name).read({column: value}) for value in sample(columns, column))
        parsed[column, name] = [rating for cell in cells if (rating := parse_rating(cell)) is not None]
    scales = []
    for column, name in names:
        # those of one object share their ends
        ratings = [rating for key, entries in parsed.items() if key[0] == column for rating in entries]
        ends = [end for _, end in ratings if end]
        largest = max(1.0, *(abs(value) for value, _ in ratings))
        high = max(ends) if ends else next((end for end in ENDS if end >= largest), int(largest) + 1)
        low = -high if any(value < 0 for value, _ in ratings) else 0
        units = 10 if any(value != int(value) for value, _ in parsed[column, name]) else 1
        scales.append(Scale(column, name, low, high, units))
    return scales
