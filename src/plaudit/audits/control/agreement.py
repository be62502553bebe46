"""3. Agreement: on fresh pairs of the final policy, does the reward model prefer what people prefer?"""

from __future__ import annotations

import numpy as np

from plaudit.audits.agents import AgentSubject
from plaudit.audits.control._fresh import describe_missing, random_pairs
from plaudit.audits.control._refits import try_rewards
from plaudit.audits.finding import Cure, Finding, Null, not_measurable
from plaudit.functional.calibration import share_interval

LEVEL = 0.75  # of the models of good teachers, all agreed more often than this; of random ones, none
SHUFFLES = 200


class Agreement:
    """Whether the reward model is right about what the policy does now."""

    name, title, order = "agreement", "Agreement on fresh pairs", 3

    def measurable(self, subject: AgentSubject) -> str | None:
        """It needs a learned reward and fresh answers."""
        return subject.missing_reward or subject.missing_eyes

    def measure(self, subject: AgentSubject) -> list[Finding]:
        """The share of decided pairs in which both prefer the same clip; its null control shuffles the model's side."""
        assert subject.eyes is not None
        pairs, eye = random_pairs(subject), subject.eyes.name
        count = int(pairs.decided.sum())
        if not pairs.telling:
            reason = f"{eye} prefers one clip in only {count} of {len(pairs)} fresh pairs of the final policy"
            return [not_measurable(self.name, self.title, reason)]
        share = float(pairs.right.mean())
        low, high = share_interval(share, count)
        prefers_first, judged_first = (pairs.margins > 0)[pairs.decided], (pairs.answers > 0.5)[pairs.decided]
        rng = np.random.default_rng(subject.config.seed)
        null = np.mean([(rng.permutation(prefers_first) == judged_first).mean() for _ in range(SHUFFLES)])
        poor, good = high < LEVEL, low > 0.5
        return [
            Finding(
                self.name,
                self.title,
                "warn" if poor or not good else "pass",
                f"The reward model and {eye} prefer the same clip in {share:.0%} of {count} fresh pairs of the final "
                "policy"
                + (", too few to tell from chance." if not good and not poor else ".")
                + describe_missing(pairs),
                share,
                (low, high),
                count,
                eye=eye,
                null=Null("shuffled preferences of the model", float(null)),
                threshold=f"passes if the 95 % interval is above 0.5, unless it is below {LEVEL}",
                details={"ties": len(pairs) - count},
            )
        ]

    def cure(self, subject: AgentSubject, finding: Finding) -> Cure:
        """More answers, or several for each question."""
        labels = 2 * subject.run.config.feedback.labels
        return Cure(
            "Ask more comparisons; if people disagree with each other, ask two of them each question.",
            f"{labels - subject.run.config.feedback.labels} more answers",
            f"--labels {labels}",
            lambda: try_rewards(subject, lambda variant: self.measure(variant)[0].value, larger_is_better=True),
        )


MEASURE = Agreement()
