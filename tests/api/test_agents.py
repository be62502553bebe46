"""plaudit.load_policy and plaudit.LearnedReward: what a run learned, in any other program."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeAwareObservation

import plaudit
from plaudit.control.collect import VectorCollector
from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd
from plaudit.control.make import make
from plaudit.run.control.config import Run
from plaudit.run.control.look import policy_of, reward_model_of
from plaudit.types import Array, PlauditError, TrueReward

from .conftest import MakeRun


@pytest.fixture(scope="module")
def cartpole(make_run: MakeRun) -> Run:
    return make_run("CartPole-v1")


@pytest.fixture(scope="module")
def pendulum(make_run: MakeRun) -> Run:
    return make_run("Pendulum-v1")


# The policy


def test_one_observation_and_a_batch(cartpole: Run) -> None:
    policy = plaudit.load_policy(cartpole.folder)
    observations = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    actions, state = policy.predict(observations, state="kept", deterministic=True)
    assert actions.shape == (64,) and set(actions.tolist()) == {0, 1} and state == "kept"
    singles = [policy.predict(observation, deterministic=True)[0] for observation in observations]
    assert [int(action) for action in singles] == actions.tolist()
    assert all(policy.action_space.contains(action) for action in singles)
    assert policy.predict([0, 0, 0, 0])[1] is None  # anything that numpy reads
    # the sample has the policy's probabilities
    outputs = policy.network(torch.from_numpy(observations[:1]))[0, :2].softmax(0).tolist()
    sampled, _ = plaudit.load_policy(cartpole, seed=1).predict(np.repeat(observations[:1], 4000, axis=0))
    assert abs(float(np.mean(sampled)) - outputs[1]) < 0.04
    again, _ = plaudit.load_policy(cartpole, seed=1).predict(np.repeat(observations[:1], 4000, axis=0))
    np.testing.assert_array_equal(sampled, again)


def test_continuous_actions_stay_in_their_space(pendulum: Run) -> None:
    policy = plaudit.load_policy(pendulum)
    observations = 3 * np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    actions, _ = policy.predict(observations)
    assert actions.shape == (50, 1) and actions.dtype == np.float32
    assert all(policy.action_space.contains(action) for action in actions)
    assert (abs(actions) == 2).any() and (abs(actions) < 2).any()  # clipped, and not
    assert policy.predict(observations[0])[0].shape == (1,)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (np.zeros(3, np.float32), "have the shape (4,), or (B, ...) for a batch; got (3,)"),
        (np.zeros((2, 2, 4), np.float32), "got (2, 2, 4)"),
        (["a", "b", "c", "d"], "have the dtype float32, got"),
        (None, "are Box([-4.8 -inf -0.41887903 -inf], [4.8 inf 0.41887903 inf], (4,), float32), got None"),
        ({"observation": 1}, "float32), got {'observation': 1}"),
        (torch.zeros(4, requires_grad=True), "numpy cannot read the observation: Can't call numpy() on Tensor that"),
        ((np.zeros(4, np.float32), {}), "give what env.step returns first, or the first of the two that env.reset"),
    ],
)
def test_another_observation_is_refused(cartpole: Run, observation: Any, message: str) -> None:
    with pytest.raises(PlauditError, match=re.escape(message)):
        plaudit.load_policy(cartpole).predict(observation)


def test_a_path_that_is_no_run_is_told_from_a_part_of_one(cartpole: Run) -> None:
    folder = cartpole.folder
    for path in (cartpole.checkpoints()[0], folder / "checkpoints", folder / "config.json"):
        with pytest.raises(
            PlauditError, match=re.escape(f"is not a run, but a part of one: name the run's folder, {folder}")
        ):
            plaudit.load_policy(path)
    with pytest.raises(PlauditError, match=r"there is no folder .*nothing: check the path"):
        plaudit.load_policy(folder / "nothing")
    assert repr(cartpole) == f"Run({str(folder)!r})"
    assert repr(plaudit.load_policy(cartpole)) == f"TrainedPolicy({str(folder)!r}, CartPole-v1)"


def test_what_holds_no_agent_is_refused(cartpole: Run, make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match="holds no run"):
        plaudit.load_policy(tmp_path)
    for kind, message in (("chat", "holds a language model, not an agent: transformers loads"), ("sft", "run of sft")):
        (tmp_path / "config.json").write_text(json.dumps({"kind": kind}))
        for load in (plaudit.load_policy, lambda folder: plaudit.LearnedReward(gymnasium.make("CartPole-v1"), folder)):
            with pytest.raises(PlauditError, match=message):
                load(tmp_path)
    fresh = Run.create(tmp_path / "fresh", cartpole.config)
    with pytest.raises(PlauditError, match="no checkpoint yet"):
        plaudit.load_policy(fresh)
    with pytest.raises(PlauditError, match="has not learned a reward"):
        plaudit.LearnedReward(gymnasium.make("CartPole-v1"), make_run("CartPole-v1", fits=0))


# The learned reward


def collected(run: Run, steps: int) -> tuple[Any, Array, Array]:
    """What the run's own collector sees, the learned rewards (B, T) and the true ones."""
    envs = make(run.config.environment)
    if isinstance(envs, RestartAfterEnd):
        envs.length = run.config.feedback.length
    checkpoint, truth = run.load(), list[TrueReward]()
    endless = run.config.environment.ends == "continue"
    collector = VectorCollector(envs, policy_of(run, checkpoint, envs), truth.append, endless=endless)
    collector.reset(np.random.SeedSequence(5))
    trajectory = collector.collect(steps)
    model = reward_model_of(run, checkpoint, envs)
    assert model is not None
    return trajectory, model.rewards(trajectory), truth[0].rewards


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Duel"])
def test_the_reward_is_the_one_that_the_runs_learner_gets(make_run: MakeRun, name: str) -> None:
    """The same actions in a vector environment made elsewhere: the same observations, rewards and truths."""
    run = make_run(name)
    trajectory, learned, true = collected(run, 220 if name == "Pendulum-v1" else 540)
    policy = plaudit.load_policy(run)
    raw = make(run.config.environment)
    envs = plaudit.LearnedReward.vector(raw.env if isinstance(raw, AbsorbAfterEnd | RestartAfterEnd) else raw, run)
    seed = int(np.random.SeedSequence(5).generate_state(2)[0]) & 0x7FFFFFF
    observations, _ = envs.reset(seed=seed)
    ended = np.zeros(3, bool)
    for t in range(trajectory.observations.shape[1]):
        np.testing.assert_array_equal(observations, trajectory.observations[:, t])
        actions = policy.network.to_environment(trajectory.actions[:, t])
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        np.testing.assert_allclose(rewards, np.where(ended, 0, learned[:, t]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(infos["true_reward"], true[:, t], rtol=1e-6)
        np.testing.assert_array_equal(truncations, trajectory.ends[:, t])
        assert not terminations.any()
        ended = truncations
    assert trajectory.ends.any()


def test_hidden_ends_of_one_environment(cartpole: Run) -> None:
    """The pole falls; its last observation repeats for as long as the run learned from it, and nothing terminates."""
    env = plaudit.LearnedReward(gymnasium.make("CartPole-v1"), cartpole.folder)
    plain = gymnasium.make("CartPole-v1")
    observation, rewards = np.empty(0), list[float]()
    for _ in range(2):  # a reset forgets the last episode
        env.reset(seed=4)
        plain.reset(seed=4)
        fallen, steps = False, 0
        while not fallen:
            observation, *_, fallen, _, _ = plain.step(0)
            seen, _, terminated, truncated, info = env.step(0)
            np.testing.assert_array_equal(seen, observation)
            assert not terminated and not truncated and info["true_reward"] == 1
            steps += 1
        rewards = []
        for repetition in range(20):
            seen, reward, terminated, truncated, info = env.step(repetition % 2)
            np.testing.assert_array_equal(seen, observation)
            assert not terminated and truncated == (repetition == 19) and info == {"true_reward": 0.0}
            rewards.append(reward)
        assert len(set(rewards)) == 2 and steps < 15
    expected = env.reward(np.repeat(observation[None], 2, axis=0), np.array([0, 1]))
    np.testing.assert_allclose(rewards[:2], expected, rtol=1e-5)


def test_ends_that_are_seen_and_ends_that_pass_unannounced(cartpole: Run) -> None:
    env = plaudit.LearnedReward(gymnasium.make("CartPole-v1"), cartpole, ends="visible")
    env.reset(seed=4)
    while not (step := env.step(0))[2]:
        assert not step[3]
    assert step[4]["true_reward"] == 1
    env = plaudit.LearnedReward(gymnasium.make("CartPole-v1"), cartpole, ends="continue")
    env.reset(seed=4)
    steps = [env.step(0) for _ in range(60)]
    assert not any(terminated or truncated for _, _, terminated, truncated, _ in steps)
    resets = [t for t, step in enumerate(steps) if step[4]["true_reward"] == 0]
    assert 3 < len(resets) < 8 and all(abs(steps[t][0]).max() <= 0.05 for t in resets)  # where CartPole begins


def test_vectors_with_visible_ends_and_without(cartpole: Run) -> None:
    def build(mode: AutoresetMode) -> SyncVectorEnv:
        return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, autoreset_mode=mode)

    visible = plaudit.LearnedReward.vector(build(AutoresetMode.NEXT_STEP), cartpole, ends="visible")
    visible.reset(seed=1)
    ended = np.zeros(2, bool)
    for _ in range(40):
        _, rewards, terminations, truncations, infos = visible.step(np.zeros(2, int))
        assert (rewards[ended] == 0).all() and (rewards[~ended] != 0).all()
        assert (infos["true_reward"] == ~ended).all()
        ended = terminations | truncations
    endless = plaudit.LearnedReward.vector(build(AutoresetMode.SAME_STEP), cartpole, ends="continue")
    endless.reset(seed=1)
    for _ in range(40):
        _, rewards, terminations, truncations, _ = endless.step(np.zeros(2, int))
        assert not (terminations | truncations).any() and (rewards != 0).all()
    with pytest.raises(PlauditError, match=r"hidden ends need AutoresetMode\.NEXT_STEP"):
        plaudit.LearnedReward.vector(build(AutoresetMode.SAME_STEP), cartpole)


def test_other_spaces_are_refused(cartpole: Run, pendulum: Run) -> None:
    for env, run, message in (
        (gymnasium.make("Pendulum-v1"), cartpole, r"are Box.*\(3,\), float32\), but .* learned from Box"),
        (TimeAwareObservation(gymnasium.make("CartPole-v1")), cartpole, "wrap it so that they are the same"),
        (gymnasium.make("plaudit/Duel-v0"), cartpole, "learned from"),
        (gymnasium.make("Pendulum-v1", g=9.81), pendulum, ""),
    ):
        if message:
            with pytest.raises(PlauditError, match=message) as fault:
                plaudit.LearnedReward(env, run)
            assert "\n" not in str(fault.value)
        else:
            plaudit.LearnedReward(env, run)
    acrobot = gymnasium.wrappers.TransformAction(
        gymnasium.make("CartPole-v1"), lambda action: min(action, 1), gymnasium.spaces.Discrete(3)
    )
    with pytest.raises(PlauditError, match=r"are Discrete\(3\), but .* learned from Discrete\(2\)"):
        plaudit.LearnedReward(acrobot, cartpole)
    with pytest.raises(PlauditError, match=r"write plaudit\.LearnedReward\.vector"):
        plaudit.LearnedReward(gymnasium.make_vec("CartPole-v1", 2), cartpole)  # type: ignore[arg-type]


def test_wrong_arguments_are_one_line(cartpole: Run) -> None:
    """Whatever a program gives by mistake, the fault is a PlauditError that names the argument."""
    pole, poles = gymnasium.make("CartPole-v1"), gymnasium.make_vec("CartPole-v1", 2)
    env, envs = plaudit.LearnedReward(pole, cartpole), plaudit.LearnedReward.vector(poles, cartpole)
    nothing: Any = None
    library: Any = plaudit
    calls: list[tuple[Callable[[], object], str]] = [
        *((lambda run=run: library.load_policy(run), "run must be a path") for run in (nothing, 3, "", "a\0b", b"a")),
        (lambda: plaudit.LearnedReward(pole, nothing), "run must be a path"),
        (lambda: plaudit.load_policy(cartpole, seed=-1), "seed must be a whole number from 0, or None, got -1"),
        (lambda: plaudit.LearnedReward(nothing, cartpole), "env must be an environment, as gymnasium.make"),
        (lambda: library.LearnedReward("CartPole-v1", cartpole), "write plaudit.LearnedReward(gymnasium.make('CartP"),
        (lambda: library.LearnedReward(SimpleNamespace(num_envs=2), cartpole), "wrap each environment before it"),
        (lambda: library.LearnedReward.vector(pole, cartpole), "envs must be a vector environment"),
        *(
            (lambda make=make: make(ends="hide"), "ends must be one of absorb, continue, visible, or None, got 'hide'")
            for make in (
                partial(library.LearnedReward, pole, cartpole),
                partial(library.LearnedReward.vector, poles, cartpole),
            )
        ),
        (lambda: env.step(0), "call reset() before step()"),
        (lambda: envs.step(np.zeros(2, int)), "call reset() before step()"),
        (lambda: env.reset(seed=0) and env.step(7), "actions are 1 of Discrete(2), got array([7])"),
        (lambda: env.step(None), "actions are 1 of Discrete(2), got"),
        (lambda: envs.reset(seed=0) and envs.step(np.zeros(3, int)), "actions are 2 of Discrete(2), got array([0, 0"),
    ]
    for call, message in calls:
        with pytest.raises(PlauditError, match=re.escape(message)) as fault:
            call()
        assert "\n" not in str(fault.value)
    envs.reset(seed=0)
    assert envs.step([0, 1])[1].shape == (2,)  # a list of actions


def test_the_score_of_pong_is_not_read(make_run: MakeRun) -> None:
    pytest.importorskip("ale_py")
    run = make_run("ALE/Pong-v5", num_envs=1)
    envs = gymnasium.make_vec("ALE/Pong-v5", 1, vectorization_mode="vector_entry_point")
    wrapped = plaudit.LearnedReward.vector(envs, run)
    assert wrapped.ends == "continue"
    frames = np.random.default_rng(0).integers(0, 256, (1, 4, 84, 84), np.uint8)
    blank = frames.copy()
    blank[..., :11, :] = 0
    action = np.zeros(1, np.int64)
    assert wrapped.reward(frames, action) == wrapped.reward(blank, action) != wrapped.reward(255 - frames, action)
    policy = plaudit.load_policy(run)
    np.testing.assert_array_equal(*(policy.predict(f, deterministic=True)[0] for f in (frames, blank)))
    assert frames[0, 0, :11].any()  # the caller's frames are left as they were
    with pytest.raises(PlauditError, match="have the dtype uint8, got float64"):
        policy.predict(frames[0] / 255)
