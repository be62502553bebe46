"""Best of n: of n responses to a prompt, keep the one with the highest reward. No weight is trained.

Stiennon et al. 2020, appendix G.3. The KL from the model that wrote the responses is at most log n - (n - 1) / n nats
(Gao et al. 2022).
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
        """None: the log-probability of a chosen response cannot be computed."""
        return None

    @property
    def kl(self) -> float:
        """KL from the writer in nats per response: log n - (n - 1) / n, exact if no two responses are equal."""
        return best_of_n_kl(self.n)

    def write(
        self, prompts: Sequence[Tokens], sampling: SamplingConfig, n: int, generator: torch.Generator
    ) -> tuple[list[Tokens], Array]:
        """As :class:`plaudit.language.evaluate.Contestant`; each response is the best of n drawn for it."""
        completions: list[Tokens] = []
        finished: list[Array] = []
        at_once = max(self.batch // (n * self.n), 1)
        for first in range(0, len(prompts), at_once):
            part = prompts[first : first + at_once]
            sampled = sample(self.writer, part, sampling, generator, n * self.n)
            texts = sampled.completions()
            best = self.best(part, texts, sampled.finished)
            completions += [texts[index] for index in best]
            finished.append(sampled.finished[best])
        return completions, np.concatenate(finished)

    def best(self, prompts: Sequence[Tokens], texts: Sequence[Tokens], finished: Array) -> Array:
        """Indices of the highest score among each n consecutive responses; a cut-off one scores as in training."""
        count = len(texts) // len(prompts)
        trees = [
            Tree(prompt, tuple(texts[count * index : count * index + count])) for index, prompt in enumerate(prompts)
        ]
        scores = self.reward.reward(trees)
        missing = self.reward.config.missing_end
        if missing is not None:
            scores = np.where(finished, scores, missing)
        groups = scores.reshape(-1, self.n)
        return groups.argmax(axis=1) + self.n * np.arange(len(groups))
