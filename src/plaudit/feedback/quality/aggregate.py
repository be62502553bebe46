"""One label for each item from several annotators: majority vote, and Dawid and Skene's model of who errs how.

Shape letters: ``N`` judgements, ``I`` items, ``A`` annotators, ``C`` categories.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality.tables import Ratings, check_column
from plaudit.types import Array, PlauditError

_TINY = 1e-300  # log of a probability of 0 must stay finite: 0 times it is then 0


@dataclass(frozen=True, eq=False)
class MajorityVote:
    """The category with the most votes, and the votes."""

    label: Array  # (I,) int: the lowest of those with most votes, -1 where nobody judged
    share: Array  # (I, C): share of each category, 0 where nobody judged
    tied: Array  # (I,) bool: more than one category has the most votes


def majority_vote(ratings: Ratings, weights: Array | None = None) -> MajorityVote:
    """Count votes; with ``weights`` (A,) an annotator's vote counts as much as that.

    PlauditError: weights of another shape, negative or not finite.
    """
    size = (len(ratings.items), len(ratings.categories))
    if weights is None:
        votes = ratings.counts().astype(np.float64)
    else:
        check_column(weights, "weights", len(ratings.annotators))
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise PlauditError("weights of annotators must be finite and not negative")
        cells = ratings.item * size[1] + ratings.category
        votes = np.bincount(cells, weights[ratings.annotator], minlength=size[0] * size[1]).reshape(size)
    total = votes.sum(axis=1, keepdims=True)
    most = votes.max(axis=1, keepdims=True, initial=0.0)
    leading = np.isclose(votes, most, rtol=1e-12, atol=0.0)
    judged = total[:, 0] > 0
    label = np.where(judged, np.argmax(leading, axis=1) if size[1] else 0, -1)
    return MajorityVote(label, votes / np.where(total > 0, total, 1.0), judged & (leading.sum(axis=1) > 1))


@dataclass(frozen=True, eq=False)
class DawidSkene:
    """Dawid and Skene 1979: each item has a true category, each annotator a habit of confusing categories."""

    posterior: Array  # (I, C): P[true category | all judgements]
    confusion: Array  # (A, C, C): P[annotator says l | true category is j], rows j, columns l
    prior: Array  # (C,): share of items of each true category
    log_likelihood: Array  # (iterations,): what EM raised, before each of its steps; last, of what is returned
    converged: bool

    @property
    def label(self) -> Array:
        """The most probable category, (I,) int."""
        return np.argmax(self.posterior, axis=1)

    @property
    def accuracy(self) -> Array:
        """P[right] of each annotator on items as frequent as the prior says, (A,)."""
        return np.einsum("j,ajj->a", self.prior, self.confusion)


def dawid_skene(
    ratings: Ratings,
    smoothing: float = 0.01,
    iterations: int = 1000,
    tolerance: float = 1e-9,
    gold: Array | None = None,
) -> DawidSkene:
    """Fit by EM: Dawid and Skene 1979, equations 2.3 to 2.5, from the shares of a majority vote.

    ``smoothing`` is added to every count before dividing, which is a Dirichlet prior; EM then raises the likelihood
    times that prior, and ``log_likelihood`` includes it. 0 is the paper. EM stops when a step gains less than
    ``tolerance`` for each judgement. ``gold`` (I,) int gives true categories that are known, -1 where none is.

    EM finds a local maximum near the majority: a crowd that is mostly wrong stays so.
    PlauditError: no judgements, one category only, options out of range, gold of another shape or range.
    """
    size = len(ratings.categories)
    if len(ratings.item) == 0 or size < 2:
        raise PlauditError(f"Dawid-Skene needs judgements in two categories or more, got {len(ratings.item)} in {size}")
    if not smoothing >= 0 or iterations < 1 or not tolerance >= 0:
        raise PlauditError(
            f"Dawid-Skene: needs smoothing >= 0, iterations >= 1 and tolerance >= 0, "
            f"got {smoothing}, {iterations} and {tolerance}"
        )
    gold_prior = _log_prior(gold, len(ratings.items), size)
    vote = majority_vote(ratings)
    posterior = np.where((vote.label >= 0)[:, None], vote.share, 1 / size)
    posterior = np.where((gold_prior < 0).any(axis=1, keepdims=True), np.exp(gold_prior), posterior)
    history: list[float] = []
    threshold = tolerance * len(ratings.item)
    while True:
        prior, confusion = _maximise(ratings, posterior, smoothing)
        posterior, value = _expect(ratings, prior, confusion, gold_prior)
        if smoothing > 0:
            value += smoothing * float(np.log(np.maximum(prior, _TINY)).sum())
            value += smoothing * float(np.log(np.maximum(confusion, _TINY)).sum())
        history.append(value)
        converged = len(history) > 1 and history[-1] - history[-2] <= threshold
        if converged or len(history) == iterations:
            return DawidSkene(posterior, confusion, prior, np.array(history), converged)


def _log_prior(gold: Array | None, items: int, size: int) -> Array:
    """(I, C): 0 where the item may be of that category, -inf where gold says that it is not."""
    log_prior = np.zeros((items, size))
    if gold is None:
        return log_prior
    check_column(gold, "gold", items)
    if not np.issubdtype(gold.dtype, np.integer) or (gold < -1).any() or (gold >= size).any():
        raise PlauditError(f"gold must hold whole numbers in -1..{size - 1}, -1 for unknown")
    rows = np.flatnonzero(gold >= 0)
    log_prior[rows] = -np.inf
    log_prior[rows, gold[rows]] = 0.0
    return log_prior


def _maximise(ratings: Ratings, posterior: Array, smoothing: float) -> tuple[Array, Array]:
    """Equations 2.3 and 2.4: prior (C,) and confusion (A, C, C) given P[true category] of each item."""
    annotators, size = len(ratings.annotators), len(ratings.categories)
    cells = ratings.annotator * size + ratings.category
    counts = np.stack(
        [np.bincount(cells, posterior[ratings.item, true], minlength=annotators * size) for true in range(size)]
    )
    counts = counts.reshape(size, annotators, size).transpose(1, 0, 2) + smoothing
    total = counts.sum(axis=2, keepdims=True)
    # Nothing is known of a category that never occurs: any row fits, and an even one takes no side.
    confusion = np.where(total > 0, counts / np.maximum(total, _TINY), 1 / size)
    weight = posterior.sum(axis=0) + smoothing
    return weight / weight.sum(), confusion


def _expect(ratings: Ratings, prior: Array, confusion: Array, gold_prior: Array) -> tuple[Array, float]:
    """Equation 2.5: P[true category] (I, C) given prior and confusion, and the log-likelihood of all judgements."""
    items = len(ratings.items)
    log_confusion = np.log(np.maximum(confusion, _TINY))
    evidence = [
        np.bincount(ratings.item, log_confusion[ratings.annotator, true, ratings.category], minlength=items)
        for true in range(len(prior))
    ]
    joint = np.stack(evidence, axis=1) + np.log(np.maximum(prior, _TINY)) + gold_prior
    most = joint.max(axis=1, keepdims=True)
    scaled = np.exp(joint - most)
    total = scaled.sum(axis=1, keepdims=True)
    return scaled / total, float((most + np.log(total)).sum())
