"""Everything that `plaudit tune` depends on, for each of its methods, and the folder that a run of it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from plaudit import layout
from plaudit.language.models import ModelConfig
from plaudit.language.reward import HeadsConfig
from plaudit.language.sampling import SamplingConfig
from plaudit.language.spans import SpanConfig
from plaudit.language.tune import TuneConfig
from plaudit.run.record import RunFolder
from plaudit.run.stored import TUNED
from plaudit.types import PlauditError


@dataclass(frozen=True)
class TuningConfig:
    """What every method has."""

    data: tuple[str, ...] = ()
    """Files (any that `plaudit import` reads), or stores (.sqlite, postgresql://...)."""
    model: ModelConfig = field(default_factory=ModelConfig)
    template: str = "own"
    """own: the tokenizer's chat template; transcript: Human: ... Assistant: ...; or a file with a Jinja template."""
    held_out: float = 0.1
    """Share of the prompts that nothing is fitted to, and on which the result is measured; 0: none."""
    fit: TuneConfig = field(default_factory=TuneConfig)
    seed: int = 0
    """Everything random follows from this."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: the GPU where there is one."""
    heads_learn: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.heads_learn:
            self.model.must_learn()
        if not 0 <= self.held_out < 1:
            raise PlauditError(f"held_out is a share of the prompts in [0, 1), got {self.held_out}")
        if self.seed < 0:
            raise PlauditError(f"seed must not be negative, got {self.seed}")


@dataclass(frozen=True)
class SftConfig(TuningConfig):
    """Supervised fine-tuning on demonstrations and corrections."""

    turns: Literal["all", "last"] = "all"
    """Of a conversation: imitate all that the assistant says, or the last turn."""
    chosen: bool = False
    """Imitate responses that were preferred in a comparison, or ranked best, too."""
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=2e-5, epochs=2))


@dataclass(frozen=True)
class RewardModelConfig(TuningConfig):
    """A reward model, fitted to comparisons, rankings and ratings."""

    heads_learn = True
    reward_model: str | None = None
    """Folder of a reward model to go on from (preference-model pretraining), in place of a language model."""
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-5))


@dataclass(frozen=True)
class SpansConfig(TuningConfig):
    """A reward of passages, fitted to what was marked in responses."""

    heads_learn = True
    spans: SpanConfig = field(default_factory=SpanConfig)
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-5, epochs=3))


@dataclass(frozen=True)
class DpoConfig(TuningConfig):
    """Direct preference optimisation on comparisons and rankings."""

    beta: float = 0.1
    """Nats of reward for a nat of log-ratio: the larger, the closer the model stays to where it started."""
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-6))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta > 0:
            raise PlauditError(f"beta must be above 0, got {self.beta}")


@dataclass(frozen=True)
class DistillConfig(TuningConfig):
    """Context distillation: the model is to do without a context what it does with it."""

    context: str | None = None
    """A text file: the system message whose effect is put into the weights."""
    responses: int = 1
    """Responses that the model with the context writes to each prompt."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=2e-5, epochs=2))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.responses < 1:
            raise PlauditError(f"responses must be at least 1, got {self.responses}")


class TuneRun(RunFolder[Any]):
    """config.json, data.json, metrics.jsonl, checkpoints/ while it is fitted, model/, result.json."""

    dropped: ClassVar[slice] = slice(0, -1)

    @property
    def model(self) -> Path:
        """What was made."""
        return self.folder / layout.MODEL

    @property
    def checkpoint(self) -> Path:
        """The state of a run that is under way."""
        return self.folder / layout.CHECKPOINTS / layout.LAST_CHECKPOINT


class SftRun(TuneRun):
    """As :class:`TuneRun`."""

    kind, config_class = TUNED[0], SftConfig


class RewardModelRun(TuneRun):
    """As :class:`TuneRun`; model/ is a reward model."""

    kind, config_class = TUNED[1], RewardModelConfig


class DpoRun(TuneRun):
    """As :class:`TuneRun`."""

    kind, config_class = TUNED[2], DpoConfig


class DistillRun(TuneRun):
    """As :class:`TuneRun`, and written.jsonl: what the model with the context wrote, a row a batch of prompts."""

    kind, config_class = TUNED[3], DistillConfig


class SpansRun(TuneRun):
    """As :class:`TuneRun`; model/ is a reward of passages."""

    kind, config_class = TUNED[4], SpansConfig
