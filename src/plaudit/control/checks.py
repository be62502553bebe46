"""What an environment does wrong is told with the environment, its episode and its step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from plaudit.control.observations import Flattening
from plaudit.control.values import describe, find_infinite, read_array, read_flag, read_reward
from plaudit.extensions import one_line
from plaudit.types import Array, PlauditError

OLD_API = "this is the API of Gym before 0.26: update the environment, or wrap it in shimmy.GymV21CompatibilityV0"
RETURNED = "(observation, reward, terminated, truncated, info)"
FAULTS = (Exception, SystemExit)  # what an environment's code may raise: sys.exit must not end the run without a word


class CheckedApi(gym.Wrapper[Any, Any, Any, Any]):
    """The environment itself, inside of Gymnasium's wrappers: what it raises and returns is checked.

    ``row`` is its number among the environments that are stepped together.
    """

    def __init__(self, env: gym.Env[Any, Any], name: str, row: int) -> None:
        super().__init__(env)
        self.name, self.row, self.episode, self.clock = name, row, 0, 0

    @property
    def position(self) -> str:
        """Where the environment is, in words."""
        return f"{self.name} (environment {self.row}, episode {self.episode}, step {self.clock})"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            PlauditError: the environment raises something, or does not return (observation, info).
        """
        self.episode, self.clock = self.episode + 1, 0
        try:
            result = self.env.reset(seed=seed, options=options)
        except PlauditError:
            raise
        except FAULTS as error:
            old = f"; {OLD_API}" if isinstance(error, TypeError) and "unexpected keyword argument" in str(error) else ""
            raise PlauditError(f"{self.position}: reset raised {one_line(error)}{old}") from error
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            parts = " and ".join(type(part).__name__ for part in result) if isinstance(result, tuple) else ""
            names = f"({parts})" if parts else type(result).__name__
            raise PlauditError(f"{self.position}: reset must return (observation, info), got {names}; {OLD_API}")
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step.

        Raises:
            PlauditError: the environment raises something, does not return five values, has no finite reward, or says
                of an end neither True nor False.
        """
        self.clock += 1
        try:
            result = self.env.step(action)
        except PlauditError:
            raise
        except FAULTS as error:
            raise PlauditError(f"{self.position}: step raised {one_line(error)}") from error
        if not (isinstance(result, tuple) and len(result) == 5):
            old = f"; {OLD_API}" if isinstance(result, tuple) and len(result) == 4 else ""
            raise PlauditError(f"{self.position}: step must return {RETURNED}, got {describe(result)}{old}")
        observation, reward, terminated, truncated, info = result
        try:
            number = read_reward(reward)
            ends = read_flag(terminated, "terminated"), read_flag(truncated, "truncated")
        except PlauditError as error:
            raise PlauditError(f"{self.position}: {error}") from error
        return observation, number, *ends, info

    def close(self) -> None:
        """Close the environment; what it raises is a warning, because the run has what it needs."""
        try:
            self.env.close()
        except FAULTS as error:
            warnings.warn(f"{self.name}: close raised {one_line(error)}", stacklevel=2)


class CheckedObservations(gym.Wrapper[Any, Any, Any, Any]):
    """The environment with all of its wrappers: observations are flattened, and their shape and numbers checked."""

    def __init__(self, env: gym.Env[Any, Any], flattening: Flattening | None, position: Callable[[], str]) -> None:
        super().__init__(env)
        self.flattening, self.position = flattening, position
        if flattening is not None:
            self.observation_space = flattening.target
        self._box: spaces.Space = self.observation_space
        self._checks_numbers = self._box.dtype is not None and self._box.dtype.kind == "f"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode; raises :class:`PlauditError` as :meth:`step`."""
        try:
            observation, info = self.env.reset(seed=seed, options=options)
        except PlauditError:
            raise
        except FAULTS as error:  # of a wrapper, which stands between the two checks
            raise PlauditError(f"{self.position()}: reset raised {one_line(error)}") from error
        return self._check(observation), info

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step.

        Raises:
            PlauditError: the observation does not fit its space, or has a number that is not finite.
        """
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            number = read_reward(reward)
        except PlauditError as error:
            text = str(error)
            raise error if self.position() in text else PlauditError(f"{self.position()}: {text}") from error
        except FAULTS as error:
            raise PlauditError(f"{self.position()}: step raised {one_line(error)}") from error
        return self._check(observation), number, terminated, truncated, info

    def _check(self, observation: Any) -> Array:
        try:
            part = observation if self.flattening is None else self.flattening(observation)
            array = read_array(part, self._box, "observation")
        except PlauditError as error:
            raise PlauditError(f"{self.position()}: {error}") from error
        except Exception as error:  # parts that are missing, or objects that raise whatever they like
            raise PlauditError(
                f"{self.position()}: the observation does not fit its space: {one_line(error)}"
            ) from error
        index = find_infinite(array) if self._checks_numbers else None
        if index is not None:
            raise PlauditError(f"{self.position()}: observation{list(index)} is {array[index]}")
        return array


class CheckedVector(VectorWrapper):
    """A vector environment of another package: what it raises and returns is checked."""

    def __init__(self, env: VectorEnv, name: str) -> None:
        super().__init__(env)
        self.name, self.clock = name, 0
        single, count = cast(spaces.Box, env.single_observation_space), env.num_envs
        self._box = cast(spaces.Box, batch_space(single, count))
        self._rewards = spaces.Box(-np.inf, np.inf, (count,), np.float32)
        self._flags = spaces.Box(0, 1, (count,), cast(Any, np.bool_))  # Gymnasium has such spaces, its types have not

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin all episodes; raises :class:`PlauditError` as :meth:`step`."""
        self.clock = 0
        try:
            observations, infos = self.env.reset(seed=seed, options=options)
        except FAULTS as error:
            raise PlauditError(f"{self.name} (step 0): reset raised {one_line(error)}") from error
        return self._check(observations, "observation", self._box), infos

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of all.

        Raises:
            PlauditError: the environment raises something, does not return five values, or has values of another shape
                or kind, or numbers that are not finite.
        """
        self.clock += 1
        try:
            observations, rewards, terminations, truncations, infos = self.env.step(actions)
        except FAULTS as error:
            raise PlauditError(f"{self.name} (step {self.clock}): step raised {one_line(error)}") from error
        return (
            self._check(observations, "observation", self._box),
            self._check(rewards, "reward", self._rewards),
            self._check(terminations, "terminated", self._flags),
            self._check(truncations, "truncated", self._flags),
            infos,
        )

    def _check(self, values: Any, part: str, space: spaces.Box) -> Array:
        position = f"{self.name} (step {self.clock} of all)"
        try:
            array = read_array(values, space, part)
        except PlauditError as error:
            raise PlauditError(f"{position}: {error}") from error
        index = find_infinite(array) if array.dtype.kind == "f" else None
        if index is not None:
            raise PlauditError(
                f"{self.name} (environment {index[0]}, step {self.clock} of all): {part}{list(index[1:])} is "
                f"{array[index]}"
            )
        return array


def checked_spec(spec: EnvSpec, row: int, checks: list[CheckedApi]) -> EnvSpec:
    """The same environment, whose innermost wrapper is :class:`CheckedApi`, which is added to ``checks``."""

    def create(**options: Any) -> gym.Env[Any, Any]:
        creator = spec.entry_point
        env: Any = (load_env_creator(creator) if isinstance(creator, str) else creator)(**options)  # type: ignore[misc]
        if not isinstance(env, gym.Env):
            raise PlauditError(f"{spec.id}: its {type(env).__name__} must inherit from gymnasium.Env; {OLD_API}")
        checks.append(CheckedApi(env, spec.id, row))
        return checks[-1]

    return replace(spec, entry_point=create)
