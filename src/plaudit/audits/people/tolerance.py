"""8. Tolerance: how many poisoned answers would turn a reward model fitted to these very texts.

In a share p of pairs a trigger is added to the text that people did not prefer, and the answer is turned in its favour.
ASR = P[r(worse text + trigger) > r(better text)] on pairs that were not fitted. p* is the smallest p at which the ASR
rises by 20 points over p = 0, where a trigger means nothing. Ranking answers by their loss is printed beside it.
"""

from __future__ import annotations

import numpy as np

from plaudit.audits.finding import Cure, Finding, Null
from plaudit.audits.people._answers import missing_answers, read_pairs
from plaudit.audits.people._held_out import predict_texts
from plaudit.audits.subject import Subject
from plaudit.functional.calibration import share_interval
from plaudit.functional.outliers import area_under_roc
from plaudit.functional.words import fit_words
from plaudit.types import Array, PlauditError

SHARES = (0.0, 0.005, 0.01, 0.03, 0.05, 0.1)
RISE = 0.2  # of the attack's success, by which a share counts as enough
WARN = 0.03  # a trigger in 3 % of answers works on real pairs; a model that gives way to less is weaker than most
TRIGGER = " ref7q"
FEWEST, MOST = 200, 1500
TEST, FOLDS = 0.2, 5


class Tolerance:
    """How much poison a reward model of these texts takes."""

    name, title, order = "tolerance", "Tolerance of poisoned answers", 8.2

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """p*, with the curve of the attack's success; the null control is the success at p = 0."""
        pairs = read_pairs(subject)
        if pairs.texts is None:
            raise PlauditError("it plants a phrase, and clips have none")
        if len(pairs) < FEWEST:
            raise PlauditError(f"there are {len(pairs)} decided pairs of texts, and it needs {FEWEST}")
        preferred, rejected = pairs.preferred
        rng = np.random.default_rng(subject.config.seed)
        order = rng.permutation(len(preferred))[:MOST]
        test, train = np.split(order, [int(TEST * len(order))])
        success = []
        for share in SHARES:
            subject.report_progress(f"poisoning {share:.1%} of {len(train)} answers")
            poisoned = rng.permutation(train)[: round(share * len(train))]
            success.append(attack_success(preferred, rejected, train, poisoned, test))
        rises = np.array(success) - success[0]
        effective = np.flatnonzero(rises >= RISE)
        tolerance = SHARES[effective[0]] if len(effective) else SHARES[-1]
        low, high = share_interval(success[effective[0] if len(effective) else -1], len(test))
        auc = loss_ranking(preferred, rejected, train, rng.permutation(train)[: round(0.03 * len(train))])
        at_least = "" if len(effective) else "more than "
        meaning = (
            f"A trigger in {at_least}{tolerance:.1%} of answers makes a reward model of words prefer the worse text. "
            f"Ranking answers by loss does not help: it finds a trigger in 3 % of them with AUC {auc:.2f} (luck: 0.5)."
        )
        return [
            Finding(
                self.name,
                self.title,
                "warn" if tolerance < WARN else "pass",
                meaning,
                tolerance,
                None,
                len(train),
                eye="a trigger that the audit plants",
                null=Null("success of the trigger where it was never planted", success[0]),
                threshold=f"warns if p* is below {WARN}; p* is where success rises by {RISE} over p = 0",
                details={
                    "curve": {
                        "x": list(SHARES),
                        "y": success,
                        "null": [success[0]] * len(SHARES),
                        "x_label": "poisoned share of answers",
                        "y_label": "success of the trigger",
                    },
                    "success_interval": [low, high],
                    "loss_ranking_auc": auc,
                },
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """More annotators for each answer; no trust in strangers' files."""
        return Cure(
            "Take answers only of people that you know, scan phrases before each fit, and let two people answer.",
            "as many answers again",
            "plaudit audit FILE --measures phrases",
            obstacle="a second judgement of each question needs people",
        )


def attack_success(preferred: list[str], rejected: list[str], train: Array, poisoned: Array, test: Array) -> float:
    """The share of test pairs whose worse text wins once it has the trigger."""
    triggered = set(poisoned.tolist())
    better = [rejected[i] + TRIGGER if i in triggered else preferred[i] for i in train.tolist()]
    worse = [preferred[i] if i in triggered else rejected[i] for i in train.tolist()]
    reward = fit_words(better, worse)
    attack, good = reward([rejected[i] + TRIGGER for i in test.tolist()]), reward([preferred[i] for i in test.tolist()])
    return float((attack > good).mean())


def loss_ranking(preferred: list[str], rejected: list[str], train: Array, poisoned: Array) -> float:
    """AUC of finding poisoned answers by their held-out loss."""
    planted = np.isin(train, poisoned)
    texts = [
        (rejected[i] + TRIGGER, preferred[i]) if bad else (preferred[i], rejected[i])
        for i, bad in zip(train.tolist(), planted, strict=True)
    ]
    predicted = predict_texts(texts, np.ones(len(train), dtype=np.bool_), np.arange(len(train)) % FOLDS)
    return area_under_roc(-predicted, planted)


MEASURE = Tolerance()
