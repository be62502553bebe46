"""Calibration of a reward model of text on held-out judgements, next to a rule that looks at length only.

People often prefer the longer response. A reward model that learned only this has a good accuracy too, so its accuracy
is compared with that of the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from plaudit.functional.calibration import Reliability, reliability, share_interval, temper, temperature
from plaudit.functional.preference import bradley_terry
from plaudit.language.evaluation import Estimate
from plaudit.language.reward import JudgedCompletions
from plaudit.language.rows import Tree
from plaudit.types import Array


@runtime_checkable
class Scorer(Protocol):
    """A reward model, or another scorer of responses."""

    def score(self, trees: Sequence[Tree], budget: int = 4096) -> Array:
        """Raw scores (C, O, M) of every completion of every tree, in order."""
        ...


@dataclass(frozen=True, eq=False)
class HeldOutPairs:
    """Pairs of completions that people compared, with the reward model's predictions.

    A ranking of K gives K (K - 1) / 2 pairs. They are no more independent than one judgement, so intervals count
    judgements.
    """

    predicted: Array  # (n,) P[first better]
    targets: Array  # (n,) mu: 1 first better, 0 second, 0.5 a tie
    longer: Array  # (n,) tokens of the first less those of the second
    judgements: Array  # (n,) int64: index of the pair's judgement

    def accuracy(self) -> Estimate | None:
        """Share of decided pairs in which the model's favourite won, with Wilson's interval."""
        return self._share(self.predicted - 0.5)

    def length_accuracy(self, sign: int = 1) -> Estimate | None:
        """Accuracy of preferring the longer response (``sign`` -1: the shorter); equal lengths are a guess."""
        return self._share(sign * self.longer)

    def reliability(self, bins: int = 5) -> Reliability | None:
        """Bins, expected calibration error and cross-entropy."""
        return reliability(self.predicted, self.targets, bins)

    def count_decided(self) -> int:
        """Judgements that prefer one of two completions."""
        return len(np.unique(self.judgements[self.targets != 0.5]))

    def temperature(self) -> float:
        """The divisor that calibrates scores: :func:`plaudit.functional.calibration.temperature`."""
        return temperature(self.predicted, self.targets)

    def calibrate(self) -> HeldOutPairs:
        """The pairs with calibrated predictions: each half is tempered by the temperature of the other half."""
        half = self.judgements % 2 == 1
        predicted = self.predicted.copy()
        for part in (half, ~half):
            if part.any() and not part.all():
                predicted[part] = temper(self.predicted[part], temperature(self.predicted[~part], self.targets[~part]))
        return replace(self, predicted=predicted)

    def _share(self, lean: Array) -> Estimate | None:
        decided = self.targets != 0.5
        if not decided.any():
            return None
        better, preferred = np.sign(self.targets - 0.5)[decided], np.sign(lean)[decided]
        share = float(((better * preferred + 1) / 2).mean())
        return Estimate(share, *share_interval(share, self.count_decided()))


def held_out_pairs(reward: Scorer, examples: Sequence[JudgedCompletions], budget: int = 4096) -> HeldOutPairs:
    """A reward model's predictions for judgements; ratings of single responses compare nothing and are left out.

    P is the mean over members of Bradley and Terry's probability, under the objective that was judged.
    """
    compared = [example for example in examples if example.ratings is None]
    scores = (
        reward.score([example.tree for example in compared], budget) if compared else np.zeros((0, 1, 1), np.float32)
    )
    begins = np.cumsum([0, *(len(example.tree.completions) for example in compared)])
    pairs = [
        (index, *pair)
        for index, example in enumerate(compared)
        for pair in combinations(range(len(example.tree.completions)), 2)
    ]
    judgements, first, second = np.array(pairs, np.int64).reshape(-1, 3).T
    objectives = np.array([example.objective for example in compared], np.int64)[judgements]
    first, second = begins[judgements] + first, begins[judgements] + second
    deltas = scores[first, objectives] - scores[second, objectives]  # (n, M)
    lengths = np.array([len(part) for example in compared for part in example.tree.completions], np.int64)
    return HeldOutPairs(
        predicted=bradley_terry(torch.from_numpy(deltas)).mean(dim=1).numpy().astype(np.float64),
        targets=np.array([_mu(compared[index], *pair) for index, *pair in pairs], np.float64),
        longer=lengths[first] - lengths[second],
        judgements=judgements,
    )


def length_sign(examples: Sequence[JudgedCompletions]) -> int:
    """1 if people preferred the longer response in these judgements, which must not be held out; else -1."""
    total = 0
    for example in examples:
        for first, second in combinations(range(len(example.tree.completions)), 2):
            if example.ratings is None:
                longer = len(example.tree.completions[first]) - len(example.tree.completions[second])
                total += int(np.sign(_mu(example, first, second) - 0.5) * np.sign(longer))
    return 1 if total >= 0 else -1


def _mu(example: JudgedCompletions, first: int, second: int) -> float:
    """P[first better] as judged: 1, 0, 0.5 for a tie, or the value of a graded comparison."""
    if example.mu is not None:
        return example.mu
    ranks = example.ranks or ()
    return float(np.sign(ranks[second] - ranks[first]) + 1) / 2
