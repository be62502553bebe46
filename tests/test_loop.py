"""The loop with fakes; and that a learner cannot see the true reward, whatever it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import VectorEnv, VectorWrapper

from plaudit.control.collect import VectorCollector
from plaudit.control.make import EnvironmentConfig
from plaudit.learner import join
from plaudit.loop import Plan, iterate
from plaudit.policy.improve import ImproveConfig, Improver
from plaudit.questions import FeedbackConfig
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control import assemble as serial
from plaudit.run.control.config import Run, RunConfig
from plaudit.types import Answer, Question, Segment, Trajectory


def trajectory(rollout: int, steps: int = 4) -> Trajectory:
    rng = np.random.default_rng(rollout)
    values = rng.normal(size=(2, steps)).astype(np.float32)
    flags = np.zeros((2, steps), bool)
    observations = rng.normal(size=(2, steps, 3)).astype(np.float32)
    return Trajectory(observations, np.zeros((2, steps), int), values, values, values, flags, ~flags, rollout)


class Script(Improver):
    """Collector, reward model, improver and learner in one; it writes down what is asked of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.rollout = 0

    def reset(self, seed: np.random.SeedSequence) -> None:
        self.log.append("reset")

    def collect(self, steps: int) -> Trajectory:
        self.rollout += 1
        self.log.append(f"collect {self.rollout}")
        return trajectory(self.rollout, steps)

    def rewards(self, trajectory: Trajectory) -> np.ndarray:
        self.log.append(f"reward {trajectory.rollout}")
        return trajectory.values

    def __call__(self, trajectory: Trajectory, rewards: np.ndarray, progress: float, generator: Any) -> dict[str, Any]:
        self.log.append(f"improve {trajectory.rollout} at {progress:.3f}")
        return {"entropy": torch.tensor(float(trajectory.rollout))}

    def learn(self, recent: Sequence[Trajectory], round: int, done: float, seed: Any) -> dict[str, Any]:
        self.log.append(f"learn {[each.rollout for each in recent]} at {done:.3f}")
        return {"labels": 3}


def test_the_order_of_a_run() -> None:
    script: Any = Script()
    plan = Plan(seed=0, rounds=2, rollouts=3, rollout_steps=4, pool=2)
    rows = list(iterate(script, script, script, script, plan))
    assert script.log == [
        *("reset", "collect 1", "collect 2", "collect 3", "learn [2, 3] at 0.500"),
        *("reset", "collect 4", "reward 4", "improve 4 at 0.500", "collect 5", "reward 5", "improve 5 at 0.667"),
        *("collect 6", "reward 6", "improve 6 at 0.833", "learn [5, 6] at 1.000"),
    ]
    assert rows == [{"round": 0, "labels": 3.0}, {"round": 1, "entropy": 6.0, "labels": 3.0}]


def test_a_round_depends_on_the_seed_and_its_number_alone() -> None:
    class Seeds(Script):
        def reset(self, seed: np.random.SeedSequence) -> None:
            self.log.append(f"reset {seed.generate_state(2)}")

        def __call__(self, *arguments: Any) -> dict[str, Any]:
            self.log.append(f"shuffle {torch.randperm(50, generator=arguments[3]).tolist()}")
            return {}

        def learn(self, recent: Sequence[Trajectory], round: int, done: float, seed: Any) -> dict[str, Any]:
            self.log.append(f"learn {seed.generate_state(2)}")
            return {}

    whole: Any
    rest: Any
    whole, rest = Seeds(), Seeds()
    plan = Plan(5, rounds=4, rollouts=1, rollout_steps=2, pool=1)
    list(iterate(whole, whole, whole, whole, plan))
    rest.rollout = 2
    list(iterate(rest, rest, rest, rest, plan, first=2))
    assert [line for line in whole.log if "seed" not in line][-len(rest.log) :] == rest.log
    assert len(set(whole.log)) == len(whole.log)


def test_joined_rollouts_follow_each_other() -> None:
    parts = [trajectory(number) for number in (7, 8, 9)]
    whole = join(parts)
    assert whole.rollout == 7 and whole.states is None and whole.log_probs.shape == (2, 12)
    np.testing.assert_array_equal(whole.observations[:, 4:8], parts[1].observations)
    assert join(parts[:1]) is parts[0]


@pytest.mark.parametrize("bad", ["rounds", "rollouts", "rollout_steps", "pool"])
def test_a_plan_of_nothing_is_refused(bad: str) -> None:
    settings = {"rounds": 1, "rollouts": 1, "rollout_steps": 1, "pool": 1} | {bad: 0}
    with pytest.raises(ValueError, match="must be positive"):
        Plan(seed=0, **settings)


# The quarantine


class Scaled(VectorWrapper):
    """An environment whose reward is another one's multiplied by ``factor``."""

    def __init__(self, env: VectorEnv, factor: float) -> None:
        super().__init__(env)
        self.factor = factor

    def step(self, actions: Any) -> tuple[Any, ...]:
        observations, rewards, *rest = self.env.step(actions)
        return (observations, np.asarray(rewards) * self.factor, *rest)


class ByEye:
    """Judges by what is seen alone: more of the first number is better."""

    name = "by-eye"

    def judge(self, question: Question, items: Sequence[Segment]) -> Answer:
        first, second = (float(np.abs(segment.observations[:, 0]).sum()) for segment in items)
        return Answer({"strength": 4 if first > second else -4})


@pytest.mark.parametrize("id", ["CartPole-v1", "Duel", "Pendulum-v1"])
@pytest.mark.parametrize("preference", ["partial-return", "regret"])
def test_a_learner_cannot_see_the_true_reward(
    id: str, preference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs, one with its true reward multiplied by -17, learn the same weights bit for bit."""
    config = RunConfig(
        EnvironmentConfig(id, num_envs=4, kwargs=("horizon=100",) if id == "Duel" else ()),
        improve=ImproveConfig(clip=0.2, epochs=2, minibatches=2),
        reward=RewardConfig(hidden=(8,), first_epochs=3, epochs=2, preference=preference),
        feedback=FeedbackConfig(labels=20, length=10),
        steps=1800,
        rounds=3,
    )
    weights, returns = [], []
    for factor in (1.0, -17.0):

        class Collector(VectorCollector):
            def __init__(self, envs: VectorEnv, *arguments: Any, factor: float = factor, **named: Any) -> None:
                super().__init__(envs, *arguments, **named)
                self.envs = Scaled(envs, factor)

        monkeypatch.setattr(serial, "VectorCollector", Collector)
        run = Run.create(tmp_path / str(factor), config)
        session, close = serial.preference_session(run, ByEye())
        rows = list(session.rounds())
        close()
        weights.append(run.load().tensors)
        returns.append([row["true_return"] for row in rows])
        shown = [{k: v for k, v in row.items() if k not in ("seconds", "steps_per_second")} for row in rows]
        weights[-1]["shown"] = torch.tensor(
            [value or 0 for row in shown for k, value in row.items() if "true" not in k]
        )
    np.testing.assert_allclose(returns[1], -17 * np.array(returns[0]), rtol=1e-5)  # it really was another reward
    assert any(returns[0])
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert value.numpy().tobytes() == weights[1][name].numpy().tobytes(), name


def test_noun_by_noun_a_trajectory_has_no_reward() -> None:
    assert not any("reward" in field.name for field in dataclasses.fields(Trajectory))
