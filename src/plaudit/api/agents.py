"""What a finished run on an environment holds, opened for a program: its spaces, policy and reward model."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from plaudit import layout
from plaudit.api.paths import check_path
from plaudit.baselines.folder import Imitation
from plaudit.control.make import make
from plaudit.control.observations import Flattening, one_line
from plaudit.run.control.config import Run
from plaudit.run.record import RunFolder, kind_of
from plaudit.run.stored import CHAT, CONTROL, IMITATION
from plaudit.types import Array, PlauditError


def open_run(run: Run | str | os.PathLike[str], trust: bool = False) -> Run:
    """The run on an environment in a folder.

    Raises:
        PlauditError: the folder holds no run, or a damaged one, or one on a language model; somebody else made the run,
            and its settings name programs or files, which the message lists and ``trust`` accepts.
    """
    if isinstance(run, Run):
        return run
    folder = check_path(run, "run")
    kind = kind_of(folder)
    if kind == CHAT:
        raise PlauditError(
            f"{folder} holds a language model, not an agent: transformers loads its policy from "
            f"{folder / layout.POLICY}, and plaudit.load_reward its reward model"
        )
    if kind != CONTROL:
        raise PlauditError(f"{folder} holds a run of {kind}, not an agent in an environment")
    opened = Run.open(folder)
    opened.check_trust(trust)
    return opened


def open_agent(run: RunFolder[Any] | str | os.PathLike[str], trust: bool = False) -> RunFolder[Any]:
    """The run on an environment in a folder, or the policy that was fitted to demonstrations.

    Raises:
        PlauditError: as :func:`open_run`.
    """
    if isinstance(run, RunFolder):
        return run
    folder = check_path(run, "run")
    if kind_of(folder) != IMITATION:
        return open_run(folder, trust)
    opened = Imitation.open(folder)
    opened.check_trust(trust)
    return opened


@contextmanager
def environment_of(run: RunFolder[Any]) -> Iterator[VectorEnv]:
    """The run's environment, one of it, with hidden ends if the run hides them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they came when the run started
        envs = make(dataclasses.replace(run.config.environment, num_envs=1))
    try:
        yield envs
    finally:
        envs.close()


def as_batch(
    observation: object, space: spaces.Box, run: RunFolder[Any], flattening: Flattening | None = None
) -> tuple[Array, bool]:
    """One observation or several as a batch (B, *observation) of the space's dtype, and whether it was one.

    flattening: how observations of the run's environment become arrays of the space. Flat arrays are taken as well.

    Raises:
        PlauditError: the shape or the dtype is not that of the run's observations.
    """
    if flattening is not None and not _is_flat(observation, space):
        return flattening.batch(observation)
    try:
        array = np.asarray(observation)
    except RuntimeError as error:  # a tensor with a gradient, or on a GPU
        raise PlauditError(f"numpy cannot read the observation: {one_line(error)}") from error
    except ValueError as error:
        raise PlauditError(
            f"the observation is not an array, but {type(observation).__name__} with parts of several shapes: give "
            "what env.step returns first, or the first of the two that env.reset returns"
        ) from error
    if array.ndim == 0 and array.dtype.kind in "OUS":
        raise PlauditError(f"observations of {run.folder} are {one_line(space)}, got {one_line(observation):.80}")
    single = array.shape == space.shape
    if not single and array.shape[1:] != space.shape:
        raise PlauditError(
            f"observations of {run.folder} have the shape {space.shape}, or (B, ...) for a batch; got {array.shape}"
        )
    if not np.can_cast(array.dtype, space.dtype, "same_kind"):
        raise PlauditError(f"observations of {run.folder} have the dtype {space.dtype}, got {array.dtype}")
    return np.array(array[None] if single else array, space.dtype, order="C"), single


def _is_flat(observation: object, space: spaces.Box) -> bool:
    """Whether the observation is an array of the space, or several, already."""
    return isinstance(observation, np.ndarray) and space.shape in (observation.shape, observation.shape[1:])
