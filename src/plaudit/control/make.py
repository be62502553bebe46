"""Any Gymnasium environment by id, batched, with episode ends hidden unless asked for.

An episode that ends early tells the learner which states are bad (Christiano et al. 2017, section 3.1 and appendix
A.1 remove that), so by default every environment looks endless or has a fixed horizon.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from plaudit.control.checks import FAULTS, CheckedApi, CheckedObservations, CheckedVector, checked_spec
from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd, RowEnvs, can_restart
from plaudit.control.environments.pendulum import PendulumVector
from plaudit.control.mujoco import is_mujoco, prepare_mujoco
from plaudit.control.observations import Flattening, flattening_of, warn_of_misfits
from plaudit.control.registry import argument_texts, making_failed, parse_arguments, resolve, split_name
from plaudit.types import Array, PlauditError

Ends = Literal["absorb", "continue", "visible"]
PICTURES = "its class must return a frame from render() with the render mode rgb_array, declared in metadata"
MOST_ENVS = 100_000
BATCHED = {"Pendulum-v1": PendulumVector}  # of Gymnasium's, stepped one by one there
SCOREBOARD = {"Pong": 11}  # rows of the 84 x 84 picture that show the score


class NoPicture(PlauditError):
    """An environment that is not made to be drawn."""


@dataclass(frozen=True)
class EnvironmentConfig:
    """The environment, the number of copies, and what the learner knows about its ends."""

    id: str
    """Name of the environment: a Gymnasium id (CartPole-v1, ALE/Pong-v5), one of ours (Duel, Rally, Delivery,
    MovingDot, Grasp, OffSwitch, Vase), or one of a module of your own as MODULE:ID."""
    num_envs: int = 16
    """Number of environments that are stepped together."""
    ends: Ends | None = None
    """Continuation after a terminal observation. absorb (default): it repeats, without reward, up to a fixed horizon;
    continue (default for Atari): the next episode follows, unannounced; visible: the learner is told, which reveals
    part of the goal."""
    observations: Literal["state", "pixels"] = "state"
    """Observations of our own environments: state vectors, or pixels."""
    imports: tuple[str, ...] = ()
    """Module that registers environments with Gymnasium. Every process of the run imports it first."""
    kwargs: tuple[str, ...] = ()
    """Arguments of the environment, each as KEY=VALUE, such as size=8. Values are JSON; other values are texts."""

    def __post_init__(self) -> None:
        modules, id = split_name(self.id)
        imports = (self.imports,) if isinstance(self.imports, str) else tuple(self.imports)
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "imports", tuple(dict.fromkeys((*imports, *modules))))
        object.__setattr__(self, "kwargs", argument_texts(self.kwargs))
        if not 1 <= self.num_envs <= MOST_ENVS:
            raise PlauditError(f"num_envs must be at least 1, and at most {MOST_ENVS:,}, got {self.num_envs}")

    @property
    def atari(self) -> bool:
        return self.id.startswith("ALE/")

    @property
    def short_name(self) -> str:
        """The name of the environment without its namespace, for a folder: Duel, CartPole-v1, Pong-v5."""
        return self.id.rsplit("/", 1)[-1].removesuffix("-v0")


def make(config: EnvironmentConfig, render_mode: str | None = None) -> VectorEnv:
    """A vector environment in NEXT_STEP autoreset mode, whose ends look as the configuration says.

    Raises:
        PlauditError: the environment or a module of it is unknown, does not take the arguments or cannot draw itself
            so; a package is missing.
    """
    name = resolve(config.id, config.imports)
    if config.atari:
        return _make_atari(name, config)
    spec = gym.spec(name)
    options = parse_arguments(config.kwargs)
    if render_mode:
        options["render_mode"] = render_mode
    if render_mode == "rgb_array":  # pygame draws in memory: no display is needed
        for driver in ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):
            os.environ.setdefault(driver, "dummy")
    if is_mujoco(spec):
        prepare_mujoco()
    if name.startswith("plaudit/") and config.observations == "pixels":
        options["observations"] = "pixels"
    try:
        if render_mode:
            _check_rendering(spec, render_mode)
        envs = _vector(spec, config.num_envs, options)
    except PlauditError:
        raise
    except FAULTS as error:
        raise making_failed(spec, error) from error
    return _end_as_configured(envs, config, horizon_of(envs, spec, options))


def _end_as_configured(envs: VectorEnv, config: EnvironmentConfig, horizon: int) -> VectorEnv:
    """The environments with hidden ends, if the configuration hides them."""
    if config.ends not in (None, "absorb"):
        return envs
    return RestartAfterEnd(envs, horizon) if can_restart(envs) else AbsorbAfterEnd(envs, horizon)


def _vector(spec: EnvSpec, count: int, options: dict[str, Any]) -> VectorEnv:
    """``count`` environments as one: by their own vector class if there is one, otherwise stepped one by one."""
    if spec.id in BATCHED and not options:
        return BATCHED[spec.id](count)
    if spec.vector_entry_point is not None and ("render_mode" not in options or spec.id.startswith("plaudit/")):
        envs = cast(VectorEnv, gym.make_vec(spec.id, count, vectorization_mode="vector_entry_point", **options))
        if flattening_of(envs.single_observation_space) is None:
            return envs if _is_trusted(spec) else CheckedVector(envs, spec.id)
        envs.close()
        if spec.entry_point is None:
            raise PlauditError(
                f"{spec.id} has only a vector class, whose observations are no Box: register its entry_point"
            )
    return RowEnvs([functools.partial(_single, spec, row, options) for row in range(count)])


def flattening_in(envs: VectorEnv) -> Flattening | None:
    """How observations of the environments are flattened; None: they are arrays as they are."""
    rows = envs.unwrapped
    return cast(CheckedObservations, rows.envs[0]).flattening if isinstance(rows, RowEnvs) else None


def _is_trusted(spec: EnvSpec) -> bool:
    """Whether the vector class is Gymnasium's or our own, which need no check at every step."""
    return str(spec.vector_entry_point).startswith(("gymnasium.", "plaudit."))


def _single(spec: EnvSpec, row: int, options: dict[str, Any]) -> CheckedObservations:
    """One environment, checked inside and outside of its wrappers; the first one warns of what it leaves out."""
    checks: list[CheckedApi] = []
    env = gym.make(checked_spec(spec, row, checks), disable_env_checker=True, **options)
    try:
        flattening = flattening_of(env.observation_space)
    except PlauditError as error:
        raise PlauditError(f"{spec.id}: {error}") from error
    if row == 0:
        warn_of_misfits(env.observation_space, flattening, spec.id)
    return CheckedObservations(env, flattening, lambda: checks[-1].position)


def _check_rendering(spec: EnvSpec, render_mode: str) -> None:
    """Raise :class:`PlauditError` if the environment's class declares that it cannot draw itself so."""
    creator = spec.entry_point
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    modes = getattr(creator, "metadata", {}).get("render_modes")
    if modes is not None and render_mode not in modes:
        raise NoPicture(f"{spec.id} has no {render_mode} rendering: {PICTURES}")


def scoreboard_rows(id: str) -> int:
    """Rows at the top of an Atari game's picture that show its score and are blacked out; 0 for everything else."""
    return SCOREBOARD.get(id.removeprefix("ALE/").rsplit("-", 1)[0], 0) if id.startswith("ALE/") else 0


def horizon_of(envs: VectorEnv, spec: EnvSpec, options: Mapping[str, Any]) -> int:
    """Steps of a full episode: the environment's own, or its time limit, or 1,000 with a warning."""
    horizon = getattr(envs.unwrapped, "horizon", None)
    if isinstance(horizon, int | np.integer):
        return int(horizon)
    limit = options.get("max_episode_steps", spec.max_episode_steps)
    if limit is not None:
        if isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 1:
            raise PlauditError(f"{spec.id}: max_episode_steps must be a whole number from 1, got {limit!r}")
        return int(limit)
    warnings.warn(f"{spec.id} has no time limit: a fixed horizon of 1000 steps is used", stacklevel=2)
    return 1000


def warn_if_visible(config: EnvironmentConfig) -> None:
    """Say clearly that visible ends leak the reward."""
    if config.ends == "visible":
        warnings.warn(
            "episode ends are visible: the learner is told when an episode terminates, which leaks part of the true "
            "reward (Christiano et al. 2017, section 3.1); results are not comparable with preference-only learning",
            stacklevel=2,
        )


class BlankRows(VectorWrapper):
    """Blacks out the scoreboard: the score would tell the learner the reward (Christiano et al. 2017, A.2)."""

    def __init__(self, env: VectorEnv, rows: int) -> None:
        super().__init__(env)
        self.rows = rows

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Reset, with the top rows black."""
        observations, infos = self.env.reset(seed=seed, options=options)
        observations[..., : self.rows, :] = 0
        return observations, infos

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Step, with the top rows black."""
        observations, *rest = self.env.step(actions)
        observations[..., : self.rows, :] = 0
        return (observations, *rest)  # type: ignore[return-value]


def _make_atari(name: str, config: EnvironmentConfig) -> VectorEnv:
    """ale-py's vectoriser in the paper's set-up: frameskip 4, four grey 84 x 84 frames, no life or score leaks."""
    if config.ends == "absorb":
        raise PlauditError("Atari games are too long for a fixed horizon: use ends=continue or ends=visible")
    settings: dict[str, Any] = {
        "vectorization_mode": "vector_entry_point",
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    } | parse_arguments(config.kwargs)
    try:
        envs = cast(VectorEnv, gym.make_vec(name, config.num_envs, **settings))
    except (gym.error.Error, ImportError, TypeError, RuntimeError) as error:
        raise PlauditError(f"cannot make environment {name}: {error}") from error
    rows = scoreboard_rows(name)
    if rows:
        return BlankRows(envs, rows)
    warnings.warn(f"no scoreboard is known for {name}: its score stays visible to the reward model", stacklevel=2)
    return envs
