"""`plaudit tune dpo`: direct preference optimisation (Rafailov et al. 2023), without a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from plaudit.feedback.store import Store
from plaudit.language.calibration import held_out_pairs, length_sign
from plaudit.language.data import Counts, read_judgements, split
from plaudit.language.dpo import LogRatios
from plaudit.language.policy import iterate_batches
from plaudit.language.reward import HeadsConfig, JudgedCompletions
from plaudit.language.rows import Tree
from plaudit.language.rows import split as split_rows
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.run.language.tune.config import TuningConfig
from plaudit.run.language.tune.data import Data, Sides, check_files, check_sides, load_model, read
from plaudit.run.language.tune.measures import measure_pairs
from plaudit.run.language.tune.method import Method, Recipe, Result
from plaudit.types import Array, PlauditError


@dataclass(frozen=True)
class DpoConfig(TuningConfig):
    """Direct preference optimisation on comparisons and rankings."""

    data: tuple[str, ...] = ()
    """Files of comparisons or rankings (any that `plaudit import` reads), or stores (.sqlite, ...)."""
    beta: float = 0.1
    """Nats of reward per nat of log-ratio; a larger beta keeps the model closer to its starting point."""
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-6))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta > 0:
            raise PlauditError(f"beta must be above 0, got {self.beta}")


@dataclass(frozen=True, eq=False)
class ImplicitReward:
    """beta (log pi - log pi_ref) of a response: the reward under which the policy is optimal."""

    ratios: LogRatios

    @torch.no_grad()
    def score(self, trees: Sequence[Tree], budget: int = 4096) -> Array:
        """(C, 1, 1) float32 of every completion of every tree, in order."""
        ratios, trees = self.ratios, split_rows(trees, budget)
        starts = np.cumsum([0, *(len(tree.completions) for tree in trees)])
        scores = np.empty((int(starts[-1]), 1, 1), np.float32)
        with ratios.model.precision(), ratios.reference.precision():
            for indices, rows, lower in iterate_batches(ratios.model, trees, budget):
                positions = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in indices])
                scores[positions, 0, 0] = ratios.rewards(rows, lower).float().cpu().numpy()
        return scores


def dpo(config: DpoConfig) -> Recipe:
    """Comparisons and rankings, to which the policy itself is fitted.

    Raises:
        PlauditError: as :func:`plaudit.run.language.tune.sft.sft`.
    """
    check_files(config)
    model = load_model(config)
    ratios = LogRatios(model, model.twin(), config.beta)
    chat, length = Chat(model), min(config.fit.length, model.window)

    def read_comparisons(store: Store) -> tuple[list[JudgedCompletions], Counts]:
        """All judgements but ratings, which compare nothing."""
        examples, counts = read_judgements(store, chat, HeadsConfig(), length, config.seed)
        comparisons = [example for example in examples if example.ratings is None]
        counts.other_kinds += len(examples) - len(comparisons)
        counts.used -= len(examples) - len(comparisons)
        return comparisons, counts

    examples, counts, files = read(config, chat, read_comparisons)
    sides = Sides(*split(examples, config.held_out, config.seed))
    check_sides(config, sides)

    def measure(tuner: Tuner[JudgedCompletions], sides: Sides, before: float | None) -> Result:
        pairs = held_out_pairs(ImplicitReward(ratios), sides.held_out)
        return measure_pairs(pairs, length_sign(sides.train), "accuracy of the implicit reward")

    data = Data.count(counts, files, sides)
    return Recipe(model, model, ratios, lambda run, progress: sides, measure, model.save, data)


DPO = Method(
    "dpo",
    DpoConfig,
    dpo,
    "fit the policy itself to comparisons, by DPO",
    "Fit the policy itself to comparisons and rankings: direct preference optimisation, without a reward model.",
    (
        "plaudit tune dpo pairs.jsonl --beta 0.1",
        "plaudit tune dpo pairs.jsonl --base runs/sft/model --train lora --learning-rate 5e-5",
    ),
    common=("beta",),
)
