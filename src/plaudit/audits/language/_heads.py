"""Cures of a reward model of texts by other pairs: its heads alone are fitted again, on what its trunk makes of texts.

Half of the prompts train the heads, and the other half tests them. The heads fitted again to the pairs as they are, are
the control: what they change is not due to the cure. A whole model that is fitted to the same pairs may change more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.audits.finding import Effect
from plaudit.audits.language._pairs import Prompt, ScoredPairs, score_responses, turns_of
from plaudit.audits.texts import TextSubject
from plaudit.functional.calibration import logistic
from plaudit.functional.significance import binomial_tail, wins
from plaudit.types import Array, PlauditError

FEWEST = 20  # prompts to train on, and as many to test on
PRECISION = 1.0  # of the prior on the change of a head's weights, whose features have a standard deviation of 1
STEPS = 12  # of Newton's method
LEVEL = 0.05  # of the sign test


@dataclass(frozen=True, eq=False)
class Contrasts:
    """``N`` pairs of a text that is meant to be better and one that is meant to be worse, as the heads see them."""

    margins: Array  # (N,) reward of the first minus that of the second, in standard deviations of all rewards
    differences: Array  # (N, F) of the features

    def take(self, rows: Array) -> Contrasts:
        """The pairs (K,) in that order."""
        return Contrasts(self.margins[rows], self.differences[rows])


def contrast(
    subject: TextSubject, scored: ScoredPairs, prompts: Sequence[Prompt], better: Sequence[str], worse: Sequence[str]
) -> Contrasts:
    """Pairs of responses to prompts, (N,) each."""
    count = len(prompts)
    texts = [*better, *worse]
    scores = score_responses(subject, [*prompts, *prompts], texts) / scored.spread
    features = subject.features(turns_of([*prompts, *prompts]), texts)
    return Contrasts(scores[:count] - scores[count:], features[:count] - features[count:])


def fit_heads(pairs: Sequence[Contrasts]) -> Array:
    """The change (F,) of the heads' weights that maximises the likelihood of pairs, by Newton's method."""
    margins = np.concatenate([part.margins for part in pairs])
    differences = np.concatenate([part.differences for part in pairs])
    change = np.zeros(differences.shape[1])
    scale = differences.std(axis=0)
    differences = differences / np.where(scale > 0, scale, 1.0)
    for _ in range(STEPS):
        predicted = logistic(margins + differences @ change)
        gradient = differences.T @ (predicted - 1) + PRECISION * change
        curvature = differences.T @ (differences * (predicted * (1 - predicted))[:, None])
        change = change - np.linalg.solve(curvature + PRECISION * np.eye(len(change)), gradient)
    return change / np.where(scale > 0, scale, 1.0)


def try_pairs(
    subject: TextSubject,
    scored: ScoredPairs,
    setting: str,
    added: Contrasts,
    value: Callable[[Array], float],
    judgements: float | str = 0,
) -> Effect:
    """What further pairs, one for each scored pair, do to the share of prompts in which the worse text wins.

    added: the further pairs, in the order of the scored ones. value: the row's value of the margins of those on test
    prompts. judgements: how many new answers the pairs take.

    Raises:
        PlauditError: there are too few pairs.
    """
    train, test = halves(subject, scored)
    started = time.perf_counter()
    plain = plain_contrasts(subject, scored)
    control = fit_heads([plain.take(train)])
    changed = fit_heads([plain.take(train), added.take(train)])
    before, after = (_margins(added.take(test), change) for change in (control, changed))
    right = [wins(_margins(plain.take(test), change)) for change in (control, changed)]
    return Effect(
        setting,
        f"Without the pairs the row's value is {value(before):.2f} on {len(test)} other prompts, with "
        f"{len(train)} of them {value(after):.2f}.",
        value(before),
        value(after),
        gains(before > 0, after > 0),
        {
            "change of held-out accuracy": float(right[1].mean() - right[0].mean()),
            "more pairs": len(train),
            "more judgements": judgements,
            "seconds": time.perf_counter() - started,
        },
    )


def try_balanced(subject: TextSubject, scored: ScoredPairs, setting: str, shorter: Array, longer: Array) -> Effect:
    """What as many pairs with a shorter as with a longer preferred response do to the gap of both accuracies.

    shorter, longer: (N,) bool.

    Raises:
        PlauditError: there are too few pairs.
    """
    train, test = halves(subject, scored)
    started = time.perf_counter()
    plain = plain_contrasts(subject, scored)
    sides = [train[mask[train]] for mask in (shorter, longer)]
    size = min(map(len, sides))
    if not size:
        raise PlauditError(
            "among the pairs to train on, the preferred response is always the shorter or the longer one"
        )
    rest = train[~(shorter | longer)[train]]
    balanced = np.concatenate([*(side[:size] for side in sides), rest])
    rights = [_margins(plain.take(test), fit_heads([plain.take(rows)])) > 0 for rows in (train, balanced)]
    gaps = [float(abs(right[shorter[test]].mean() - right[longer[test]].mean())) for right in rights]
    worse = shorter[test] if rights[0][shorter[test]].mean() < rights[0][longer[test]].mean() else longer[test]
    return Effect(
        setting,
        f"The gap between pairs with a shorter and a longer preferred response is {gaps[0]:.2f} after a fit to all "
        f"{len(train)} pairs, and {gaps[1]:.2f} after one to {len(balanced)} balanced ones.",
        gaps[0],
        gaps[1],
        gaps[1] < gaps[0] and gains(rights[0][worse], rights[1][worse]),
        {
            "change of held-out accuracy": float(rights[1].mean() - rights[0].mean()),
            "judgements lost": len(train) - len(balanced),
            "more judgements": 0,
            "seconds": time.perf_counter() - started,
        },
    )


def plain_contrasts(subject: TextSubject, scored: ScoredPairs) -> Contrasts:
    """The scored pairs themselves, once for all cures."""
    prompts = [pair.prompt for pair in scored.pairs]
    chosen, rejected = ([getattr(pair, side) for pair in scored.pairs] for side in ("chosen", "rejected"))
    return subject.share(f"contrasts of {len(prompts)}", lambda: contrast(subject, scored, prompts, chosen, rejected))


def halves(subject: TextSubject, scored: ScoredPairs) -> tuple[Array, Array]:
    """Pairs to train on and to test on; those of one prompt are on one side.

    Raises:
        PlauditError: there are too few.
    """
    prompts = [str(pair.prompt) for pair in scored.pairs]
    unique = sorted(set(prompts))
    order = np.random.default_rng(subject.config.seed).permutation(len(unique))
    chosen = {unique[index] for index in order[: len(unique) // 2]}
    mask = np.array([prompt in chosen for prompt in prompts])
    if min(mask.sum(), (~mask).sum()) < FEWEST:
        raise PlauditError(f"there are {len(unique)} prompts, and half of them must be {FEWEST}: name more with --data")
    return np.flatnonzero(mask), np.flatnonzero(~mask)


def gains(before: Array, after: Array) -> bool:
    """Whether more pairs (N,) bool became right than wrong: the sign test, one-sided."""
    better, worse = int((after & ~before).sum()), int((before & ~after).sum())
    return better + worse > 0 and binomial_tail(better, better + worse) < LEVEL


def _margins(pairs: Contrasts, change: Array) -> Array:
    return pairs.margins + pairs.differences @ change
