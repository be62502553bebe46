"""The verbs of the loop, as protocols. A protocol stands here only once it has two implementations.

Floor 0: nothing here imports torch, so policies exchange numpy arrays with the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from plaudit.types import Answer, Array, Question, Trajectory

# A domain's experience: what its collector makes is what its reward model, its learner and its improver take
Experience_co = TypeVar("Experience_co", bound=Trajectory, covariant=True)
Experience_contra = TypeVar("Experience_contra", bound=Trajectory, contravariant=True)


@runtime_checkable
class Policy(Protocol):
    """A function of history that acts."""

    def act(self, observations: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Sample actions for ``(B, *observation)``; returns actions, log-probabilities (B,), values (B,)."""
        ...


@runtime_checkable
class Collector(Protocol[Experience_co]):
    """Hides a vector environment, or a decoder with a cache, behind one call."""

    def collect(self, steps: int) -> Experience_co:
        """Act for ``steps`` more steps in each of ``B`` environments; no reward comes back."""
        ...


@runtime_checkable
class RewardModel(Protocol[Experience_contra]):
    """r_theta(o, a), which the policy is improved against."""

    def rewards(self, experience: Experience_contra, /) -> Array:
        """Rewards ``(B, T)`` float32 under the model as it is now."""
        ...


@runtime_checkable
class Annotator(Protocol):
    """Drains the queue: a person, an oracle, a simulated annotator that errs, an AI judge."""

    @property
    def name(self) -> str:
        """The name that the judgements are signed with."""
        ...

    def judge(self, question: Question, items: Sequence[Any]) -> Answer:
        """Answer one question about its ``K`` items, segments or dialogues, in the question's order."""
        ...
