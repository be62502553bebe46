"""`plaudit tune sft`: supervised fine-tuning on demonstrations and corrections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from plaudit.language.demonstrations import read_demonstrations
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.language.tune import Demonstrations, TuneConfig, Tuner
from plaudit.run.language.tune.config import TuningConfig
from plaudit.run.language.tune.data import Data, Sides, check_files, check_sides, load_model, read, split_trees
from plaudit.run.language.tune.measures import measure_loss
from plaudit.run.language.tune.method import Method, Recipe, Result


@dataclass(frozen=True)
class SftConfig(TuningConfig):
    """Supervised fine-tuning on demonstrations and corrections."""

    data: tuple[str, ...] = ()
    """Files of demonstrations (any that `plaudit import` reads), or stores (.sqlite, postgresql://...)."""
    turns: Literal["all", "last"] = "all"
    """Turns of a conversation to imitate: all turns of the assistant, or the last one."""
    chosen: bool = False
    """Also imitate responses that were preferred in a comparison, or ranked best."""
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=2e-5, epochs=2))


def sft(config: SftConfig) -> Recipe:
    """Demonstrations and corrections, to be imitated.

    Raises:
        PlauditError: a file, the model or its chat template is missing or cannot be used, or there is nothing to
            imitate.
    """
    check_files(config)
    model = load_model(config)
    chat, length = Chat(model), min(config.fit.length, model.window)
    trees, counts, files = read(
        config, chat, lambda store: read_demonstrations(store, chat, length, config.chosen, config.turns)
    )
    sides = split_trees(trees, config.held_out, config.seed)
    check_sides(config, sides)

    def measure(tuner: Tuner[Tree], sides: Sides, before: float | None) -> Result:
        return measure_loss(tuner, sides, before, "loss")

    return Recipe(
        model,
        model,
        Demonstrations(model),
        lambda run, progress: sides,
        measure,
        model.save,
        Data.count(counts, files, sides),
        measure_before=True,
    )


SFT = Method(
    "sft",
    SftConfig,
    sft,
    "imitate demonstrations: supervised fine-tuning",
    "Imitate demonstrations and corrections: supervised fine-tuning. Only the responses count in the loss.",
    (
        "plaudit tune sft messages.jsonl --base smollm2 --out runs/sft",
        "plaudit tune sft demonstrations.jsonl more.jsonl --train full --epochs 3",
        "plaudit tune sft feedback.sqlite --chosen",
    ),
    common=("chosen",),
)
