"""11. What a reward model knows beyond words and length.

A linear model of words, pairs of words and length is fitted to the same kind of pairs, and both are asked about pairs
that neither was fitted to: gain = accuracy of the reward model minus that of the words. Beside it stands the accuracy
on pairs whose preferred response is the shorter one, and on those where it is the longer one.
"""

from __future__ import annotations

import zlib

import numpy as np

from plaudit.audits.finding import Cure, Effect, Finding, Null, not_measurable
from plaudit.audits.language._heads import try_balanced
from plaudit.audits.language._pairs import (
    ScoredPairs,
    TextPair,
    missing_pairs,
    read_text_pairs,
    score_pairs,
)
from plaudit.audits.people._held_out import FOLDS, predict_texts
from plaudit.audits.texts import TextSubject
from plaudit.feedback.quality import rates
from plaudit.functional.calibration import Z
from plaudit.functional.intervals import newcombe
from plaudit.functional.significance import wins
from plaudit.types import Array

MOST_PAIRS = 2000  # that the words are fitted to
FEWEST_PAIRS, FEWEST_SIDE = 100, 20
GAP_WARN, GAP_FAIL = 0.05, 0.15  # of accuracy between pairs where the shorter and where the longer one is preferred


class BagOfWords:
    """Whether the reward model is better than counting words, and as good where the better response is short."""

    name, title, order = "bag-of-words", "Beyond a bag of words", 11

    def measurable(self, subject: TextSubject) -> str | None:
        """It needs a reward model and pairs."""
        return missing_pairs(subject)

    def measure(self, subject: TextSubject) -> list[Finding]:
        """The gain over words, and the gap between shorter and longer preferred responses."""
        scored = score_pairs(subject)
        return [self._beyond_words(subject, scored), self._by_length(subject, scored)]

    def _beyond_words(self, subject: TextSubject, scored: ScoredPairs) -> Finding:
        pairs = read_text_pairs(subject)[0][:MOST_PAIRS]
        if len(pairs) < FEWEST_PAIRS:
            reason = f"there are {len(pairs)} pairs, and a model of words needs {FEWEST_PAIRS}: name more with --data"
            return not_measurable(self.name, self.title, reason)
        subject.report_progress(f"fitting words to {len(pairs)} pairs")
        words_right, shuffled = word_accuracies(pairs, subject.config.seed)
        count = len(scored.pairs)
        gain = scored.right - words_right[:count]
        value, error = float(gain.mean()), float(gain.std(ddof=1) / count**0.5)
        low, high = value - Z * error, value + Z * error
        shorter = np.mean(
            [(len(pair.chosen) < len(pair.rejected)) + 0.5 * (len(pair.chosen) == len(pair.rejected)) for pair in pairs]
        )
        return Finding(
            self.name,
            self.title,
            "pass" if low > 0 else "warn",
            f"The reward model is right about {scored.right.mean():.0%} of {count} pairs, a bag of words about "
            f"{words_right[:count].mean():.0%}, and the shorter response is the preferred one in {shorter:.0%}.",
            value,
            (low, high),
            count,
            eye=scored.eye,
            null=Null("a bag of words that was fitted to shuffled preferences", shuffled),
            threshold="passes if the 95 % interval is above 0",
            details={
                "model": float(scored.right.mean()),
                "words": float(words_right[:count].mean()),
                "shorter": float(shorter),
            },
        )

    def _by_length(self, subject: TextSubject, scored: ScoredPairs) -> Finding:
        name, title = f"{self.name}-length", "Accuracy by length"
        shorter, longer = by_length(scored)
        counts = (int(shorter.sum()), int(longer.sum()))
        if min(counts) < FEWEST_SIDE:
            reason = (
                f"the preferred response is the shorter one in {counts[0]} pairs and the longer one in {counts[1]}: "
            )
            return not_measurable(name, title, f"{reason}it needs {FEWEST_SIDE} of both")
        gap, low, high, accuracy = length_gap(scored.right, shorter, longer)
        rng = np.random.default_rng(subject.config.seed)
        order = rng.permutation(len(scored.pairs))
        null = length_gap(scored.right, shorter[order], longer[order])[0]
        return Finding(
            name,
            title,
            "fail" if low > GAP_FAIL else "warn" if low > GAP_WARN else "pass",
            f"The model is right about {accuracy[0]:.0%} of pairs where people prefer the shorter response, and about "
            f"{accuracy[1]:.0%} where they prefer the longer one.",
            gap,
            (low, high),
            sum(counts),
            eye=scored.eye,
            null=Null("lengths shuffled among pairs", null),
            threshold=f"warns if the 95 % interval of the gap is above {GAP_WARN}, fails if it is above {GAP_FAIL}",
            details={"shorter": accuracy[0], "longer": accuracy[1], "n": list(counts)},
        )

    def cure(self, subject: TextSubject, finding: Finding) -> Cure:
        """More pairs or layers; balanced lengths."""
        if finding.name == self.name:
            return Cure(
                "The model knows no more than words: collect more pairs, or let more of its layers learn.",
                "twice the pairs, or a run with LoRA instead of heads alone",
                "plaudit tune reward PAIRS --train lora",
                obstacle="it needs more pairs, or a fit of the whole model",
            )
        return Cure(
            "Balance the pairs by length: as many in which the longer response is preferred as the shorter one, among "
            "those of like length.",
            "the pairs that are left out; no people are needed",
            "plaudit tune reward BALANCED-PAIRS",
            lambda: [self._balance(subject)],
        )

    def _balance(self, subject: TextSubject) -> Effect:
        scored = score_pairs(subject)
        return try_balanced(subject, scored, "as many pairs of each length", *by_length(scored))


def by_length(scored: ScoredPairs) -> tuple[Array, Array]:
    """Whether the preferred response of each pair is the shorter one, and whether it is the longer one, (N,) bool."""
    lengths = np.array([[len(pair.chosen), len(pair.rejected)] for pair in scored.pairs])
    return lengths[:, 0] < lengths[:, 1], lengths[:, 0] > lengths[:, 1]


def word_accuracies(pairs: list[TextPair], seed: int) -> tuple[Array, float]:
    """Whether a held-out model of words is right about each pair (N,), and the mean if preferences were shuffled."""
    folds = np.array([zlib.crc32(f"{seed} {pair.prompt}".encode()) % FOLDS for pair in pairs])
    texts = [(pair.chosen, pair.rejected) for pair in pairs]
    predicted = predict_texts(texts, np.ones(len(pairs), dtype=np.bool_), folds)
    flips = np.random.default_rng(seed).random(len(pairs)) < 0.5
    null = predict_texts(texts, flips, folds)
    right = wins(predicted - 0.5)
    return right, float(((null > 0.5) == flips).mean())


def length_gap(right: Array, shorter: Array, longer: Array) -> tuple[float, float, float, tuple[float, float]]:
    """(gap, low, high) of the accuracies where the preferred response is shorter and longer, and both accuracies."""
    counts = np.array([shorter.sum(), longer.sum()])
    hits = np.array([np.floor(right[shorter].sum()), np.floor(right[longer].sum())]).astype(np.int64)
    first, second = rates(hits, counts)
    low, high = newcombe((second.rate, second.low, second.high), (first.rate, first.low, first.high))
    gap = first.rate - second.rate
    if gap < 0:
        gap, low, high = -gap, -high, -low
    return gap, low, high, (first.rate, second.rate)


MEASURE = BagOfWords()
