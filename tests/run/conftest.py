"""Small runs, and what two runs must have in common to be called equal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit.control.make import EnvironmentConfig
from plaudit.feedback.store import Store
from plaudit.policy.improve import ImproveConfig
from plaudit.questions import FeedbackConfig
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run, RunConfig

CLOCK = ("seconds", "steps_per_second")


def tiny(id: str = "Duel", rounds: int = 6, **changes: Any) -> RunConfig:
    """A run of a second or two: ``rounds`` rounds, each of one short episode of Duel or of 128 steps elsewhere."""
    duel = id == "Duel"
    envs = 8 if duel else 4
    config = RunConfig(
        EnvironmentConfig(id, num_envs=envs, kwargs=("horizon=100",) if duel else ()),
        improve=ImproveConfig(learning_rate=2e-3),
        reward=RewardConfig(hidden=(16,), first_epochs=5, epochs=3, batch=16),
        feedback=FeedbackConfig(labels=40, length=20),
        steps=rounds * envs * (112 if duel else 128),
        rounds=rounds,
    )
    return dataclasses.replace(config, **changes)


def train(folder: Path, config: RunConfig | None = None) -> Run:
    """Begin (with ``config``) or resume a run in this process, and train it to the end."""
    run = Run.create(folder, config) if config else Run.open(folder)
    with run.training():
        session, close = preference_session(run)
        try:
            for _ in session.rounds():
                pass
        finally:
            close()
    return run


def contents(run: Run) -> dict[str, Any]:
    """Everything that must not depend on whether a run was interrupted: all but the clock."""
    rows = [{name: value for name, value in row.items() if name not in CLOCK} for row in run.metrics()]
    found: dict[str, Any] = {"metrics": rows, "tensors": run.load().tensors}
    if (run.folder / "feedback.sqlite").exists():
        with Store.open(run.folder / "feedback.sqlite", create=False) as store:
            found["answers"] = [(j.question, j.annotator, dict(j.value), j.order, j.id) for j in store.judgements()]
            counts = store.counts()
            found["counts"] = (counts.segments, counts.questions, counts.open, counts.judgements, counts.surplus)
        lines = (run.folder / "truth.jsonl").read_text().splitlines()
        found["truth"] = sorted(json.dumps(json.loads(line), sort_keys=True) for line in lines)
    return found


def assert_same(one: Run, other: Run, but: tuple[str, ...] = ()) -> None:
    """Bit for bit, ``but`` for tensors that only one of them has to remember."""
    a, b = contents(one), contents(other)
    tensors, others = (
        {name: value for name, value in each.pop("tensors").items() if not name.startswith(but)} for each in (a, b)
    )
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        assert value.dtype == others[name].dtype and value.shape == others[name].shape, name
        assert value.numpy().tobytes() == others[name].numpy().tobytes(), name  # NaN equals NaN here
    assert a == b


@dataclasses.dataclass(frozen=True)
class Tools:
    """What test files of this folder share: pytest's way of importing gives them no common module."""

    tiny: Callable[..., RunConfig] = tiny
    train: Callable[..., Run] = train
    contents: Callable[[Run], dict[str, Any]] = contents
    assert_same: Callable[..., None] = assert_same


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()
