"""Best of n: of n responses to a prompt the one that the reward model scores highest. Nothing learns.

Stiennon et al. 2020, appendix G.3; Gao et al. 2022 for what it costs: at most log n - (n - 1) / n nats from the model
that wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from plaudit.functional.divergence import best_of_n_kl
from plaudit.language.fast.decode import sample
from plaudit.language.models import LanguageModel
from plaudit.language.reward import TextReward
from plaudit.language.rows import Tokens, Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.types import Array, PlauditError


@dataclass(frozen=True, eq=False)
class BestOfN:
    """A contestant (:class:`plaudit.language.evaluate.Contestant`) that writes n responses and keeps the best."""

    writer: LanguageModel
    reward: TextReward
    n: int = 16
    batch: int = 64  # responses drawn at once

    def __post_init__(self) -> None:
        if self.n < 1 or self.batch < 1:
            raise PlauditError(f"best of n needs n and batch of at least 1, got {self.n} and {self.batch}")

    @property
    def model(self) -> None:
        """What is kept has no log-probability that could be computed."""
        return None

    @property
    def kl(self) -> float:
        """Nats a response from the writer: log n - (n - 1) / n, exact where no two responses are alike."""
        return best_of_n_kl(self.n)

    def write(
        self, prompts: Sequence[Tokens], sampling: SamplingConfig, n: int, generator: torch.Generator
    ) -> tuple[list[Tokens], Array]:
        """``n`` responses to each prompt, each the best of n of its own, and which ended by themselves."""
        completions: list[Tokens] = []
        ended: list[Array] = []
        at_once = max(self.batch // (n * self.n), 1)
        for first in range(0, len(prompts), at_once):
            part = prompts[first : first + at_once]
            drawn = sample(self.writer, part, sampling, generator, n * self.n)
            texts = drawn.completions()
            best = self.best(part, texts, drawn.ended)
            completions += [texts[place] for place in best]
            ended.append(drawn.ended[best])
        return completions, np.concatenate(ended)

    def best(self, prompts: Sequence[Tokens], texts: Sequence[Tokens], ended: Array) -> Array:
        """Which of each n responses in a row scores highest; one that the limit cut off scores as in training."""
        of = len(texts) // len(prompts)
        trees = [Tree(prompt, tuple(texts[of * place : of * place + of])) for place, prompt in enumerate(prompts)]
        scores = self.reward.reward(trees)
        missing = self.reward.config.missing_end
        if missing is not None:
            scores = np.where(ended, scores, missing)
        groups = scores.reshape(-1, self.n)
        return groups.argmax(axis=1) + self.n * np.arange(len(groups))
