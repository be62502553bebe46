"""Defaults by environment and algorithm, and settings as JSON."""

from __future__ import annotations

import json

import pytest

from plaudit.run.config import Algorithm, defaults, from_dict, to_dict


@pytest.mark.parametrize("name", ["Duel", "CartPole-v1"])
def test_an_algorithm_that_is_asked_for_is_what_one_gets(name: str) -> None:
    usual, ppo, a2c = (defaults(name, algorithm) for algorithm in (None, "ppo", "a2c"))
    assert usual == ppo and ppo.improve.clip is not None
    assert a2c.improve.clip is None and a2c.improve.epochs == a2c.improve.minibatches == 1
    assert (a2c.reward, a2c.feedback, a2c.environment) == (ppo.reward, ppo.feedback, ppo.environment)


def test_atari_has_the_papers_algorithm_unless_told_otherwise() -> None:
    pytest.importorskip("ale_py")
    assert defaults("ALE/Pong-v5") == defaults("ALE/Pong-v5", "a2c")
    assert defaults("ALE/Pong-v5").improve.clip is None
    assert defaults("ALE/Pong-v5", "ppo").improve.clip is not None


@pytest.mark.parametrize(("name", "algorithm"), [("Duel", None), ("Duel", "a2c"), ("Pendulum-v1", None)])
def test_settings_survive_json(name: str, algorithm: Algorithm | None) -> None:
    config = defaults(name, algorithm)
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
