"""Preference models: fits worked by hand, parameters recovered, replicates that are what they claim to be."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.functional.preference import bradley_terry, bradley_terry_loss
from plaudit.reward.preference_models import MODELS, Pairs, compare, differences, fit
from plaudit.types import PlauditError

GRID = torch.linspace(-6, 6, 25, dtype=torch.float64).unsqueeze(-1)


def ones(count: int) -> torch.Tensor:
    return torch.ones(1, count, dtype=torch.float64)


def made_up(count: int, beta: float, lapse: float, seed: int = 0) -> Pairs:
    """Pairs of three steps whose answers follow regret with ``beta`` and ``lapse``; one answer in ten is a tie."""
    rng = np.random.default_rng(seed)
    rewards = torch.from_numpy(rng.integers(-3, 4, (count, 2, 3)).astype(float))
    start, end = (torch.from_numpy(rng.integers(-5, 6, (count, 2)).astype(float)) for _ in range(2))
    delta = differences(Pairs(rewards, start, end, torch.zeros(count, dtype=torch.float64)))["regret"][:, 0]
    chance = bradley_terry(beta * delta, lapse).numpy()
    mu = torch.from_numpy(np.where(rng.random(count) < 0.1, 0.5, rng.random(count) < chance))
    return Pairs(rewards, start, end, mu)


def test_one_difference_worked_by_hand():
    """Three of four people prefer the segment that is 2 better: sigmoid(2 beta) = 3/4, beta = ln(3) / 2."""
    mu = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    found = fit(torch.full((4, 1), 2.0, dtype=torch.float64), mu, ones(4))
    assert found.weights.item() == pytest.approx(math.log(3) / 2, abs=1e-6)
    assert found.loss.item() == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-9)
    assert found.lapse.item() == 0.0


def test_ties_alone_say_nothing():
    found = fit(GRID, torch.full((25,), 0.5, dtype=torch.float64), ones(25))
    assert found.weights.item() == pytest.approx(0.0, abs=1e-6)
    assert found.loss.item() == pytest.approx(math.log(2), abs=1e-12)


@settings(max_examples=15)
@given(beta=st.floats(0.3, 3.0), lapse=st.floats(0.02, 0.6))
def test_exact_probabilities_give_exact_parameters(beta: float, lapse: float):
    found = fit(GRID, bradley_terry(beta * GRID[:, 0], lapse), ones(25), lapse=True)
    assert found.weights.item() == pytest.approx(beta, rel=0.01)
    assert found.lapse.item() == pytest.approx(lapse, abs=0.002)


def test_parameters_come_back_from_sampled_answers():
    """A tie counts as half of each answer, as a lapse does: 10 % of them read as so much more lapse rate."""
    fits = {(f.model, f.lapse_fitted): f for f in compare(made_up(6000, 0.6, 0.1), 20, np.random.default_rng(1))}
    best = fits["regret", True]
    assert best.lapse == pytest.approx(0.1 * 0.9 + 0.1, abs=0.04)
    assert best.weights[0] == pytest.approx(0.6, abs=0.06)
    assert best.lapse_interval[0] < best.lapse < best.lapse_interval[1]
    rivals = [fits[name, True] for name in ("partial return", "end value")]
    assert all((best.held_out < rival.held_out).all() for rival in rivals)
    start_weight = fits["free weights", True].weights[1]
    assert start_weight == pytest.approx(-0.6, abs=0.06)  # regret is free weights of (1, -1, 1)


def test_statistics_worked_by_hand():
    """First: 1 + 2 = 3, from a state worth 7 to one worth 5. Second: 4 + 0 = 4, from 4 to a terminal state."""
    pairs = Pairs(
        rewards=torch.tensor([[[1.0, 2.0], [4.0, 0.0]]]),
        start_values=torch.tensor([[7.0, 4.0]]),
        end_values=torch.tensor([[5.0, 0.0]]),
        mu=torch.tensor([1.0]),
    )
    found = differences(pairs)
    assert {name: value.tolist() for name, value in found.items()} == {
        "partial return": [[3.0 - 4.0]],
        "end value": [[8.0 - 4.0]],
        "regret": [[1.0 - 0.0]],
        "free weights": [[-1.0, 3.0, 5.0]],
    }
    assert differences(pairs, gamma=0.5)["end value"].item() == (1 + 1 + 5 / 4) - 4


@pytest.mark.parametrize("lapse", [False, True])
def test_counts_are_repetitions_and_fits_do_not_touch(lapse: bool):
    pairs = made_up(200, 0.5, 0.1)
    features = differences(pairs)["free weights"]
    counts = torch.from_numpy(np.random.default_rng(2).integers(0, 4, (3, 200)).astype(float))
    together = fit(features, pairs.mu, counts, lapse)
    for row, repeats in enumerate(counts.long()):
        mu = pairs.mu.repeat_interleave(repeats)
        alone = fit(features.repeat_interleave(repeats, 0), mu, ones(len(mu)), lapse)
        assert together.loss[row].item() == pytest.approx(alone.loss.item(), abs=3e-6)
        assert together.weights[row].tolist() == pytest.approx(alone.weights[0].tolist(), abs=1e-3)


def test_swapping_and_rescaling():
    """Swapping the segments changes nothing; a reward in tenths has ten times the beta."""
    pairs = made_up(300, 0.5, 0.0)
    features = differences(pairs)["free weights"]
    found = fit(features, pairs.mu, ones(300))
    assert torch.allclose(fit(-features, 1 - pairs.mu, ones(300)).weights, found.weights, atol=1e-5)
    assert torch.allclose(fit(features / 10, pairs.mu, ones(300)).weights, found.weights * 10, atol=1e-4)


def test_replicates_are_refits_and_held_out_is_what_was_not_drawn():
    pairs = made_up(60, 0.5, 0.0)
    fitted = compare(pairs, 3, np.random.default_rng(7))[MODELS.index("regret")]
    draws = np.random.default_rng(7).multinomial(60, np.full(60, 1 / 60), size=3)
    features = differences(pairs)["regret"]
    for row, repeats in enumerate(torch.from_numpy(draws)):
        again = fit(features.repeat_interleave(repeats, 0), pairs.mu.repeat_interleave(repeats), ones(60))
        out = repeats == 0
        losses = bradley_terry_loss(features[out, 0] * again.weights.item(), pairs.mu[out])
        assert fitted.replicates[row] == pytest.approx(again.loss.item(), abs=1e-6)
        assert fitted.held_out[row] == pytest.approx(losses.mean().item(), abs=1e-5)


def test_more_parameters_never_fit_worse_and_the_seed_decides():
    pairs = made_up(400, 0.4, 0.2)
    one, two = (compare(pairs, 4, np.random.default_rng(3)) for _ in range(2))
    fits = {(f.model, f.lapse_fitted): f for f in one}
    for model in MODELS:
        assert fits[model, True].loss <= fits[model, False].loss + 1e-5
        for lapse in (False, True):
            assert fits["free weights", lapse].loss <= fits[model, lapse].loss + 1e-5
    assert all(np.array_equal(a.held_out, b.held_out) and a.loss == b.loss for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("lapse", [False, True])
def test_fits_without_an_optimum_settle(lapse: bool):
    """Answers without an error have no largest beta; answers at random, with a lapse rate, often none either."""
    apart = GRID[GRID != 0].unsqueeze(-1)
    separable = fit(apart, (apart[:, 0] > 0).double(), ones(24), lapse)
    assert separable.loss.item() < 1e-4
    rng = np.random.default_rng(0)
    features, mu = torch.from_numpy(rng.normal(size=(300, 3))), torch.from_numpy(rng.integers(0, 3, 300) / 2)
    counts = torch.from_numpy(rng.multinomial(300, np.full(300, 1 / 300), size=50).astype(float))
    random = fit(features, mu, counts, lapse)
    assert (random.loss <= math.log(2) + 1e-6).all()


def test_a_statistic_that_never_differs_has_no_weight():
    features = torch.cat((GRID, torch.zeros(25, 1, dtype=torch.float64)), dim=1)
    found = fit(features, bradley_terry(GRID[:, 0]), ones(25))
    assert found.weights[0].tolist() == pytest.approx([1.0, 0.0], abs=1e-4)


def test_progress_counts_up_to_the_end():
    seen = []
    compare(made_up(20, 0.5, 0.0), 2, np.random.default_rng(0), progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(9)) and {total for _, total, _ in seen} == {8}


def test_faults_are_named():
    nothing = torch.zeros(0, 2, dtype=torch.float64)
    with pytest.raises(PlauditError, match="no judgements"):
        Pairs(nothing.unsqueeze(-1), nothing, nothing, nothing[:, 0])
    with pytest.raises(ValueError, match="finite"):
        Pairs(torch.full((1, 2, 1), math.nan), torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1))
    with pytest.raises(ValueError, match="mu"):
        Pairs(torch.zeros(1, 2, 1), torch.zeros(1, 2), torch.zeros(1, 2), torch.full((1,), 2.0))
    with pytest.raises(PlauditError, match="replicates must be at least 1"):
        compare(made_up(5, 0.5, 0.0), 0, np.random.default_rng(0))
