"""A run of `plaudit tune`: fit a method's recipe in a folder, measure the result, save the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from plaudit import layout
from plaudit.files import replace_folder, replace_text
from plaudit.language.tune import Tuner
from plaudit.run.disk import disk_errors
from plaudit.run.fitting import Progress, fit_steps, trainable_state
from plaudit.run.language.tune.card import tune_card
from plaudit.run.language.tune.config import TuneRun
from plaudit.run.language.tune.method import Recipe
from plaudit.run.record import read_json
from plaudit.types import PlauditError

FITTING = "fitting"


class Tuning:
    """One run under way: the same steps whether or not it was ever stopped."""

    def __init__(
        self, run: TuneRun, recipe: Recipe, progress: Progress = lambda stage, done, total, facts: None
    ) -> None:
        """
        Raises:
            PlauditError: the files have changed since the run began.
        """
        self.run, self.recipe = run, recipe
        self._check_data()
        self.sides = recipe.examples(run, progress)
        config = run.config
        length = min(config.fit.length, recipe.model.window)
        fit = replace(config.fit, seed=config.seed, length=length)
        parameters = [parameter for parameter in recipe.learner.parameters() if parameter.requires_grad]
        self.tuner = Tuner(recipe.model, parameters, recipe.objective, self.sides.train, fit)
        self.loss_before = self._loss_before()

    def steps(self) -> Iterator[dict[str, Any]]:
        """The remaining steps, with the metrics of each; after the last one the result is measured and saved.

        Raises:
            PlauditError: as :func:`plaudit.run.fitting.fit_steps`.
        """
        yield from fit_steps(self.run, self.tuner, trainable_state(self.recipe.learner), self.run.checkpoint)
        self._finish()

    def _check_data(self) -> None:
        """Write down what was read, or check that it is what the run began with."""
        path, data = self.run.folder / layout.DATA, self.recipe.data
        if not path.exists():
            with disk_errors(path):
                replace_text(path, json.dumps({**data.counts, "fingerprint": data.fingerprint}, indent=2) + "\n")
        elif _read_stored(path).get("fingerprint") != data.fingerprint:
            raise PlauditError(
                f"{self.run.folder} was started with other data than {', '.join(self.run.config.data)} hold now: "
                "restore the files, or choose another --out"
            )

    def _loss_before(self) -> float | None:
        """The held-out loss before the first step, measured once."""
        path, held_out = self.run.folder / layout.BEFORE, self.sides.held_out
        if not self.recipe.measure_before or not held_out:
            return None
        if not path.exists():
            with disk_errors(path):
                replace_text(path, json.dumps(self.tuner.evaluate(held_out)) + "\n")
        return float(_read_stored(path)["loss"])

    def _finish(self) -> None:
        """Write the result, then the model; then remove the checkpoint, which is no longer needed."""
        run = self.run
        result = self.recipe.measure(self.tuner, self.sides, self.loss_before)
        with disk_errors(run.folder):
            replace_text(
                run.folder / layout.RESULT, json.dumps({**result.numbers, "line": result.line}, indent=2) + "\n"
            )
            with replace_folder(run.model) as partial:
                self.recipe.save(partial)
                tune_card(run, self.recipe.data, result.line).write(partial)
            run.checkpoint.unlink(missing_ok=True)


def headline(run: TuneRun) -> str:
    """The result of a finished run and the path of its model, in one line; empty if it is not finished."""
    if not (run.model / "config.json").exists():
        return ""
    return f"{_read_stored(run.folder / layout.RESULT)['line']}; model: {run.model}"


def _read_stored(path: Path) -> dict[str, Any]:
    """A small file of a run's folder.

    Raises:
        PlauditError: it cannot be read.
    """
    return read_json(path, "restore it from a copy, or start a new run")
