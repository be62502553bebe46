"""Plaudit's side of the speed benchmark: each workload in one process, one JSON line.

PYTHONPATH=benchmarks .venv/bin/python benchmarks/ours.py loop Pendulum-v1
"""

from __future__ import annotations

import plaudit  # isort: skip  # noqa: F401  (before torch, as in the command line: it limits how long threads spin)

import argparse
import dataclasses
import tempfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
import torch._dynamo  # torch imports it (a second or more) when the first optimiser is made: not to be timed
from common import Measurement, Stopwatch, emit, peak_rss_mb
from fragments import pendulum_comparisons
from gymnasium import spaces

from plaudit.control.collect import evaluate
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.networks import NetworkConfig
from plaudit.control.registry import resolve
from plaudit.policy.improve import ImproveConfig
from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons, fit, predictions
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run, RunConfig, defaults
from plaudit.run.control.true_reward import true_reward_session

EPOCHS = 40  # of the reward fit, as for the peer
LENGTH = 100  # steps of a fragment, as for the peer


def configure(options: argparse.Namespace) -> RunConfig:
    """The user's defaults for the environment, with the benchmark's steps, labels and fragments."""
    config = defaults(options.environment, "a2c" if options.work == "a2c" else options.algorithm)
    environment = config.environment
    if options.environments:
        environment = dataclasses.replace(environment, num_envs=options.environments)
    if options.ends:
        environment = dataclasses.replace(environment, ends=options.ends)
    config = dataclasses.replace(
        config, environment=environment, steps=options.steps, seed=options.seed, threads=options.threads
    )
    if options.members:
        config = dataclasses.replace(config, reward=dataclasses.replace(config.reward, members=options.members))
    if options.work == "loop" and not environment.id.startswith("plaudit/"):
        feedback = dataclasses.replace(config.feedback, labels=options.comparisons, length=LENGTH)
        return dataclasses.replace(config, feedback=feedback)
    if options.work == "a2c":
        return actor_critic(config)
    return config


def actor_critic(config: RunConfig) -> RunConfig:
    """A2C as the peer has it: constant step size, nothing normalised; an update takes 16 steps, the peer's 5."""
    improve = dataclasses.replace(config.improve, anneal=False, whiten=False)
    if not config.environment.atari:
        improve = ImproveConfig(learning_rate=3e-3, value=0.1, entropy=0.0, anneal=False, whiten=False)
    feedback = dataclasses.replace(config.feedback, length=config.rollout_steps)  # none is asked; it must fit a round
    network = NetworkConfig(normalise=False)
    # every round begins with a seeded reset, for which ale-py loads the game anew: a tenth of a second an environment
    rounds = 2 if config.environment.atari else 20
    return dataclasses.replace(config, improve=improve, network=network, feedback=feedback, rounds=rounds)


def train(options: argparse.Namespace) -> tuple[Measurement, float]:
    """The product as a user runs it: run folder, store, checkpoints and metrics included."""
    if options.work == "a2c" and options.ends is None and not options.environment.startswith("ALE/"):
        options.ends = "visible"  # as the peer sees it
    config = configure(options)
    start = preference_session if options.work == "loop" else true_reward_session
    with tempfile.TemporaryDirectory() as folder:
        clock = Stopwatch()
        run = Run.create(Path(folder), config)
        session, close = start(run)
        for _ in session.rounds():
            pass
        close()
        elapsed = clock.elapsed()
    peak = peak_rss_mb()
    name = f"plaudit {options.work} {config.environment.id}"
    result = Measurement(name, elapsed, session.domain.total_steps, options.threads)
    if options.episodes and not config.environment.atari:
        envs = make(dataclasses.replace(config.environment, num_envs=10))
        sampled = evaluate(envs, session.domain.policy, options.episodes, options.seed + 1000)
        greedy = evaluate(envs, session.domain.policy, options.episodes, options.seed + 2000, greedy=True)
        result = dataclasses.replace(
            result,
            return_mean=float(sampled.mean()),
            return_std=float(sampled.std()),
            return_greedy=float(greedy.mean()),
            episodes=options.episodes,
        )
    return result, peak


def environment_alone(options: argparse.Namespace) -> tuple[Measurement, float]:
    """The floor of every loop: the same environments stepped with actions drawn beforehand."""
    config = EnvironmentConfig(resolve(options.environment), options.environments or 16, options.ends)
    envs = make(config)
    envs.action_space.seed(options.seed)
    actions = [envs.action_space.sample() for _ in range(64)]
    envs.reset(seed=options.seed)
    steps, clock = 0, Stopwatch()
    while clock.elapsed().seconds < options.seconds:
        for action in actions:
            envs.step(action)
        steps += len(actions) * envs.num_envs
    elapsed = clock.elapsed()
    return Measurement(f"environment {config.id}", elapsed, steps, torch.get_num_threads()), peak_rss_mb()


def comparisons(count: int, seed: int, members: int) -> Comparisons:
    """The same pendulum fragments that the peer fits; every member sees every pair, as the peer's does."""
    data = pendulum_comparisons(count, LENGTH, seed)
    half_range = np.float32(2.0)  # Plaudit keeps actions in units of half their range
    weights = np.ones((members, count), np.float32)
    return Comparisons(data.observations, data.actions / half_range, data.first_better, weights)


def reward(options: argparse.Namespace) -> tuple[Measurement, float]:
    """Fitting alone: forward and backward passes of single comparisons through single members, per second."""
    limit = np.array([1.0, 1.0, 8.0], np.float32)
    members = options.members or RewardConfig.members
    config = RewardConfig(members=members, hidden=(32, 32), batch=32)
    torch.manual_seed(options.seed)
    model = RewardEnsemble(spaces.Box(-limit, limit), spaces.Box(-2.0, 2.0, (1,), np.float32), config)
    data = comparisons(options.comparisons, options.seed, members)
    model.set_normaliser(data.observations.reshape(-1, 3))
    clock = Stopwatch()
    fit(model, data, EPOCHS, options.seed)
    elapsed = clock.elapsed()
    peak = peak_rss_mb()
    fresh = comparisons(500, options.seed + 1000, members)
    right = (predictions(model, fresh).mean(axis=0) > 0.5) == (fresh.mu > 0.5)
    passes = options.comparisons * EPOCHS * members
    steps = passes * 2 * LENGTH
    result = Measurement("plaudit reward fit", elapsed, steps, torch.get_num_threads(), comparison_passes=passes)
    return dataclasses.replace(result, accuracy=float(right.mean())), peak


def matmuls(options: argparse.Namespace) -> tuple[Measurement, float]:
    """The floor of the reward fit: only the matrix products of one member's passes, in batches of 32 comparisons."""
    batch, passes = 32, 0
    sizes = ((4, 32), (32, 32), (32, 1))
    inputs = [torch.randn(batch * 2 * LENGTH, first) for first, _ in sizes]
    weights = [torch.randn(first, last) for first, last in sizes]
    gradients = [torch.randn(batch * 2 * LENGTH, last) for _, last in sizes]
    clock = Stopwatch()
    with torch.inference_mode():
        while clock.elapsed().seconds < options.seconds:
            for value, weight, gradient in zip(inputs, weights, gradients, strict=True):
                torch.mm(value, weight)
                torch.mm(value.T, gradient)
                torch.mm(gradient, weight.T)
            passes += batch
    elapsed = clock.elapsed()
    steps = passes * 2 * LENGTH
    result = Measurement("matrix products", elapsed, steps, torch.get_num_threads(), comparison_passes=passes)
    return result, peak_rss_mb()


WORK = {"loop": train, "a2c": train, "environment": environment_alone, "reward": reward, "matmuls": matmuls}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=sorted(WORK))
    parser.add_argument("environment", nargs="?", default="Duel")
    parser.add_argument("--steps", type=int, default=137_280)
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--environments", type=int)
    parser.add_argument("--ends", choices=("absorb", "continue", "visible"))
    parser.add_argument("--members", type=int, help="of the reward ensemble, instead of the usual number")
    parser.add_argument("--algorithm", choices=("a2c", "ppo"), help="instead of the environment's usual one")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a floor is measured")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # without a vector entry point: the environment that Gymnasium steps one by one
    gym.register("bench/Pendulum-v1", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=200)
    gym.logger.min_level = gym.logger.ERROR
    emit(*WORK[options.work](options))


if __name__ == "__main__":
    main()
