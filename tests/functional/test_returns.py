"""Returns and advantages against arithmetic by hand, the definition, and each other."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from plaudit.functional.returns import cloning_advantages, gae


def experience(seed: int, batch: int = 3, time: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """rewards, values, next_values, ends; as in a trajectory, next_values is the next step's value unless cut."""
    generator = torch.Generator().manual_seed(seed)
    rewards, values, bootstrap = torch.randn(3, batch, time, generator=generator, dtype=torch.float64)
    ends = torch.rand(batch, time, generator=generator) < 0.3
    next_values = torch.where(ends, bootstrap, values.roll(-1, dims=1))
    next_values[:, -1] = bootstrap[:, -1]
    return rewards, values, next_values, ends


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def discounted_returns(rewards: Tensor, next_values: Tensor, ends: Tensor, gamma: float) -> Tensor:
    """G_t = r_t + gamma G_{t+1}, step by step; after an end, and after the last step, G_{t+1} is next_values_t."""
    returns = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        future = next_values[row, -1]
        for t in reversed(range(rewards.shape[1])):
            future = rewards[row, t] + gamma * (next_values[row, t] if ends[row, t] else future)
            returns[row, t] = future
    return returns


def test_lambda_one_without_values_is_the_discounted_return_by_hand() -> None:
    rewards, ends = rows([1, 2, 4], [1, 2, 4]), torch.tensor([[False, False, False], [True, False, True]])
    # backwards, gamma 1/2: 4; 2 + 4/2 = 4; 1 + 4/2 = 3. Second row: 4; 2 + 4/2 = 4; cut: 1.
    nothing = torch.zeros_like(rewards)
    torch.testing.assert_close(gae(rewards, nothing, nothing, ends, 0.5, 1.0), rows([3, 4, 4], [1, 4, 4]))
    # With 8 after an end and the last step. First: 4 + 8/2 = 8; 2 + 8/2 = 6; 1 + 6/2 = 4. Second: 8; 6; 1 + 8/2 = 5.
    values = rows([0, 0, 0], [0, 0, 0])
    next_values = rows([0, 0, 8], [8, 0, 8])
    torch.testing.assert_close(gae(rewards, values, next_values, ends, 0.5, 1.0), rows([4, 6, 8], [5, 6, 8]))
    torch.testing.assert_close(discounted_returns(rewards, next_values, ends, 0.5), rows([4, 6, 8], [5, 6, 8]))


def test_gae_by_hand() -> None:
    rewards, values = rows([1, 2, 4]), rows([1, 1, 1])
    next_values, ends = rows([1, 1, 2]), torch.tensor([[False, False, False]])
    # gamma 1/2, lambda 1/2: delta = 1 + .5 - 1 = .5, 2 + .5 - 1 = 1.5, 4 + 1 - 1 = 4
    # A_3 = 4; A_2 = 1.5 + 4/4 = 2.5; A_1 = .5 + 2.5/4 = 1.125
    torch.testing.assert_close(gae(rewards, values, next_values, ends, 0.5, 0.5), rows([1.125, 2.5, 4]))
    # An end after the first step cuts there: A_1 = delta_1.
    ends = torch.tensor([[True, False, False]])
    torch.testing.assert_close(gae(rewards, values, next_values, ends, 0.5, 0.5), rows([0.5, 2.5, 4]))


@given(seed=st.integers(0, 1000), gamma=st.floats(0, 1))
def test_lambda_zero_is_the_td_error(seed: int, gamma: float) -> None:
    rewards, values, next_values, ends = experience(seed)
    advantages = gae(rewards, values, next_values, ends, gamma, 0.0)
    torch.testing.assert_close(advantages, rewards + gamma * next_values - values)


@given(seed=st.integers(0, 1000), gamma=st.floats(0, 1))
def test_lambda_one_is_the_return_minus_the_value(seed: int, gamma: float) -> None:
    rewards, values, next_values, ends = experience(seed)
    advantages = gae(rewards, values, next_values, ends, gamma, 1.0)
    torch.testing.assert_close(advantages, discounted_returns(rewards, next_values, ends, gamma) - values)


@given(seed=st.integers(0, 1000), lam=st.floats(0, 1))
def test_nothing_after_an_end_reaches_what_is_before(seed: int, lam: float) -> None:
    rewards, values, next_values, ends = experience(seed)
    ends[:, 2] = True
    before = gae(rewards, values, next_values, ends, 0.9, lam)[:, :3]
    rewards[:, 3:] += 100
    values[:, 3:] -= 50
    torch.testing.assert_close(gae(rewards, values, next_values, ends, 0.9, lam)[:, :3], before)


@given(seed=st.integers(0, 1000), lam=st.floats(0, 0.95))
def test_gae_is_the_weighted_mean_of_n_step_advantages(seed: int, lam: float) -> None:
    # Schulman et al. 2016, eq. 16, from its definition: (1 - lam) sum_n lam^(n-1) A^(n), the last n having the rest.
    rewards, values, next_values, _ = experience(seed, batch=1)
    ends = torch.zeros(1, 6, dtype=torch.bool)
    next_values[:, :-1] = values[:, 1:]
    gamma, expected = 0.9, 0.0
    for n in range(1, 7):
        partial = sum(gamma**k * rewards[0, k] for k in range(n)) + gamma**n * next_values[0, n - 1] - values[0, 0]
        expected += (1 - lam if n < 6 else 1) * lam ** (n - 1) * partial
    torch.testing.assert_close(gae(rewards, values, next_values, ends, gamma, lam)[0, 0], expected)


def test_memory_order_does_not_matter_and_inputs_are_left_alone() -> None:
    inputs = experience(5)
    rewards, values, next_values, ends = inputs
    copies = [x.clone() for x in inputs]
    time_major = r, v, n, e = [x.T.contiguous().T for x in inputs]
    expected = gae(rewards, values, next_values, ends, 0.9, 0.8)
    torch.testing.assert_close(gae(r, v, n, e, 0.9, 0.8), expected)
    for original, batch_major, other in zip(copies, inputs, time_major, strict=True):
        assert torch.equal(original, batch_major) and torch.equal(original, other)


def test_float32_stays_float32_and_carries_no_gradient() -> None:
    rewards, values, next_values, ends = experience(1)
    advantages = gae(rewards.float(), values.float().requires_grad_(), next_values.float(), ends, 0.9, 0.8)
    assert advantages.dtype == torch.float32 and not advantages.requires_grad


def test_the_first_of_the_best_of_each_group_is_imitated() -> None:
    returns, groups = torch.tensor([1.0, 3.0, -5.0, -2.0, 3.0, -2.0, 7.0]), torch.tensor([0, 0, 1, 1, 0, 1, 2])
    assert cloning_advantages(returns, groups).tolist() == [0, 1, 0, 1, 0, 0, 1]
