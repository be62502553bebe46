"""How each annotator is doing in a project, by what can be measured of their answers there.

Sides and repeats say something about comparisons of two; gold and haste about every kind; agreement about the kinds
whose answers can be counted. The lapse rate, the share of answers that are a coin's, is measured against the reward
model of the run beside where it has said what it expects, and else against what the others say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from plaudit.feedback.agreeing import extract_ratings, numbers
from plaudit.feedback.faults import stored_json
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
from plaudit.feedback.standing import SharedAnswers, StandingJudgements
from plaudit.types import Array

FRAMES_A_SECOND = 30.0  # no clip is shown faster
MIN_ANNOTATORS = 3  # for a lapse rate by the others' answers
MIN_ANSWERS = 10  # of one annotator to questions that others answered too, for the same


@dataclass(frozen=True)
class AnnotatorHealth(Health):
    """As :class:`Health`, whose gold and haste count every kind of answer here. A rate without trials is NaN."""

    judgements: int  # of all kinds
    agreement: Rate  # of pairs of answers, this person's and another's to the same, those that are equal
    agreement_by_kind: Mapping[str, Rate]
    lapse_by_others: float  # share of answers that are a coin's, were the others right; NaN where they are too few


def annotator_health(
    standing: StandingJudgements, predictions: Mapping[str, float] | None = None
) -> list[AnnotatorHealth]:
    """One row for each annotator of a project, by name; [] if nothing was answered.

    ``predictions`` are the reward model's P[first better] by judgement, of members that were not fitted to it.
    """
    pairs, rest = standing.pairs, standing.unpaired
    names = sorted({row.annotator for row in (*pairs, *rest)})
    if not names:
        return []
    first, second = [row.first for row in pairs], [row.second for row in pairs]
    choice = _column([kind(row.kind).advantage(_json(row.value)) for row in pairs])
    item_numbers = numbers([*first, *second])
    annotators = np.searchsorted(names, [row.annotator for row in pairs]).astype(np.int64)
    items = tuple(sorted({*first, *second}))
    table = Comparisons(item_numbers[: len(first)], item_numbers[len(first) :], choice, annotators, items, tuple(names))
    expected = None if not predictions else _column([predictions.get(row.id) for row in pairs])
    evidence = Evidence(
        left_first=np.array([row.shown_order[1] == "0" for row in pairs], dtype=np.bool_),
        seconds=_seconds(pairs),
        fewest_seconds=_fewest(standing.sizes, [[row.first, row.second] for row in pairs]),
        gold=_column([None if row.gold is None else kind(row.kind).advantage(_json(row.gold)) for row in pairs]),
        probability=expected,
    )
    rows = health(table, evidence, more_counts=_count_unpaired(standing, names))
    agreement, by_kind, lapse = _agreement_with_others(standing.shared, names)
    counted = np.bincount(np.searchsorted(names, [row.annotator for row in (*pairs, *rest)]), minlength=len(names))
    return [
        AnnotatorHealth(
            **vars(row),
            judgements=int(counted[number]),
            agreement=agreement[number],
            agreement_by_kind={
                kind_name: column[number] for kind_name, column in by_kind.items() if column[number].trials
            },
            lapse_by_others=lapse[number],
        )
        for number, row in enumerate(rows)
    ]


def _count_unpaired(standing: StandingJudgements, names: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """Gold and haste of answers that compare no two: successes and trials (A,) each."""
    counts = {name: (np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)) for name in ("gold", "too_fast")}
    index = {name: number for number, name in enumerate(names)}
    timed = [row for row in standing.unpaired if row.number in standing.items]
    fewest = _fewest(standing.sizes, [standing.items[row.number] for row in timed])
    for row, seconds, least in zip(timed, _seconds(timed), fewest, strict=True):
        hits, trials = counts["too_fast"]
        hits[index[row.annotator]] += seconds < least
        trials[index[row.annotator]] += 1
    for row in standing.unpaired:
        right = None if row.gold is None else kind(row.kind).is_right(_json(row.value), _json(row.gold))
        if right is not None:
            hits, trials = counts["gold"]
            hits[index[row.annotator]] += right
            trials[index[row.annotator]] += 1
    return counts


def _agreement_with_others(
    shared: SharedAnswers, names: Sequence[str]
) -> tuple[list[Rate], dict[str, list[Rate]], list[float]]:
    """Agreement of each with the others, in all and by kind, and the lapse rate that follows."""
    answers: dict[tuple[str, str], dict[str, float]] = {}
    for question, annotator, kind_name, value in shared.answers:
        for aspect, unit, number in extract_ratings(kind_name, question, _json(value)):
            answers.setdefault((aspect, unit), {}).setdefault(annotator, number)
    index = {name: number for number, name in enumerate(names)}
    counts: dict[str, tuple[Array, Array]] = {}
    for (aspect, _), by_annotator in answers.items():
        zeros = (np.zeros(len(names), np.int64), np.zeros(len(names), np.int64))
        hits, trials = counts.setdefault(aspect.split(":")[0], zeros)
        values = list(by_annotator.values())
        for annotator, number in by_annotator.items():
            hits[index[annotator]] += values.count(number) - 1
            trials[index[annotator]] += len(values) - 1
    all_hits, all_trials = (
        sum((column[side] for column in counts.values()), np.zeros(len(names), np.int64)) for side in (0, 1)
    )
    return (
        rates(all_hits, all_trials),
        {kind_name: rates(*column) for kind_name, column in sorted(counts.items())},
        _estimate_lapses(answers, names),
    )


def _estimate_lapses(answers: Mapping[tuple[str, str], Mapping[str, float]], names: Sequence[str]) -> list[float]:
    """Lapse rates (A,) by Dawid and Skene's accuracies: a guess is right half the time. NaN where unknown."""
    rows = [
        (f"{aspect} {unit}", annotator, side)
        for (aspect, unit), by_annotator in answers.items()
        if len(by_annotator) > 1
        for annotator, number in by_annotator.items()
        if (side := kind(aspect.split(":")[0]).side(number)) is not None
    ]
    lapse = {name: float("nan") for name in names}
    people = sorted({annotator for _, annotator, _ in rows})
    if len(people) >= MIN_ANNOTATORS:
        sides = np.array([side for _, _, side in rows])
        if len(set(sides.tolist())) == 2:
            annotators = numbers([annotator for _, annotator, _ in rows])
            model = dawid_skene(Ratings.from_numbers(numbers([unit for unit, _, _ in rows]), annotators, sides))
            frequent = np.bincount(annotators) >= MIN_ANSWERS
            rate = np.clip(2 * (1 - model.accuracy), 0.0, 1.0)
            lapse |= {name: float(rate[n]) for n, name in enumerate(people) if frequent[n]}
    return list(lapse.values())


@lru_cache(1024)
def _json(text: str) -> Any:
    return stored_json(text, "value of a judgement", dict)  # answers are few and short: most are read once


def _column(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _seconds(rows: Sequence[Any]) -> Array:
    return np.maximum(np.array([row.seconds for row in rows], dtype=np.float64), 0.0)


def _fewest(sizes: Mapping[str, tuple[int, int]], questions: Sequence[Sequence[str]]) -> Array:
    """The fewest seconds in which a person can take the items in: clips play side by side, texts are read in turn."""
    frames = np.array([max((sizes[item][0] for item in items), default=0) for items in questions], dtype=np.float64)
    words = np.array([sum(sizes[item][1] for item in items) for items in questions], dtype=np.float64)
    return fewest_seconds(frames / FRAMES_A_SECOND, words)
