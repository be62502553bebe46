"""Demonstrations as data: episodes of observations and actions, in a file that holds nothing but arrays."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.control.make import EnvironmentConfig, make
from plaudit.feedback.formats import read_rows
from plaudit.files import replace_file
from plaudit.run.disk import disk_errors
from plaudit.types import Array, PlauditError, shorten

FIELDS = ("observations", "actions", "ends")
MOST_ENVS = 64  # that are played at once, where each is stepped by itself
MOST_STEPS = 100_000  # of an episode
Chooser = Callable[[Array, int], Array]  # observations (B, *observation) and the step -> actions (B, *action)


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Episodes, one behind the other, as ``N`` steps in which somebody showed what to do.

    Attributes:
        observations: (N, *observation), as an agent sees them before it acts.
        actions: (N, *action), as the environment takes them.
        ends: (N,) bool: the last step of an episode.
        environment: id of the environment; "" if the file does not say it.
        returns: (E,) true returns of the episodes; () if unknown. Nothing learns from them.
    """

    observations: Array
    actions: Array
    ends: Array
    environment: str = ""
    returns: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.observations)
        if not count or len(self.actions) != count or self.ends.shape != (count,) or self.ends.dtype != np.bool_:
            raise PlauditError(
                f"demonstrations need a step or more, with as many actions and Boolean ends as observations: got "
                f"{self.observations.shape}, {self.actions.shape} and {self.ends.dtype} {self.ends.shape}"
            )
        if not self.ends[-1]:
            raise PlauditError("the last step of demonstrations must end an episode: `ends` is False there")
        for name in ("observations", "actions"):
            array = getattr(self, name)
            if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
                raise PlauditError(f"{name} of demonstrations must be finite numbers, got {array.dtype}")

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return int(self.ends.sum())

    @property
    def starts(self) -> Array:
        """(E,) int: the first step of each episode."""
        return np.concatenate([[0], np.flatnonzero(self.ends)[:-1] + 1])

    @property
    def times(self) -> Array:
        """(N,) int: the number of each step within its episode."""
        return np.arange(len(self)) - np.repeat(self.starts, np.diff([*self.starts, len(self)]))

    def select(self, episodes: slice) -> Demonstrations:
        """Some of the episodes, such as the first ten: ``select(slice(10))``."""
        numbers = np.cumsum(self.ends) - self.ends  # (N,): the episode of each step
        chosen = np.isin(numbers, np.arange(self.episodes)[episodes])
        if not chosen.any():
            raise PlauditError(f"there are {self.episodes} demonstrations, and none of them was chosen")
        return Demonstrations(
            self.observations[chosen],
            self.actions[chosen],
            self.ends[chosen],
            self.environment,
            self.returns[episodes],
        )

    def save(self, path: str | Path) -> None:
        """Write an .npz file, which :meth:`load` reads."""
        path = Path(path)
        header = json.dumps({"environment": self.environment, "returns": list(self.returns)})
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path) as partial, partial.open("wb") as file:
                np.savez_compressed(file, about=np.array(header), **{name: getattr(self, name) for name in FIELDS})

    @classmethod
    def load(cls, path: str | Path) -> Demonstrations:
        """Read an .npz file of :meth:`save`, or a folder or HDF5 file of Minari. Pickled objects are refused.

        Raises:
            PlauditError: the file cannot be read, or holds something else.
        """
        path = Path(path)
        if path.is_dir() or path.suffix in (".hdf5", ".h5"):
            return _load_minari(path)
        with disk_errors(path):
            content = path.open("rb")
        with content:
            try:
                with np.load(content) as file:
                    header = json.loads(str(file["about"]))
                    arrays = {name: file[name] for name in FIELDS}
                    return cls(**arrays, environment=str(header["environment"]), returns=tuple(header["returns"]))
            except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
                raise PlauditError(
                    f"{path} holds no demonstrations ({shorten(str(error))}): write them by "
                    "`plaudit baseline demonstrate`, or name a dataset of Minari"
                ) from error


def join(parts: Sequence[Demonstrations]) -> Demonstrations:
    """All episodes of several."""
    return Demonstrations(
        np.concatenate([part.observations for part in parts]),
        np.concatenate([part.actions for part in parts]),
        np.concatenate([part.ends for part in parts]),
        parts[0].environment,
        tuple(value for part in parts for value in part.returns),
    )


def _load_minari(path: Path) -> Demonstrations:
    observations, actions, ends = [], [], []
    for row in read_rows(path):
        if row.fault or not isinstance(row.value, dict) or not isinstance(row.value.get("observations"), np.ndarray):
            raise PlauditError(f"{path}, {row.location}: {row.fault or 'is no episode, as Minari writes them'}")
        count = len(row.value["observations"])
        if count:
            observations.append(row.value["observations"])
            actions.append(row.value["actions"])
            ends.append(np.arange(count) == count - 1)
    if not ends:
        raise PlauditError(f"{path} holds no step of an episode: name another dataset")
    return Demonstrations(np.concatenate(observations), np.concatenate(actions), np.concatenate(ends))


def open_envs(environment: EnvironmentConfig, episodes: int) -> VectorEnv:
    """Environments to be played: their ends are visible, because demonstrators know when an episode is over."""
    config = EnvironmentConfig(
        environment.id,
        min(episodes, MOST_ENVS),
        "visible",
        environment.observations,
        environment.imports,
        environment.kwargs,
    )
    return make(config)


def play(
    envs: VectorEnv, choose: Chooser, episodes: int, seed: int, label: Chooser | None = None, name: str = ""
) -> Demonstrations:
    """Episodes that ``choose`` plays, with its actions, or with those that ``label`` would have taken (DAgger).

    Rows of the environments begin together, and count until their first end. name: the environment's id.
    """
    if episodes < 1:
        raise PlauditError(f"the number of episodes must be at least 1, got {episodes}")
    parts, missing = [], episodes
    while missing > 0:
        parts.append(_play_batch(envs, choose, min(missing, envs.num_envs), seed + len(parts), label or choose, name))
        missing -= envs.num_envs
    return join(parts)


def _play_batch(envs: VectorEnv, choose: Chooser, count: int, seed: int, label: Chooser, name: str) -> Demonstrations:
    """One episode of each of the first ``count`` rows."""
    present, _ = envs.reset(seed=seed)
    running = np.ones(envs.num_envs, bool)
    running[count:] = False
    returns = np.zeros(envs.num_envs)
    observations, actions, steps, lengths = [], [], [], np.zeros(envs.num_envs, np.int64)
    for step in range(MOST_STEPS):
        inputs = np.array(present)
        chosen = choose(inputs, step)
        observations.append(inputs[running])
        actions.append((chosen if label is choose else label(inputs, step))[running])
        steps.append(np.flatnonzero(running))
        lengths += running
        present, rewards, terminated, truncated, _ = envs.step(chosen)
        returns += rewards * running
        running = running & ~(terminated | truncated)
        if not running.any():
            break
    rows = np.concatenate(steps)
    order = np.argsort(rows, kind="stable")  # by episode, and in each by time
    ends = np.zeros(len(rows), bool)
    ends[np.cumsum(lengths[:count]) - 1] = True
    return Demonstrations(
        np.concatenate(observations)[order],
        np.concatenate(actions)[order],
        ends,
        name,
        tuple(returns[:count].tolist()),
    )
