"""DPO in a run's folder: `plaudit tune dpo`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from plaudit.feedback.store import Store
from plaudit.language.calibration import held_out_pairs, length_sign
from plaudit.language.data import Counts, judged, split
from plaudit.language.dpo import LogRatios
from plaudit.language.policy import batched
from plaudit.language.reward import HeadsConfig, Judged
from plaudit.language.rows import Tree
from plaudit.language.rows import split as parts_of
from plaudit.language.text import Chat
from plaudit.language.tune import Tuner
from plaudit.run.language.methods import pairs_told
from plaudit.run.language.tune import Recipe, Result, Sides
from plaudit.run.language.tune_config import DpoConfig
from plaudit.run.language.tune_data import Data, check_files, check_sides, loaded, read
from plaudit.types import Array


@dataclass(frozen=True, eq=False)
class ImplicitReward:
    """beta (log pi - log pi_ref) of a response: the reward under which the policy is the best there is."""

    ratios: LogRatios

    @torch.no_grad()
    def score(self, trees: Sequence[Tree], budget: int = 4096) -> Array:
        """(C, 1, 1) float32 of every completion of every tree, in order."""
        ratios, trees = self.ratios, parts_of(trees, budget)
        begins = np.cumsum([0, *(len(tree.completions) for tree in trees)])
        found = np.empty((int(begins[-1]), 1, 1), np.float32)
        with ratios.model.precision(), ratios.reference.precision():
            for indices, rows, lower in batched(ratios.model, trees, budget):
                places = np.concatenate([np.arange(begins[i], begins[i + 1]) for i in indices])
                found[places, 0, 0] = ratios.rewards(rows, lower).float().cpu().numpy()
        return found


def dpo(config: DpoConfig) -> Recipe:
    """Comparisons and rankings, which the policy itself is fitted to.

    Raises:
        PlauditError: as :func:`plaudit.run.language.methods.sft`.
    """
    check_files(config)
    model = loaded(config)
    ratios = LogRatios(model, model.twin(), config.beta)
    chat, length = Chat(model), min(config.fit.length, model.window)

    def compared(store: Store) -> tuple[list[Judged], Counts]:
        """All but ratings, which compare nothing."""
        found, counts = judged(store, chat, HeadsConfig(), length, config.seed)
        kept = [each for each in found if each.ratings is None]
        counts.other_kinds += len(found) - len(kept)
        counts.used -= len(found) - len(kept)
        return kept, counts

    examples, counts, surplus = read(config, compared)
    sides = split(examples, config.held_out, config.seed)
    check_sides(config, *sides)

    def measure(tuner: Tuner[Judged], sides: Sides, before: float | None) -> Result:
        pairs = held_out_pairs(ImplicitReward(ratios), sides[1])
        return pairs_told(pairs, length_sign(sides[0]), "accuracy of the implicit reward")

    data = Data.of(counts, surplus, sides)
    return Recipe(model, model, ratios, lambda run, told: sides, measure, model.save, data)
