"""Defaults by environment and algorithm, and settings as JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from plaudit.control.make import AbsorbAfterEnd, EnvironmentConfig, make
from plaudit.run.control.assemble import plan_of
from plaudit.run.control.config import Algorithm, RunConfig, defaults
from plaudit.run.language.config import ChatConfig
from plaudit.run.stored import CONTROL, from_dict, to_dict
from plaudit.types import PlauditError


@pytest.mark.parametrize("name", ["Duel", "CartPole-v1", "ALE/Pong-v5"])
def test_an_algorithm_that_is_asked_for_is_what_one_gets(name: str) -> None:
    if name.startswith("ALE/"):
        pytest.importorskip("ale_py")
    usual, ppo, a2c = (defaults(name, algorithm) for algorithm in (None, "ppo", "a2c"))
    assert usual == ppo and ppo.improve.clip is not None
    assert a2c.improve.clip is None and a2c.improve.epochs == a2c.improve.minibatches == 1
    assert (a2c.reward, a2c.feedback, a2c.environment) == (ppo.reward, ppo.feedback, ppo.environment)


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


@pytest.mark.parametrize("name", ["CartPole-v1", "Delivery"])
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
