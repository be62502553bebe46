"""How each annotator's answers sit with the probabilities of a reward model: residuals, and the lapse rate.

Both want probabilities from a model that has not been fitted to these answers; of its own training data a model is
never surprised. Can't tell, ties and comparisons without a probability are left out.
Shape letters: ``N`` comparisons, ``A`` annotators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality.rates import normal_quantile, normal_tail
from plaudit.feedback.quality.tables import Comparisons, check_column
from plaudit.types import Array, PlauditError

_LEAST = 1e-9  # probability: one answer that a saturated model calls impossible must not weigh without bound
_MEDIAN_CHI2 = 0.454936  # median of chi-squared with one degree of freedom
_BISECTIONS = 60  # of (0, 1): down to the last bit that matters


def _likelihood_of_answers(comparisons: Comparisons, probability: Array) -> tuple[Array, Array]:
    """P (N',) of the answer given, under the model, and who gave it (N',); PlauditError outside 0..1."""
    check_column(probability, "probability", len(comparisons.choice))
    predicted = ~np.isnan(probability)
    if ((probability[predicted] < 0) | (probability[predicted] > 1)).any():
        raise PlauditError(
            "probability must lie in 0..1: it is the model's, that the first item is better; NaN for none"
        )
    used = predicted & comparisons.decisive
    likelihood = np.where(comparisons.choice == 1, probability, 1 - probability)[used]
    return np.clip(likelihood, _LEAST, 1 - _LEAST), comparisons.annotator[used]


@dataclass(frozen=True, eq=False)
class Residuals:
    """How surprising each annotator is to the model, (A,) each; NaN without an answer that the model predicts."""

    answers: Array  # int
    negative_log_likelihood: Array  # mean, nats for each answer
    excess: Array  # that, less the entropy of the model's predictions: above 0, more surprising than the model expects
    z: Array  # excess against the other annotators; a high one is more surprising than people are
    p_value: Array  # one-sided, of so high a z


def residuals(comparisons: Comparisons, probability: Array) -> Residuals:
    """Compare annotators by what their answers cost under ``probability`` (N,), the model's P[first better].

    Subtracting the entropy makes up for easier and harder pairs. z measures an annotator's mean excess from the median
    of all annotators, in units of sqrt(s^2 / n + tau^2): s is the spread of answers within annotators, and tau that of
    annotators themselves. Honest people differ, and with enough answers from each all of them would stand out without
    tau. It is the method of moments of DerSimonian and Laird 1986, with medians for means so that a few spammers do
    not hide themselves. Losses are skewed, so that p comes from a gamma distribution with the same skewness (through
    Wilson and Hilferty 1931's cube root).
    PlauditError: another shape, probabilities outside 0..1.
    """
    likelihood, annotator = _likelihood_of_answers(comparisons, probability)
    size = len(comparisons.annotators)
    answers = np.bincount(annotator, minlength=size)
    count = np.where(answers > 0, answers, np.nan)
    loss = -np.log(likelihood)
    excess = loss + likelihood * np.log(likelihood) + (1 - likelihood) * np.log1p(-likelihood)
    mean = np.bincount(annotator, excess, minlength=size) / count
    z, p_value = np.full(size, np.nan), np.full(size, np.nan)
    present = answers > 0
    if present.any():
        z[present], p_value[present] = _significance(mean[present], answers[present], excess - mean[annotator])
    return Residuals(answers, np.bincount(annotator, loss, minlength=size) / count, mean, z, p_value)


def _significance(mean: Array, answers: Array, residual: Array) -> tuple[Array, Array]:
    """z and p-values (A,) of the ``mean`` excess of ``answers`` (A,) each, with residues ``within`` (N',) about it."""
    # The second and third moment of one answer; own means take up part of both.
    variance = np.square(residual).sum() / max(float((answers - 1).sum()), 1.0)
    third = max(float((residual**3).sum()), 0.0) / max(float(((answers - 1) * (answers - 2) / answers).sum()), 1.0)
    # A model that is sure of everything and right leaves no spread at all; then nobody stands out.
    error = variance / answers + 1e-12
    total, middle = error, mean
    for _ in range(2):  # the middle needs tau, and tau the middle
        skewness = third / answers**2 / total**1.5
        # The median of a skewed mean lies below its expectation, by a sixth of the skewness (Wilson-Hilferty again).
        middle = mean - np.median(mean + skewness * np.sqrt(total) / 6)
        total = error + _spread_of_annotators(middle, error)
    z = middle / np.sqrt(total)
    return z, normal_tail(_unskew(z, third / answers**2 / total**1.5))


def _spread_of_annotators(distance: Array, error: Array) -> float:
    """tau^2 such that the median of away^2 / (error + tau^2), (A,) each, is what a normal's would be; at least 0."""

    def too_spread(tau2: float) -> bool:
        return float(np.median(distance**2 / (error + tau2))) > _MEDIAN_CHI2

    if not too_spread(0.0):
        return 0.0
    low, high = 0.0, float(np.max(distance**2)) / _MEDIAN_CHI2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_spread(middle) else (low, middle)
    return high


def _unskew(z: Array, skewness: Array) -> Array:
    """z (A,) of a gamma variable of that ``skewness`` (A,) >= 0, as the standard normal quantile (Wilson-Hilferty)."""
    g = np.maximum(skewness, 1e-6)
    return 6 / g * (np.cbrt(np.maximum(1 + g * z / 2, 0.0)) - 1) + g / 6


@dataclass(frozen=True, eq=False)
class LapseRates:
    """The share of answers that are a coin's, by annotator, (A,) each; NaN, with (0, 1), without answers."""

    answers: Array  # int
    rate: Array  # maximum likelihood
    low: Array  # limits of the likelihood interval
    high: Array
    p_value: Array  # one-sided, that the rate is no more than the limit asked about


def lapse_rates(comparisons: Comparisons, probability: Array, limit: float = 0.5, level: float = 0.95) -> LapseRates:
    """Fit P[answer] = (1 - lapse) p + lapse / 2 for each annotator by maximum likelihood.

    Wichmann and Hill 2001 call these stimulus-independent errors; Christiano et al. 2017, section 2.2.3, assume 10 %
    of them. p is the model's probability of the answer given. The log-likelihood is concave in the lapse, so that
    bisection of its slope finds the one maximum in 0..1, and both limits, where twice the log-likelihood is a
    chi-squared quantile below it. A model that is too sure of itself makes everyone seem to lapse.
    PlauditError: another shape, probabilities outside 0..1, a limit outside 0..1.
    """
    if not 0 <= limit < 1:
        raise PlauditError(f"the limit on lapse rates must lie in [0, 1), got {limit}")
    likelihood, annotator = _likelihood_of_answers(comparisons, probability)
    size = len(comparisons.annotators)
    answers = np.bincount(annotator, minlength=size)

    def log_likelihood(lapse: Array) -> Array:
        return np.bincount(annotator, np.log(likelihood + lapse[annotator] * (0.5 - likelihood)), minlength=size)

    def is_rising(lapse: Array) -> Array:
        return (
            np.bincount(
                annotator, (0.5 - likelihood) / (likelihood + lapse[annotator] * (0.5 - likelihood)), minlength=size
            )
            > 0
        )

    no_lapse, full_lapse = np.zeros(size), np.ones(size)
    low, high = no_lapse, full_lapse
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        rises = is_rising(middle)
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    # Where the slope never changes sign, the maximum is the end itself.
    rate = np.where(is_rising(full_lapse), 1.0, np.where(is_rising(no_lapse), high, 0.0))
    most = log_likelihood(rate)
    floor = most - normal_quantile(level) ** 2 / 2
    lower = _find_crossing(log_likelihood, floor, inner=rate, outer=no_lapse)
    upper = _find_crossing(log_likelihood, floor, inner=rate, outer=full_lapse)
    root = np.sqrt(2 * np.maximum(most - log_likelihood(np.full(size, limit)), 0.0))
    p_value = normal_tail(np.where(rate > limit, root, -root))
    measured = answers > 0
    rate, p_value = np.where(measured, rate, np.nan), np.where(measured, p_value, np.nan)
    return LapseRates(answers, rate, np.where(measured, lower, 0.0), np.where(measured, upper, 1.0), p_value)


def _find_crossing(log_likelihood: Callable[[Array], Array], floor: Array, inner: Array, outer: Array) -> Array:
    """Where the log-likelihood falls to ``floor`` between ``inside`` and ``outside``, (A,) each, or ``outside``."""
    reaches = log_likelihood(outer) >= floor
    end = outer
    for _ in range(_BISECTIONS):
        middle = (inner + outer) / 2
        likely = log_likelihood(middle) >= floor
        inner, outer = np.where(likely, middle, inner), np.where(likely, outer, middle)
    return np.where(reaches, end, inner)
