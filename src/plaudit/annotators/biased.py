"""Simulated annotators that err as people do: B-Pref (Lee et al. 2021, arXiv:2111.03026), section 3.2.

A :class:`Bias` can combine every kind of error; each entry of :data:`BIASES` switches on one. Every draw depends on
the seed and the question alone, so a resumed run gets the same answers, whichever process asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.annotators.draws import generator, sides
from plaudit.annotators.oracle import Oracle, Truth, pair, partial_return, sign
from plaudit.functional.calibration import logistic
from plaudit.interfaces import Annotator
from plaudit.types import Answer, PlauditError, Question, Segment


@dataclass(frozen=True)
class Bias:
    """How a simulated annotator departs from the oracle; the defaults are no bias at all."""

    beta: float = math.inf  # rationality: P[first] = sigmoid(beta * difference of returns); 0 is a coin
    gamma: float = 1.0  # myopia: the reward of step t counts gamma^(L-1-t), so late steps weigh more
    mistake: float = 0.0  # probability of saying the opposite
    skip: float = 0.0  # can't tell when both returns are below this fraction of the usual return of a segment
    equal: float = 0.0  # a tie when the returns differ by less than this fraction of the usual return of a segment

    def __post_init__(self) -> None:
        if math.isnan(self.beta) or self.beta < 0:
            raise PlauditError(f"simulated annotator: beta must be 0 or more, got {self.beta}")
        if not 0 < self.gamma <= 1:
            raise PlauditError(f"simulated annotator: gamma must be in (0, 1], got {self.gamma}")
        if not 0 <= self.mistake <= 1:
            raise PlauditError(f"simulated annotator: mistake is a probability, got {self.mistake}")
        for name in ("skip", "equal"):
            if not 0 <= getattr(self, name) < math.inf:
                raise PlauditError(
                    f"simulated annotator: {name} is a fraction of the usual return, 0 or more, "
                    f"got {getattr(self, name)}"
                )


BIASES = {
    "mistake": Bias(mistake=0.1),
    "noisy": Bias(beta=1.0),
    "myopic": Bias(gamma=0.9),
    "skip": Bias(skip=0.1),
    "equal": Bias(equal=0.1),
    "random": Bias(beta=0.0),
}
SIMULATED_ANNOTATORS = ("oracle", *BIASES)


@dataclass(frozen=True)
class BiasedAnnotator:
    """A simulated annotator with a bias.

    The usual return of a segment is the mean recent episode return times segment length over episode length, as
    the ledger stored it for the question's round. B-Pref's code multiplies that by epsilon twice; this class does it
    once, as in the paper. If the usual return is not positive, no question is skipped (as in B-Pref's code), and the
    margin of a tie uses its magnitude (B-Pref's margin is then negative and never applies).
    """

    truth: Truth
    bias: Bias
    name: str
    seed: int = 0

    def judge(self, question: Question, items: Sequence[Segment]) -> Answer:
        """``{"strength": 4 | 0 | -4 | None}``; PlauditError unless it compares two segments whose truth is stored."""
        first, second = pair(question, items)
        return Answer({"strength": self._strength(question, first, second)}, order=sides(question.id, 2, self.seed))

    def _strength(self, question: Question, first: Segment, second: Segment) -> int | None:
        bias = self.bias
        rewards = [self.truth.rewards_of(segment) for segment in (first, second)]
        returns = [partial_return(row) for row in rewards]
        usual = 0.0
        if bias.skip > 0 or bias.equal > 0:
            usual = (self.truth.reward_per_step(question.round) or 0.0) * len(first)
        if bias.skip > 0 and usual > 0 and max(returns) < bias.skip * usual:
            return None
        if abs(returns[0] - returns[1]) < bias.equal * abs(usual):
            return 0
        weighed = returns if bias.gamma == 1 else [partial_return(row, bias.gamma) for row in rewards]
        rng = generator(self.name, self.seed, question.id)
        chance, flip = rng.random(2)
        verdict = _choice(weighed[0] - weighed[1], bias.beta, chance)
        return 4 * (-verdict if flip < bias.mistake else verdict)


def _choice(difference: float, beta: float, chance: float) -> int:
    """Boltzmann-rational choice; at beta = inf the better one, or 0 for an exact tie."""
    if beta == math.inf:
        return sign(difference)
    return 1 if chance < logistic(np.array([beta * difference]))[0] else -1


def simulated_annotator(name: str, truth: Truth, seed: int = 0) -> Annotator:
    """The simulated annotator called ``name``, one of :data:`SIMULATED_ANNOTATORS`; PlauditError names them all."""
    if name == "oracle":
        return Oracle(truth)
    if name not in BIASES:
        raise PlauditError(
            f"simulated annotator: unknown name {name!r}; choose one of {', '.join(SIMULATED_ANNOTATORS)}"
        )
    return BiasedAnnotator(truth, BIASES[name], name, seed)
