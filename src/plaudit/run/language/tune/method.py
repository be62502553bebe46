"""A method of `plaudit tune`: its settings, and the recipe that it makes of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from plaudit.language.models import LanguageModel
from plaudit.language.tune import Objective, Tuner
from plaudit.run.fitting import Progress
from plaudit.run.language.tune.config import TuneRun, TuningConfig
from plaudit.run.language.tune.data import Data, Sides

Settings = TypeVar("Settings", bound=TuningConfig)


@dataclass(frozen=True, eq=False)
class Result:
    """The measurements of a finished run: numbers by name, and a line for people."""

    numbers: dict[str, Any]
    line: str


@dataclass(frozen=True, eq=False)
class Recipe:
    """Everything that a run needs of a method; made of its files before anything is written."""

    model: LanguageModel  # the model that examples go through
    learner: nn.Module  # the module whose parameters are fitted: the model, or a reward model on it
    objective: Objective[Any]
    examples: Callable[[TuneRun, Progress], Sides]
    measure: Callable[[Tuner[Any], Sides, float | None], Result]  # the float: the held-out loss before the first step
    save: Callable[[Path], None]
    data: Data
    measure_before: bool = False  # whether the held-out loss is measured before the first step


@dataclass(frozen=True)
class Method(Generic[Settings]):
    """A row of :data:`plaudit.run.language.tune.methods.METHODS`."""

    name: str  # on the command line, and in config.json as the kind of run
    settings: type[Settings]
    recipe: Callable[[Settings], Recipe]
    headline: str  # in the list of methods
    description: str
    examples: tuple[str, ...]  # commands
    common: tuple[str, ...] = ()  # the method's own settings that its --help shows

    def create(self, folder: Path, config: Settings) -> TuneRun:
        """A new run of this method; raises as :meth:`TuneRun.check_free`."""
        return TuneRun.create(folder, config, self.name)

    def open(self, folder: Path) -> TuneRun:
        """An existing run of this method; raises as :meth:`plaudit.run.record.RunFolder.open`."""
        return TuneRun.open(folder, self.settings, self.name)
