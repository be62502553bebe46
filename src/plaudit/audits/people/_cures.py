"""Cures that are tried on stored answers alone: a small reward model is fitted with and without them.

Both models are asked about the same answers, which neither was fitted to. A cure helps if it turns more wrong
predictions into right ones than the other way round, by the sign test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from plaudit.audits.finding import Effect
from plaudit.audits.people._answers import Pairs, read_pairs
from plaudit.audits.people._held_out import predict_unseen_pairs
from plaudit.audits.subject import Subject
from plaudit.functional.significance import binomial_tail
from plaudit.types import Array, PlauditError

LEVEL = 0.05  # of the sign test


def improves(before: Array, after: Array, level: float = LEVEL) -> bool:
    """Whether more of the predictions (N,) bool became right than wrong: the sign test, one-sided."""
    better, worse = int((after & ~before).sum()), int((before & ~after).sum())
    return better + worse > 0 and binomial_tail(better, better + worse) < level


def leave_out(subject: Subject, dropped: Array, setting: str, description: str) -> Effect:
    """The held-out accuracy on all other answers, of a model of all answers and of one without those.

    dropped: (N,) bool, pairs of :func:`read_pairs`. description: the answers that are left out, in words.

    Raises:
        PlauditError: there are too few answers.
    """
    pairs, seed = read_pairs(subject), subject.config.seed
    if not dropped.any():
        raise PlauditError(f"none of the answers that a reward is fitted to is one of {description}")
    rows = np.flatnonzero(~dropped)
    subject.report_progress(f"fitting {len(rows)} answers without {description}")
    started = time.perf_counter()
    rest = pairs.take(rows)
    after = predict_unseen_pairs(rest, seed)
    seconds = time.perf_counter() - started
    before = predict_unseen_pairs(pairs, seed)[rows]
    mask = np.isfinite(before) & np.isfinite(after)
    right = [((predicted > 0.5) == rest.first_better)[mask] for predicted in (before, after)]
    return Effect(
        setting,
        f"A model of all answers is right about {right[0].mean():.1%} of {mask.sum()} other held-out answers, and one "
        f"without {description} about {right[1].mean():.1%}.",
        float(right[0].mean()),
        float(right[1].mean()),
        improves(right[0], right[1]),
        {"judgements lost": int(dropped.sum()), "seconds": seconds},
    )


def try_models(
    subject: Subject,
    pairs: Pairs,
    models: Mapping[str, Callable[[], Array]],
    member: Array,
    gap: Callable[[Array, Array], float],
) -> list[Effect]:
    """What other models of the same answers do to a gap, for the group whose pairs ``member`` (N,) bool marks.

    models: predictions (N,) of each setting; the first one is what the others are compared with.
    gap: of predictions that are right (M,), and the rows (M,) that they are about.
    """
    name, *settings = models
    before = models[name]()
    effects: list[Effect] = []
    for setting in settings:
        subject.report_progress(f"{len(effects) + 1} of {len(settings)}: {setting}")
        started = time.perf_counter()
        after = models[setting]()
        seconds = time.perf_counter() - started
        mask = np.isfinite(before) & np.isfinite(after)
        rows = np.flatnonzero(mask)
        right = [((predicted > 0.5) == pairs.first_better)[mask] for predicted in (before, after)]
        in_group = member[mask]
        effects.append(
            Effect(
                setting,
                f"The held-out accuracy on the group's answers goes from {right[0][in_group].mean():.0%} to "
                f"{right[1][in_group].mean():.0%}, and on the others' from {right[0][~in_group].mean():.0%} to "
                f"{right[1][~in_group].mean():.0%}.",
                gap(right[0], rows),
                gap(right[1], rows),
                improves(right[0][in_group], right[1][in_group], LEVEL / len(settings)),
                {
                    "change of held-out accuracy": float(right[1].mean() - right[0].mean()),
                    "more judgements": 0,
                    "seconds": seconds,
                },
            )
        )
    return effects
