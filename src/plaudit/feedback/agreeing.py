"""How far people agree: stored judgements as the tables that ``plaudit.feedback.quality`` reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaudit.feedback.faults import stored_json
from plaudit.feedback.kinds import KINDS
from plaudit.feedback.quality import Ratings, krippendorff_alpha, percent_agreement
from plaudit.feedback.standing import SharedAnswers
from plaudit.types import Array, PlauditError


@dataclass(frozen=True)
class Agreement:
    """How far people agree on one aspect. ``problem`` gives the reason if there is no number."""

    aspect: str
    percent: float | None = None  # share of pairs of judgements of the same thing that are equal
    alpha: float | None = None  # Krippendorff's
    low: float | None = None  # 95 % bootstrap interval of alpha
    high: float | None = None
    units: int = 0  # with at least two judgements
    judgements: int = 0
    problem: str | None = None


def agreement(shared: SharedAnswers) -> list[Agreement]:
    """One row for each aspect of a project's answers that can be compared, and for each kind that cannot."""
    answers: dict[str, dict[tuple[str, str], float]] = {}
    for question, annotator, kind, value in shared.answers:
        for aspect, unit, number in extract_ratings(kind, question, stored_json(value, "value of a judgement", dict)):
            answers.setdefault(aspect, {}).setdefault((unit, annotator), number)  # the first answer of a person counts
    rows = [_agreement(aspect, ratings) for aspect, ratings in sorted(answers.items())]
    compared = {aspect.split(":")[0] for aspect in answers}
    for kind in sorted(set(shared.kinds) - compared):
        rows.append(Agreement(kind, problem=_why_not(kind)))
    return rows


def _why_not(kind: str) -> str:
    if kind in KINDS and KINDS[kind].counted:
        return "no question has been answered by two people: want two judgements on some questions, or ask gold"
    title = KINDS[kind].title.lower() if kind in KINDS else kind
    return f"answers of this kind ({title}) are not compared by counting"


def extract_ratings(kind: str, question: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """The comparable parts of an answer: the aspect, the unit that is rated, and the number."""
    if kind not in KINDS:
        return
    for aspect, part, number in KINDS[kind].scores(value):
        yield f"{kind}: {aspect}" if aspect else kind, f"{question} {part}" if part else question, number


def _agreement(aspect: str, ratings: Mapping[tuple[str, str], float]) -> Agreement:
    units, annotators = numbers([unit for unit, _ in ratings]), numbers([name for _, name in ratings])
    table = Ratings.from_numbers(units, annotators, np.array(list(ratings.values())))
    try:
        percent = percent_agreement(table)
        # Drawn with a fixed seed: the same judgements have the same interval.
        alpha = krippendorff_alpha(table, "ordinal", np.random.default_rng(0), 500)
    except PlauditError as error:
        return Agreement(aspect, problem=str(error))
    return Agreement(aspect, percent, alpha.alpha, alpha.low, alpha.high, alpha.items, alpha.judgements)


def numbers(names: list[str]) -> Array:
    """A number for each name, (N,)."""
    return np.unique(np.array(names), return_inverse=True)[1].reshape(-1).astype(np.int64)
