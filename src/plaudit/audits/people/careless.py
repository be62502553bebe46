"""5 and 8. Annotators who stand out: the careless, whose answers are a coin's, and those who answer the opposite.

P[answer] = (1 - e) p + e / 2 for each annotator, with e in 0..2: 0 follows the others, 1 is a coin, and 2 is always the
opposite. p comes from whatever there is: the same person's repeats, others' answers to the same question, and a model
that was not fitted to the answer. Annotators are ranked by the likelihood ratio of their own e against everybody's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from plaudit.audits.finding import Cure, Effect, Finding, Null
from plaudit.audits.people._answers import Answers, missing_answers, read_answers, read_pairs
from plaudit.audits.people._cures import leave_out
from plaudit.audits.people._held_out import FEWEST, predict_held_out
from plaudit.audits.subject import Subject
from plaudit.feedback.kinds import kind
from plaudit.feedback.quality import count_repeats, holm
from plaudit.feedback.quality.rates import normal_tail
from plaudit.types import Array, PlauditError

LEVEL, COIN = 0.05, 0.5  # of a false alarm about anybody; from this share on, answers are mostly a coin's
ERRORS = np.linspace(0.0, 2.0, 201)
_LEAST = 1e-6  # probability
DROP = 1.92  # of the log-likelihood, at the ends of a 95 % interval


@dataclass(frozen=True, eq=False)
class Suspicion:
    """Evidence about annotators, the most suspicious first, (A,) each."""

    annotators: tuple[str, ...]
    answers: Array  # int: pieces of evidence
    error: Array  # e of each, by maximum likelihood
    low: Array
    high: Array
    root: Array  # signed root of twice the log-likelihood ratio: a normal quantile
    p_value: Array  # one-sided, corrected for the number of annotators (Holm)


class Careless:
    """Who errs more than the others."""

    name, title, order = "careless", "Annotators who stand out", 5.3

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers by two annotators."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """The most suspicious annotator; the null control deals the evidence out to the others at random."""
        answers = read_answers(subject)
        if len(answers.table.annotators) < 2:
            raise PlauditError(f"all answers are by {', '.join(answers.table.annotators)}, and nobody can stand out")
        likelihood, counts, problem = weigh_evidence(subject, answers)
        if (counts > 0).sum() < 2:
            raise PlauditError(
                "nothing tells annotators apart: there are no repeats, no questions that two of them answered, and "
                f"no model ({problem or 'it needs more answers'})"
            )
        names = answers.table.annotators
        suspicion = rank_annotators(names, likelihood, counts)
        first, error = suspicion.annotators[0], float(suspicion.error[0])
        stands_out = bool(suspicion.p_value[0] < LEVEL)
        opposite = suspicion.low[0] > 1
        words = "are the opposite of what is expected" if opposite else "look like a coin's"
        share = error / 2 if opposite else min(error, 1.0)
        meaning = f"{first} is first: {share:.0%} of {int(suspicion.answers[0])} answers {words}"
        meaning += "." if stands_out else ", no more than chance among so many annotators."
        ranking = [
            {"annotator": name, "error": float(e), "p": float(p), "n": int(n)}
            for name, e, p, n in zip(
                suspicion.annotators, suspicion.error, suspicion.p_value, suspicion.answers, strict=True
            )
        ]
        remainder = likelihood.sum(axis=0) - likelihood[names.index(first)]
        return [
            Finding(
                self.name,
                self.title,
                ("fail" if suspicion.low[0] > COIN else "warn") if stands_out else "pass",
                meaning,
                error,
                (float(suspicion.low[0]), float(suspicion.high[0])),
                int(suspicion.answers[0]),
                eye="repeats, other annotators and a model of all answers",
                null=Null("all other annotators", float(ERRORS[remainder.argmax()])),
                threshold=f"warns if p < {LEVEL} (Holm), fails if the 95 % interval is above {COIN}, too",
                details={"ranking": ranking[:20]},
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """Fit without the answers of that person, and see."""
        name = finding.details["ranking"][0]["annotator"]
        return Cure(
            f"Look at the answers of {name}, and leave them out of the fit if they are as they seem.",
            f"{finding.n} answers",
            f"the web app's list of annotators: withdraw what {name} answered",
            lambda: [self._leave_out(subject, name)],
        )

    def _leave_out(self, subject: Subject, name: str) -> Effect:
        pairs = read_pairs(subject)
        dropped = np.array(pairs.annotators)[pairs.annotator] == name
        return leave_out(subject, dropped, f"without the answers of {name}", f"those of {name}")


def weigh_evidence(subject: Subject, answers: Answers) -> tuple[Array, Array, str]:
    """Log-likelihood (A, E) of each annotator's evidence for every e, its size (A,), and why there is no model."""
    names = answers.table.annotators
    likelihood, counts = np.zeros((len(names), len(ERRORS))), np.zeros(len(names), np.int64)
    repeats = count_repeats(answers.table, answers.left_first)
    consistency = (1 + (1 - ERRORS) ** 2) / 2
    likelihood += repeats.consistent[:, None] * np.log(consistency)
    likelihood += (repeats.left + repeats.right)[:, None] * np.log(np.maximum(1 - consistency, _LEAST))
    counts += repeats.trials
    probability, judge = probabilities_by_others(answers)
    problem = ""
    try:
        pairs = read_pairs(subject)
        if len(pairs) >= FEWEST:
            predicted = predict_held_out(subject)
            mask = np.isfinite(predicted)
            right = np.where(pairs.first_better, predicted, 1 - predicted)[mask]
            index = np.array([names.index(name) for name in pairs.annotators])[pairs.annotator[mask]]
            probability, judge = np.concatenate([probability, right]), np.concatenate([judge, index])
    except PlauditError as error:
        problem = str(error)
    for error_index, error in enumerate(ERRORS):
        expected = np.log(np.maximum((1 - error) * probability + error / 2, _LEAST))
        likelihood[:, error_index] += np.bincount(judge, expected, minlength=len(names))
    return likelihood, counts + np.bincount(judge, minlength=len(names)), problem


def probabilities_by_others(answers: Answers) -> tuple[Array, Array]:
    """P of each answer given what others answered to the same question, and who gave it, (K,) each.

    All others are right with one probability, which their pairwise agreement gives; their votes multiply.
    """
    by_question: dict[str, dict[str, float]] = {}
    for question, annotator, kind_name, value in answers.standing.shared.answers:
        choice = kind(kind_name).advantage(json.loads(value))
        if choice:
            by_question.setdefault(question, {}).setdefault(annotator, choice)
    shared = [choices for choices in by_question.values() if len(choices) > 1]
    votes = [(name, choice, sum(choices.values()) - choice) for choices in shared for name, choice in choices.items()]
    if not votes:
        return np.zeros(0), np.zeros(0, np.int64)
    pairs = [len(choices) * (len(choices) - 1) / 2 for choices in shared]
    net = [sum(choices.values()) ** 2 - len(choices) for choices in shared]
    agreement = 0.5 + 0.25 * sum(net) / sum(pairs)  # of two annotators: net / 2 is agreements less disagreements
    accuracy = min(0.5 + 0.5 * max(2 * agreement - 1, 0.0) ** 0.5, 0.99)
    log_odds = np.log(accuracy / (1 - accuracy))
    margin = np.array([choice * rest for _, choice, rest in votes])
    position = {name: index for index, name in enumerate(answers.table.annotators)}
    mask = np.array([name in position for name, _, _ in votes])
    judge = np.array([position.get(name, 0) for name, _, _ in votes], np.int64)
    return (1 / (1 + np.exp(-log_odds * margin)))[mask], judge[mask]


def rank_annotators(names: tuple[str, ...], likelihood: Array, counts: Array) -> Suspicion:
    """Rank annotators by how much likelier their own e is than that of all others together.

    likelihood: (A, E) log-likelihoods over ``ERRORS``. Those without evidence are left out.
    """
    rows = np.flatnonzero(counts > 0)
    total = likelihood.sum(axis=0)
    best, root, low, high = (np.zeros(len(rows)) for _ in range(4))
    for index, row in enumerate(rows):
        usual = int((total - likelihood[row]).argmax())
        peak = int(likelihood[row].argmax())
        gain = max(float(likelihood[row, peak] - likelihood[row, usual]), 0.0)
        support = np.flatnonzero(likelihood[row] >= likelihood[row, peak] - DROP)
        best[index], low[index], high[index] = ERRORS[peak], ERRORS[support[0]], ERRORS[support[-1]]
        root[index] = np.sign(peak - usual) * (2 * gain) ** 0.5
    order = np.argsort(-root, kind="stable")
    p_value = holm(normal_tail(root))
    return Suspicion(
        tuple(names[rows[index]] for index in order),
        counts[rows][order],
        best[order],
        low[order],
        high[order],
        root[order],
        p_value[order],
    )


MEASURE = Careless()
