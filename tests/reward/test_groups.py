"""A reward for groups of annotators who disagree: 80 % compare one feature of clips, 20 % another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces

from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons, fit, predictions
from plaudit.types import PlauditError

WORST = RewardConfig(hidden=(16,), batch=64, lapse=0.0, fit_lapse=False, objective="worst-group")


def answers(count: int, seed: int, share: float) -> Comparisons:
    """Clips of 5 steps with two features; ada and bob are the majority, and cleo the minority."""
    rng = np.random.default_rng(seed)
    observations = rng.standard_normal((count, 2, 5, 2)).astype(np.float32)
    is_majority = rng.random(count) < share
    gain = observations.sum(axis=2)[:, 0] - observations.sum(axis=2)[:, 1]
    mu = np.where(is_majority, gain[:, 0], gain[:, 1]) > 0
    names = tuple(str(rng.choice(["ada", "bob"])) if major else "cleo" for major in is_majority)
    weights = rng.poisson(1, (3, count)).astype(np.float32)
    return Comparisons(observations, np.zeros((count, 2, 5), np.int64), mu.astype(np.float32), weights, None, names)


def accuracies(config: RewardConfig) -> tuple[float, float]:
    """Of the majority's and the minority's held-out answers."""
    torch.manual_seed(0)
    model = RewardEnsemble(spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(2), config)
    fit(model, answers(300, 0, 0.8), 40, 0)
    majority, minority = (
        float(((predictions(model, data).mean(axis=0) > 0.5) == (data.mu > 0.5)).mean())
        for data in (answers(1000, 1, 1.0), answers(1000, 2, 0.0))
    )
    return majority, minority


def test_the_worst_group_narrows_the_gap_between_groups() -> None:
    pooled = accuracies(dataclasses.replace(WORST, objective="mean"))
    fair = accuracies(dataclasses.replace(WORST, groups=("ada=most", "bob=most")))
    assert pooled[0] - pooled[1] > 0.2
    assert abs(fair[0] - fair[1]) < 0.1 and min(fair) > pooled[1] + 0.05


def test_groups_by_name_and_what_is_refused() -> None:
    config = dataclasses.replace(WORST, groups=("ada=most", "b=ob=most"))
    assert [config.group_of(name) for name in ("ada", "b=ob", "cleo")] == ["most", "most", "cleo"]
    for groups in (("ada",), ("=most",), ("ada=",)):
        with pytest.raises(PlauditError, match="ANNOTATOR=GROUP"):
            RewardConfig(objective="worst-group", groups=groups)
    with pytest.raises(PlauditError, match="worst-group"):
        RewardConfig(groups=("ada=most",))
    model = RewardEnsemble(spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(2), WORST)
    with pytest.raises(ValueError, match="annotators"):
        fit(model, dataclasses.replace(answers(8, 0, 0.8), annotators=None), 1, 0)
