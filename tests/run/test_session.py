"""The session that both domains share, driven by a domain of a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plaudit.loop import Plan
from plaudit.run.control.config import Run, defaults
from plaudit.run.record import Checkpoint
from plaudit.run.session import Parts, Session
from plaudit.types import PlauditError, Trajectory


class Counter:
    """Collector, reward model, improver, learner and domain in one; its state is how often it improved."""

    def __init__(self) -> None:
        self.improvements = 0
        self.calls: list[str] = []

    def reset(self, seed: np.random.SeedSequence) -> None:
        pass

    def collect(self, steps: int) -> Trajectory:
        values, flags = np.zeros((1, steps), np.float32), np.zeros((1, steps), bool)
        return Trajectory(np.zeros((1, steps, 2), np.float32), values, values, values, values, flags, ~flags)

    def rewards(self, experience: Trajectory, /) -> np.ndarray:
        return experience.values

    def __call__(self, *arguments: Any) -> dict[str, torch.Tensor]:
        self.improvements += 1
        return {"loss": torch.tensor(float("nan"))}

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        return {"labels": len(recent)}

    def begin(self, first: int) -> None:
        self.calls.append(f"begin {first}")

    def row(self, metrics: dict[str, Any], elapsed: float) -> dict[str, Any]:
        return {**metrics, "improvements": self.improvements}

    def finish(self, rounds: int) -> None:
        self.calls.append(f"finish {rounds}")

    def state(self) -> dict[str, torch.Tensor]:
        return {"improvements": torch.tensor(self.improvements)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.improvements = int(state["improvements"])


def session(run: Run, name: str = "counter") -> Session[Trajectory, Counter]:
    counter = Counter()
    plan = Plan(seed=0, rounds=3, rollouts=2, rollout_steps=4, pool=2)
    return Session(run, Parts(counter, counter, counter, counter, plan, {name: counter}), counter)


def test_rows_and_checkpoints_follow_the_rounds(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", defaults("MovingDot"))
    whole = session(run)
    rows = list(whole.rounds())
    assert whole.domain.calls == ["begin 0", "finish 3"]
    assert [(row["round"], row["improvements"], row["labels"]) for row in rows] == [
        (0, 0, 2.0),
        (1, 2, 2.0),
        (2, 4, 2.0),
    ]
    assert "loss" not in rows[0] and rows[1]["loss"] is None  # round 0 looks; JSON has no word for what is no number
    assert run.metrics() == rows and all(row["seconds"] > 0 for row in rows)
    assert set(run.load().tensors) == {"counter/improvements"} and run.load().meta["round"] == 2


def test_a_session_continues_after_the_last_checkpoint(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", defaults("MovingDot"))
    rounds = session(run).rounds()
    next(rounds)
    next(rounds)
    run.append({"round": 2, "improvements": 99})  # killed between the row and the checkpoint: the round is made again
    rest = session(Run.open(run.folder))
    assert [row["improvements"] for row in rest.rounds()] == [4]
    assert rest.domain.calls == ["begin 2", "finish 1"]
    assert [row["improvements"] for row in run.metrics()] == [0, 2, 4]
    over = session(Run.open(run.folder))
    assert list(over.rounds()) == [] and over.domain.calls == ["begin 3", "finish 0"]


def test_a_checkpoint_of_other_parts_is_one_line(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", defaults("MovingDot"))
    list(session(run).rounds())
    with pytest.raises(PlauditError, match=r"last checkpoint of .* does not fit its config\.json"):
        session(run, name="other")


def test_the_clock_continues_from_the_checkpoint(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", defaults("MovingDot"))
    next(session(run).rounds())
    first = run.load()
    run.save(0, Checkpoint(first.tensors, {"round": 0, "seconds": 1000.0}))
    seconds = [row["seconds"] for row in session(run).rounds()]
    assert 1000 < seconds[0] < seconds[1] < 1100 and run.load().meta["seconds"] == seconds[1]
