"""How far a reward model of text can be believed, on judgements that it was not fitted to, and what length alone says.

People often prefer the longer response, and a reward model that learned only that looks as if it had learned more:
its accuracy stands beside that of a rule that knows nothing but length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from plaudit.functional.calibration import Reliability, reliability, share_interval, temperature, tempered
from plaudit.functional.preference import bradley_terry
from plaudit.language.evaluation import Measured
from plaudit.language.reward import Judged
from plaudit.language.rows import Tree
from plaudit.types import Array


@runtime_checkable
class Scorer(Protocol):
    """A reward model, or whatever else scores responses."""

    def score(self, trees: Sequence[Tree], budget: int = 4096) -> Array:
        """Raw scores (C, O, M) of every completion of every tree, in order."""
        ...


@dataclass(frozen=True, eq=False)
class HeldOutPairs:
    """Pairs of completions that people compared, and what the reward model said of them.

    A ranking of K gives its K (K - 1) / 2 pairs. They are no more independent than one judgement, so intervals count
    judgements.
    """

    predicted: Array  # (n,) P[first better]
    targets: Array  # (n,) mu: 1 first better, 0 second, 0.5 a tie
    longer: Array  # (n,) tokens of the first less those of the second
    judgements: Array  # (n,) int64: which judgement the pair is of

    def accuracy(self) -> Measured | None:
        """Share of decided pairs in which the model's favourite won, with Wilson's interval."""
        return self._share(self.predicted - 0.5)

    def length_accuracy(self, sign: int = 1) -> Measured | None:
        """The same of a rule that prefers the longer one (``sign`` -1: the shorter); of equal length it guesses."""
        return self._share(sign * self.longer)

    def reliability(self, bins: int = 5) -> Reliability | None:
        """Bins, expected calibration error and cross-entropy."""
        return reliability(self.predicted, self.targets, bins)

    def decided(self) -> int:
        """Judgements that prefer one of two completions."""
        return len(np.unique(self.judgements[self.targets != 0.5]))

    def temperature(self) -> float:
        """What scores are to be divided by to be calibrated: :func:`plaudit.functional.calibration.temperature`."""
        return temperature(self.predicted, self.targets)

    def calibrated(self) -> HeldOutPairs:
        """As tempered by what the other half of the judgements says: a temperature is no judge of its own pairs."""
        half = self.judgements % 2 == 1
        predicted = self.predicted.copy()
        for own in (half, ~half):
            if own.any() and not own.all():
                predicted[own] = tempered(self.predicted[own], temperature(self.predicted[~own], self.targets[~own]))
        return replace(self, predicted=predicted)

    def _share(self, lean: Array) -> Measured | None:
        decided = self.targets != 0.5
        if not decided.any():
            return None
        better, said = np.sign(self.targets - 0.5)[decided], np.sign(lean)[decided]
        share = float(((better * said + 1) / 2).mean())
        return Measured(share, *share_interval(share, self.decided()))


def held_out_pairs(reward: Scorer, examples: Sequence[Judged], budget: int = 4096) -> HeldOutPairs:
    """What a reward model says of judgements; ratings of single responses compare nothing and are left out.

    P is the mean over members of Bradley and Terry's, under the objective that was judged.
    """
    compared = [each for each in examples if each.ratings is None]
    scores = reward.score([each.tree for each in compared], budget) if compared else np.zeros((0, 1, 1), np.float32)
    begins = np.cumsum([0, *(len(each.tree.completions) for each in compared)])
    pairs = [
        (place, *two)
        for place, each in enumerate(compared)
        for two in combinations(range(len(each.tree.completions)), 2)
    ]
    which, first, second = np.array(pairs, np.int64).reshape(-1, 3).T
    objectives = np.array([each.objective for each in compared], np.int64)[which]
    deltas = scores[begins[which] + first, objectives] - scores[begins[which] + second, objectives]  # (n, M)
    lengths = np.array([len(part) for each in compared for part in each.tree.completions], np.int64)
    return HeldOutPairs(
        predicted=bradley_terry(torch.from_numpy(deltas)).mean(dim=1).numpy().astype(np.float64),
        targets=np.array([_mu(compared[place], one, other) for place, one, other in pairs], np.float64),
        longer=lengths[begins[which] + first] - lengths[begins[which] + second],
        judgements=which,
    )


def length_sign(examples: Sequence[Judged]) -> int:
    """Whether people preferred the longer response (1) or the shorter (-1), in judgements that may be fitted to."""
    total = 0
    for each in examples:
        for one, other in combinations(range(len(each.tree.completions)), 2):
            if each.ratings is None:
                longer = len(each.tree.completions[one]) - len(each.tree.completions[other])
                total += int(np.sign(_mu(each, one, other) - 0.5) * np.sign(longer))
    return 1 if total >= 0 else -1


def _mu(example: Judged, one: int, other: int) -> float:
    """P[one better] as judged: 1, 0, 0.5 for a tie, or what a graded comparison says."""
    if example.mu is not None:
        return example.mu
    ranks = example.ranks or ()
    return float(np.sign(ranks[other] - ranks[one]) + 1) / 2
