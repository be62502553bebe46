"""The verbs of the loop, as protocols. A protocol stands here only once it has two implementations.

Floor 0: nothing here imports torch, so policies exchange numpy arrays with the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from plaudit.types import Answer, Array, Question, Trajectory


@runtime_checkable
class Policy(Protocol):
    """A function of history that acts."""

    def act(self, observations: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Sample actions for ``(B, *observation)``; returns actions, log-probabilities (B,), values (B,)."""
        ...


@runtime_checkable
class Collector(Protocol):
    """Hides a vector environment, or a decoder with a cache, behind one call."""

    def collect(self, steps: int) -> Trajectory:
        """Act for ``steps`` more steps in each of ``B`` environments; no reward comes back."""
        ...


@runtime_checkable
class RewardModel(Protocol):
    """r_theta(o, a) as the policy's teacher sees it."""

    def rewards(self, trajectory: Trajectory) -> Array:
        """Rewards ``(B, T)`` float32 under the model as it is now."""
        ...


@runtime_checkable
class Annotator(Protocol):
    """Anybody who drains the queue: a person, an oracle, a biased teacher, an AI judge."""

    @property
    def name(self) -> str:
        """Who signs the judgements."""
        ...

    def judge(self, question: Question, items: Sequence[Any]) -> Answer:
        """Answer one question whose ``K`` items, segments or dialogues, are given in the question's order."""
        ...
