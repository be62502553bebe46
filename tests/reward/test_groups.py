"""A reward for groups of annotators who disagree: 80 % compare one feature of clips, 20 % another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from gymnasium import spaces

from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons, evaluate, fit, predictions
from plaudit.types import PlauditError, Trajectory

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


def fit_model(config: RewardConfig) -> RewardEnsemble:
    torch.manual_seed(0)
    model = RewardEnsemble(spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(2), config)
    fit(model, answers(300, 0, 0.8), 40, 0)
    return model


def accuracies(config: RewardConfig) -> tuple[float, float]:
    """Of the majority's and the minority's held-out answers."""
    model = fit_model(config)
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
    for groups in (("ada",), ("=most",), ("ada=",), ("groups.txt",)):
        with pytest.raises(PlauditError, match="ANNOTATOR=GROUP"):
            RewardConfig(objective="worst-group", groups=groups)
    with pytest.raises(PlauditError, match="worst-group"):
        RewardConfig(groups=("ada=most",))
    model = RewardEnsemble(spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(2), WORST)
    with pytest.raises(ValueError, match="annotators"):
        fit(model, dataclasses.replace(answers(8, 0, 0.8), annotators=None), 1, 0)


@pytest.mark.parametrize("objective", ["heads", "mixture"])
def test_each_group_has_a_reward_that_fits_it(objective: Literal["heads", "mixture"]) -> None:
    """80/20 groups whose tastes exclude each other: both are predicted, whether settings name them or not."""
    groups = ("ada=most", "bob=most", "cleo=few") if objective == "heads" else ()
    config = dataclasses.replace(WORST, objective=objective, groups=groups)
    majority, minority = accuracies(config)
    assert majority >= 0.9 and minority >= (0.9 if objective == "heads" else 0.85)
    model = fit_model(config)
    data = answers(300, 0, 0.8)
    assert evaluate(model, data)["holdout_accuracy"] >= 0.9
    # the second feature is what the few want
    aims = ("few", "most") if objective == "heads" else ("2", "1")
    observations = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], np.float32)
    steps = trajectory(observations)
    few, most, worst, mean = (rewards_for(model, aim, steps)[0] for aim in (*aims, "worst", "mean"))
    assert few[2] > few[1] and most[1] > most[2]
    np.testing.assert_allclose(worst, np.minimum(few, most), rtol=1e-5)
    np.testing.assert_allclose(mean, (few + most) / 2, rtol=1e-5)
    if objective == "mixture":
        assert sorted(model.shares.tolist()) == [pytest.approx(1 / 3, abs=0.01), pytest.approx(2 / 3, abs=0.01)]


def rewards_for(model: RewardEnsemble, aim: str, steps: Trajectory) -> np.ndarray:
    model.config = dataclasses.replace(model.config, aim=aim)
    return model.rewards(steps)


def trajectory(observations: np.ndarray) -> Trajectory:
    shape = observations.shape[:2]
    zeros, flags = np.zeros(shape, np.float32), np.zeros(shape, bool)
    return Trajectory(observations, np.zeros(shape, np.int64), zeros, zeros, zeros, flags, ~flags)


def test_a_group_without_answers_has_the_common_reward_and_strangers_train_it() -> None:
    config = dataclasses.replace(WORST, objective="heads", groups=("cleo=few", "dora=new"))
    model = fit_model(config)  # ada and bob have no group
    few, new = (rewards_for(model, aim, trajectory(np.eye(2, dtype=np.float32)[None]))[0] for aim in ("few", "new"))
    common = model.head_rewards(torch.eye(2), torch.zeros(2, dtype=torch.long))[0].mean(dim=0)
    assert few[1] > few[0] and new[0] > new[1] and common[0] > common[1]


def test_groups_from_a_file_and_aims_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("annotator,group\nada,few\nbob,most\n")
    config = RewardConfig(objective="heads", groups=(str(path), "bob=few", "cleo=rest"))
    assert config.heads == ("few", "rest") and config.named_groups["bob"] == "few"  # later ones count
    assert RewardConfig(objective="mixture", clusters=3).heads == ("1", "2", "3") and RewardConfig().heads == ()
    for settings, word in (
        ({"objective": "heads"}, "needs --reward.groups"),
        ({"aim": "few"}, "heads or mixture"),
        ({"objective": "mixture", "clusters": 1}, "clusters"),
        ({"objective": "mixture", "groups": ("ada=few",)}, "no named groups"),
        ({"objective": "mixture", "preference": "regret"}, "partial-return"),
    ):
        with pytest.raises(PlauditError, match=word):
            RewardConfig(**settings)  # type: ignore[arg-type]
    for settings, word in (({"aim": "many"}, "'many' is no group: .* few, most"), ({"groups": ("a=worst",)}, "called")):
        with pytest.raises(PlauditError, match=word):
            _ = dataclasses.replace(config, **({"groups": (str(path),)} | settings)).heads  # type: ignore[arg-type]
    path.write_text("name,team\nada,few\n")
    for broken in (path, tmp_path / "missing.csv"):
        with pytest.raises(PlauditError, match="columns annotator and group"):
            _ = RewardConfig(objective="heads", groups=(str(broken),)).heads
