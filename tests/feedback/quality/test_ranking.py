"""Bradley-Terry with ties and with annotators' reliability: by hand, invariants, recovery, and beside crowd-kit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from plaudit.feedback.quality import BradleyTerry, Comparisons, bradley_terry, crowd_bradley_terry
from plaudit.types import Array, PlauditError

ALMOST_NONE = 1e-7  # a penalty that leaves maximum likelihood to six digits


def pair(*choices: float) -> Comparisons:
    """Item 0 against item 1, judged so."""
    size = len(choices)
    return Comparisons.from_numbers(np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.int64), np.array(choices))


def draw(seed: int, score: Array, eta: Array, count: int, nu: float = 0.0) -> Comparisons:
    """``count`` comparisons of random pairs by random annotators, of Davidson's model turned around as eta says."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(score), count)
    second = (first + rng.integers(1, len(score), count)) % len(score)
    who = rng.integers(0, len(eta), count)
    delta = score[first] - score[second]
    weights = np.stack([np.exp(delta / 2), np.full(count, nu), np.exp(-delta / 2)], axis=1)
    outcome = (rng.random((count, 1)) > (weights / weights.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    choice = 1.0 - outcome
    return Comparisons.from_numbers(first, second, np.where(rng.random(count) < eta[who], choice, -choice), who)


def frame(peer: Callable[[str], Any], comparisons: Comparisons) -> Any:
    """What crowd-kit reads."""
    winner = np.where(comparisons.choice == 1, comparisons.first, comparisons.second)
    columns = {"worker": comparisons.annotator, "left": comparisons.first, "right": comparisons.second, "label": winner}
    return peer("pandas").DataFrame(columns)


def ranks(values: Array) -> Array:
    return np.argsort(np.argsort(values))


# --- Bradley-Terry -------------------------------------------------------------------------------------------------


def test_three_wins_of_four_by_hand() -> None:
    # P = 3/4, so the difference of scores is log 3; the mean is 0.
    result = bradley_terry(pair(1, 1, -1, 1), l2=ALMOST_NONE)
    np.testing.assert_allclose(result.score, [math.log(3) / 2, -math.log(3) / 2], atol=1e-6)
    assert result.nu == 0
    assert result.log_likelihood == pytest.approx(3 * math.log(3 / 4) + math.log(1 / 4))
    assert result.converged


def test_ties_by_hand() -> None:
    # Shares (1/2, 1/4, 1/4) are met exactly: exp(delta) = 2 and nu = P[tie] / sqrt(P[first] P[second]) = 1 / sqrt 2.
    result = bradley_terry(pair(1, 1, 0, -1, math.nan), l2=ALMOST_NONE)
    assert result.score[0] - result.score[1] == pytest.approx(math.log(2), abs=1e-6)
    assert result.nu == pytest.approx(1 / math.sqrt(2), abs=1e-6)
    np.testing.assert_allclose(result.probability(np.array([0]), np.array([1])), [[0.5, 0.25, 0.25]], atol=1e-6)


def test_an_item_that_always_wins_stays_finite() -> None:
    # With scores (s, -s) and n wins the slope is n (1 - sigma(2 s)) * 2 - 2 l2 s = 0; at n = 10, l2 = 0.1 it is met by:
    result = bradley_terry(pair(*[1.0] * 10), l2=0.1)
    s = float(result.score[0])
    assert 10 / (1 + math.exp(2 * s)) == pytest.approx(0.1 * s, rel=1e-6)
    assert 1 < s < 3


def test_nothing_is_said_of_items_apart() -> None:
    """Items 2 and 3 are never compared with 0 and 1: each pair is centred on the prior's mean."""
    comparisons = Comparisons.from_numbers(np.array([0, 0, 0, 2]), np.array([1, 1, 1, 3]), np.array([1.0, 1, -1, 1]))
    score = bradley_terry(comparisons).score
    assert score[0] + score[1] == pytest.approx(0, abs=1e-9)
    assert score[2] + score[3] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("nu", [0.0, 0.6])
def test_recovers_scores_and_ties(nu: float) -> None:
    """20,000 comparisons of 20 items: scores within 0.15, nu within 0.05."""
    score = np.linspace(-2, 2, 20)
    result = bradley_terry(draw(0, score, np.ones(1), 20_000, nu), l2=0.01)
    np.testing.assert_allclose(result.score, score, atol=0.15)
    assert result.nu == pytest.approx(nu, abs=0.05)


def test_the_gradient_vanishes_at_many_items() -> None:
    """3,000 items, most compared three times: what conjugate gradients leave is below 1e-6."""
    comparisons = draw(1, np.random.default_rng(1).normal(size=3000), np.ones(1), 5000, 0.5)
    result = bradley_terry(comparisons, l2=0.2)
    assert result.converged
    log_likelihood, slope = independent(comparisons, result, np.ones(1), l2=0.2)
    assert result.log_likelihood == pytest.approx(log_likelihood)
    assert np.abs(slope).max() < 1e-6


def independent(comparisons: Comparisons, result: BradleyTerry, eta: Array, l2: float) -> tuple[float, Array]:
    """Log-likelihood, and its slope by each score with the penalty, from P_k = eta P + (1 - eta) P-turned."""
    first, tie, second = result.probability(comparisons.first, comparisons.second).T
    weight = eta[comparisons.annotator]
    said = {1: weight * first + (1 - weight) * second, 0: tie, -1: weight * second + (1 - weight) * first}
    # By delta, with lean = (first - second) / 2: first (1/2 - lean), -tie lean, second (-1/2 - lean).
    lean = (first - second) / 2
    by_first, by_tie, by_second = first * (0.5 - lean), -tie * lean, second * (-0.5 - lean)
    turned = {
        1: weight * by_first + (1 - weight) * by_second,
        0: by_tie,
        -1: weight * by_second + (1 - weight) * by_first,
    }
    chosen = np.select([comparisons.choice == c for c in said], list(said.values()))
    slope = np.select([comparisons.choice == c for c in turned], list(turned.values())) / chosen
    gradient = -l2 * result.score
    np.add.at(gradient, comparisons.first, slope)
    np.add.at(gradient, comparisons.second, -slope)
    return float(np.log(chosen).sum()), gradient


def test_turning_a_comparison_around_changes_nothing() -> None:
    comparisons = draw(2, np.linspace(-1, 1, 6), np.ones(3), 300, 0.4)
    turned = Comparisons.from_numbers(comparisons.second, comparisons.first, -comparisons.choice, comparisons.annotator)
    np.testing.assert_allclose(bradley_terry(turned).score, bradley_terry(comparisons).score, atol=1e-7)
    renamed = np.random.default_rng(0).permutation(6)
    moved = Comparisons.from_numbers(renamed[comparisons.first], renamed[comparisons.second], comparisons.choice)
    np.testing.assert_allclose(bradley_terry(moved).score[renamed], bradley_terry(comparisons).score, atol=1e-7)


def test_weights_are_repetitions() -> None:
    comparisons = draw(3, np.linspace(-1, 1, 4), np.ones(1), 40, 0.4)
    weights = np.arange(40) % 3
    rows = np.repeat(np.arange(40), weights)
    repeated = Comparisons.from_numbers(comparisons.first[rows], comparisons.second[rows], comparisons.choice[rows])
    weighted = bradley_terry(comparisons, weights=weights.astype(np.float64))
    np.testing.assert_allclose(weighted.score, bradley_terry(repeated).score, atol=1e-7)
    assert weighted.nu == pytest.approx(bradley_terry(repeated).nu)


@pytest.mark.filterwarnings("ignore")
def test_bradley_terry_beside_crowd_kit(peer: Callable[[str], Any]) -> None:
    """Scores to 1e-5. crowd-kit's are exp(score), of sum one.

    Its test of convergence compares an array with itself and stops after two rounds; a tolerance below 0 prevents it.
    """
    comparisons = draw(4, np.linspace(-1.5, 1.5, 12), np.ones(5), 1500)
    theirs = peer("crowdkit.aggregation").BradleyTerry(n_iter=2000, tol=-1.0).fit(frame(peer, comparisons))
    theirs = np.log(theirs.scores_.sort_index().to_numpy())
    np.testing.assert_allclose(bradley_terry(comparisons, l2=1e-8).score, theirs - theirs.mean(), atol=1e-5)


def test_too_few_iterations_are_admitted() -> None:
    assert not bradley_terry(draw(4, np.linspace(-1.5, 1.5, 12), np.ones(5), 1500), iterations=1).converged


# --- annotators' reliability ---------------------------------------------------------------------------------------


def test_objective_never_falls_and_its_slope_vanishes() -> None:
    eta = np.array([0.95, 0.9, 0.8, 0.7, 0.5, 0.1])
    comparisons = draw(5, np.linspace(-2, 2, 10), eta, 1500, 0.3)
    result = crowd_bradley_terry(comparisons, tolerance=1e-13, iterations=3000)
    assert (np.diff(result.objective) >= -1e-9).all()
    log_likelihood, slope = independent(comparisons, result, result.eta, l2=0.1)
    assert np.abs(slope).max() < 1e-3
    assert result.log_likelihood == pytest.approx(log_likelihood)
    prior = float((2 * np.log(result.eta) + np.log(1 - result.eta)).sum())
    assert result.objective[-1] == pytest.approx(log_likelihood + prior - 0.05 * float(np.square(result.score).sum()))


def test_recovers_reliability() -> None:
    """40 annotators, 250 comparisons each, of 30 items: eta within 0.13, a spammer and an adversary last."""
    rng = np.random.default_rng(6)
    eta = rng.uniform(0.8, 1.0, 40)
    eta[17], eta[23] = 0.5, 0.05
    score = np.linspace(-4, 4, 30)
    comparisons = draw(7, score, eta, 10_000)
    result = crowd_bradley_terry(comparisons)
    assert result.converged
    np.testing.assert_allclose(result.eta, eta, atol=0.13)
    assert np.argsort(result.eta)[:2].tolist() == [23, 17]
    assert np.corrcoef(result.score, score)[0, 1] > 0.995


def test_spammers_harm_the_ranking_less_than_without() -> None:
    """Half of the annotators throw coins or lie. The plain model's scores shrink; this one's stay near the truth."""
    eta = np.array([0.97] * 10 + [0.5] * 5 + [0.2] * 4)
    score = np.linspace(-2, 2, 25)
    comparisons = draw(8, score, eta, 6000)
    plain, crowd = bradley_terry(comparisons).score, crowd_bradley_terry(comparisons).score
    assert np.square(crowd - score).mean() < 0.5 * np.square(plain - score).mean()


def test_ties_say_nothing_of_reliability() -> None:
    comparisons = draw(9, np.linspace(-1, 1, 5), np.array([0.9, 0.6]), 400)
    more = np.zeros(100, dtype=np.int64)
    tied = Comparisons.from_numbers(
        np.concatenate([comparisons.first, more]),
        np.concatenate([comparisons.second, more + 1]),
        np.concatenate([comparisons.choice, more]),
        np.concatenate([comparisons.annotator, more + 2]),
    )
    # The third annotator only ties: what is left is the prior's mode, (3 - 1) / (3 + 2 - 2).
    assert crowd_bradley_terry(tied).eta[2] == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore")
def test_noisy_bradley_terry_of_crowd_kit_ranks_alike(peer: Callable[[str], Any]) -> None:
    """Theirs has a left bias where ours turns around, so only ranks compare: correlation of scores over 0.95."""
    eta = np.array([1.0, 1.0, 1.0, 1.0, 0.95, 0.5])
    comparisons = draw(10, np.linspace(-2, 2, 12), eta, 1200)
    theirs = peer("crowdkit.aggregation").NoisyBradleyTerry(n_iter=200).fit(frame(peer, comparisons))
    ours = crowd_bradley_terry(comparisons)
    scores = theirs.scores_.sort_index().to_numpy()
    assert np.corrcoef(ranks(scores), ranks(ours.score))[0, 1] > 0.95
    assert np.argmin(ours.eta) == 5


def test_refusals() -> None:
    with pytest.raises(PlauditError, match="l2 above 0"):
        bradley_terry(pair(1, -1), l2=0.0)
    with pytest.raises(PlauditError, match="ties at most"):
        bradley_terry(pair(0, 0, math.nan))
    with pytest.raises(PlauditError, match="ties at most"):
        crowd_bradley_terry(pair())
    with pytest.raises(PlauditError, match=r"weights must have the shape \(2,\)"):
        bradley_terry(pair(1, -1), weights=np.ones(3))
    with pytest.raises(PlauditError, match="finite and not negative"):
        bradley_terry(pair(1, -1), weights=np.array([1.0, -1.0]))
    with pytest.raises(PlauditError, match=r"prior \(a, b\)"):
        crowd_bradley_terry(pair(1, -1), prior=(0.5, 1.0))
