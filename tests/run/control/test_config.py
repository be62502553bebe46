"""Defaults by environment and algorithm, and settings as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import gymnasium as gym
import pytest

from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd
from plaudit.control.make import EnvironmentConfig, make
from plaudit.policy.improve import ImproveConfig
from plaudit.run.control.assemble import plan_of
from plaudit.run.control.config import Algorithm, Run, RunConfig, defaults
from plaudit.run.control.look import describe_evaluation
from plaudit.run.language.config import ChatConfig
from plaudit.run.stored import CONTROL, from_dict, to_dict
from plaudit.types import PlauditError


@pytest.mark.parametrize("name", ["Duel", "CartPole-v1", "Walker2d-v5", "ALE/Pong-v5"])
def test_an_algorithm_that_is_asked_for_is_what_one_gets(name: str) -> None:
    if name.startswith("ALE/"):
        pytest.importorskip("ale_py")
    usual, ppo, a2c = (defaults(name, algorithm) for algorithm in (None, "ppo", "a2c"))
    assert usual == ppo and ppo.improve.clip is not None
    assert a2c.improve.clip is None and a2c.improve.epochs == a2c.improve.minibatches == 1
    assert (a2c.reward, a2c.feedback, a2c.environment) == (ppo.reward, ppo.feedback, ppo.environment)


def test_mujoco_has_the_usual_settings_of_ppo() -> None:
    config = defaults("Hopper-v5")
    assert config.environment.num_envs * config.rollout_steps == 2_048
    assert config.environment.num_envs * config.rollout_steps // config.improve.minibatches == 64
    assert config.improve == ImproveConfig(
        learning_rate=3e-4, gamma=0.99, gae_lambda=0.95, clip=0.2, epochs=10, minibatches=32, entropy=0.0
    )
    assert config.network.log_std == 0.0 and config.network.normalise and config.steps == 1_000_000
    assert defaults("Pendulum-v1").improve != config.improve


@pytest.mark.parametrize(("name", "algorithm"), [("Duel", None), ("Duel", "a2c"), ("Pendulum-v1", None)])
def test_settings_survive_json(name: str, algorithm: Algorithm | None) -> None:
    config = defaults(name, algorithm)
    assert from_dict(json.loads(json.dumps(to_dict(config, CONTROL))), RunConfig, CONTROL) == config


def test_human_means_people() -> None:
    config = dataclasses.replace(defaults("duel"), annotator="human")
    assert config.annotator == "people" and config.asynchronous and ChatConfig(annotator="human").people


def test_a_choice_that_is_none_is_named() -> None:
    stored = to_dict(defaults("Duel"), CONTROL)
    stored["device"] = "gpu"
    with pytest.raises(PlauditError, match=r"config.json: device must be one of auto, cpu, cuda, got 'gpu'"):
        from_dict(stored, RunConfig, CONTROL)


@pytest.mark.parametrize("name", ["Delivery"])
def test_questions_are_drawn_from_a_whole_episode_where_one_can_be_over_early(name: str) -> None:
    """A pole that has fallen rests: the last steps before the horizon may hold nothing to ask about."""
    config = dataclasses.replace(
        defaults(name), environment=EnvironmentConfig(name, num_envs=1000), rollout_steps=50, steps=10_000_000
    )
    envs = make(config.environment)
    assert isinstance(envs, AbsorbAfterEnd)
    plan = plan_of(config, envs, pixels=False)
    assert plan.pool * plan.rollout_steps > envs.horizon
    envs.close()


@pytest.mark.parametrize(("steps", "count", "horizon"), [(4_000, 40, 500), (30_000, 8, 500), (10_000, 4, 20_000)])
def test_no_more_steps_are_planned_than_were_asked_for(steps: int, count: int, horizon: int) -> None:
    """A time limit above the budget cuts the rounds; a round holds whole episodes where the budget pays for them."""
    environment = EnvironmentConfig("CartPole-v1", num_envs=count)
    config = dataclasses.replace(defaults("CartPole-v1"), environment=environment, steps=steps)
    envs = make(environment)
    assert isinstance(envs, RestartAfterEnd)
    envs.horizon = horizon
    plan = plan_of(config, envs, pixels=False)
    planned = plan.rounds * plan.rollouts * plan.rollout_steps * count
    assert 0.8 * steps <= planned <= steps and plan.rounds >= 2
    assert plan.rollouts * plan.rollout_steps >= min(horizon, steps // (2 * count)) - plan.rollout_steps
    assert plan.pool * plan.rollout_steps >= min(2 * config.feedback.length, plan.rollouts * plan.rollout_steps)
    few = dataclasses.replace(config, steps=2 * count * config.feedback.length - 1)
    with pytest.raises(
        PlauditError, match=f"are too few for two rounds .* at least {few.steps + 1} steps .--steps., fewer"
    ):
        plan_of(few, envs, pixels=False)
    envs.close()


def test_the_evaluation_is_bounded_and_told(tmp_path: Path) -> None:
    """128 episodes, or as many as a tenth of the run's steps (64,000 for short runs) pay for.

    Where environments are stepped one by one, which may take seconds, no more than a short run's own steps.
    """
    gym.register("LongPole-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=1600)
    try:
        for name, steps, words in (
            ("Duel", 8_000_000, "128 episodes, at most 51,200 steps"),
            ("LongPole-v0", 200, "4 episodes, at most 6,400 steps"),
            ("LongPole-v0", 16_000, "10 episodes, at most 16,000 steps"),
            ("LongPole-v0", 500_000, "40 episodes, at most 64,000 steps"),
            ("LongPole-v0", 1_000_000, "62 episodes, at most 99,200 steps"),
        ):
            config = dataclasses.replace(defaults(name), steps=steps)
            assert describe_evaluation(Run.create(tmp_path / f"{name}{steps}", config)) == words
    finally:
        del gym.registry["LongPole-v0"]
