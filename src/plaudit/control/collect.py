"""Experience: a vector environment behind one call. The true reward leaves through a separate door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd
from plaudit.control.film import Film
from plaudit.control.networks import ActorCritic
from plaudit.functional.masked import Moments, initial_moments, update_moments
from plaudit.types import Array, Trajectory, TrueReward


def states_of(envs: VectorEnv) -> Callable[[], Array] | None:
    """What reads the compact states (B, *state) that clips are drawn from, where there are any.

    A wrapper that shows something else than the environment beneath it has its own.
    """
    return getattr(envs, "states", None) or getattr(envs.unwrapped, "states", None)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive steps of all rows, time-major: arrays (T, B, ...) as :class:`plaudit.types.Trajectory` has them."""

    observations: Array
    actions: Array
    log_probs: Array
    values: Array
    next_values: Array
    ends: Array
    mask: Array
    rewards: Array
    states: Array | None
    episodes: list[float]


def _along_time(arrays: Sequence[Array]) -> Array:
    """Consecutive arrays (T, B, ...) as one (B, T, ...), whose memory stays time-major."""
    return (arrays[0] if len(arrays) == 1 else np.concatenate(arrays)).swapaxes(0, 1)


class VectorCollector:
    """Steps ``B`` environments with a policy and returns (B, T) trajectories without a reward.

    Buffers are time-major, so that each step writes one contiguous row; a Trajectory shows them as (B, T).
    """

    def __init__(
        self,
        envs: VectorEnv,
        policy: ActorCritic,
        sink: Callable[[TrueReward], None],
        visible_ends: bool = False,
        endless: bool = False,
        keep_states: bool = False,
        film: Film | None = None,
    ) -> None:
        """sink: the only place that true rewards go. visible_ends: tell the learner about termination.
        endless: hide even that a new episode began. keep_states: record what clips are drawn from.
        film: its frames are recorded in place of states, from rollout ``film_from`` after a reset."""
        self.envs, self.policy, self.sink = envs, policy, sink
        self.visible_ends, self.endless = visible_ends, endless
        self._states: Callable[[], Array] | None = film or (states_of(envs) if keep_states else None)
        self.film, self.film_from, self._filming = film, 0, True
        self._resting = envs if isinstance(envs, AbsorbAfterEnd) else None
        self._restarting = envs if isinstance(envs, RestartAfterEnd) else None
        self.num_envs = envs.num_envs
        self.rollout = 0
        self.rng = np.random.default_rng(0)
        self.moments = initial_moments(policy.mean.shape)
        self._observed: list[Array] = []  # observations since the last reset, thinned to one step a rollout
        self._observations: Array = np.empty(0)
        self._returns = np.zeros(self.num_envs)
        self._resetting = np.zeros(self.num_envs, bool)
        self._due = self._n_steps = 0  # steps of the environments since the last reset: to be made, and made

    def reset(self, seed: np.random.SeedSequence) -> None:
        """Begin every episode anew: all randomness from here on is a function of ``seed``.

        The policy's observation normaliser moves here and nowhere else, so that the policy that learns from a
        rollout is the one that acted in it.
        """
        if self._observed:
            observations = torch.from_numpy(np.concatenate(self._observed)).flatten(1).float()
            self.moments = update_moments(self.moments, observations)
            self._observed = []
            self.policy.set_normaliser(self.moments.mean, self.moments.var.sqrt())
        environment_seed, action_seed = seed.generate_state(2)
        self.rng = np.random.default_rng(action_seed)
        self._observations, _ = self.envs.reset(seed=int(environment_seed) & 0x7FFFFFF)
        self._returns = np.zeros(self.num_envs)
        self._resetting = np.zeros(self.num_envs, bool)
        self._due = self._n_steps = 0

    def state(self) -> dict[str, torch.Tensor]:
        """Moments, what they have not yet taken in, and the number of the next rollout, for a checkpoint."""
        state = {"mean": self.moments.mean, "var": self.moments.var, "count": self.moments.count}
        if self._observed:
            state["seen"] = torch.from_numpy(np.concatenate(self._observed))
        return state | {"rollout": torch.tensor(self.rollout)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        shape = self.moments.mean.shape
        if state["mean"].shape != shape or state["var"].shape != shape:
            raise ValueError(f"moments of observations {tuple(state['mean'].shape)}, which are {tuple(shape)}")
        self.moments = Moments(state["mean"], state["var"], state["count"])
        self._observed = [state["seen"].numpy()] if "seen" in state else []
        self.rollout = int(state["rollout"])

    def collect(self, steps: int) -> Trajectory:
        """``steps`` more steps in each environment, as one Trajectory (B, T).

        T is ``steps`` where all rows move together. Where rows begin anew one by one, T is as long as it takes until
        they have made ``steps`` steps each on average: repeated ends and resets are not counted.
        """
        self._filming = self.film is None or self._due >= self.film_from * steps * self.num_envs
        self._due += steps * self.num_envs
        chunks = [self._collect_chunk(self._missing(steps))]
        while self._restarting is not None and self._n_steps < self._due:
            chunks.append(self._collect_chunk(self._missing(steps)))
        if self.policy.normalise:  # a copy: a view would keep the whole rollout in memory
            first = chunks[0]
            self._observed.append(first.observations[0][first.mask[0]])
        rewards = _along_time([chunk.rewards for chunk in chunks])
        episodes = [episode for chunk in chunks for episode in chunk.episodes]
        self.sink(TrueReward(self.rollout, rewards, tuple(episodes)))
        self.rollout += 1
        states = None if chunks[0].states is None else _along_time([cast(Array, chunk.states) for chunk in chunks])
        return Trajectory(
            observations=_along_time([chunk.observations for chunk in chunks]),
            actions=_along_time([chunk.actions for chunk in chunks]),
            log_probs=_along_time([chunk.log_probs for chunk in chunks]),
            values=_along_time([chunk.values for chunk in chunks]),
            next_values=_along_time([chunk.next_values for chunk in chunks]),
            ends=_along_time([chunk.ends for chunk in chunks]),
            mask=_along_time([chunk.mask for chunk in chunks]),
            rollout=self.rollout - 1,
            states=states,
        )

    def _missing(self, steps: int) -> int:
        """Steps that every row has to make at least, so that the steps that are due are made."""
        return steps if self._restarting is None else max(1, (self._due - self._n_steps) // self.num_envs)

    def _collect_chunk(self, steps: int) -> Chunk:
        """``steps`` calls of the environments' step."""
        shape = (steps, self.num_envs)
        observations = np.empty((steps, *self._observations.shape), self._observations.dtype)
        log_probs, rewards = np.empty(shape, np.float32), np.empty(shape, np.float32)
        values = np.empty((steps + 1, self.num_envs), np.float32)
        terminations, ends, mask = np.empty(shape, bool), np.empty(shape, bool), np.empty(shape, bool)
        actions: Array | None = None
        states: Array | None = None
        episodes: list[float] = []
        for t in range(steps):
            observations[t] = self._observations
            action, log_probs[t], values[t] = self.policy.act(observations[t], self.rng)
            if actions is None:
                actions = np.empty((steps, *action.shape), action.dtype)
            actions[t] = action
            if self._states is not None and self._filming:
                state = self._states()
                states = np.empty((steps, *state.shape), state.dtype) if states is None else states
                states[t] = state
            mask[t] = ~self._resetting
            if self._resting is not None:
                mask[t] &= ~self._resting.resting
            self._observations, rewards[t], terminations[t], truncated, _ = self.envs.step(
                self.policy.to_environment(action)
            )
            self._n_steps += self.num_envs if self._restarting is None else int(self._restarting.stepped.sum())
            np.logical_or(terminations[t], truncated, out=ends[t])
            self._returns += rewards[t]
            self._resetting = ends[t]
            if ends[t].any():
                episodes.extend(self._returns[ends[t]].tolist())
                self._returns[ends[t]] = 0
        values[steps] = self.policy.value(np.ascontiguousarray(self._observations))
        assert actions is not None
        next_values = values[1:]
        if self.visible_ends:
            next_values = np.where(terminations, np.float32(0), next_values)
        if self.endless:
            ends, mask = np.zeros(shape, bool), np.ones(shape, bool)
        return Chunk(observations, actions, log_probs, values[:-1], next_values, ends, mask, rewards, states, episodes)


def evaluate(
    envs: VectorEnv, policy: ActorCritic, episodes: int, seed: int, greedy: bool = False, max_steps: int = 100_000
) -> Array:
    """True undiscounted returns (episodes,) of ``policy``: for reports and benchmarks, never for learning.

    The first ``episodes / B`` (rounded up) finished episodes of each environment count, so that short episodes
    are not over-represented. An episode that has not ended after ``max_steps`` counts as far as it came.
    """
    rng = np.random.default_rng(seed)
    observations, _ = envs.reset(seed=seed)
    quota = -(-episodes // envs.num_envs)
    finished: list[list[float]] = [[] for _ in range(envs.num_envs)]
    returns = np.zeros(envs.num_envs)
    for _ in range(max_steps):
        actions, _, _ = policy.act(np.ascontiguousarray(observations), rng, greedy)
        observations, rewards, terminated, truncated, _ = envs.step(policy.to_environment(actions))
        returns += rewards
        for row in np.flatnonzero(terminated | truncated):
            finished[row].append(float(returns[row]))
            returns[row] = 0
        if min(len(done) for done in finished) >= quota:
            break
    for row, done in enumerate(finished):
        if not done:
            done.append(float(returns[row]))
    return np.array([value for done in finished for value in done[:quota]])
