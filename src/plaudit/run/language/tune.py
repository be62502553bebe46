"""`plaudit tune` as a run: what a method makes of its files, fitted in a folder, measured, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from plaudit import layout
from plaudit.files import replace_folder, replace_text
from plaudit.language.models import LanguageModel
from plaudit.language.tune import Objective, Tuner
from plaudit.run.disk import disk_errors
from plaudit.run.fitting import Told, fitted, learned
from plaudit.run.language.tune_config import TuneRun
from plaudit.run.language.tune_data import Data
from plaudit.run.record import read_json
from plaudit.types import PlauditError

Sides = tuple[Sequence[Any], Sequence[Any]]  # examples to fit, and examples held out
FITTING = "fitting"


@dataclass(frozen=True, eq=False)
class Result:
    """What was measured: numbers by name, and a line to be read."""

    numbers: dict[str, Any]
    line: str


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a method makes of its files, before anything is written."""

    model: LanguageModel  # which examples go through
    learns: nn.Module  # whose parameters learn: the model, or a reward model on it
    objective: Objective[Any]
    examples: Callable[[TuneRun, Told], Sides]
    measure: Callable[[Tuner[Any], Sides, float | None], Result]  # the last: the loss held out before the first step
    save: Callable[[Path], None]
    data: Data
    compared: bool = False  # whether that loss is wanted


class Tuning:
    """One run under way: the same steps as if it had never been stopped."""

    def __init__(self, run: TuneRun, recipe: Recipe, told: Told = lambda stage, done, total, facts: None) -> None:
        """
        Raises:
            PlauditError: the files no longer hold what the run began with.
        """
        self.run, self.recipe = run, recipe
        self._begun()
        self.sides = recipe.examples(run, told)
        config = run.config
        length = min(config.fit.length, recipe.model.window)
        fit = replace(config.fit, seed=config.seed, length=length)
        parameters = [each for each in recipe.learns.parameters() if each.requires_grad]
        self.tuner = Tuner(recipe.model, parameters, recipe.objective, self.sides[0], fit)
        self.before = self._before()

    def steps(self) -> Iterator[dict[str, Any]]:
        """Every step that is left, with its metrics; at the end what was made is measured and kept.

        Raises:
            PlauditError: as :func:`plaudit.run.fitting.fitted`.
        """
        yield from fitted(self.run, self.tuner, learned(self.recipe.learns), self.run.checkpoint)
        self._finish()

    def _begun(self) -> None:
        """Write down what was read, or see that it is what was read before."""
        path, data = self.run.folder / layout.DATA, self.recipe.data
        if not path.exists():
            with disk_errors(path):
                replace_text(path, json.dumps({**data.counts, "fingerprint": data.fingerprint}, indent=2) + "\n")
        elif stored(path).get("fingerprint") != data.fingerprint:
            raise PlauditError(
                f"{self.run.folder} was begun with something else than {', '.join(self.run.config.data)} now hold: "
                "restore the files, or choose another --out"
            )

    def _before(self) -> float | None:
        """The loss held out before the first step, measured once."""
        path, held = self.run.folder / layout.BEFORE, self.sides[1]
        if not self.recipe.compared or not held:
            return None
        if not path.exists():
            with disk_errors(path):
                replace_text(path, json.dumps(self.tuner.evaluate(held)) + "\n")
        return float(stored(path)["loss"])

    def _finish(self) -> None:
        """What was measured, then the model where others find it; then the checkpoint is no longer needed."""
        run = self.run
        found = self.recipe.measure(self.tuner, self.sides, self.before)
        with disk_errors(run.folder):
            replace_text(run.folder / layout.RESULT, json.dumps({**found.numbers, "line": found.line}, indent=2) + "\n")
            with replace_folder(run.model) as partial:
                self.recipe.save(partial)
            run.checkpoint.unlink(missing_ok=True)


def headline(run: TuneRun) -> str:
    """What a finished run found and where its model is, in one line; empty where it is not finished."""
    if not (run.model / "config.json").exists():
        return ""
    return f"{stored(run.folder / layout.RESULT)['line']}; model: {run.model}"


def stored(path: Path) -> dict[str, Any]:
    """A small file of a run's folder.

    Raises:
        PlauditError: it cannot be read.
    """
    return read_json(path, "restore it from a copy, or start a new run")
