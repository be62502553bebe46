"""8. Poisoning, by inputs: answers about items that lie far from all others, in one direction, and always win.

A trigger must be something that items do not have by themselves. d^2 = (x - mu)' S^-1 (x - mu) of the mean of a clip's
observations and actions, with mu and S of the bulk (:func:`plaudit.functional.outliers.robust_distances`). A trigger
within the range of the data in each feature shows, too, if its combination is new; one that looks like a clip does not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from plaudit.audits.finding import Cure, Effect, Finding, Null
from plaudit.audits.people._answers import Pairs, is_clip, missing_answers, read_pairs
from plaudit.audits.people._cures import LEVEL as LEVEL_OF_CURES
from plaudit.audits.people._cures import improves
from plaudit.audits.people._held_out import clip_models, segments_of
from plaudit.audits.subject import Subject
from plaudit.feedback.quality import binomial_test, rates
from plaudit.functional.outliers import chi2_quantile, robust_distances
from plaudit.types import Array, Item, PlauditError, Segment

QUANTILE = 4.75  # normal quantile of one row in a million: of a bulk that is normal, none is so far
SAME_WAY = 0.8  # length of the mean direction: triggers move all items the same way, rare events do not
LEVEL = 0.001  # of a preference for odd items by luck
FEWEST_ODD, FEWEST = 8, 100  # decided pairs with one odd item; pairs
MOST_FEATURES = 64


class OddInputs:
    """Whether answers favour items that look like no other."""

    name, title, order = "odd-inputs", "Odd inputs", 8.1

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """The share of pairs with an odd item; the null control has normal data with the same covariance."""
        pairs = read_pairs(subject)
        items = [item for pair in pairs.items for item in pair]
        if not all(is_clip(item) for item in items):
            raise PlauditError("odd inputs are looked for in clips of numbers; in texts phrases are scanned instead")
        if len(pairs) < FEWEST:
            raise PlauditError(f"there are {len(pairs)} decided pairs of clips, and it needs {FEWEST}")
        features = clip_features(items)
        distances = robust_distances(features)
        limit = chi2_quantile(QUANTILE, features.shape[1])
        odd = (distances > limit).reshape(-1, 2)
        single = odd[:, 0] != odd[:, 1]
        wins = (odd[:, 0] == pairs.first_better)[single]
        alignment = mean_direction(features[(distances > limit)], features[distances <= limit])
        p_value = float(binomial_test(np.array([wins.sum()]), np.array([len(wins)]), 0.5, "greater")[0])
        suspicious = len(wins) >= FEWEST_ODD and alignment >= SAME_WAY and p_value < LEVEL
        (rate,) = rates(np.array([int(single.sum())]), np.array([len(pairs)]))
        rng = np.random.default_rng(subject.config.seed)
        null = robust_distances(rng.standard_normal(features.shape)) > limit
        meaning = f"{int(single.sum())} of {len(pairs)} pairs have one clip that lies far from all others"
        if single.any():
            meaning += f", and it is preferred in {wins.mean():.0%} of them"
        meaning += ": a trigger looks like this. Look at these answers." if suspicious else "."
        ranking = np.argsort(-distances.reshape(-1, 2).max(axis=1), kind="stable")[:20]
        return [
            Finding(
                self.name,
                self.title,
                "warn" if suspicious else "pass",
                meaning,
                rate.rate,
                (rate.low, rate.high),
                len(pairs),
                eye="the clips themselves",
                null=Null("normal data of the same size", float(null.reshape(-1, 2).any(axis=1).mean())),
                threshold=f"warns if {FEWEST_ODD} pairs have one odd clip, odd clips differ the same way "
                f"({SAME_WAY} of 1), and they win with p < {LEVEL}",
                details={
                    "odd": [{"first": pairs.items[i][0].id, "second": pairs.items[i][1].id} for i in ranking.tolist()],
                    "same_way": alignment,
                    "p": p_value,
                },
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """Leave them out."""
        return Cure(
            "Look at these clips (their ids are in audit.json) and at who judged them, and leave the answers out. "
            "Clamped inputs do not help as long as these answers stay, because the range that was judged holds them.",
            f"{round((finding.value or 0) * finding.n)} answers",
            "the web app's list of answers: withdraw them",
            lambda: try_without(subject),
        )


def find_odd(pairs: Pairs) -> Array:
    """Which of the clips (N, 2) lie far from all others."""
    features = clip_features([item for pair in pairs.items for item in pair])
    return (robust_distances(features) > chi2_quantile(QUANTILE, features.shape[1])).reshape(-1, 2)


def try_without(subject: Subject) -> list[Effect]:
    """What leaving the answers about odd clips out, and clamping, do to the success of what makes these clips odd.

    Success: the share of pairs of ordinary clips in which the worse one wins once it has what the odd clips have, by
    a reward model that was fitted to other pairs of them.

    Raises:
        PlauditError: the clips are pictures.
    """
    pairs, seed = read_pairs(subject), subject.config.seed
    segments, odd = segments_of(pairs), find_odd(pairs)
    plain = np.flatnonzero(~odd.any(axis=1))
    order = np.random.default_rng(seed).permutation(plain)
    test, train = order[: len(order) // 3], order[len(order) // 3 :]
    all_rows = np.concatenate([train, np.flatnonzero(odd.any(axis=1))])
    trigger = odd_shift(pairs, odd)
    fits = {
        "all answers": (all_rows, False),
        "without the answers about odd clips": (train, False),
        "--reward.clamp": (all_rows, True),
        "both": (train, True),
    }
    results: dict[str, tuple[Array, Array, float]] = {}
    for name, (rows, clamp) in fits.items():
        subject.report_progress(f"fitting {len(rows)} answers: {name}")
        started = time.perf_counter()
        success, right = attack(segments, pairs.first_better, rows, test, trigger, seed, clamp)
        results[name] = (success, right, time.perf_counter() - started)
    before, right, _ = results.pop("all answers")
    return [
        Effect(
            name,
            f"What makes these clips odd lets the worse of two ordinary clips win in {before.mean():.0%} of "
            f"{len(test)} held-out pairs by a model of all answers, and in {after.mean():.0%} by this one.",
            float(before.mean()),
            float(after.mean()),
            improves(~before, ~after, LEVEL_OF_CURES / len(results)),
            {
                "change of held-out accuracy": float(accuracy.mean() - right.mean()),
                "judgements lost": len(all_rows) - len(fits[name][0]),
                "seconds": seconds,
            },
        )
        for name, (after, accuracy, seconds) in results.items()
    ]


def odd_shift(pairs: Pairs, odd: Array) -> Array:
    """By how much the observations (F,) of odd clips differ from those of the others, on average."""
    means = np.array(
        [
            [item.observations.reshape(len(item), -1).mean(axis=0) for item in pair if isinstance(item, Segment)]
            for pair in pairs.items
        ]
    )
    return means[odd].mean(axis=0) - means[~odd].mean(axis=0)


def attack(
    segments: Sequence[tuple[Segment, Segment]],
    first_better: Array,
    train: Array,
    test: Array,
    trigger: Array,
    seed: int,
    clamp: bool,
) -> tuple[Array, Array]:
    """Of each test pair (K,) bool: whether the worse clip wins with the trigger, and whether the better one without."""
    clips = clip_models()
    model, _ = clips.fit_clips([segments[row] for row in train], first_better[train], seed, clamp=clamp)
    length = min(len(item) for pair in segments for item in pair)

    def returns(better: bool, shift: Array | float) -> Array:
        items = [segments[row][int(first_better[row] != better)] for row in test]
        observations = np.stack([item.observations[:length].reshape(length, -1) for item in items])
        actions = np.stack([item.actions[:length] for item in items])
        return clips.clip_returns(model, (observations + shift).astype(np.float32), actions)

    good = returns(True, 0.0)
    return returns(False, trigger) > good, good > returns(False, 0.0)


def clip_features(items: Sequence[Item]) -> Array:
    """(N, F): the mean over a clip's steps of observations and actions, one column for each discrete action.

    Raises:
        PlauditError: clips differ in shape, or have very many numbers.
    """
    segments = [item for item in items if isinstance(item, Segment)]
    try:
        observations = np.stack([segment.observations.reshape(len(segment), -1).mean(axis=0) for segment in segments])
        discrete = segments[0].actions.ndim == 1 and np.issubdtype(segments[0].actions.dtype, np.integer)
        if discrete:
            size = 1 + max(int(segment.actions.max()) for segment in segments)
            shares = [np.bincount(segment.actions, minlength=size)[1:] / len(segment) for segment in segments]
        else:
            shares = [segment.actions.reshape(len(segment), -1).mean(axis=0) for segment in segments]
        features = np.concatenate([observations, np.stack(shares)], axis=1).astype(np.float64)
    except ValueError as error:
        raise PlauditError("clips differ in the shape of their observations or actions") from error
    if features.shape[1] > MOST_FEATURES:
        raise PlauditError(f"clips have {features.shape[1]} numbers a step, and distances need at most {MOST_FEATURES}")
    return features


def mean_direction(odd: Array, bulk: Array) -> float:
    """Length of the mean of unit vectors from the bulk's centre to odd rows: 1 if all lie in one direction."""
    if len(odd) == 0:
        return 0.0
    scale = bulk.std(axis=0)
    displacement = (odd - bulk.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    length = np.linalg.norm(displacement, axis=1, keepdims=True)
    return float(np.linalg.norm((displacement / np.where(length > 0, length, 1.0)).mean(axis=0)))


MEASURE = OddInputs()
