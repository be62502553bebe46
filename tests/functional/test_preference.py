"""Preference models against values worked by hand, their limits, and each other."""

from itertools import permutations
from math import comb, exp, inf, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from plaudit.feedback.quality.davidson import log_likelihood, log_probabilities, tally
from plaudit.feedback.select import preferences
from plaudit.functional.calibration import logistic
from plaudit.functional.preference import (
    bradley_terry,
    bradley_terry_loss,
    end_value,
    partial_return,
    plackett_luce_loss,
    regret_statistic,
)
from plaudit.types import Array

reals = st.floats(-20, 20)


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_close(actual: Tensor, expected: Tensor | list[float] | list[list[float]], atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), atol=atol, rtol=1e-7)


# --- segment statistics


def test_partial_return_discounts_from_the_first_step() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 8.0]])
    assert_close(partial_return(rewards), [7.0, 8.0])
    # 1 + 2/2 + 4/4 = 3 and 8/4 = 2
    assert_close(partial_return(rewards, 0.5), [3.0, 2.0])


def test_partial_return_ignores_what_is_masked() -> None:
    rewards = torch.tensor([1.0, 2.0, float("nan")])
    assert_close(partial_return(rewards, 0.5, torch.tensor([True, True, False])), torch.tensor(2.0))


def test_end_value_and_regret_by_hand() -> None:
    rewards, start, end = f64(1, 2, 4), f64(10)[0], f64(16)[0]
    # gamma 1/2, three steps: 3 + 16/8 = 5; less V(start) 10 is -5
    assert_close(end_value(rewards, end, 0.5), f64(5)[0])
    assert_close(regret_statistic(rewards, start, end, 0.5), f64(-5)[0])


def test_an_optimal_segment_has_no_regret() -> None:
    # A corridor of cost 1 a step and 5 steps to a goal worth 10: V = 10 - distance.
    rewards = f64(-1, -1, -1)
    assert_close(regret_statistic(rewards, f64(10 - 5)[0], f64(10 - 2)[0]), f64(0)[0])
    # Standing still for three steps instead loses 3.
    assert_close(regret_statistic(rewards, f64(10 - 5)[0], f64(10 - 5)[0]), f64(-3)[0])


@given(shift=reals, gamma=st.sampled_from([1.0, 0.9]))
def test_a_constant_added_to_every_reward_changes_no_preference_of_equal_lengths(shift: float, gamma: float) -> None:
    first, second = torch.linspace(-1, 2, 7, dtype=torch.float64), torch.linspace(3, -4, 7, dtype=torch.float64)
    before = partial_return(first, gamma) - partial_return(second, gamma)
    after = partial_return(first + shift, gamma) - partial_return(second + shift, gamma)
    assert_close(after, before, atol=1e-10)


# --- Bradley-Terry


def test_bradley_terry_by_hand() -> None:
    # sigmoid(log 3) = 3/4; with a lapse of 10 %: 0.9 * 0.75 + 0.05 = 0.725
    assert_close(bradley_terry(f64(log(3))), [0.75])
    assert_close(bradley_terry(f64(log(3)), 0.1), [0.725])


def test_bradley_terry_loss_by_hand() -> None:
    delta, mu = f64(log(3), log(3), log(3)), f64(1, 0, 0.5)
    assert_close(bradley_terry_loss(delta, mu), [-log(0.75), -log(0.25), -(log(0.75) + log(0.25)) / 2])
    assert_close(bradley_terry_loss(delta, mu, 0.1), [-log(0.725), -log(0.275), -(log(0.725) + log(0.275)) / 2])


@given(delta=reals, mu=st.floats(0, 1), lapse=st.sampled_from([0.0, 0.1, 1.0]))
def test_swapping_the_segments_changes_nothing(delta: float, mu: float, lapse: float) -> None:
    assert_close(bradley_terry(f64(delta), lapse) + bradley_terry(f64(-delta), lapse), [1.0])
    assert_close(bradley_terry_loss(f64(delta), f64(mu), lapse), bradley_terry_loss(f64(-delta), f64(1 - mu), lapse))


@given(delta=reals, mu=st.floats(0, 1), lapse=st.floats(0.001, 0.9))
def test_a_fitted_lapse_gives_the_same_loss_as_a_fixed_one(delta: float, mu: float, lapse: float) -> None:
    assert_close(bradley_terry_loss(f64(delta), f64(mu), f64(lapse)[0]), bradley_terry_loss(f64(delta), f64(mu), lapse))


@pytest.mark.parametrize("lapse", [0.0, 0.1, torch.tensor(0.0), torch.tensor(0.1)])
def test_extreme_differences_keep_loss_and_gradient_finite(lapse: float | Tensor) -> None:
    delta = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0], requires_grad=True)
    loss = bradley_terry_loss(delta, torch.tensor([1.0, 1.0, 0.5, 0.0, 1.0]), lapse)
    (gradient,) = torch.autograd.grad(loss.sum(), delta)
    assert gradient.isfinite().all()
    if float(lapse) == 0:
        assert_close(loss, [0.0, 1e4, 5e3, 0.0, log(2)])
        assert_close(gradient, [0.0, -1.0, 0.5, 0.0, -0.5])
    else:  # the worst that a lapsing person can say costs -log(lapse / 2)
        assert_close(loss, [-log(0.95), -log(0.05), -(log(0.05) + log(0.95)) / 2, -log(0.95), log(2)], atol=1e-6)


def test_small_losses_keep_their_digits_in_float32() -> None:
    # -log sigmoid(15) = log(1 + e^-15) = 3.059e-7, far below the spacing of float32 near 15
    loss = bradley_terry_loss(torch.tensor([15.0, -15.0]), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(loss, torch.tensor([1.0, 1.0]) * log(1 + exp(-15)), rtol=1e-5, atol=0)


@pytest.mark.parametrize("fitted", [False, True])
def test_bradley_terry_gradients(fitted: bool) -> None:
    delta, mu = f64(-3, 0.2, 5, 40).requires_grad_(), f64(1, 0.5, 0.3, 0)
    assert gradcheck(lambda d: bradley_terry_loss(d, mu), delta)
    lapse = f64(0.1, 0.2, 0.3, 0.4).requires_grad_(fitted)
    assert gradcheck(lambda d, share: bradley_terry_loss(d, mu, share), (delta, lapse))


def test_arguments_broadcast_over_an_ensemble() -> None:
    delta, mu, lapse = torch.randn(3, 5).double(), torch.rand(5).double(), f64(0.1, 0.2, 0.3)[:, None]
    loss = bradley_terry_loss(delta, mu, lapse)
    for member in range(3):
        assert_close(loss[member], bradley_terry_loss(delta[member], mu, float(lapse[member, 0])))


@given(delta=reals)
def test_the_loss_is_smallest_where_the_model_agrees_with_mu(delta: float) -> None:
    mu = bradley_terry(f64(delta))
    entropy = bradley_terry_loss(f64(delta), mu)
    for other in (delta - 0.5, delta + 0.5):
        assert (bradley_terry_loss(f64(other), mu) > entropy).all()


# --- Bradley-Terry in numpy, where torch may not be imported


def test_numpy_and_torch_agree_by_hand() -> None:
    # log 4, log 1 and log 1/3: 4 / 5, 1 / 2 and 1 / 4
    delta = f64(log(4), 0.0, log(1 / 3))
    for probability in (bradley_terry(delta).numpy(), *in_numpy(delta)):
        np.testing.assert_allclose(probability, [0.8, 0.5, 0.25], rtol=1e-15)


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=20))
def test_numpy_and_torch_agree(deltas: list[float]) -> None:
    """Selection and simulated annotators use ``logistic``, rankings of items ``log_probabilities`` without ties."""
    for probability in in_numpy(f64(*deltas)):
        np.testing.assert_allclose(probability, bradley_terry(f64(*deltas)).numpy(), rtol=1e-12, atol=5e-16)
    votes, nats = tally(np.ones(len(deltas))), bradley_terry_loss(f64(*deltas), f64(1.0))
    likelihood = log_likelihood(votes, log_probabilities(np.array(deltas), -inf))
    np.testing.assert_allclose(likelihood, -nats.sum().item(), rtol=1e-12, atol=1e-14)


def in_numpy(delta: Tensor) -> tuple[Array, Array, Array]:
    """P[first better] (N,) by each function of numpy's."""
    returns = torch.stack((delta, torch.zeros_like(delta)), dim=-1)[None].numpy()
    return (
        logistic(delta.numpy()),
        preferences(returns)[0],
        np.exp(log_probabilities(delta.numpy(), -inf)[:, 0]),
    )


# --- Plackett-Luce


def product_form(scores: Tensor, order: tuple[int, ...]) -> Tensor:
    """-log P[order], stage by stage, as Plackett wrote it."""
    weights = scores.exp()
    return -torch.stack([(weights[i] / weights[list(order[n:])].sum()).log() for n, i in enumerate(order)]).sum()


def ranks_of(order: tuple[int, ...]) -> Tensor:
    return torch.tensor(order).argsort()


def test_plackett_luce_by_hand() -> None:
    # weights 1, 2, 3; order third, second, first: 3/6 * 2/3 * 1 = 1/3
    scores = f64(log(1), log(2), log(3))
    assert_close(plackett_luce_loss(scores, torch.tensor([2, 1, 0])), f64(log(3))[0])
    # first and second tied behind the third: the other order has 3/6 * 1/3 = 1/6, mean of -log is (log 3 + log 6) / 2
    assert_close(plackett_luce_loss(scores, torch.tensor([1, 1, 0])), f64((log(3) + log(6)) / 2)[0])
    # first and second tied before the third: 1/6 * 2/5 = 1/15 and 2/6 * 1/4 = 1/12
    assert_close(plackett_luce_loss(scores, torch.tensor([0, 0, 7])), f64((log(15) + log(12)) / 2)[0])


@given(scores=st.lists(reals, min_size=4, max_size=4))
def test_probabilities_of_all_orders_sum_to_one(scores: list[float]) -> None:
    orders = list(permutations(range(4)))
    ranks = torch.stack([ranks_of(order) for order in orders])
    loss = plackett_luce_loss(f64(*scores).expand(len(orders), 4), ranks)
    assert_close(loss, torch.stack([product_form(f64(*scores), order) for order in orders]), atol=1e-9)
    assert_close((-loss).exp().sum(), f64(1)[0])


@given(first=reals, second=reals)
def test_a_ranking_of_two_is_a_comparison(first: float, second: float) -> None:
    scores = f64(first, second).expand(3, 2)
    ranks = torch.tensor([[0, 1], [1, 0], [0, 0]])
    assert_close(plackett_luce_loss(scores, ranks), bradley_terry_loss(scores[:, 0] - scores[:, 1], f64(1, 0, 0.5)))


@given(ranks=st.lists(st.integers(0, 3), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_ties_average_over_every_order_that_agrees(ranks: list[int], seed: int) -> None:
    scores = torch.randn(len(ranks), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    agreeing = [order for order in permutations(range(len(ranks))) if [ranks[i] for i in order] == sorted(ranks)]
    expected = torch.stack([product_form(scores, order) for order in agreeing]).mean()
    assert_close(plackett_luce_loss(scores, torch.tensor(ranks)), expected)


@given(ranks=st.lists(st.integers(0, 3), min_size=4, max_size=4), real=st.lists(st.booleans(), min_size=4, max_size=4))
def test_padding_items_count_for_nothing(ranks: list[int], real: list[bool]) -> None:
    mask, scores = torch.tensor(real), f64(0.3, -1, 2, 0.5)
    padded = torch.where(mask, scores, torch.nan)
    expected = plackett_luce_loss(scores[mask], torch.tensor(ranks)[mask]) if any(real) else f64(0)[0]
    assert_close(plackett_luce_loss(padded, torch.tensor(ranks), mask), expected)


def test_nine_items_all_tied_have_the_mean_over_subsets() -> None:
    # Equal scores: at each stage one of n remaining, whatever the order: log 9!
    loss = plackett_luce_loss(torch.zeros(2, 9, dtype=torch.float64), torch.zeros(2, 9, dtype=torch.int64))
    expected = sum(log(n) for n in range(1, 10))
    assert_close(loss, [expected, expected])
    # One item of weight w among 9 tied: it is still there at a stage of n items in C(8, n-1) / C(9, n) = n/9 of them.
    w = 5.0
    scores = torch.zeros(9, dtype=torch.float64)
    scores[0] = log(w)
    there = sum(comb(8, n - 1) / comb(9, n) * log(w + n - 1) for n in range(1, 10))
    gone = sum(comb(8, n) / comb(9, n) * log(n) for n in range(1, 9))
    assert_close(plackett_luce_loss(scores, torch.zeros(9, dtype=torch.int64)), f64(there + gone - log(w))[0])


def test_a_common_offset_changes_no_ranking_and_extremes_stay_finite() -> None:
    scores, ranks = torch.tensor([[0.5, -0.25, 2.0]]), torch.tensor([[1, 0, 1]])
    torch.testing.assert_close(plackett_luce_loss(scores + 4096, ranks), plackett_luce_loss(scores, ranks))
    extreme = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = plackett_luce_loss(extreme, torch.tensor([[1, 0, 2]]))
    (gradient,) = torch.autograd.grad(loss.sum(), extreme)
    # the worst is drawn first: log(sum of all) - (-1e4) = 2e4; then 1e4 before 0 costs nothing
    assert_close(loss, [2e4])
    assert_close(gradient, [[1.0, -1.0, 0.0]])


def test_plackett_luce_gradients() -> None:
    scores = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    ranks = torch.tensor([[0, 1, 2, 3], [1, 0, 1, 1], [5, 5, 0, 0]])
    assert gradcheck(lambda s: plackett_luce_loss(s, ranks), scores)
    assert gradcheck(lambda s: plackett_luce_loss(s, ranks, ranks < 3), scores)


def test_twelve_items_are_the_most() -> None:
    # the first of twelve equal scores, then the next ...: log 12!
    loss = plackett_luce_loss(torch.zeros(12, dtype=torch.float64), torch.arange(12))
    assert_close(loss, f64(sum(log(n) for n in range(1, 13)))[0])
    with pytest.raises(ValueError, match="13 items is too long"):
        plackett_luce_loss(torch.zeros(13), torch.arange(13))
