"""5. Error: how often the same people contradict themselves on repeats, or each other, and in circles.

P[same answer to a repeat with the sides swapped] = (1 + (1 - e)^2) / 2, where a share e of answers is a coin's
(:func:`plaudit.feedback.quality.retest_lapse`); P[three answers form a cycle] = e / 2 (1 - e / 2).
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from plaudit.audits.finding import Cure, Finding, Null, not_measurable
from plaudit.audits.people._answers import Answers, missing_answers, read_answers
from plaudit.audits.subject import Subject
from plaudit.feedback.kinds import kind
from plaudit.feedback.quality import count_cycles, count_repeats, rates, retest_lapse, second_judgement

ASSUMED, USELESS = 0.1, 0.5  # Christiano et al. 2017, section 2.2.3, assume one in ten; half is no judgement any more
FEWEST_REPEATS, FEWEST_TRIPLES = 10, 30
RULE = f"warns if the 95 % interval is above {ASSUMED}, fails if it is above {USELESS}"


class Lapses:
    """How many answers are as good as a coin's."""

    name, title, order = "lapses", "Error on repeats", 5

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """From repeats, from two annotators of one question, and from cycles, as far as there are any."""
        answers = read_answers(subject)
        return [self._from_repeats(answers), self._from_others(answers), self._from_cycles(answers)]

    def _from_repeats(self, answers: Answers) -> Finding:
        repeats = count_repeats(answers.table, answers.left_first)
        consistent, left, right = (int(counts.sum()) for counts in (repeats.consistent, repeats.left, repeats.right))
        count = consistent + left + right
        if count < FEWEST_REPEATS:
            reason = (
                f"{count or 'no'} questions were answered twice by one person with the sides swapped, and it needs "
                f"{FEWEST_REPEATS}: raise the project's share of repeats in the web app"
            )
            return not_measurable(self.name, self.title, reason)
        estimate = retest_lapse(consistent, left, right)
        # The same answers, dealt out to other repeats: they agree by chance and by the pull of a side.
        goes_left = (1 + estimate.side) / 2
        chance = [2 * goes_left * (1 - goes_left), goes_left**2, (1 - goes_left) ** 2]
        shuffled = retest_lapse(*(round(count * share) for share in chance))
        return self._judge(
            Finding(
                self.name,
                self.title,
                "pass",
                f"The same person preferred the same item in {consistent} of {count} repeats with the sides swapped: "
                f"{estimate.lapse:.0%} of answers are as good as a coin's.",
                estimate.lapse,
                (estimate.low, estimate.high),
                count,
                eye="the annotators' own repeats",
                null=Null("answers dealt out to other repeats", shuffled.lapse),
            )
        )

    def _from_others(self, answers: Answers) -> Finding:
        name, title = f"{self.name}-others", "Disagreement of two annotators"
        agree, differ = count_agreements(answers)
        count = agree + differ
        if count < FEWEST_REPEATS:
            reason = (
                f"{count or 'no'} questions were decided by two annotators, and it needs {FEWEST_REPEATS}: ask for two "
                "judgements of some questions"
            )
            return not_measurable(name, title, reason)
        # Who is first is arbitrary, so disagreement has no side: one half each.
        estimate = retest_lapse(agree, (differ + 1) // 2, differ // 2)
        value = 1 - max(2 * agree / count - 1, 0.0) ** 0.5
        return self._judge(
            Finding(
                name,
                title,
                "pass",
                f"Two annotators agree in {agree} of {count} pairs of answers. If all had one taste, {value:.0%} of "
                "answers would be a coin's; where tastes differ, fewer.",
                value,
                (min(estimate.low, value), max(estimate.high, value)),
                count,
                eye="other annotators",
                null=Null("answers dealt out to other questions", 1.0),
            )
        )

    def _from_cycles(self, answers: Answers) -> Finding:
        name, title = f"{self.name}-cycles", "Cycles (A over B over C over A)"
        cycles = count_cycles(answers.table)
        if cycles.triples < FEWEST_TRIPLES:
            reason = (
                f"{cycles.triples or 'no'} triples of items were all compared with each other, and it needs "
                f"{FEWEST_TRIPLES}: each question has new items, which tells more about the reward"
            )
            return not_measurable(name, title, reason)
        (rate,) = rates(np.array([cycles.cyclic]), np.array([cycles.triples]))
        low, high = (1 - max(1 - 4 * bound, 0.0) ** 0.5 for bound in (rate.low, rate.high))
        return self._judge(
            Finding(
                name,
                title,
                "pass",
                f"{cycles.cyclic} of {cycles.triples} triples go in a circle, as if {cycles.lapse:.0%} of answers were "
                "a coin's. Triples share answers, so the interval is too narrow.",
                cycles.lapse,
                (low, high),
                cycles.triples,
                eye="all annotators",
                null=Null("coins: one triple in four", 1.0),
            )
        )

    def _judge(self, finding: Finding) -> Finding:
        """The finding with its verdict, and what a second judgement would buy."""
        value, interval = finding.value, finding.interval
        assert value is not None and interval is not None
        verdict = "fail" if interval[0] > USELESS else "warn" if interval[0] > ASSUMED else "pass"
        details = {"second_judgement": vars(second_judgement(min(value, 1.0)))}
        return replace(finding, verdict=verdict, threshold=RULE, details=details)

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """Two judgements of each question, or as many new questions; which of them teaches more follows."""
        gain = second_judgement(min(finding.value or 0.0, 1.0))
        return Cure(
            f"Ask each question twice: two answers agree on {gain.agree:.0%} of questions, and are right on "
            f"{gain.agreed:.0%} of those instead of {gain.accuracy:.0%}. For a reward model as many new questions "
            f"teach more ({gain.new:.2f} against {gain.worth:.2f} clean answers a question); a second judgement pays "
            "for gold, and to find who errs.",
            "as many answers again",
            "judgements wanted: 2 (in the project's settings), --judgements 2 (plaudit import --ask)",
            obstacle="a second judgement of each question needs people",
        )


def count_agreements(answers: Answers) -> tuple[int, int]:
    """Pairs of decisions by two annotators on one question that agree, and that do not."""
    by_question: dict[str, dict[str, float]] = {}
    for question, annotator, kind_name, value in answers.standing.shared.answers:
        choice = kind(kind_name).advantage(json.loads(value))
        if choice:
            by_question.setdefault(question, {}).setdefault(annotator, choice)
    agree = differ = 0
    for choices in by_question.values():
        first = sum(choice > 0 for choice in choices.values())
        second = len(choices) - first
        agree += (first * (first - 1) + second * (second - 1)) // 2
        differ += first * second
    return agree, differ


MEASURE = Lapses()
