"""5. Haste: answers that came sooner than two items can be taken in, by the store's own times.

The least time is half of a clip, or the words of both texts at 750 a minute (`fewest_seconds`).
"""

from __future__ import annotations

import numpy as np

from plaudit.audits.finding import Cure, Effect, Finding, Null
from plaudit.audits.people._answers import missing_answers, read_answers, read_pairs
from plaudit.audits.people._cures import leave_out
from plaudit.audits.subject import Subject
from plaudit.feedback.quality import Limits, rates
from plaudit.server.health import annotator_health
from plaudit.types import PlauditError

LIMIT = Limits().too_fast


class Haste:
    """Whether people look before they answer."""

    name, title, order = "haste", "Answers in haste", 5.2

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """The share of people's answers that came too fast. Programs answer at any speed, and are left out."""
        answers = read_answers(subject)
        if not answers.people:
            raise PlauditError("the times of people's answers are not known: they come with answers in the web app")
        rows = [row for row in annotator_health(answers.timed) if row.too_fast.trials]
        fast, trials = sum(row.too_fast.successes for row in rows), sum(row.too_fast.trials for row in rows)
        (rate,) = rates(np.array([fast]), np.array([trials]))
        hasty = [row.annotator for row in rows if row.too_fast.low > LIMIT]
        median = float(np.median(np.concatenate([answers.seconds[row.annotator] for row in rows])))
        meaning = f"{fast} of {trials} answers came faster than the items can be taken in (median {median:.1f} s)."
        if hasty:
            meaning += f" Above the limit: {', '.join(hasty[:5])}."
        return [
            Finding(
                self.name,
                self.title,
                "fail" if rate.low > LIMIT else "warn" if hasty else "pass",
                meaning,
                rate.rate,
                (rate.low, rate.high),
                trials,
                eye="the clock of the web app",
                null=Null("answers that take as long as the items", 0.0),
                threshold=f"fails if the 95 % interval is above {LIMIT}, warns if that of one annotator is",
                details={"annotators": {row.annotator: row.too_fast.rate for row in rows}},
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """A word with those who hurry."""
        return Cure(
            "Ask those annotators for gold questions and repeats, and leave their answers out if they fail them.",
            f"{finding.value or 0.0:.0%} of answers",
            "the project's share of gold questions, in the web app",
            lambda: [self._leave_out(subject, finding)],
        )

    def _leave_out(self, subject: Subject, finding: Finding) -> Effect:
        pairs = read_pairs(subject)
        hasty = [name for name, share in finding.details["annotators"].items() if share > LIMIT]
        dropped = np.isin(np.array(pairs.annotators)[pairs.annotator], hasty)
        return leave_out(subject, dropped, "without the answers of those who hurry", "those of people who hurry")


MEASURE = Haste()
