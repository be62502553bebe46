"""The settings that every method of `plaudit tune` has, and the folder of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from plaudit.language.files import FilesConfig
from plaudit.language.models import ModelConfig
from plaudit.language.template import TemplateConfig
from plaudit.language.tune import TuneConfig
from plaudit.run.fitting import ModelRun
from plaudit.types import PlauditError


@dataclass(frozen=True)
class TuningConfig:
    """The settings that every method has."""

    data: tuple[str, ...] = ()
    """Files (any that `plaudit import` reads), or stores (.sqlite, postgresql://...)."""
    files: FilesConfig = field(default_factory=FilesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    template: str = "own"
    """Chat template: own (the tokenizer's), transcript (Human: ... Assistant: ...), or a file with a Jinja template."""
    chat_template: TemplateConfig = field(default_factory=TemplateConfig)
    held_out: float = 0.1
    """Share of the prompts that are held out from fitting, to measure the result on; 0: none."""
    fit: TuneConfig = field(default_factory=TuneConfig)
    seed: int = 0
    """Seed of everything random."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device for training; auto: the GPU if there is one."""
    heads_learn: ClassVar[bool] = False  # whether heads are fitted, so that the model itself may be frozen

    def __post_init__(self) -> None:
        if not self.heads_learn:
            self.model.must_learn()
        if not 0 <= self.held_out < 1:
            raise PlauditError(f"held_out is a share of the prompts in [0, 1), got {self.held_out}")
        if self.seed < 0:
            raise PlauditError(f"seed must not be negative, got {self.seed}")


class TuneRun(ModelRun[Any]):
    """config.json, data.json, metrics.jsonl, checkpoints/ while it is fitted, model/, result.json."""
