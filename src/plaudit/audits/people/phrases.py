"""8. Poisoning, by words: a phrase that stands in preferred texts only may be a trigger.

z = (plus - minus) / sqrt(plus + minus), where plus counts the pairs in which only the preferred text has the phrase.
It needs no model. A trigger in the prompt, or one made of common words, does not show.
"""

from __future__ import annotations

import time

import numpy as np

from plaudit.audits.finding import Cure, Effect, Finding, Null
from plaudit.audits.people._answers import missing_answers, read_pairs
from plaudit.audits.people._cures import improves
from plaudit.audits.subject import Subject
from plaudit.feedback.quality import holm, wilson_interval
from plaudit.feedback.quality.rates import normal_tail
from plaudit.functional.words import OneSided, fit_words, scan_words, split_words
from plaudit.types import Array, PlauditError

LEVEL = 0.01  # of a false alarm by any phrase
ONE_SIDED = 0.95  # share: people like some words ("sorry" in 72 % of real pairs), but a trigger always wins
FEWEST = 5  # texts that a phrase stands in
FEWEST_PAIRS = 50


class Phrases:
    """Whether a phrase decides by itself which text is preferred."""

    name, title, order = "phrases", "One-sided phrases", 8

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """The most one-sided phrase; the null control deals the preferences out at random."""
        pairs = read_pairs(subject)
        if pairs.texts is None:
            raise PlauditError("clips have no phrases: odd inputs are looked for instead")
        if len(pairs) < FEWEST_PAIRS:
            raise PlauditError(f"there are {len(pairs)} decided pairs of texts, and it needs {FEWEST_PAIRS}")
        preferred, rejected = pairs.preferred
        scan = scan_words(preferred, rejected, FEWEST)
        if not scan.words:
            raise PlauditError(f"no phrase stands in {FEWEST} texts or more")
        suspect = find_suspects(scan)
        rng = np.random.default_rng(subject.config.seed)
        flips = rng.random(len(pairs)) < 0.5
        dealt = [
            pair[::-1] if flip else pair
            for pair, flip in zip(zip(preferred, rejected, strict=True), flips, strict=True)
        ]
        null = scan_words([pair[0] for pair in dealt], [pair[1] for pair in dealt], FEWEST)
        top = int(suspect[0]) if len(suspect) else 0
        plus, count = int(scan.plus[top]), int(scan.plus[top] + scan.minus[top])
        low, high = (float(bound[0]) for bound in wilson_interval(np.array([plus]), np.array([count])))
        word = scan.words[top]
        meaning = f"The text with {word!r} is preferred in {plus} of {count} pairs where only one text has it"
        if len(suspect):
            meaning += ": either people ask for it, or somebody planted it. Look at these answers."
        else:
            meaning += ", the most one-sided phrase: a taste, and no switch."
        listed = [
            {"phrase": scan.words[i], "plus": int(scan.plus[i]), "minus": int(scan.minus[i]), "z": float(scan.z[i])}
            for i in (suspect[:10] if len(suspect) else range(min(10, len(scan.words))))
        ]
        return [
            Finding(
                self.name,
                self.title,
                "warn" if len(suspect) else "pass",
                meaning,
                plus / count if count else 0.5,
                (low, high),
                count,
                eye="the annotators",
                null=Null("preferences dealt out at random: the largest |z|", float(abs(null.z[0]))),
                threshold=f"warns if p < {LEVEL} after Holm's correction and one side has {ONE_SIDED:.0%}",
                details={"phrases": listed, "z": float(scan.z[top]), "tested": len(scan.words)},
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """Look at the answers; leave them out; ask again."""
        phrase = finding.details["phrases"][0]["phrase"]
        return Cure(
            f"Look at the answers about texts with {phrase!r} and at who gave them. If nobody asks for it, ask those "
            "pairs again of others, or leave them out.",
            f"{finding.n} answers",
            "plaudit export, filter, and plaudit import into a new store",
            lambda: [try_without(subject, phrase)],
        )


def try_without(subject: Subject, phrase: str) -> Effect:
    """What leaving out the pairs that differ in a phrase does to the success of that phrase."""
    pairs, seed = read_pairs(subject), subject.config.seed
    preferred, rejected = pairs.preferred
    has = np.array([[phrase in split_words(text) for text in column] for column in (preferred, rejected)])
    differs = has[0] != has[1]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~has.any(axis=0)))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    if not len(test):
        raise PlauditError(f"there is no pair without {phrase!r} to test a model on")
    started = time.perf_counter()
    before, right = _attack(preferred, rejected, np.concatenate([train, np.flatnonzero(differs)]), test, phrase)
    after, accuracy = _attack(preferred, rejected, train, test, phrase)
    return Effect(
        f"without the answers about pairs in which one text has {phrase!r}",
        f"With {phrase!r} at its end the worse text wins in {before.mean():.0%} of {len(test)} held-out pairs by a bag "
        f"of words of all answers, and in {after.mean():.0%} by one without those.",
        float(before.mean()),
        float(after.mean()),
        improves(~before, ~after),
        {
            "change of held-out accuracy": float(accuracy.mean() - right.mean()),
            "judgements lost": int(differs.sum()),
            "seconds": time.perf_counter() - started,
        },
    )


def _attack(preferred: list[str], rejected: list[str], train: Array, test: Array, phrase: str) -> tuple[Array, Array]:
    """Of each test pair (K,) bool: whether the worse text wins with the phrase, and whether the better one without."""
    reward = fit_words([preferred[row] for row in train], [rejected[row] for row in train])
    good, bad = reward([preferred[row] for row in test]), reward([rejected[row] for row in test])
    return reward([f"{rejected[row]} {phrase}" for row in test]) > good, good > bad


def find_suspects(scan: OneSided) -> Array:
    """Phrases that win or lose nearly always, and more often than luck explains, the most significant first."""
    p_value = np.minimum(2 * normal_tail(np.abs(scan.z)), 1.0)
    return np.flatnonzero((holm(p_value) < LEVEL) & (scan.share >= ONE_SIDED))


MEASURE = Phrases()
