"""Doing again what a run did whose answers came at their own pace: the same questions, fits and weights, bit for bit.

A run beside its annotators is no function of its seed, for it depends on when who answered. Its metrics record what it
depended on: of each round how far the run was, how many questions were asked, and which fit, to which answers, was
taken over. Its store holds the answers in the order in which they arrived. From both a single process does it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from plaudit import layout
from plaudit.files import copy_file
from plaudit.learner import Answers
from plaudit.run.control.config import Run, RunConfig
from plaudit.run.disk import disk_errors
from plaudit.types import PlauditError

PACE = ("labels", "due", "progress", "fit_until", "fit_round")  # what metrics say about it


def replay_of(run: Run, folder: Path, config: RunConfig | None = None) -> Run:
    """A new run folder, with what is needed to do ``run`` again; training in it is a replay.

    Raises:
        PlauditError: ``run`` was not beside its annotators, has no rounds yet, or ``folder`` holds something.
    """
    rows = run.metrics()
    if not rows or any("fit_until" not in row for row in rows):
        raise PlauditError(
            f"{run.folder} has no record of when answers came, because it was trained in one process or has no "
            "answers yet: train it again instead"
        )
    copy = Run.create(folder, config or run.config)
    with disk_errors(folder):
        copy_file(run.folder / layout.METRICS, folder / layout.RECORDED)
        if (run.folder / layout.TRUTH).exists():
            copy_file(run.folder / layout.TRUTH, folder / layout.TRUTH)
        with (
            closing(sqlite3.connect(run.folder / layout.FEEDBACK)) as source,
            closing(sqlite3.connect(folder / layout.FEEDBACK)) as target,
        ):
            source.backup(target)
    return copy


def differences(run: Run, replay: Run) -> str:
    """Which of the final weights of policy and reward differ in any bit, in words; "" for none."""
    first, second = run.load().tensors, replay.load().tensors
    names = [name for name in first if name.startswith(("policy/", "reward/"))]
    return ", ".join(name for name in names if not _equal(first[name], second.get(name)))


def _equal(first: torch.Tensor, second: torch.Tensor | None) -> bool:
    return second is not None and first.numpy().tobytes() == second.numpy().tobytes()


class RecordedPace:
    """The pace of a recorded run, and its schedule."""

    def __init__(self, answers: Answers, rows: list[dict[str, Any]]) -> None:
        """rows: the metrics of the recorded run. answers: from a copy of its store."""
        self.answers, self.rows = answers, rows
        # rounds at whose end a fit began that a later round took over, and the answers it was given
        self.started = {int(r["fit_round"]): int(r["fit_until"]) for r in rows if r["fit_until"] and not _at_once(r)}
        self.starts: dict[int, dict[str, torch.Tensor]] = {}  # what those fits began with
        self.questions = answers.feedback.store.counts().questions
        self.round = 0

    def done(self, round: int, rollout: int = 0) -> float:
        """As far as the recorded run was."""
        return float(self.rows[round - 1]["progress"]) if round else 0.0

    def rounds_from(self, first: int) -> Iterator[int]:
        """As many as the recorded run had."""
        return iter(range(first, len(self.rows)))

    def due(self, round: int, done: float) -> int:
        """As many as the recorded run wanted."""
        self.round = round
        return int(self.rows[round]["due"])

    def fit(self, round: int, seed: int) -> dict[str, float]:
        """Take over the fit that the recorded run took over here; {} where it took over none.

        Raises:
            PlauditError: other questions were asked than in the recorded run, so the two have parted.
        """
        row, answers = self.rows[round], self.answers
        if answers.feedback.n_asked != int(row["asked"]) or answers.feedback.store.counts().questions != self.questions:
            raise PlauditError(
                f"round {round} asks a question that the recorded run did not ask: replay a run where it was "
                "recorded, with the same versions of Plaudit and torch, and the same number of threads; its "
                "environment must depend on its seed alone"
            )
        metrics: dict[str, float] = {}
        if row["fit_until"]:
            last_event = int(row["fit_until"])
            start = {} if _at_once(row) else self.starts.pop(int(row["fit_round"]))
            values = answers.values(last_event) if _at_once(row) else _numpy(start.pop("values", None))
            seed_then = int(start.pop("seed", torch.tensor(seed)))
            if start:
                answers.model.load_state_dict(start)
            metrics = answers.fit(answers.with_values(last_event, values), seed_then)
        if round in self.started:
            start = {name: value.clone() for name, value in answers.model.state_dict().items()}
            values = answers.values(self.started[round])
            start |= {} if values is None else {"values": torch.from_numpy(values)}
            self.starts[round] = start | {"seed": torch.tensor(seed)}
        return metrics

    def metrics(self) -> dict[str, float]:
        """What the recorded run said."""
        row = self.rows[self.round]
        return {name: float(row[name]) for name in (*PACE, "answers") if name in row}  # older runs have no answers

    def state(self) -> dict[str, torch.Tensor]:
        """What the fits that are under way began with."""
        return {
            f"starts.{round}.{name}": value for round, start in self.starts.items() for name, value in start.items()
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        for key, value in state.items():
            if key.startswith("starts."):
                _, round, name = key.split(".", 2)
                self.starts.setdefault(int(round), {})[name] = value


def _at_once(row: dict[str, Any]) -> bool:
    """Whether the fit began in the round that took it over, as the first one does."""
    return int(row["fit_round"]) == int(row["round"])


def _numpy(tensor: torch.Tensor | None) -> Any:
    return None if tensor is None else tensor.numpy()
