"""Supervised fitting in a run's folder: a row a step, a checkpoint a minute, and on from the last one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from plaudit import layout
from plaudit.language.tune import Tuner
from plaudit.run.interrupt import ctrl_c
from plaudit.run.record import Checkpoint, RunFolder, part, read, write
from plaudit.run.stored import Config
from plaudit.types import PlauditError, shorten

SAVED = 60.0  # seconds between two checkpoints
Progress = Callable[[str, int, int, str], None]  # the stage, how much of it is done, of how much, facts


class ModelRun(RunFolder[Config]):
    """A run folder in which one model is fitted: checkpoints/ while that lasts, then model/."""

    dropped: ClassVar[slice] = slice(0, -1)

    @property
    def model(self) -> Path:
        """The folder of the fitted model."""
        return self.folder / layout.MODEL

    @property
    def checkpoint(self) -> Path:
        """The state of a run that is under way."""
        return next(iter(self.checkpoints()), self.folder / layout.CHECKPOINTS / layout.LAST_CHECKPOINT)


class Throughput:
    """Tokens per second over the rows of a run, without the first row, whose step is slower than the others."""

    def __init__(self) -> None:
        self._tokens, self._start = 0.0, math.nan

    def update(self, row: Mapping[str, Any]) -> float:
        """The rate after one more row, with ``tokens`` of its step and ``seconds`` since the beginning."""
        if math.isnan(self._start):
            self._start = row["seconds"]
        else:
            self._tokens += row["tokens"]
        return self._tokens / max(row["seconds"] - self._start, 1e-9)


def trainable_state(module: nn.Module) -> dict[str, Tensor]:
    """What learns, by name; detached."""
    return {name: tensor.detach() for name, tensor in module.named_parameters() if tensor.requires_grad}


def fit_steps(
    run: RunFolder[Any],
    tuner: Tuner[Any],
    learns: Mapping[str, Tensor],
    path: Path,
    name: str = layout.METRICS,
    more: Callable[[], Mapping[str, Any]] = dict,
) -> Iterator[dict[str, Any]]:
    """The remaining steps; yields the metrics of each step once they are on the disk, in the file ``name``.

    learns: the weights that learn, by name (:func:`trainable_state`). path: the checkpoint; the caller removes it when
    the result is saved. more: further numbers for the row of a step. Ctrl-C ends the fit after the current step, with
    a checkpoint; a second Ctrl-C ends it at once.

    Raises:
        PlauditError: the checkpoint is damaged or another model's; the loss is not a number.
    """
    seconds = restore_fit(tuner, learns, path) if path.exists() else 0.0
    run.rewind(tuner.done, name)
    saved = started = time.monotonic()
    with ctrl_c(at_once=False) as check:
        for row in tuner.run():
            now = time.monotonic()
            seconds, started = seconds + now - started, now
            row = {"round": tuner.done, "step": tuner.done, **row, "seconds": seconds, **more()}
            run.append(row, name)
            yield row
            try:
                check()
            except KeyboardInterrupt:
                save_fit(tuner, learns, path, seconds)
                raise
            if now - saved > SAVED:
                save_fit(tuner, learns, path, seconds)
                saved = time.monotonic()


def save_fit(tuner: Tuner[Any], learns: Mapping[str, Tensor], path: Path, seconds: float) -> None:
    """Write a checkpoint of a fit, and how many seconds it has taken."""
    tensors = {f"model/{name}": tensor for name, tensor in learns.items()}
    tensors |= {f"tuner/{name}": tensor for name, tensor in tuner.state().items()}
    write(path, Checkpoint(tensors, {"seconds": seconds}))


def restore_fit(tuner: Tuner[Any], learns: Mapping[str, Tensor], path: Path) -> float:
    """Put a checkpoint back; how many seconds were spent before it.

    Raises:
        PlauditError: it is damaged, or another model's.
    """
    stored = read(path)
    model = part(stored.tensors, "model")
    if {name: tensor.shape for name, tensor in model.items()} != {
        name: tensor.shape for name, tensor in learns.items()
    }:
        raise PlauditError(
            f"{path} is a checkpoint of another model: restore the folder from a copy, or start a new run"
        )
    try:
        with torch.no_grad():
            for name, value in model.items():
                learns[name].copy_(value)
        tuner.restore(part(stored.tensors, "tuner"))
        seconds = float(stored.meta.get("seconds", 0.0))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise PlauditError(
            f"{path} does not fit the run ({shorten(str(error))}): restore the folder from a copy, or start a new run"
        ) from error
    return seconds
