"""How many questions a run asks, when, and how they are chosen: the same for clips and for responses."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.feedback.select import labels_due
from plaudit.types import PlauditError


@dataclass(frozen=True)
class AskConfig:
    """The number of questions, their times, and how they are chosen; each domain adds the settings of its own
    questions."""

    labels: int = 300
    """Number of questions asked over the whole run."""
    upfront: float = 0.25
    """Share of the questions asked before the policy learns (the paper: 25 %)."""
    method: str = "uniform"
    """How questions are chosen from the candidates."""
    scale: float | None = None
    """Steps over which the rate of questions halves (the paper: 2e6, Atari 5e6); None: a tenth of the run."""
    offline: bool = False
    """Ask every question before training starts, about the behaviour of the untrained policy."""

    def __post_init__(self) -> None:
        if self.labels < 1:
            raise PlauditError(f"labels must be at least 1, got {self.labels}: a reward needs at least one answer")
        if not 0 < self.upfront <= 1:
            raise PlauditError(f"upfront must lie in (0, 1], got {self.upfront}: the first fit needs answers")
        if self.scale is not None and not self.scale > 0:
            raise PlauditError(f"scale is a number of steps above 0, got {self.scale}")

    def due(self, step: int, total: int) -> int:
        """Questions to have asked after ``step`` of ``total`` steps (Christiano et al. 2017, appendix A.1)."""
        return labels_due(step, total, self.labels, 1.0 if self.offline else self.upfront, self.scale)
