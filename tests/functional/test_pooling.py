"""Pooling of an ensemble's rewards, by hand."""

import pytest
import torch

from plaudit.functional.pooling import pool


def test_pooling_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0], [3.0, -4.0]], dtype=torch.float64, requires_grad=True)  # two members
    assert pool(rewards, "mean", 0.5).tolist() == [2, -1]
    assert pool(rewards, "worst", 0.5).tolist() == [1, -4]
    assert pool(rewards, "uncertain", 0.5).tolist() == [1.5, -5.5]  # variances 1 and 9
    for pooling in ("mean", "worst", "uncertain"):
        assert torch.autograd.gradcheck(lambda x, pooling=pooling: pool(x, pooling, 0.5), rewards)


@pytest.mark.parametrize("pooling", ["mean", "worst", "uncertain"])
def test_one_member_is_its_own_pool(pooling: str) -> None:
    rewards = torch.randn(1, 5)
    assert torch.equal(pool(rewards, pooling, 2.0), rewards[0])  # type: ignore[arg-type]
