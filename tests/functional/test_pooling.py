"""Pooling of an ensemble's rewards, by hand."""

from functools import partial
from typing import get_args

import pytest
import torch

from plaudit.functional.pooling import Pooling, pool


def test_pooling_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0], [3.0, -4.0]], dtype=torch.float64, requires_grad=True)  # two members
    assert pool(rewards, "mean", 0.5).tolist() == [2, -1]
    assert pool(rewards, "worst", 0.5).tolist() == [1, -4]
    assert pool(rewards, "uncertain", 0.5).tolist() == [1.5, -5.5]  # variances 1 and 9
    for pooling in get_args(Pooling):
        assert torch.autograd.gradcheck(partial(pool, pooling=pooling, caution=0.5), rewards)


@pytest.mark.parametrize("pooling", ["mean", "worst", "uncertain"])
def test_one_member_is_its_own_pool(pooling: Pooling) -> None:
    rewards = torch.randn(1, 5)
    assert torch.equal(pool(rewards, pooling, 2.0), rewards[0])
