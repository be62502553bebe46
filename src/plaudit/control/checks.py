"""What an environment does wrong is told with the environment, its episode and its step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import VectorEnv, VectorWrapper

from plaudit.control.observations import Flattening
from plaudit.types import Array, PlauditError

OLD_API = "this is the API of Gym before 0.26: update the environment, or wrap it in shimmy.GymV21CompatibilityV0"
RETURNED = "(observation, reward, terminated, truncated, info)"


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
        except Exception as error:
            old = f"; {OLD_API}" if isinstance(error, TypeError) and "unexpected keyword argument" in str(error) else ""
            raise PlauditError(f"{self.position}: reset raised {_in_one_line(error)}{old}") from error
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise PlauditError(
                f"{self.position}: reset must return (observation, info), got {_kind(result)}; {OLD_API}"
            )
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step.

        Raises:
            PlauditError: the environment raises something, does not return five values, or has no finite reward.
        """
        self.clock += 1
        try:
            result = self.env.step(action)
        except PlauditError:
            raise
        except Exception as error:
            raise PlauditError(f"{self.position}: step raised {_in_one_line(error)}") from error
        if not (isinstance(result, tuple) and len(result) == 5):
            old = f"; {OLD_API}" if isinstance(result, tuple) and len(result) == 4 else ""
            raise PlauditError(f"{self.position}: step must return {RETURNED}, got {_kind(result)}{old}")
        observation, reward, terminated, truncated, info = result
        try:
            number = float(reward)
        except (TypeError, ValueError) as error:
            raise PlauditError(f"{self.position}: the reward must be a number, got {_kind(reward)}") from error
        if not np.isfinite(number):
            raise PlauditError(f"{self.position}: the reward is {number}")
        return observation, number, terminated, truncated, info


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
        observation, info = self.env.reset(seed=seed, options=options)
        return self._check(observation), info

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step.

        Raises:
            PlauditError: the observation does not fit its space, or has a number that is not finite.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._check(observation), float(reward), terminated, truncated, info

    def _check(self, observation: Any) -> Array:
        try:
            array = np.asarray(observation) if self.flattening is None else self.flattening(observation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PlauditError(
                f"{self.position()}: the observation does not fit its space: {_in_one_line(error)}"
            ) from error
        if array.shape != self._box.shape:
            raise PlauditError(
                f"{self.position()}: the observation has the shape {array.shape}, its space {self._box.shape}"
            )
        index = _find_infinite(array) if self._checks_numbers else None
        if index is not None:
            raise PlauditError(f"{self.position()}: observation{list(index)} is {array[index]}")
        return array


class CheckedVector(VectorWrapper):
    """A vector environment of another package: what it raises, and numbers that are not finite, are told."""

    def __init__(self, env: VectorEnv, name: str) -> None:
        super().__init__(env)
        self.name, self.clock = name, 0

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin all episodes; raises :class:`PlauditError` as :meth:`step`."""
        self.clock = 0
        try:
            observations, infos = self.env.reset(seed=seed, options=options)
        except Exception as error:
            raise PlauditError(f"{self.name} (step 0): reset raised {_in_one_line(error)}") from error
        return self._check(observations, "observation"), infos

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of all.

        Raises:
            PlauditError: the environment raises something, does not return five values, or has a number that is not
                finite.
        """
        self.clock += 1
        try:
            observations, rewards, terminations, truncations, infos = self.env.step(actions)
        except Exception as error:
            raise PlauditError(f"{self.name} (step {self.clock}): step raised {_in_one_line(error)}") from error
        self._check(rewards, "reward")
        return self._check(observations, "observation"), rewards, terminations, truncations, infos

    def _check(self, values: Any, part: str) -> Array:
        array = np.asarray(values)
        index = _find_infinite(array) if array.dtype.kind == "f" else None
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


def _find_infinite(array: Array) -> tuple[int, ...] | None:
    """The index of the first number that is not finite; None if all are."""
    finite = np.isfinite(array)
    return None if finite.all() else tuple(int(part) for part in np.argwhere(~finite)[0])


def _in_one_line(error: BaseException) -> str:
    """The kind and the words of an error."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _kind(value: Any) -> str:
    """The kind of a value, and the length of a tuple."""
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
