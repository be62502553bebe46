"""Weights that make the people who judged count as the people they stand for: raking to given margins.

Survey answers are kept apart from judgements and joined by annotator; a judgement then has its annotator's weight.
Shape letter: ``N`` respondents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.types import Array, PlauditError


@dataclass(frozen=True, eq=False)
class Raking:
    """One weight for each respondent, and what weighting costs."""

    weights: Array  # (N,), of mean 1
    effective_sample_size: float  # (sum w)^2 / sum w^2, Kish 1965: an unweighted sample as precise as this one
    design_effect: float  # N / effective_sample_size: how much larger weighting makes variances
    error: float  # largest difference that is left between a weighted share and its margin
    iterations: int


def effective_sample_size(weights: Array) -> float:
    """(sum w)^2 / sum w^2 of weights (N,), Kish 1965, section 11.7. PlauditError when none is above 0."""
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any() or not (weights > 0).any():
        raise PlauditError("weights must be (N,), finite, not negative and not all 0")
    scaled = weights / weights.max()  # squares of very small weights would vanish
    return float(scaled.sum() ** 2 / np.square(scaled).sum())


def rake(
    survey: Mapping[str, Sequence[str]],
    margins: Mapping[str, Mapping[str, float]],
    base: Array | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-9,
) -> Raking:
    """Iterative proportional fitting, Deming and Stephan 1940: fit each margin in turn until all hold.

    ``survey`` has N answers to each question, in the same order of respondents. ``margins`` has the shares that the
    answers to some of these questions should have: ``{"age": {"under 40": 0.45, "40 or over": 0.55}}``. Of all weights
    that have those margins these are the closest to ``base`` (N,), by default equal, in Kullback-Leibler divergence.

    PlauditError: a question that was not asked, answers of different numbers, a margin that does not sum to one, that
    lacks an answer somebody gave, or that asks for people of whom there are none; margins that contradict each other.
    """
    if not margins:
        raise PlauditError("raking needs at least one margin")
    if iterations < 1 or not tolerance > 0:
        raise PlauditError(f"raking needs iterations >= 1 and tolerance > 0, got {iterations} and {tolerance}")
    absent = sorted(set(margins) - set(survey))
    if absent:
        raise PlauditError(f"there are margins for {absent}, which the survey did not ask")
    size = len(survey[next(iter(margins))])
    weights = _base(base, size)
    cells = [_margin(question, survey[question], shares, weights) for question, shares in margins.items()]
    error = math.inf
    for iteration in range(1, iterations + 1):
        for group, share in cells:
            have = np.bincount(group, weights, minlength=len(share))
            weights = weights * (share / np.where(have > 0, have, 1.0))[group]
        error = max(
            float(np.abs(np.bincount(group, weights, minlength=len(share)) - share).max()) for group, share in cells
        )
        if error <= tolerance:
            effective = effective_sample_size(weights)
            return Raking(weights * size, effective, size / effective, error, iteration)
    raise PlauditError(
        f"raking did not reach its margins in {iterations} rounds, {error:.2g} is left: no weights of these "
        "respondents satisfy all margins; merge rare answers or leave a margin out"
    )


def _base(base: Array | None, size: int) -> Array:
    """Starting weights (N,), of sum 1."""
    if size == 0:
        raise PlauditError("raking needs respondents, the survey has no answers")
    if base is None:
        return np.full(size, 1 / size)
    if base.shape != (size,) or not np.isfinite(base).all() or not (base > 0).all():
        raise PlauditError(f"base weights must be ({size},), finite and above 0, got the shape {base.shape}")
    return base / base.sum()


def _margin(question: str, answers: Sequence[str], shares: Mapping[str, float], weights: Array) -> tuple[Array, Array]:
    """Which share each respondent belongs to (N,), and the shares, checked against the answers."""
    if len(answers) != len(weights):
        raise PlauditError(f"{question!r} has {len(answers)} answers and other questions {len(weights)}")
    share = np.array(list(shares.values()), dtype=np.float64)
    if not np.isfinite(share).all() or (share < 0).any() or abs(float(share.sum()) - 1) > 1e-6:
        raise PlauditError(f"the margin of {question!r} must be shares that sum to 1, got a sum of {share.sum():.6g}")
    index_of = {answer: index for index, answer in enumerate(shares)}
    unknown = sorted({str(answer) for answer in answers if answer not in index_of})
    if unknown:
        raise PlauditError(f"the margin of {question!r} has no share for the answers {unknown}; give one, if only 0")
    group = np.array([index_of[answer] for answer in answers], dtype=np.int64)
    empty = [
        a for a, n in zip(shares, np.bincount(group, minlength=len(share)), strict=True) if n == 0 and shares[a] > 0
    ]
    if empty:
        raise PlauditError(
            f"no respondent answered {empty} to {question!r}, but its margin asks for them; merge it with another"
        )
    return group, share / share.sum()
