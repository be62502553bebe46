"""How far a reward model's probabilities can be believed, on comparisons that it was not fitted to."""

from dataclasses import dataclass

import numpy as np

from plaudit.types import Array

Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: per bin of confidence, how often annotators agreed with the model's favourite."""

    edges: Array  # (bins + 1,) from 0.5 to 1
    counts: Array  # (bins,) comparisons
    confidence: Array  # (bins,) mean predicted probability of the favourite; NaN where empty
    agreement: Array  # (bins,) mean preference for the favourite, ties as 0.5; NaN where empty
    low: Array  # (bins,) 95 % interval of the agreement (Wilson)
    high: Array  # (bins,)
    accuracy: float  # share of comparisons that are not ties in which the favourite won; NaN without any
    log_loss: float  # mean cross-entropy in nats; ln 2 for a model that knows nothing
    error: float  # expected calibration error: |agreement - confidence| weighted by counts


def reliability(predicted: Array, targets: Array, bins: int = 5) -> Reliability | None:
    """Bin held-out comparisons by confidence; ``None`` where there is no comparison to bin.

    predicted: (n,) P[first better] of the model. targets: (n,) mu: 1 first better, 0 second, 0.5 a tie.

    Which item stands first is arbitrary: (P, mu) and (1 - P, 1 - mu) say the same. So each comparison is
    turned until the model's favourite stands first, and confidence runs from 0.5 to 1. Expected
    calibration error as in Guo et al. 2017, equation 3.
    """
    fine = np.isfinite(predicted) & np.isfinite(targets)
    predicted, targets = predicted[fine].astype(float), targets[fine].astype(float)
    if len(predicted) == 0:
        return None
    flipped = predicted < 0.5
    confidence, agreement = np.where(flipped, 1 - predicted, predicted), np.where(flipped, 1 - targets, targets)
    edges = np.linspace(0.5, 1.0, bins + 1)
    bin_of = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):  # an empty bin is 0 / 0: NaN, not drawn
        mean_confidence = np.bincount(bin_of, confidence, bins) / counts
        mean_agreement = np.bincount(bin_of, agreement, bins) / counts
    low, high = wilson(mean_agreement, counts)
    decided = agreement != 0.5
    right = np.where(confidence == 0.5, 0.5, agreement > 0.5)[decided]  # a model without a favourite guesses
    clipped = np.clip(confidence, 1e-7, 1 - 1e-7)
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=mean_confidence,
        agreement=mean_agreement,
        low=low,
        high=high,
        accuracy=float(right.mean()) if decided.any() else float("nan"),
        log_loss=float(-np.mean(agreement * np.log(clipped) + (1 - agreement) * np.log1p(-clipped))),
        error=float(np.nansum(np.abs(mean_agreement - mean_confidence) * counts) / counts.sum()),
    )


def temperature(predicted: Array, targets: Array) -> float:
    """T for which tempered probabilities explain comparisons best (Guo et al. 2017, section 4.2); in [1/16, 16].

    predicted: (n,) P[first better], of comparisons that the model was not fitted to. targets: (n,) mu: 1 first better,
    0 second, 0.5 a tie. Above 1 where the model is surer than it should be. 1 where nothing is known. As in Platt 1999,
    section 2.2, one more of each is thought to be there: being always right on a few is no reason to be certain.
    """
    scores, count = _logits(predicted), len(targets)
    if not np.any(scores):
        return 1.0
    targets = (targets * count + 1) / (count + 2)
    # the cross-entropy is convex in 1 / T: halve an interval until its slope is nothing
    low, high = -np.log(16), np.log(16)  # of log(1 / T)
    for _ in range(50):
        middle = (low + high) / 2
        slope = np.mean((logistic(scores * np.exp(middle)) - targets) * scores)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def temper(predicted: Array, temperature: float) -> Array:
    """P[first better] (n,) of scores that are divided by ``temperature``."""
    return logistic(_logits(predicted) / temperature)


def _logits(predicted: Array) -> Array:
    clipped = np.clip(predicted.astype(np.float64), 1e-12, 1 - 1e-12)
    return np.log(clipped) - np.log1p(-clipped)


def logistic(scores: Array) -> Array:
    """1 / (1 + exp(-scores)), without overflow: P[first better] of differences in nats."""
    return 0.5 * (1 + np.tanh(0.5 * scores))


def wilson(share: Array, counts: Array, z: float = Z) -> tuple[Array, Array]:
    """Score interval of a share, 95 % unless another normal quantile ``z`` is given; NaN where the count is 0.

    Wilson 1927, equation 4. It stays within 0 and 1 and keeps its level for small counts, unlike share +- z error.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = 1 / (1 + z**2 / counts)
        middle = (share + z**2 / (2 * counts)) * scale
        half = z * scale * np.sqrt(share * (1 - share) / counts + z**2 / (4 * counts**2))
    return middle - half, middle + half


def share_interval(share: float, count: int) -> tuple[float, float]:
    """:func:`wilson` of one share."""
    low, high = wilson(np.array([share]), np.array([count]))
    return float(low[0]), float(high[0])
