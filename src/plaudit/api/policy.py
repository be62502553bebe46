"""``plaudit.load_policy``."""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from plaudit.api.agents import as_batch, environment_of, open_agent
from plaudit.control.make import flattening_in, scoreboard_rows
from plaudit.control.networks import ActorCritic
from plaudit.run.control.look import policy_of
from plaudit.run.record import RunFolder
from plaudit.types import Array, PlauditError


class TrainedPolicy:
    """The policy of a run, as it was at a checkpoint.

    Attributes:
        run: the run.
        observation_space: space of one observation, as the policy sees it.
        action_space: space of one action.
    """

    def __init__(self, run: RunFolder[Any], network: ActorCritic, envs: VectorEnv, seed: int | None) -> None:
        """envs: the run's environment, for its spaces."""
        self.run, self.network = run, network
        self.observation_space = cast(spaces.Box, envs.single_observation_space)  # the network takes nothing else
        self.action_space: spaces.Space = envs.single_action_space
        self._flattening = flattening_in(envs)
        self._rng = np.random.default_rng(seed)
        self._blank_rows = scoreboard_rows(run.config.environment.id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.run.folder)!r}, {self.run.config.environment.id})"

    def predict(
        self,
        observation: object,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Choose actions, by the convention of stable-baselines3.

        Args:
            observation: one observation, of the shape of ``observation_space`` or as the environment shows it (a Dict,
                Tuple or number), or a batch (B, ...) of them.
            state: returned as it is, because the policy looks at the latest observation only.
            episode_start: not used, for the same reason.
            deterministic: take the most probable action instead of a sample.

        Returns:
            The action (a number for a discrete space, an array of the shape of other spaces, within their bounds), or
            actions (B, ...) for a batch; and ``state``.

        Raises:
            PlauditError: the observation has another shape or dtype than the run's.
        """
        observations, single = as_batch(observation, self.observation_space, self.run, self._flattening)
        if self._blank_rows:
            observations[..., : self._blank_rows, :] = 0
        actions, _, _ = self.network.act(observations, self._rng, deterministic)
        actions = self._clip(self.network.to_environment(actions))
        return (actions[0] if single else actions), state

    def _clip(self, actions: Array) -> Array:
        if not isinstance(self.action_space, spaces.Box):
            return actions
        return np.clip(actions, self.action_space.low, self.action_space.high).astype(self.action_space.dtype)


def load_policy(
    run: RunFolder[Any] | str | os.PathLike[str],
    *,
    checkpoint: str | int = "last",
    seed: int | None = None,
    trust: bool = False,
) -> TrainedPolicy:
    """Load the policy of a run on an environment.

    Args:
        run: the run's folder, or the run that `plaudit.train`, `plaudit.clone` or `plaudit.dagger` returned.
        checkpoint: ``"last"``, ``"first"`` (the untrained policy), or the round of another one that was kept.
        seed: of the actions that are sampled; None: another sequence each time.
        trust: import the modules that the settings of somebody else's run name.

    Returns:
        A policy whose ``predict(observation)`` returns ``(action, state)``.

    Raises:
        PlauditError: the folder holds no run, a damaged one or one on a language model; it has no such checkpoint, or
            none yet; somebody else made the run, and its settings name programs or files, which the message lists.
    """
    if seed is not None and (not isinstance(seed, int) or seed < 0):
        raise PlauditError(f"seed must be a whole number from 0, or None, got {seed!r}")
    opened = open_agent(run, trust)
    stored = opened.load(opened.find_checkpoint(checkpoint) if opened.checkpoints() else None)
    with environment_of(opened) as envs:
        network = policy_of(opened, stored, envs)
        return TrainedPolicy(opened, network.eval(), envs, seed)
