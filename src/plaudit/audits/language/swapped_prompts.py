"""10. Swapped prompts: does the reward depend on what was asked?

Loss of accuracy when each pair is read after the prompt of another pair. A model that loses nothing judges style.
"""

from __future__ import annotations

import numpy as np

from plaudit.audits.finding import Cure, Effect, Finding, Null, not_measurable
from plaudit.audits.language._heads import contrast, try_pairs
from plaudit.audits.language._pairs import missing_pairs, score_pairs, score_responses
from plaudit.audits.texts import TextSubject
from plaudit.functional.calibration import Z, share_interval
from plaudit.functional.significance import wins

BLIND = 0.03  # of accuracy: real reward models of 0.67 lose 0.01, and one that reads the prompt must lose more


class SwappedPrompts:
    """Whether the reward model reads the prompt."""

    name, title, order = "swapped-prompts", "Swapped prompts", 10

    def measurable(self, subject: TextSubject) -> str | None:
        """It needs a reward model and pairs."""
        return missing_pairs(subject)

    def measure(self, subject: TextSubject) -> list[Finding]:
        """The loss of accuracy; its null control is the loss to a coin, which is all that the model knows."""
        scored = score_pairs(subject)
        count = len(scored.pairs)
        accuracy = float(scored.right.mean())
        low, high = share_interval(accuracy, count)
        if low <= 0.5 <= high:
            reason = f"the model is right about {accuracy:.0%} of {count} pairs: a coin has no accuracy to lose"
            return [not_measurable(self.name, self.title, reason)]
        subject.report_progress(f"scoring {count} pairs with other prompts")
        prompts = [scored.pairs[(index + 1) % count].prompt for index in range(count)]
        responses = [pair.chosen for pair in scored.pairs] + [pair.rejected for pair in scored.pairs]
        scores = score_responses(subject, prompts * 2, responses)
        margins = scores[:count] - scores[count:]
        loss = scored.right - wins(margins)
        value, error = float(loss.mean()), float(loss.std(ddof=1) / count**0.5)
        correlation = float(np.corrcoef(scored.chosen - scored.rejected, margins)[0, 1]) if margins.std() else 0.0
        return [
            Finding(
                self.name,
                self.title,
                "warn" if value < BLIND else "pass",
                f"With the prompts of other pairs the model is right about {accuracy - value:.0%} of {count} pairs "
                f"instead of {accuracy:.0%}, and its margins correlate with {correlation:.2f}"
                + (": it judges style, and not whether the prompt is answered." if value < BLIND else "."),
                value,
                (value - Z * error, value + Z * error),
                count,
                eye=scored.eye,
                null=Null("loss to a coin", accuracy - 0.5),
                threshold=f"warns if the loss is below {BLIND}",
                details={"accuracy": accuracy, "correlation": correlation},
            )
        ]

    def cure(self, subject: TextSubject, finding: Finding) -> Cure:
        """Pairs that only the prompt decides."""
        return Cure(
            "Add pairs of the chosen response and the response to another prompt, and let more layers learn.",
            "no people are needed; a run with LoRA instead of heads alone",
            "plaudit tune reward PAIRS --train lora",
            lambda: [self._add_pairs(subject)],
        )

    def _add_pairs(self, subject: TextSubject) -> Effect:
        """Pairs of a chosen response and the one that was chosen for another prompt: the share that the model gets."""
        scored = score_pairs(subject)
        prompts, chosen = [pair.prompt for pair in scored.pairs], [pair.chosen for pair in scored.pairs]
        added = contrast(subject, scored, prompts, chosen, [*chosen[1:], *chosen[:1]])
        setting = "pairs that prefer chosen responses to those of other prompts, heads alone"
        return try_pairs(subject, scored, setting, added, lambda margins: float(wins(margins).mean()))


MEASURE = SwappedPrompts()
