"""Responses with ratings, in the columns of any table: ``prompt, response, rating``, or conversations with a rating.

A rating is a number, a grade, or a text such as "4/5", "4 out of 5" or "★★★★☆". Where only numbers are given, the scale
ends at the largest of 1, 5, 10 or 100 that the first rows need. Turns of a conversation may have ratings of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import (
    CONVERSATIONS,
    PROMPTS,
    find_conversation,
    read_turns,
    with_system,
)
from plaudit.feedback.formats._format import Columns, Format, sample
from plaudit.feedback.formats._markup import split_markup
from plaudit.feedback.formats._ratings import RATINGS, Scale, find_scales, is_rated
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Row, Setting, make, parse_cell
from plaudit.feedback.formats._verdicts import is_judged
from plaudit.feedback.formats.prompt_completion import COMPLETIONS, read_exchange
from plaudit.types import Dialogue, Message

SAMPLE = 100  # rows that tell a scale
SCALES = "the scales of its ratings"  # a column that is added to each row: those of the row, and those of its turns
NO_DEMONSTRATION = "a response with a rating is rated, not imitated; --format messages imitates it whatever its rating"


class RatedResponses(Format):
    """One rating an object, on one or several scales; of a conversation with rated turns, one for each of them."""

    name = "rated"
    title = "Responses with a rating"
    suffixes = (".jsonl", ".json", ".csv", ".parquet")
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "rating": "the ends of a scale are not in the file: from 0 to 1, 5, 10 or 100, as the first rows need",
        "ratings below 0": "the scale begins at minus its end",
        "grades": "A to D and F are 4 to 0",
        "harmfulness, toxicity, severity": "turned round, so that more is better",
        "fractions": "read in tenths, rounded",
        "annotator": "not in the file",
        "model": "not read",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A response to a prompt, or a conversation, with a rating that is no thumb."""
        names = set(first)
        exchange = bool(names & set(PROMPTS) and names & set(COMPLETIONS)) or find_conversation(first) is not None
        marked = not exchange and isinstance(first.get("text"), str) and bool(split_markup(first["text"]))
        if not (exchange or marked) or "rejected" in names or is_judged(first):
            return False
        return is_rated(first) or is_rated(_turns(first))

    def gather(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The same rows with the scales that the first of them need."""
        begin = list(islice(rows, SAMPLE))
        columns, turns = Columns(), Columns()
        for row in begin:
            if isinstance(row.value, Mapping):
                columns.add(row.value)
                for turn in _turn_objects(row.value):
                    turns.add(turn)
        scales = find_scales(columns), find_scales(turns)
        for row in chain(begin, rows):
            whole = isinstance(row.value, Mapping)
            yield Row(row.location, {**row.value, SCALES: scales} if whole else row.value, row.fault)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The ratings of the response, and of the turns that have their own."""
        scales, turn_scales = row.value.get(SCALES, ((), ()))
        if row.trace is not None:
            row.trace.present.pop(SCALES, None)
        name = find_conversation(row.value) if row.find(COMPLETIONS) is None else None
        turns = [] if name is None else read_turns(row, name)
        messages = with_system(row, tuple(message for message, _ in turns)) if turns else _read_exchange(row)
        opening = len(messages) - len(turns)
        rated_turns = []
        for index, (message, turn) in enumerate(turns):
            ratings = _read_ratings(turn, turn_scales)
            if ratings and message.role == "assistant" and opening + index:
                rated_turns.append((messages[: opening + index + 1], ratings))
        if turns:
            row.note(NO_DEMONSTRATION)
        for talk, ratings in rated_turns:
            yield _make(talk, ratings, turn_scales, setting)
        ratings = _read_ratings(row, scales)
        if not ratings:
            if not rated_turns:
                row.find(RATINGS, required=True)
                raise Empty("none of its columns rates the response")
            return
        if messages[-1].role != "assistant":
            raise Empty("it does not end with a response")
        yield _make(messages, ratings, scales, setting)


def _turn_objects(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    name = find_conversation(row)
    return [] if name is None else [turn for turn in parse_cell(row[name]) if isinstance(turn, Mapping)]


def _turns(columns: Mapping[str, Any]) -> Columns:
    """The columns of the turns of a file's first conversations."""
    turns = Columns()
    for name in CONVERSATIONS:
        for value in sample(columns, name):
            for turn in _turn_objects({name: value}):
                turns.add(turn)
    return turns


def _read_exchange(row: Fields) -> tuple[Message, ...]:
    """The conversation of a prompt and a response, or of a text with the marks of a template."""
    markup = () if row.find(COMPLETIONS) or "text" not in row.value else split_markup(row.text("text"), preamble=True)
    return markup or read_exchange(row)


def _read_ratings(row: Fields, scales: Sequence[Scale]) -> dict[str, int]:
    """The ratings in an object by their scales.

    Raises:
        Fault: a value is no rating, or beyond the ends of its scale.
    """
    ratings: dict[str, int] = {}
    for scale in scales:
        value = scale.read(row.value)
        row.mark(scale.column, RATINGS[0])
        if value in (None, "", "N/A"):
            continue
        point = scale.parse(value)
        if point is None:
            raise row.fault(
                scale.column,
                f"must be a number, or a text such as 4/5, from {scale.low} to {scale.high}, as the first rows are, "
                f"got {value!r:.60}",
            )
        ratings[scale.title] = point
    return ratings


def _make(turns: tuple[Message, ...], ratings: dict[str, int], scales: Sequence[Scale], setting: Setting) -> Record:
    options = {"scales": {scale.title: scale.ends for scale in scales}}
    return make("rating", [Dialogue(turns)], [Answer(setting.annotator, {"ratings": ratings})], setting, options)


FORMAT = RatedResponses()
