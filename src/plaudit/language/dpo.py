"""Direct preference optimisation: the preference loss of the reward model, with r := beta (log pi - log pi_ref).

Rafailov et al. 2023, "Direct preference optimization", eq. 7. DPO needs no reward model and no sampling: the policy's
log-ratio is the reward, and a judgement's loss is that of :class:`plaudit.language.reward.Preferences`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.functional.divergence import k1
from plaudit.language.models import LanguageModel
from plaudit.language.reward import JudgedCompletions, preference_losses
from plaudit.language.rows import Rows, Tree
from plaudit.language.tune import completion_log_probs


@dataclass(frozen=True, eq=False)
class LogRatios:
    """An objective for :class:`plaudit.language.tune.Tuner`: comparisons and rankings fit the policy itself."""

    model: LanguageModel
    reference: LanguageModel  # the model's twin, taken before it learned
    beta: float = 0.1

    def tree(self, example: JudgedCompletions) -> Tree:
        """As :class:`plaudit.language.tune.Objective`."""
        return example.tree

    def weight(self, example: JudgedCompletions) -> float:
        """As :class:`plaudit.language.tune.Objective`."""
        return 1.0

    def rewards(self, rows: Rows, lower: Tensor | None) -> Tensor:
        """beta (log pi - log pi_ref) of every completion (C,), with the policy's gradients."""
        log_probs = completion_log_probs(self.model, rows, lower)[1]
        with torch.no_grad():
            shared = lower if self.reference.shares_lower(self.model) else None
            reference_log_probs = completion_log_probs(self.reference, rows, shared)[1]
        return self.beta * k1(log_probs, reference_log_probs)

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[JudgedCompletions]) -> dict[str, Tensor]:
        """As :class:`plaudit.language.reward.Preferences`, of the policy's own log-ratios."""
        return preference_losses(self.rewards(rows, lower)[:, None, None], examples)
