"""From what is stored to what ``plaudit.feedback.quality`` reads: how far people agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.quality import Ratings, krippendorff_alpha, percent_agreement
from plaudit.feedback.rows import superseded
from plaudit.feedback.schema import JUDGEMENTS, QUESTIONS
from plaudit.types import Array, PlauditError

CHOICES: Mapping[str, Mapping[str, float | None]] = {  # sign of the first item's advantage; None: can't tell
    "regeneration": {"worse": 1.0, "better": -1.0, "same": 0.0},
    "side-by-side": {"original": 1.0, "new": -1.0, "neither": 0.0, "skip": None},
}
PAIRED = ("comparison", *CHOICES)


@dataclass(frozen=True)
class Agreement:
    """How far people agree on one thing that they are asked. ``problem`` says why there is no number."""

    what: str
    percent: float | None = None  # share of pairs of judgements of the same thing that are equal
    alpha: float | None = None  # Krippendorff's
    low: float | None = None  # 95 % bootstrap interval of alpha
    high: float | None = None
    things: int = 0  # with at least two judgements
    judgements: int = 0
    problem: str | None = None


def agreement(connection: Connection, project: str) -> list[Agreement]:
    """One row for each thing that people say in ``project`` and that can be compared."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    of = connection.execute(select(QUESTIONS.c.kind).where(QUESTIONS.c.project == project).distinct()).scalars().all()
    for question, who, kind, value in shared(connection, project):
        for what, thing, number in said(kind, question, json.loads(value)):
            found.setdefault(what, {}).setdefault((thing, who), number)  # a second answer of one person says less
    rows = [_agreement(what, ratings) for what, ratings in sorted(found.items())]
    named = {what.split(":")[0] for what in found}
    for kind in sorted(set(of) - named):
        rows.append(Agreement(kind, problem=_why_not(kind)))
    return rows


def _why_not(kind: str) -> str:
    if kind in (*PAIRED, "thumbs", "ranking", "rating"):
        return "no question has been answered by two people: want two judgements on some questions, or ask gold"
    title = KINDS[kind].title.lower() if kind in KINDS else kind
    return f"answers of this kind ({title}) are not compared by counting"


def shared(connection: Connection, project: str) -> Iterator[tuple[str, str, str, str]]:
    """Standing judgements on questions that several people answered: question, annotator, kind, value."""
    several = (
        select(JUDGEMENTS.c.question)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(QUESTIONS.c.project == project, QUESTIONS.c.purpose != "repeat")
        .group_by(JUDGEMENTS.c.question)
        .having(func.count(func.distinct(JUDGEMENTS.c.annotator)) > 1)
    )
    statement = (
        select(QUESTIONS.c.id, JUDGEMENTS.c.annotator, QUESTIONS.c.kind, JUDGEMENTS.c.value)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(JUDGEMENTS.c.question.in_(several), JUDGEMENTS.c.status != "withdrawal", ~superseded())
        .order_by(JUDGEMENTS.c.event)
    )
    for row in connection.execute(statement):
        yield row.id, row.annotator, row.kind, row.value


def said(kind: str, question: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """What is compared, of which thing, and the number that was said of it."""
    if kind in PAIRED:
        sign = sign_of(kind, value)
        if sign is not None:
            yield kind, question, sign
    elif kind == "thumbs":
        yield kind, question, 1.0 if value["thumb"] == "up" else 0.0
    elif kind == "rating":
        for scale, number in value["ratings"].items():
            if number is not None:
                yield f"rating: {scale}", question, float(number)
    elif kind == "ranking":  # every pair is a comparison
        ranks = value["ranks"]
        for first in range(len(ranks)):
            for second in range(first + 1, len(ranks)):
                sign = float(np.sign(ranks[second] - ranks[first]))
                yield "ranking: pairs", f"{question} {first} {second}", sign


def sign_of(kind: str, value: Mapping[str, Any]) -> float | None:
    """1 where the first item is better, -1 where the second is, 0 for a tie, None for can't tell."""
    if kind != "comparison":
        return CHOICES[kind].get(value.get("choice", ""))
    strength = value.get("strength")
    return None if strength is None else float(np.sign(strength))


def _agreement(what: str, ratings: Mapping[tuple[str, str], float]) -> Agreement:
    things, who = numbers([thing for thing, _ in ratings]), numbers([name for _, name in ratings])
    table = Ratings.numbered(things, who, np.array(list(ratings.values())))
    try:
        percent = percent_agreement(table)
        # Drawn with a fixed seed: the same judgements have the same interval.
        found = krippendorff_alpha(table, "ordinal", np.random.default_rng(0), 500)
    except PlauditError as error:
        return Agreement(what, problem=str(error))
    return Agreement(what, percent, found.alpha, found.low, found.high, found.items, found.judgements)


def numbers(names: list[str]) -> Array:
    """A number for each name, (N,)."""
    return np.unique(np.array(names), return_inverse=True)[1].reshape(-1).astype(np.int64)
