"""A small reward model of clips, fitted to stored answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons, bootstrap_weights, fit, predictions
from plaudit.types import Array, PlauditError, Segment

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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = observations.shape[-1]
        model = RewardEnsemble(
            spaces.Box(-np.inf, np.inf, (width,)),
            _action_space(actions),
            RewardConfig(members=MEMBERS, batch=BATCH, learning_rate=LEARNING_RATE, **settings),
        )
        model.set_normaliser(data.observations.reshape(-1, width))
        fit(model, data, epochs, seed)
    return model, data


@torch.inference_mode()
def clip_returns(model: RewardEnsemble, observations: Array, actions: Array) -> Array:
    """Mean return (N,) of clips (N, L, F) over the members, raw."""
    count, length = observations.shape[:2]
    steps = (torch.from_numpy(array.reshape(count * length, *array.shape[2:])) for array in (observations, actions))
    return model.eval()(*steps).mean(dim=0).view(count, length).sum(dim=1).numpy()


def _action_space(actions: Array) -> spaces.Space:
    if np.issubdtype(actions.dtype, np.integer) and actions.ndim == 3:
        return spaces.Discrete(int(actions.max()) + 1)
    return spaces.Box(-np.inf, np.inf, actions.shape[3:])
