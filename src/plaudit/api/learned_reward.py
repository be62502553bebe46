"""``plaudit.LearnedReward``: an environment whose reward is the one that a run learned."""

from __future__ import annotations

import copy
import os
import warnings
from typing import Any, cast, get_args

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from plaudit.api.agents import environment_of, open_run
from plaudit.control.ends import REPEATS, AbsorbAfterEnd, RestartAfterEnd, can_restart
from plaudit.control.make import Ends, scoreboard_rows
from plaudit.control.observations import flattening_of, one_line
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.run.control.config import Run
from plaudit.run.control.look import reward_model_of
from plaudit.types import Array, PlauditError


class RunReward:
    """The reward model of a run, for observations and actions as the environment has them."""

    def __init__(self, run: Run | str | os.PathLike[str], trust: bool = False) -> None:
        """Raises `PlauditError` as `LearnedReward` does."""
        self.run = open_run(run, trust)
        checkpoint = self.run.load()
        with environment_of(self.run) as envs:
            model = reward_model_of(self.run, checkpoint, envs)
            self.observation_space = cast(spaces.Box, envs.single_observation_space)
            self.action_space = envs.single_action_space
            self.horizon = envs.horizon if isinstance(envs, AbsorbAfterEnd | RestartAfterEnd) else None
        if model is None or not int(model.fits):
            raise PlauditError(f"{self.run.folder} has not learned a reward: train it further, or name another run")
        self.model: RewardEnsemble = model
        environment = self.run.config.environment
        self.ends: Ends = environment.ends or ("continue" if environment.atari else "absorb")
        self.repeats = max(REPEATS, self.run.config.feedback.length)
        self._blank_rows = scoreboard_rows(environment.id)

    def __call__(self, observations: Array, actions: Array) -> Array:
        """Rewards (B,) float32 of actions (B,) or (B, A), taken when (B, *observation) was seen.

        Raises:
            PlauditError: the environment has not been reset; an action is not one of the environment's.
        """
        if not observations.size:
            raise PlauditError("the environment has not begun an episode: call reset() before step()")
        if self._blank_rows:
            observations = observations.copy()
            observations[..., : self._blank_rows, :] = 0
        try:
            stored = self.model.actions.from_environment(actions)
            return self.model.step_rewards(np.ascontiguousarray(observations), np.ascontiguousarray(stored))
        except (TypeError, ValueError, RuntimeError) as error:
            raise PlauditError(
                f"the environment's actions are {len(observations)} of {one_line(self.action_space)}, got "
                f"{' '.join(repr(actions).split())}"
            ) from error

    def check(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        """Raise `PlauditError` unless the run's reward model reads such observations and actions."""
        trained = self.observation_space
        if (observation_space.shape, observation_space.dtype) != (trained.shape, trained.dtype):
            raise PlauditError(
                f"the environment's observations are {one_line(observation_space)}, but {self.run.folder} learned "
                f"from {one_line(trained)}: wrap it so that they are the same"
            )
        if action_space != self.action_space:
            raise PlauditError(
                f"the environment's actions are {one_line(action_space)}, but {self.run.folder} learned from "
                f"{one_line(self.action_space)}"
            )


class LearnedReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose reward is the one that a run learned, so that any library can train on it.

    The reward of a step is the mean over the run's ensemble, normalised as for the run's own learner. The
    environment's reward is in ``info["true_reward"]``, for measuring only.

    Ends of episodes are as the run had them, because an end that is seen tells the learner a part of the true reward:

    - ``ends="absorb"``: after an episode's end the last observation repeats, and the episode is truncated after as many
      repetitions as the run learned from, at the latest at the horizon. Nothing is ever terminated.
    - ``ends="continue"`` (Atari): the next episode follows without an end.
    - ``ends="visible"``: as the environment reports them.

    Args:
        env: the environment, with the observations and actions that the run was trained on.
        run: the run's folder, or the run that `plaudit.train` returned.
        ends: None: as the run's.
        trust: import the modules that the settings of somebody else's run name.

    Raises:
        PlauditError: the folder holds no run on an environment, or one that has not learned a reward yet; the spaces
            are not those of the run; ``env`` is a vector environment; somebody else made the run, and its settings name
            programs or files, which the message lists.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        run: Run | str | os.PathLike[str],
        ends: Ends | None = None,
        trust: bool = False,
    ) -> None:
        if isinstance(env, VectorEnv):
            raise PlauditError("this is a vector environment: write plaudit.LearnedReward.vector(envs, run)")
        if not isinstance(env, gymnasium.Env):
            raise PlauditError(_explain_environment(env))
        _check_ends(ends)
        super().__init__(env)
        self.reward = RunReward(run, trust)
        self._flattening = flattening_of(env.observation_space)
        self.reward.check(_flat_space(env.observation_space), env.action_space)
        self.ends: Ends = ends or self.reward.ends
        self.horizon = self.reward.horizon or _horizon(env)
        self._observation: Array = np.empty(0)
        self._last: Any = None
        self._steps, self._repeated = 0, 0
        self._at_end = False

    @staticmethod
    def vector(
        envs: VectorEnv, run: Run | str | os.PathLike[str], ends: Ends | None = None, trust: bool = False
    ) -> VectorLearnedReward:
        """The same for a vector environment; see `VectorLearnedReward`."""
        return VectorLearnedReward(envs, run, ends, trust)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._remember(observation)
        self._steps, self._repeated, self._at_end = 0, 0, False
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step: ``(observation, learned reward, terminated, truncated, info)``."""
        reward = float(self.reward(self._observation[None], np.asarray(action)[None])[0])
        self._steps += 1
        if self._at_end and self.ends == "absorb":
            self._repeated += 1
            truncated = self._steps >= self.horizon or self._repeated >= self.reward.repeats
            return copy.deepcopy(self._last), reward, False, truncated, {"true_reward": 0.0}
        if self._at_end and self.ends == "continue":
            observation, info = self.env.reset()
            true_reward, terminated, truncated = 0.0, False, False
        else:
            observation, true_reward, terminated, truncated, info = self.env.step(action)
        self._remember(observation)
        self._at_end = bool(terminated or truncated)
        info = info | {"true_reward": float(true_reward)}
        if self.ends == "visible":
            return observation, reward, bool(terminated), bool(truncated), info
        return observation, reward, False, self.ends == "absorb" and self._steps >= self.horizon, info

    def _remember(self, observation: Any) -> None:
        """Keep the observation as the environment shows it, and as the reward model reads it."""
        self._last = copy.deepcopy(observation)
        self._observation = np.array(observation) if self._flattening is None else self._flattening(observation)


class VectorLearnedReward(VectorWrapper):
    """A vector environment whose rewards (B,) are those that a run learned; see `LearnedReward`.

    The true rewards (B,) are in ``infos["true_reward"]``. With ``ends="absorb"`` all episodes last for the whole
    horizon and end together, or end one by one where single rows can begin anew, as the run's own do. That needs an
    environment that resets at the step after an end (Gymnasium's
    ``AutoresetMode.NEXT_STEP``, its default). The reward of a step that only resets is 0 if ends are visible.
    """

    def __init__(
        self, envs: VectorEnv, run: Run | str | os.PathLike[str], ends: Ends | None = None, trust: bool = False
    ) -> None:
        if not isinstance(envs, VectorEnv):
            raise PlauditError(
                f"envs must be a vector environment, as gymnasium.make_vec returns it, got {envs!r}: "
                "plaudit.LearnedReward(env, run) takes a single one"
            )
        _check_ends(ends)
        self.reward = RunReward(run, trust)
        self._flattening = flattening_of(envs.single_observation_space)
        self.reward.check(_flat_space(envs.single_observation_space), envs.single_action_space)
        self.ends: Ends = ends or self.reward.ends
        mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if self.ends == "absorb" and mode != AutoresetMode.NEXT_STEP:
            raise PlauditError(f"hidden ends need AutoresetMode.NEXT_STEP, and the environment has {mode}")
        if self.ends == "absorb" and not isinstance(envs, AbsorbAfterEnd | RestartAfterEnd):
            hide = RestartAfterEnd if can_restart(envs) else AbsorbAfterEnd
            envs = hide(envs, self.reward.horizon or _horizon(envs))
        if isinstance(envs, RestartAfterEnd):
            envs.length = self.reward.run.config.feedback.length
        super().__init__(envs)
        self._resets = mode == AutoresetMode.NEXT_STEP and self.ends != "continue"
        self._observations: Array = np.empty(0)
        self._at_end = np.zeros(self.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin all episodes."""
        observations, infos = self.env.reset(seed=seed, options=options)
        self._observations, self._at_end = self._read(observations), np.zeros(self.num_envs, bool)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """One step of all: ``(observations, learned rewards, terminations, truncations, infos)``."""
        actions = np.asarray(actions)
        rewards = self.reward(self._observations, actions)
        if self._resets:
            rewards = np.where(self._at_end, np.float32(0), rewards)
        observations, true_rewards, terminations, truncations, infos = self.env.step(actions)
        self._observations = self._read(observations)
        self._at_end = np.asarray(terminations) | np.asarray(truncations)
        infos = infos | {"true_reward": np.array(true_rewards)}
        if self.ends == "continue":
            return observations, rewards, np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool), infos
        return observations, rewards, terminations, truncations, infos

    def _read(self, observations: Any) -> Array:
        """Observations of the environments as the reward model reads them, copied."""
        return np.array(observations) if self._flattening is None else self._flattening.batch(observations)[0]


def _explain_environment(env: object) -> str:
    """Why something is no environment of Gymnasium, and what to write."""
    if isinstance(env, str):
        return f"env must be an environment, got {env!r}: write plaudit.LearnedReward(gymnasium.make({env!r}), run)"
    if hasattr(env, "num_envs"):
        return (
            f"{type(env).__name__} is a vector environment of another library: wrap each environment before it, "
            "as in DummyVecEnv([lambda: plaudit.LearnedReward(gymnasium.make(...), run)])"
        )
    return f"env must be an environment, as gymnasium.make returns it, got {env!r}"


def _check_ends(ends: str | None) -> None:
    if ends is not None and ends not in get_args(Ends):
        raise PlauditError(f"ends must be one of {', '.join(get_args(Ends))}, or None, got {ends!r}")


def _flat_space(space: spaces.Space) -> spaces.Space:
    """The space of the arrays that networks read."""
    flattening = flattening_of(space)
    return space if flattening is None else flattening.target


def _horizon(env: gymnasium.Env[Any, Any] | VectorEnv) -> int:
    """Steps after which hidden ends repeat no more: the environment's time limit, or 1,000 with a warning."""
    limit = env.spec.max_episode_steps if env.spec is not None else None
    if limit is None:
        warnings.warn("the environment has no time limit: a fixed horizon of 1000 steps is used", stacklevel=3)
    return limit or 1000
