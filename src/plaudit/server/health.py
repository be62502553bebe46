"""How each annotator is doing in a project, by whatever can be measured of what they do there.

Sides and repeats say something about comparisons of two; gold and haste about every kind; agreement about the kinds
whose answers can be counted. The lapse rate, the share of answers that are a coin's, is measured against the reward
model of the run beside where it has said what it expects, and else against what the others say.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from plaudit.feedback.codec import DIALOGUE
from plaudit.feedback.kinds import kind
from plaudit.feedback.quality import (
    Comparisons,
    Evidence,
    Health,
    Rate,
    Ratings,
    dawid_skene,
    fewest_seconds,
    health,
    rates,
)
from plaudit.feedback.rows import chunks, superseded
from plaudit.feedback.schema import JUDGEMENTS, QUESTION_ITEMS, QUESTIONS, SEGMENTS
from plaudit.feedback.schema_people import GOLD
from plaudit.server.quality import PAIRED, numbers, said, shared, sign_of
from plaudit.types import Array

FRAMES_A_SECOND = 30.0  # no clip is shown faster
NEAR = 1  # points of a scale that a rating may lie from the one that is known to be right
PEOPLE, ENOUGH = 3, 10  # annotators, and answers of one of them that others gave too, for a lapse rate by the others
TWO_SIDED = (*PAIRED, "thumbs", "ranking: pairs")  # what has one of two answers


@dataclass(frozen=True)
class AnnotatorHealth(Health):
    """As :class:`Health`, whose gold and haste count every kind of answer here. A rate without trials is NaN."""

    judgements: int  # of all kinds
    agreement: Rate  # of pairs of answers, this person's and another's to the same, those that are equal
    agreement_by_kind: Mapping[str, Rate]
    lapse_by_others: float  # share of answers that are a coin's, were the others right; NaN where they are too few


def annotator_health(
    connection: Connection, project: str, predictions: Mapping[str, float] | None = None
) -> list[AnnotatorHealth]:
    """One row for each person who answered anything in ``project``, by name; [] where nobody did.

    ``predictions`` are the reward model's P[first better] by judgement, of members that were not fitted to it.
    """
    pairs, rest = connection.execute(_pairs(project)).all(), connection.execute(_others(project)).all()
    names = sorted({row.annotator for row in (*pairs, *rest)})
    if not names:
        return []
    first, second = [row.first for row in pairs], [row.second for row in pairs]
    choice = _column([sign_of(row.kind, _json(row.value)) for row in pairs])
    both = numbers([*first, *second])
    who = np.searchsorted(names, [row.annotator for row in pairs]).astype(np.int64)
    items = tuple(sorted({*first, *second}))
    table = Comparisons(both[: len(first)], both[len(first) :], choice, who, items, tuple(names))
    expected = None if not predictions else _column([predictions.get(row.id) for row in pairs])
    evidence = Evidence(
        left_first=np.array([row.shown_order[1] == "0" for row in pairs], dtype=np.bool_),
        seconds=_seconds(pairs),
        fewest_seconds=_fewest(connection, [[row.first, row.second] for row in pairs]),
        gold=_column([None if row.gold is None else sign_of(row.kind, _json(row.gold)) for row in pairs]),
        probability=expected,
    )
    rows = health(table, evidence, also=_also(connection, rest, names))
    agreement, by_kind, lapse = _beside_others(connection, project, names)
    counted = np.bincount(np.searchsorted(names, [row.annotator for row in (*pairs, *rest)]), minlength=len(names))
    return [
        AnnotatorHealth(
            **vars(row),
            judgements=int(counted[number]),
            agreement=agreement[number],
            agreement_by_kind={of: found[number] for of, found in by_kind.items() if found[number].trials},
            lapse_by_others=lapse[number],
        )
        for number, row in enumerate(rows)
    ]


def _standing(project: str) -> Any:
    """What stands in ``project``, with the known answer where there is one."""
    return (
        select(
            JUDGEMENTS.c.id,
            QUESTIONS.c.kind,
            QUESTIONS.c.number,
            JUDGEMENTS.c.annotator,
            JUDGEMENTS.c.value,
            JUDGEMENTS.c.shown_order,
            (JUDGEMENTS.c.submitted_at - JUDGEMENTS.c.shown_at).label("took"),
            GOLD.c.value.label("gold"),
        )
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .join(GOLD, GOLD.c.question == QUESTIONS.c.id, isouter=True)
        .where(QUESTIONS.c.project == project, JUDGEMENTS.c.status != "withdrawal", ~superseded())
        .order_by(JUDGEMENTS.c.event)
    )


def _pairs(project: str) -> Any:
    """Comparisons of two, with both items."""
    statement = _standing(project).where(QUESTIONS.c.kind.in_(PAIRED))
    for position, name in enumerate(("first", "second")):
        each = QUESTION_ITEMS.alias()
        statement = statement.add_columns(each.c.segment.label(name))
        statement = statement.join(each, (each.c.question == QUESTIONS.c.number) & (each.c.position == position))
    return statement


def _others(project: str) -> Any:
    return _standing(project).where(QUESTIONS.c.kind.not_in(PAIRED))


def _also(connection: Connection, rest: Sequence[Any], names: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """Gold and haste of answers that compare no two: successes and trials (A,) each."""
    counts = {name: (np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)) for name in ("gold", "too_fast")}
    place = {name: number for number, name in enumerate(names)}
    timed = [row for row in rest if not kind(row.kind).live]  # how long a talk is depends on what is said in it
    items = _items(connection, {row.number for row in timed})
    fewest = _fewest(connection, [items[row.number] for row in timed])
    for row, took, least in zip(timed, _seconds(timed), fewest, strict=True):
        hits, trials = counts["too_fast"]
        hits[place[row.annotator]] += took < least
        trials[place[row.annotator]] += 1
    for row in rest:
        right = None if row.gold is None else _right(row.kind, _json(row.value), _json(row.gold))
        if right is not None:
            hits, trials = counts["gold"]
            hits[place[row.annotator]] += right
            trials[place[row.annotator]] += 1
    return counts


def _right(of: str, value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool | None:
    """Whether an answer is the known one; None where answers of the kind cannot be told right from wrong."""
    if of == "thumbs":
        return value["thumb"] == gold["thumb"]
    if of == "ranking":  # the same order, ties included, whatever the numbers
        return list(said(of, "", value)) == list(said(of, "", gold))
    if of == "spans":  # what was found, not where exactly it begins and ends
        return {each["category"] for each in value["spans"]} == {each["category"] for each in gold["spans"]}
    if of == "rating":
        known = {scale: number for scale, number in gold["ratings"].items() if number is not None}
        given = value["ratings"]
        return all(given.get(scale) is not None and abs(given[scale] - n) <= NEAR for scale, n in known.items())
    return None


def _items(connection: Connection, questions: set[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {each: [] for each in questions}
    for chunk in chunks(sorted(questions)):
        for row in connection.execute(select(QUESTION_ITEMS).where(QUESTION_ITEMS.c.question.in_(chunk))):
            found[row.question].append(row.segment)
    return found


def _beside_others(
    connection: Connection, project: str, names: Sequence[str]
) -> tuple[list[Rate], dict[str, list[Rate]], list[float]]:
    """Agreement of each with the others, in all and by kind, and the lapse rate that follows."""
    answers: dict[tuple[str, str], dict[str, float]] = {}
    for question, who, of, value in shared(connection, project):
        for what, thing, number in said(of, question, json.loads(value)):
            answers.setdefault((what, thing), {}).setdefault(who, number)
    place = {name: number for number, name in enumerate(names)}
    counts: dict[str, tuple[Array, Array]] = {}
    for (what, _), given in answers.items():
        of = counts.setdefault(what.split(":")[0], (np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)))
        values = list(given.values())
        for who, number in given.items():
            of[0][place[who]] += values.count(number) - 1
            of[1][place[who]] += len(values) - 1
    hits, trials = (sum((each[side] for each in counts.values()), np.zeros(len(names), np.int64)) for side in (0, 1))
    return rates(hits, trials), {of: rates(*each) for of, each in sorted(counts.items())}, _lapses(answers, names)


def _lapses(answers: Mapping[tuple[str, str], Mapping[str, float]], names: Sequence[str]) -> list[float]:
    """Lapse rates (A,) by Dawid and Skene's accuracies: whoever guesses is right half the time. NaN where unknown."""
    rows = [
        (f"{what} {thing}", who, number)
        for (what, thing), given in answers.items()
        if what in TWO_SIDED and len(given) > 1
        for who, number in given.items()
        if what == "thumbs" or number != 0  # a tie is neither
    ]
    lapse = {name: float("nan") for name in names}
    people = sorted({who for _, who, _ in rows})
    if len(people) >= PEOPLE:
        sides = np.array([1.0 if number > 0 else 0.0 for _, _, number in rows])
        if len(set(sides.tolist())) == 2:
            who = numbers([each for _, each, _ in rows])
            model = dawid_skene(Ratings.numbered(numbers([thing for thing, _, _ in rows]), who, sides))
            enough = np.bincount(who) >= ENOUGH
            rate = np.clip(2 * (1 - model.accuracy), 0.0, 1.0)
            lapse |= {name: float(rate[n]) for n, name in enumerate(people) if enough[n]}
    return list(lapse.values())


@lru_cache(1024)
def _json(text: str) -> Any:
    return json.loads(text)  # answers are few and short: most are read once


def _column(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if each is None else each for each in values], dtype=np.float64)


def _seconds(rows: Sequence[Any]) -> Array:
    return np.maximum(np.array([row.took for row in rows], dtype=np.float64), 0.0)


def _fewest(connection: Connection, shown: Sequence[Sequence[str]]) -> Array:
    """Seconds below which nobody can have taken the items in: clips play side by side, texts are read in turn."""
    sizes = _sizes(connection, {item for items in shown for item in items})
    frames = np.array([max((sizes[item][0] for item in items), default=0) for items in shown], dtype=np.float64)
    words = np.array([sum(sizes[item][1] for item in items) for items in shown], dtype=np.float64)
    return fewest_seconds(frames / FRAMES_A_SECOND, words)


def _sizes(connection: Connection, ids: set[str]) -> dict[str, tuple[int, int]]:
    """Frames of each clip and words of each response. Only as much of an item is read as it takes to tell."""
    found: dict[str, tuple[int, int]] = {}
    for chunk in chunks(sorted(ids)):
        rows = select(SEGMENTS.c.id, SEGMENTS.c.encoding, SEGMENTS.c.data).where(SEGMENTS.c.id.in_(chunk))
        for row in connection.execute(rows):
            found[row.id] = _words(row.data) if row.encoding == DIALOGUE else _frames(row.data)
    return found


def _words(data: bytes) -> tuple[int, int]:
    messages = json.loads(zlib.decompress(data))["messages"]
    return 0, len(messages[-1][1].split())


def _frames(data: bytes) -> tuple[int, int]:
    """The length of the first axis of the observations stands in the header of a safetensors file."""
    head = zlib.decompressobj().decompress(data, 4096)
    length = int.from_bytes(head[:8], "little")
    return int(json.loads(head[8 : 8 + length])["observations"]["shape"][0]), 0
