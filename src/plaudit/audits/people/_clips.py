"""A small reward model of clips, fitted to stored answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons, bootstrap_weights, clip_returns, fit_anew, predictions
from plaudit.types import Array, PlauditError, Segment

__all__ = ["clip_returns", "fit_clips", "predict"]

MEMBERS = 5  # all but one pair in ten are then held out from one at least
EPOCHS, STEPS = 30, 150  # passes over the answers, and fewest steps of Adam
BATCH, LEARNING_RATE = 128, 5e-3  # a single fit from scratch may take larger steps than a run


def predict(
    pairs: Sequence[tuple[Segment, Segment]],
    first_better: Array,
    seed: int,
    annotators: Sequence[str] | None = None,
    **settings: Any,
) -> Array:
    """P[first better] (N,) by the members that did not draw a pair; NaN where all drew it.

    settings: of the reward model, where they differ. annotators: of the pairs, for settings of groups.

    Raises:
        PlauditError: the clips have no common shape.
    """
    model, data = fit_clips(pairs, first_better, seed, annotators, **settings)
    unseen = data.weights == 0
    count = unseen.sum(axis=0)
    mean = (predictions(model, data) * unseen).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)


def fit_clips(
    pairs: Sequence[tuple[Segment, Segment]],
    first_better: Array,
    seed: int,
    annotators: Sequence[str] | None = None,
    **settings: Any,
) -> tuple[RewardEnsemble, Comparisons]:
    """A reward model fitted to pairs, and the pairs as it reads them; arguments and errors as of :func:`predict`."""
    length = min(len(segment) for pair in pairs for segment in pair)
    try:
        observations = np.stack([[item.observations[:length].reshape(length, -1) for item in pair] for pair in pairs])
        actions = np.stack([[item.actions[:length] for item in pair] for pair in pairs])
    except ValueError as error:
        raise PlauditError("clips differ in the shape of their observations or actions") from error
    ids = [(first.id, second.id) for first, second in pairs]
    data = Comparisons(
        observations.astype(np.float32),
        actions,
        first_better.astype(np.float32),
        bootstrap_weights(ids, MEMBERS, seed),
        annotators=None if annotators is None else tuple(annotators),
    )
    epochs = max(EPOCHS, -(-STEPS * BATCH // len(pairs)))
    config = RewardConfig(members=MEMBERS, batch=BATCH, learning_rate=LEARNING_RATE, **settings)
    return fit_anew(data, config, epochs, seed), data
