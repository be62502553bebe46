"""5. Position bias: do people choose the side, and not what is shown there?

bias = P[the item shown left is preferred] - 1/2, over questions whose items are shown on random sides.
"""

from __future__ import annotations

import numpy as np

from plaudit.audits.finding import Cure, Finding, Null
from plaudit.audits.people._answers import missing_answers, read_answers
from plaudit.audits.subject import Subject
from plaudit.feedback.quality import rates
from plaudit.types import PlauditError

LIMIT = 0.05  # as in the web app's table of annotators
FEWEST = 30


class Position:
    """Whether the sides sway people."""

    name, title, order = "position", "Position bias", 5.1

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """The share of decisions for the left side; its null control deals the sides out at random."""
        answers = read_answers(subject)
        decided = answers.table.decisive
        left_first = answers.left_first[decided]
        first = answers.table.choice[decided] > 0
        count = len(first)
        if count < FEWEST:
            raise PlauditError(f"there are {count} decisions, and it needs {FEWEST}: collect more answers")
        if left_first.all():
            raise PlauditError("all questions have their items in one order: the data does not say what was shown left")
        left = first == left_first
        (rate,) = rates(np.array([int(left.sum())]), np.array([count]))
        bias, interval = rate.rate - 0.5, (rate.low - 0.5, rate.high - 0.5)
        beyond = interval[0] > LIMIT or interval[1] < -LIMIT
        is_biased = abs(bias) >= LIMIT and not interval[0] <= 0 <= interval[1]
        side = "left" if bias > 0 else "right"
        meaning = f"People prefer the {side} item in {max(rate.rate, 1 - rate.rate):.0%} of {count} decisions."
        rng = np.random.default_rng(subject.config.seed)
        null = abs(float((first == rng.permuted(np.arange(count) % 2 == 0)).mean()) - 0.5)
        return [
            Finding(
                self.name,
                self.title,
                "fail" if beyond else "warn" if is_biased else "pass",
                meaning,
                bias,
                interval,
                count,
                eye="the annotators",
                null=Null("sides dealt out at random", null),
                threshold=f"fails if the 95 % interval is beyond {LIMIT}, warns if the bias is and differs from 0",
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """Random sides, so that a bias is noise."""
        return Cure(
            "Show items on random sides, as the web app does: the bias is then noise and teaches nothing wrong. Ask "
            "repeats, and tell those who always choose one side.",
            f"{2 * abs(finding.value or 0.0):.0%} of answers are lost",
            "the project's share of repeats, in the web app",
            obstacle="the sides of answers that were given stay as they are",
        )


MEASURE = Position()
