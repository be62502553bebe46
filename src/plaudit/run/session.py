"""Drives the loop in a run folder, whatever the domain: rounds, metrics, checkpoints, resuming."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from plaudit.interfaces import RewardModel
from plaudit.loop import Improve, Plan, RewardLearner, RoundCollector, Schedule, iterate
from plaudit.run.record import Checkpoint, RunFolder, part
from plaudit.types import PlauditError, Trajectory, shorten

Experience = TypeVar("Experience", bound=Trajectory)
SomeDomain = TypeVar("SomeDomain", bound="Domain")


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint holds a part of."""

    def state(self) -> dict[str, Tensor]:
        """Everything needed to continue, as named tensors."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        ...


class HasStateDict(Protocol):
    """A module, as far as a checkpoint is concerned."""

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by name."""
        ...

    def load_state_dict(self, state_dict: dict[str, Tensor], /) -> object:
        """Put back what :meth:`state_dict` gave."""
        ...


@dataclass(frozen=True)
class Weights:
    """The parameters and buffers of a module, as a part of a checkpoint."""

    module: HasStateDict

    def state(self) -> dict[str, Tensor]:
        """Parameters and buffers by name."""
        return self.module.state_dict()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.module.load_state_dict(state)


@dataclass(frozen=True)
class Parts(Generic[Experience]):
    """The parts of the loop, and those that a checkpoint holds."""

    collector: RoundCollector[Experience]
    reward_model: RewardModel[Experience]
    improve: Improve[Experience]
    learner: RewardLearner[Experience]
    plan: Plan
    checkpoint: Mapping[str, Stateful]
    """The parts of a checkpoint, by the prefix of their tensors' names, in the order in which they are put back."""
    schedule: Schedule | None = None
    """Decides how much of the run is done; None: the plan."""


class Domain(Protocol):
    """What control or language adds to a session."""

    def begin(self, first: int) -> None:
        """Called before round ``first``, with which the session begins or continues."""
        ...

    def row(self, metrics: dict[str, Any], elapsed: float) -> dict[str, Any]:
        """The row of a round's metrics; ``elapsed`` is the round's duration in seconds."""
        ...

    def finish(self, rounds: int) -> None:
        """Called after the last round; ``rounds`` is the number of rounds that this session made."""
        ...


class Session(Generic[Experience, SomeDomain]):
    """The loop in a run folder. A session whose folder has a checkpoint continues after that round."""

    def __init__(self, run: RunFolder[Any], parts: Parts[Experience], domain: SomeDomain) -> None:
        """
        Raises:
            PlauditError: the last checkpoint is damaged, or does not fit the configuration.
        """
        self.run, self.parts, self.domain = run, parts, domain
        self.first, self.seconds = 0, 0.0
        if run.checkpoints():
            self._restore(run.load())

    def rounds(self) -> Iterator[dict[str, Any]]:
        """Continue from the last checkpoint; yields a round's metrics once they and a checkpoint are on the disk."""
        parts, started = self.parts, time.perf_counter() - self.seconds
        self.run.rewind(self.first - 1)
        self.domain.begin(self.first)
        rounds = 0
        for metrics in iterate(
            parts.collector,
            parts.reward_model,
            parts.improve,
            parts.learner,
            parts.plan,
            self.first,
            parts.schedule,
        ):
            round, seconds = int(metrics["round"]), time.perf_counter() - started
            row = self.domain.row(metrics, seconds - self.seconds) | {"round": round, "seconds": seconds}
            row = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
            self.seconds, rounds = seconds, rounds + 1
            # The row is written first: a run that is killed between the two makes the round again, row and all
            self.run.append(row)
            self._save(round)
            yield row
        self.domain.finish(rounds)

    def _save(self, round: int) -> None:
        tensors = {
            f"{prefix}/{name}": tensor
            for prefix, owner in self.parts.checkpoint.items()
            for name, tensor in owner.state().items()
        }
        self.run.save(round, Checkpoint(tensors, {"round": round, "seconds": self.seconds}))

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self.first, self.seconds = int(checkpoint.meta["round"]) + 1, float(checkpoint.meta["seconds"])
            if self.first < 1 or not 0 <= self.seconds < math.inf:
                raise ValueError(f"round {self.first - 1} after {self.seconds} seconds")
            for prefix, owner in self.parts.checkpoint.items():
                owner.restore(part(checkpoint.tensors, prefix))
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise PlauditError(
                f"the last checkpoint of {self.run.folder} does not fit its config.json ({shorten(str(error))}): "
                "restore both from a copy, or start a new run"
            ) from error
