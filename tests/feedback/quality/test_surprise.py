"""Residuals against a reward model and lapse rates: by hand, recovery, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plaudit.feedback.quality import Comparisons, lapse_rates, residuals
from plaudit.types import Array, PlauditError


def answers(choice: list[float], annotator: list[int] | None = None) -> Comparisons:
    """Comparisons of item 0 with item 1."""
    size = len(choice)
    who = np.zeros(size, dtype=np.int64) if annotator is None else np.array(annotator)
    return Comparisons.from_numbers(
        np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.int64), np.array(choice), who
    )


def lapsing(seed: int, lapse: Array, each: int) -> tuple[Comparisons, Array]:
    """``each`` answers of every annotator, who throws a coin with the probability given; and the model's P[first]."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(lapse)), each)
    probability = 1 / (1 + np.exp(-rng.normal(0, 2.5, len(who))))
    first = rng.random(len(who)) < (1 - lapse[who]) * probability + lapse[who] / 2
    return answers(np.where(first, 1.0, -1.0).tolist(), who.tolist()), probability


# --- lapse ---------------------------------------------------------------------------------------------------------


def test_lapse_by_hand() -> None:
    """The model says 0.9 for each answer's item, and 7 of 10 agree.

    P[agree] = 0.9 - 0.4 lapse is fitted exactly, so 0.7 and lapse 1/2. The limits are where 7 log q + 3 log(1 - q) is
    1.920729, half of chi-squared's quantile, below its value at 0.7: at q = 0.393 (below 1/2, where no lapse reaches,
    so the upper limit is 1) and at q = 0.915 (above 0.9, so the lower one is 0).
    """
    result = lapse_rates(answers([1.0] * 7 + [-1] * 3), np.full(10, 0.9))
    assert result.rate[0] == pytest.approx(0.5)
    assert (result.low[0], result.high[0]) == (0, 1)
    assert result.answers.tolist() == [10]


def test_limits_are_where_the_likelihood_has_fallen() -> None:
    """70 of 100: both limits are inside, and twice the log-likelihood is 3.8415 lower at each."""
    result = lapse_rates(answers([1.0] * 70 + [-1] * 30), np.full(100, 0.9))

    def log_likelihood(lapse: float) -> float:
        agree = 0.9 - 0.4 * lapse
        return 70 * math.log(agree) + 30 * math.log(1 - agree)

    for limit in (float(result.low[0]), float(result.high[0])):
        assert 0 < limit < 1
        assert 2 * (log_likelihood(0.5) - log_likelihood(limit)) == pytest.approx(3.841459, abs=1e-5)


def test_the_ends() -> None:
    """Who always agrees does not lapse; who always disagrees does nothing else; who said nothing is unknown."""
    choice = [1.0] * 20 + [-1.0] * 20 + [0.0, math.nan]
    result = lapse_rates(answers(choice, [0] * 20 + [1] * 20 + [2, 2]), np.full(42, 0.9))
    np.testing.assert_array_equal(result.rate, [0, 1, np.nan])
    assert result.low[0] == 0
    assert result.high[0] < 0.5
    assert result.high[1] == 1
    assert result.low[1] > 0.5
    assert (result.low[2], result.high[2]) == (0, 1)
    assert result.p_value[1] < 1e-4 < 0.9 < result.p_value[0]
    assert np.isnan(result.p_value[2])


def test_lapse_is_recovered_and_covered() -> None:
    """300 annotators with 200 answers each: mean error below 0.01; of 300 intervals at 95 % 274 to 296 cover."""
    lapse = np.random.default_rng(0).uniform(0.1, 0.7, 300)
    comparisons, probability = lapsing(1, lapse, 200)
    result = lapse_rates(comparisons, probability)
    assert abs(float((result.rate - lapse).mean())) < 0.01
    assert 274 <= int(((result.low <= lapse) & (lapse <= result.high)).sum()) <= 296


def test_p_values_at_the_limit_are_even() -> None:
    """People who lapse exactly at the limit: 5 % fall below 0.05, give or take three deviations in 1,000."""
    comparisons, probability = lapsing(2, np.full(1000, 0.4), 150)
    below = (lapse_rates(comparisons, probability, limit=0.4).p_value < 0.05).mean()
    assert 0.03 < below < 0.071


# --- residuals -----------------------------------------------------------------------------------------------------


def test_residuals_by_hand() -> None:
    # Answers that the model gave 0.8 and 0.2: mean loss -(log 0.8 + log 0.2) / 2; a tie and can't tell are left out.
    choice, probability = [1.0, -1, 0, math.nan, 1], np.array([0.8, 0.8, 0.9, 0.9, np.nan])
    result = residuals(answers(choice), probability)
    loss = -(math.log(0.8) + math.log(0.2)) / 2
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert result.answers.tolist() == [2]
    assert result.negative_log_likelihood[0] == pytest.approx(loss)
    assert result.excess[0] == pytest.approx(loss - entropy)
    assert result.z[0] == 0  # nobody to compare with


def test_a_liar_stands_out_among_different_people() -> None:
    """200 people who lapse between 0 and 20 %, and one who says the opposite."""
    lapse = np.random.default_rng(3).uniform(0, 0.2, 201)
    comparisons, probability = lapsing(4, lapse, 100)
    liar = comparisons.annotator == 77
    turned = answers(np.where(liar, -comparisons.choice, comparisons.choice).tolist(), comparisons.annotator.tolist())
    result = residuals(turned, probability)
    assert np.argmax(result.z) == 77
    assert result.p_value[77] < 1e-6
    assert np.sort(result.p_value)[1] > 0.05 / 201


def test_spammers_do_not_hide_each_other() -> None:
    """A tenth of the pool throws coins; a mean and deviation of the pool would call that normal."""
    lapse = np.concatenate([np.full(20, 1.0), np.random.default_rng(5).uniform(0, 0.2, 180)])
    result = residuals(*lapsing(6, lapse, 300))
    assert (result.p_value[:20] < 0.05 / 200).sum() >= 18
    assert (result.p_value[20:] < 0.05 / 200).sum() == 0


@pytest.mark.parametrize("each", [20, 100, 1000])
def test_z_is_standard_among_honest_people(each: int) -> None:
    """However many answers each gave, and though they differ, |z| has its median near 0.674."""
    lapse = np.random.default_rng(7).uniform(0, 0.2, 400)
    result = residuals(*lapsing(8, lapse, each))
    assert np.median(np.abs(result.z)) == pytest.approx(0.674, abs=0.08)
    assert (result.p_value < 0.01).mean() < 0.025


def test_a_sure_model_is_finite() -> None:
    """Probabilities of 0 and 1, as a saturated model gives."""
    comparisons, probability = answers([1.0, -1, 1, -1], [0, 0, 1, 1]), np.array([1.0, 1.0, 0.0, 0.0])
    for column in (residuals(comparisons, probability), lapse_rates(comparisons, probability)):
        assert np.isfinite(column.p_value).all()
    assert residuals(answers([1.0, 1.0]), np.ones(2)).z.tolist() == [0.0]


def test_refusals() -> None:
    for call in (residuals, lapse_rates):
        with pytest.raises(PlauditError, match=r"probability must lie in 0\.\.1"):
            call(answers([1.0]), np.array([1.5]))
        with pytest.raises(PlauditError, match=r"probability must have the shape \(1,\)"):
            call(answers([1.0]), np.array([0.5, 0.5]))
    with pytest.raises(PlauditError, match="limit on lapse rates"):
        lapse_rates(answers([1.0]), np.array([0.5]), limit=1.0)
