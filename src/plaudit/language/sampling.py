"""Settings of sampling, and its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plaudit.language.rows import Tokens
from plaudit.types import PlauditError


@dataclass(frozen=True)
class SamplingConfig:
    """How completions are drawn."""

    tokens: int = 64
    """Largest number of tokens of a completion."""
    temperature: float = 1.0
    """Temperature, by which logits are divided; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens with at least this probability."""
    top_k: int = 0
    """Draw from this many of the likeliest tokens; 0: from all."""
    engine: Literal["own", "vllm"] = "own"
    """Engine that decodes: own (on a CPU or GPU), or vllm (on a GPU; vLLM must be installed)."""

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise PlauditError(f"tokens of a completion must be at least 1, got {self.tokens}")
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise PlauditError(
                f"sampling needs temperature >= 0, top_p in (0, 1] and top_k >= 0, got {self.temperature}, "
                f"{self.top_p} and {self.top_k}"
            )


@dataclass(frozen=True, eq=False)
class Samples:
    """B completions in the order of the prompts, the n of one prompt next to each other."""

    tokens: Tokens  # (B, T); padding is 0
    log_probs: NDArray[np.float32]  # (B, T): of the temperature, before top-p, top-k (vLLM: after); padding is 0
    mask: NDArray[np.bool_]  # (B, T)
    finished: NDArray[np.bool_]  # (B,): ended by an end token, which is its last, and not by the limit

    def completions(self) -> list[Tokens]:
        """The tokens of each completion, without padding."""
        return [row[real] for row, real in zip(self.tokens, self.mask, strict=True)]
