"""Action spaces: how an action is stored, how likely it is, and what the environment and the reward model get of it.

Discrete, MultiDiscrete and MultiBinary actions are independent choices (:class:`Choices`), Box actions are numbers in
units of half their range (:class:`Numbers`).
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from plaudit.functional.objective import categorical_entropy
from plaudit.types import Array, PlauditError

TINY = np.float32(1e-30)  # an exponential draw can be exactly 0
UNBOUNDED = 2.0**31 - 1  # a bound so far away is none: the least and the largest value of a number type
MOST_OUTPUTS = 1_000_000  # numbers that describe an action: a network's outputs
IMPOSSIBLE = -1e9  # logit of an option that a choice does not have: finite, because 0 * -inf is not a number


class Choices:
    """K independent choices: one of a Discrete space, several of a MultiDiscrete one, one bit each of a MultiBinary.

    Actions are stored counted from 0: (B,) for a Discrete space, (B, K) otherwise. ``width`` numbers describe an action
    and its distribution: a logit for every option of every choice, or one for every bit.
    """

    def __init__(self, space: spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary) -> None:
        self.single, self.binary = isinstance(space, spaces.Discrete), isinstance(space, spaces.MultiBinary)
        self.shape: tuple[int, ...] = () if isinstance(space, spaces.Discrete) else tuple(space.shape)
        if isinstance(space, spaces.MultiBinary):
            self.counts, self.starts = np.full(prod(self.shape), 2), np.zeros(prod(self.shape), np.int64)
        elif isinstance(space, spaces.Discrete):
            self.counts, self.starts = np.array([space.n], np.int64), np.array([space.start], np.int64)
        else:
            self.counts, self.starts = np.asarray(space.nvec, np.int64).ravel(), np.asarray(space.start).ravel()
        self.dtype = space.dtype
        self.width = len(self.counts) if self.binary else int(self.counts.sum())
        options = np.arange(self.counts.max())
        self._valid = options < self.counts[:, None]  # (K, M): the options that each choice has
        self._offsets = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def sample(self, logits: Array, rng: np.random.Generator, greedy: bool) -> tuple[Array, Array]:
        """Actions, drawn or the likeliest, and their log-probabilities (B,), from logits (B, width)."""
        shifted = logits if self.single else self._table(torch.from_numpy(logits)).numpy()
        shifted = shifted - shifted.max(axis=-1, keepdims=True)
        if greedy:
            actions = shifted.argmax(axis=-1)
        else:  # the Gumbel-max trick: argmax(logit - log E), E ~ Exp(1), is a sample of the softmax
            noise = rng.standard_exponential(shifted.shape, dtype=np.float32)
            actions = (shifted - np.log(noise + TINY)).argmax(axis=-1)
        if self.single:
            return actions, shifted[np.arange(len(shifted)), actions] - np.log(np.exp(shifted).sum(axis=1))
        picked = np.take_along_axis(shifted, actions[..., None], axis=-1)[..., 0]
        return actions, (picked - np.log(np.exp(shifted).sum(axis=-1))).sum(axis=-1)

    def evaluate(
        self, logits: Float[Tensor, "N width"], actions: Shaped[Tensor, "N *choices"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """log pi(a) and the entropy, with gradients: sums over the choices, which are independent."""
        if self.single:
            log_pi = logits.log_softmax(dim=-1)
            return log_pi.gather(1, actions.long()[:, None])[:, 0], categorical_entropy(log_pi)
        log_pi = self._table(logits).log_softmax(dim=-1)
        picked = log_pi.gather(2, actions.long()[..., None])[..., 0]
        return picked.sum(dim=-1), categorical_entropy(log_pi).sum(dim=-1)

    def encode(self, actions: Shaped[Tensor, "N *choices"]) -> Float[Tensor, "N width"]:
        """Ones and zeros for a network: one-hot for each choice, or the bits themselves."""
        if self.single:
            return nn.functional.one_hot(actions.long(), self.width).float()
        if self.binary:
            return actions.float()
        columns = actions.long() + torch.from_numpy(self._offsets).to(actions.device)
        return torch.zeros(len(actions), self.width, device=actions.device).scatter_(1, columns, 1.0)

    def to_environment(self, actions: Array) -> Array:
        """Stored actions as the environment counts and shapes them."""
        if self.single:
            return actions + self.starts[0] if self.starts[0] else actions
        return (actions + self.starts).reshape(len(actions), *self.shape).astype(self.dtype)

    def from_environment(self, actions: Array) -> Array:
        """The environment's actions (B, *shape) as they are stored."""
        actions = np.asarray(actions, np.int64)
        return actions - self.starts[0] if self.single else actions.reshape(len(actions), -1) - self.starts

    def _table(self, logits: Tensor) -> Tensor:
        """Logits (N, K, M): a row for each choice, and IMPOSSIBLE where it has fewer than M options."""
        if self.binary:
            return torch.stack((torch.zeros_like(logits), logits), dim=-1)
        table = logits.new_full((len(logits), *self._valid.shape), IMPOSSIBLE)
        table[:, torch.from_numpy(self._valid).to(logits.device)] = logits
        return table


class Numbers:
    """Actions of a Box, stored flat (B, width) in units of half their range around its middle.

    A number without bounds is stored as it is; one with a single bound is counted from one unit inside of it.
    """

    def __init__(self, space: spaces.Box) -> None:
        self.shape, self.dtype, self.width = space.shape, np.dtype(space.dtype), prod(space.shape)
        low, high = space.low.ravel(), space.high.ravel()
        self._low, self._high = low, high
        if space.dtype not in (np.float32, np.float64):
            low, high = low.astype(np.float64), high.astype(np.float64)
        has_low, has_high = low > -UNBOUNDED, high < UNBOUNDED
        self.bounded = bool(has_low.all() and has_high.all())
        if not self.bounded:  # what is infinite takes no part in the arithmetic
            low = np.where(has_low, low, np.where(has_high, high - 2, -1)).astype(low.dtype)
            high = np.where(has_high, high, np.where(has_low, low + 2, 1)).astype(low.dtype)
        self.centre, self.half_range = (high + low) / 2, (high - low) / 2
        self.least = np.where(has_low, np.float32(-1), np.float32(-np.inf))
        self.most = np.where(has_high, np.float32(1), np.float32(np.inf))

    def encode(self, actions: Float[Tensor, "N *action"]) -> Float[Tensor, "N width"]:
        """What the environment received, in stored units: clipped where there are bounds."""
        actions = actions.flatten(1).float()
        if self.bounded:
            return actions.clamp(-1, 1)
        return actions.clamp(*(torch.from_numpy(bound).to(actions.device) for bound in (self.least, self.most)))

    def to_environment(self, actions: Array) -> Array:
        """Clipped and scaled; whole numbers are rounded. Clipped again, because scaling can round beyond a bound."""
        scaled = self.centre + self.half_range * np.clip(actions, self.least, self.most)
        if self.dtype.kind != "f":
            scaled = np.rint(scaled)
        elif self.dtype == np.float32:
            scaled = scaled.astype(np.float32)
        scaled = np.clip(scaled, self._low, self._high)
        return scaled.astype(self.dtype).reshape(len(actions), *self.shape)

    def from_environment(self, actions: Array) -> Array:
        """The environment's actions (B, *shape) as they are stored; a number with only one value is stored as 0."""
        flat = np.asarray(actions).reshape(len(actions), -1)
        return ((flat - self.centre) / np.where(self.half_range == 0, 1, self.half_range)).astype(np.float32)


def actions_of(space: spaces.Space) -> Choices | Numbers:
    """How the actions of a space are stored.

    Raises:
        PlauditError: a space that networks cannot act in.
    """
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        count = flatdim(space)
        if not 1 <= count <= MOST_OUTPUTS:
            raise PlauditError(
                f"action space {' '.join(str(space).split())} has {count:,} options, and a policy has 1 to "
                f"{MOST_OUTPUTS:,}: wrap the environment in a gymnasium.ActionWrapper with another action_space"
            )
        return Choices(space)
    if isinstance(space, spaces.Box) and prod(space.shape):
        return Numbers(space)
    name = " ".join(str(space).split())
    raise PlauditError(
        f"action space {name} is not supported: wrap the environment in a gymnasium.ActionWrapper whose action_space "
        "is a Discrete, MultiDiscrete, MultiBinary or Box"
    )
