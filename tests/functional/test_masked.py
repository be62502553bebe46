"""Masked statistics against numpy on what the mask keeps; running moments against the whole batch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from plaudit.functional.masked import (
    initial_moments,
    masked_mean,
    masked_var,
    normalise,
    update_moments,
    whiten,
)


def sample(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Values, NaN wherever the mask is False, so that any leak shows; at least one True in every row and column."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) < 0.6
    mask.fill_diagonal_(True) if mask.ndim > 1 else mask[0].fill_(True)
    return torch.where(mask, torch.randn(shape, generator=generator, dtype=torch.float64), torch.nan), mask


@given(seed=st.integers(0, 1000))
def test_masked_statistics_equal_numpy_on_what_is_kept(seed: int) -> None:
    x, mask = sample(seed, 4, 4)
    kept = x.numpy()[mask.numpy()]
    assert masked_mean(x, mask).item() == pytest.approx(kept.mean())
    assert masked_var(x, mask).item() == pytest.approx(kept.var())
    for dim in (0, 1):
        np.testing.assert_allclose(masked_mean(x, mask, dim), np.nanmean(x.numpy(), axis=dim))
        np.testing.assert_allclose(masked_var(x, mask, dim), np.nanvar(x.numpy(), axis=dim))


def test_no_mask_is_all_true() -> None:
    x, _ = sample(0, 4, 4)
    x = x.nan_to_num(2.0)
    full = torch.ones_like(x, dtype=torch.bool)
    for function in (masked_mean, masked_var):
        for dim in (None, 0, 1, (0, 1)):
            torch.testing.assert_close(function(x, None, dim), function(x, full, dim))
    torch.testing.assert_close(whiten(x), whiten(x, full))


def test_where_nothing_counts_the_statistics_are_zero() -> None:
    x, mask = torch.full((2, 3), torch.nan), torch.zeros(2, 3, dtype=torch.bool)
    assert masked_mean(x, mask).item() == 0 and masked_var(x, mask).item() == 0
    assert torch.equal(masked_mean(x, mask, 1), torch.zeros(2))


@given(seed=st.integers(0, 1000))
def test_whitened_values_have_mean_zero_and_variance_one(seed: int) -> None:
    x, mask = sample(seed, 6, 6)
    white = whiten(x, mask)
    assert masked_mean(white, mask).item() == pytest.approx(0, abs=1e-9)
    assert masked_var(white, mask).item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(white[~mask], torch.zeros_like(white[~mask]))
    assert masked_mean(whiten(x, mask, shift=False), mask).item() == pytest.approx(masked_mean(x, mask).item())


def test_whiten_by_hand() -> None:
    # mean 3, variance ((-2)^2 + 0 + 2^2) / 3 = 8/3; 2 / sqrt(8/3) = sqrt(3/2)
    root = 1.5**0.5
    torch.testing.assert_close(whiten(torch.tensor([1.0, 3.0, 5.0])), torch.tensor([-root, 0.0, root]))
    kept = whiten(torch.tensor([1.0, 3.0, 5.0]), shift=False)
    torch.testing.assert_close(kept, torch.tensor([3 - root, 3.0, 3 + root]))
    assert torch.equal(whiten(torch.full((3,), 7.0)), torch.zeros(3))


def test_gradients_pass_only_through_what_counts() -> None:
    x, mask = sample(1, 3, 3)
    x = x.nan_to_num(4.0).requires_grad_()
    assert gradcheck(lambda v: masked_mean(v, mask), x)
    assert gradcheck(lambda v: masked_var(v, mask, 1), x)
    assert gradcheck(lambda v: whiten(v, mask), x)
    (gradient,) = torch.autograd.grad(masked_mean(x, mask), x)
    torch.testing.assert_close(gradient, mask / mask.sum().double())


@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 20), max_size=4), masked=st.booleans())
def test_running_moments_over_any_split_equal_those_of_the_whole(seed: int, cuts: list[int], masked: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch = 5 + 3 * torch.randn(20, 2, 3, generator=generator, dtype=torch.float64)
    mask = torch.rand(20, generator=generator) < 0.5
    edges = [0, *sorted(cuts), 20]
    moments = initial_moments((2, 3), torch.float64)
    for start, stop in pairwise(edges):
        moments = update_moments(moments, batch[start:stop], mask[start:stop] if masked else None)
    kept = batch[mask].numpy() if masked else batch.numpy()
    assert moments.count.item() == len(kept)
    if len(kept):
        np.testing.assert_allclose(moments.mean, kept.mean(axis=0))
        np.testing.assert_allclose(moments.var, kept.var(axis=0), atol=1e-12)


def test_running_moments_by_hand() -> None:
    moments = update_moments(initial_moments(), torch.tensor([1.0, 3.0]))
    assert (moments.mean.item(), moments.var.item(), moments.count.item()) == (2, 1, 2)
    # 1, 3, 8: mean 4, squares 9 + 1 + 16 = 26
    moments = update_moments(moments, torch.tensor([8.0]))
    assert moments.mean.item() == pytest.approx(4) and moments.var.item() == pytest.approx(26 / 3)
    # (7 - 4) / sqrt(26/3)
    torch.testing.assert_close(normalise(torch.tensor([7.0]), moments), torch.tensor([3 / (26 / 3) ** 0.5]))
    assert normalise(torch.tensor([1e6, -1e6]), moments, clip=5.0).tolist() == [5, -5]


def test_a_large_offset_does_not_drown_the_variance() -> None:
    # Sums of squares would lose it: 1e4^2 needs every digit that float32 has.
    batch = 1e4 + torch.randn(4096, generator=torch.Generator().manual_seed(0))
    moments = initial_moments()
    for part in batch.split(64):
        moments = update_moments(moments, part)
    assert moments.var.item() == pytest.approx(batch.double().var(correction=0).item(), rel=1e-3)


def test_moments_start_as_the_identity_and_stay_unchanged_by_nothing() -> None:
    start = initial_moments((3,))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(normalise(x, start), x)
    for nothing in (
        update_moments(start, x[:0]),
        update_moments(start, x, torch.zeros(5, dtype=torch.bool)),
    ):
        assert torch.equal(nothing.mean, start.mean) and torch.equal(nothing.var, start.var)
        assert nothing.count.item() == 0


def test_updating_leaves_the_old_moments_alone() -> None:
    start = initial_moments((2,))
    update_moments(start, torch.ones(3, 2))
    assert torch.equal(start.mean, torch.zeros(2)) and start.count.item() == 0
