"""A score for each item from comparisons: Bradley-Terry with ties, and with annotators who differ in reliability.

Shape letters: ``N`` comparisons, ``I`` items, ``A`` annotators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality.davidson import Scores, log_likelihood, log_probabilities, tally
from plaudit.feedback.quality.tables import Comparisons, check_column
from plaudit.types import Array, PlauditError


@dataclass(frozen=True, eq=False)
class BradleyTerry:
    """Scores of items: log-odds of the first being better are the difference of scores."""

    score: Array  # (I,): s_i, of mean zero
    nu: float  # Davidson's tie parameter: equal items tie with probability nu / (2 + nu); 0 without ties
    log_likelihood: float  # without the penalty
    converged: bool

    def probability(self, first: Array, second: Array) -> Array:
        """P (N, 3) of (first better, tie, second better) for items ``first`` and ``second`` (N,) int."""
        with np.errstate(divide="ignore"):
            log_nu = float(np.log(self.nu))
        return np.exp(log_probabilities(self.score[first] - self.score[second], log_nu))


@dataclass(frozen=True, eq=False)
class CrowdBradleyTerry(BradleyTerry):
    """Scores of items, and how far each annotator can be relied on."""

    eta: Array  # (A,): eta_k, P[annotator answers by the ranking and not against it]; 1/2 says nothing
    objective: Array  # (iterations,): log-likelihood with the priors, never falling


def _problem(comparisons: Comparisons, l2: float, weights: Array | None) -> tuple[Scores, Array]:
    """The model and its votes (N, 3); PlauditError for what cannot be fitted."""
    if not l2 > 0:
        raise PlauditError(
            f"Bradley-Terry needs l2 above 0, got {l2}; without it an item that always wins has no score"
        )
    votes = tally(comparisons.choice)
    if weights is not None:
        check_column(weights, "weights", len(votes))
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise PlauditError("weights of comparisons must be finite and not negative")
        votes = votes * weights[:, None]
    if votes[:, [0, 2]].sum() == 0:
        raise PlauditError("Bradley-Terry needs a comparison in which one item is better; there are ties at most")
    return Scores(comparisons.first, comparisons.second, len(comparisons.items), l2), votes


def bradley_terry(
    comparisons: Comparisons, l2: float = 0.1, weights: Array | None = None, iterations: int = 100
) -> BradleyTerry:
    """Maximise the penalised likelihood: Bradley and Terry 1952, ties as in Davidson 1970, by Newton's method.

    ``l2`` is one over the variance of the normal prior on scores. ``weights`` (N,) count a comparison more or less,
    as raking may ask for. Can't tell says nothing. Work and memory grow with N + I, not with I squared.
    PlauditError: l2 not above 0, weights negative or of another shape, nothing but ties.
    """
    scores, votes = _problem(comparisons, l2, weights)
    theta, converged = _newton(scores, votes, iterations)
    return BradleyTerry(theta[:-1], float(np.exp(theta[-1])), log_likelihood(votes, scores.log_pi(theta)), converged)


def _newton(scores: Scores, votes: Array, iterations: int) -> tuple[Array, bool]:
    theta = scores.start(votes)
    for _ in range(iterations):
        before, theta = theta, scores.ascend(theta, votes)
        moved = np.abs(theta[:-1] - before[:-1]).max(initial=0.0)
        if moved <= 1e-8 and (theta[-1] == before[-1] or abs(theta[-1] - before[-1]) <= 1e-8):
            return theta, True
    return theta, False


def crowd_bradley_terry(
    comparisons: Comparisons,
    l2: float = 0.1,
    prior: tuple[float, float] = (3.0, 2.0),
    iterations: int = 1000,
    tolerance: float = 1e-8,
) -> CrowdBradleyTerry:
    """Bradley-Terry with annotator reliability: Chen et al. 2013, "Pairwise ranking aggregation in a crowdsourced
    setting".

    Their model: P[k says i over j] = eta_k P[i over j] + (1 - eta_k) P[j over i]. Here P is Davidson's, so a tie is
    as likely whichever way the annotator reads the ranking and says nothing of eta_k. The penalty on scores is ``l2``
    in place of their virtual item. ``prior`` (a, b) is a Beta prior on eta_k, worth a - 1 answers by the ranking and
    b - 1 against it; a > b breaks the symmetry of turning all scores and all annotators around.

    By EM in place of their gradient ascent; it stops when a step gains less than ``tolerance`` for each answer. A crowd
    of which most answer against the truth gets the ranking upside down.
    PlauditError: l2 not above 0, prior below 1, no iterations, nothing but ties.
    """
    if not min(prior) >= 1 or iterations < 1 or not tolerance >= 0:
        raise PlauditError(
            f"crowd Bradley-Terry: needs a prior (a, b) of at least (1, 1), iterations >= 1 and tolerance >= 0, "
            f"got {prior}, {iterations} and {tolerance}"
        )
    scores, votes = _problem(comparisons, l2, None)
    for_ranking, against_ranking = prior[0] - 1, prior[1] - 1
    decisive, annotator = comparisons.decisive, comparisons.annotator[comparisons.decisive]
    answers = np.bincount(annotator, minlength=len(comparisons.annotators))
    theta, _ = _newton(scores, votes, 100)
    eta = np.full(len(answers), (for_ranking + 1) / (for_ranking + against_ranking + 2))
    history: list[float] = []
    threshold = tolerance * float(votes.sum())
    while True:
        agreed, value = _expect(scores.log_pi(theta), votes, eta[comparisons.annotator])
        with np.errstate(divide="ignore"):
            log_prior = _times_log(for_ranking, eta) + _times_log(against_ranking, 1 - eta)
        history.append(value - scores.penalty(theta) + log_prior)
        converged = len(history) > 1 and history[-1] - history[-2] <= threshold
        if converged or len(history) == iterations:
            nu = float(np.exp(theta[-1]))
            return CrowdBradleyTerry(theta[:-1], nu, value, converged, eta, np.array(history))
        with_ranking = np.bincount(annotator, agreed[decisive], minlength=len(answers)) + for_ranking
        total = answers + for_ranking + against_ranking
        eta = np.where(total > 0, with_ranking / np.maximum(total, 1e-300), 0.5)
        # Who went against the ranking meant the other item: the expected votes are those of a plain Bradley-Terry.
        expected = agreed[:, None] * votes + (1 - agreed[:, None]) * votes[:, ::-1]
        theta = scores.ascend(theta, expected)


def _expect(log_pi: Array, votes: Array, eta: Array) -> tuple[Array, float]:
    """P (N,) that each answer went with the ranking, and the log-likelihood of all of them.

    ``log_pi`` and ``votes`` are (N, 3), ``eta`` (N,) is that of whoever answered.
    """
    log_agree = np.where(votes > 0, log_pi, 0.0).sum(axis=1)
    log_oppose = np.where(votes[:, ::-1] > 0, log_pi, 0.0).sum(axis=1)
    with np.errstate(divide="ignore"):
        joint = np.logaddexp(np.log(eta) + log_agree, np.log(1 - eta) + log_oppose)
        agreed = np.exp(np.log(eta) + log_agree - joint)
    return agreed, float(joint[votes.any(axis=1)].sum())


def _times_log(count: float, probability: Array) -> float:
    return float((count * np.log(probability)).sum()) if count > 0 else 0.0
