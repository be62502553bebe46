"""imitation's PreferenceComparisons, whole loop, with the settings of its documented example.

Run in the peer's environment: PYTHONPATH=benchmarks PYTHON benchmarks/peers/imitation_loop.py --env pendulum
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch._dynamo  # torch imports it (a second or more) when the first optimiser is made: not to be timed
from common import Measurement, Stopwatch, emit, peak_rss_mb
from imitation.algorithms import preference_comparisons as preferences
from imitation.policies.base import FeedForward32Policy, NormalizeFeaturesExtractor
from imitation.rewards.reward_nets import BasicRewardNet
from imitation.util import logger as imitation_logger
from imitation.util.networks import RunningNorm
from imitation.util.util import make_vec_env
from seals.util import AbsorbAfterDoneWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

ENVIRONMENTS = {"pendulum": "Pendulum-v1", "cartpole": "CartPole-v1", "seals-cartpole": "seals/CartPole-v0"}


class StepCounter(VecEnvWrapper):
    """Counts every environment step, those that imitation takes for fragments alone included."""

    steps = 0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        self.steps += self.num_envs
        return self.venv.step_wait()


def absorbing(environment: gym.Wrapper, _index: int) -> gym.Env:
    """CartPole-v1 at a fixed horizon: after a fall the last observation repeats with reward 0 until step 500.

    The monitor moves to the outside: inside it would never see an episode of the fixed horizon end.
    """
    return Monitor(gym.wrappers.TimeLimit(AbsorbAfterDoneWrapper(environment.env), max_episode_steps=500))


def make(name: str, environments: int, parallel: bool, rng: np.random.Generator) -> VecEnv:
    """``environments`` copies of the named environment, stepped one by one or in processes."""
    wrappers = [absorbing] if name == "cartpole" else []
    return make_vec_env(ENVIRONMENTS[name], rng=rng, n_envs=environments, parallel=parallel, post_wrappers=wrappers)


def learner(venv: VecEnv, options: argparse.Namespace, rng: np.random.Generator) -> preferences.PreferenceComparisons:
    """Assemble the loop as imitation's tutorial on preference comparisons does (tutorial 5, version 1.0.1)."""
    reward_net = BasicRewardNet(venv.observation_space, venv.action_space, normalize_input_layer=RunningNorm)
    trainer = preferences.BasicRewardTrainer(
        preference_model=preferences.PreferenceModel(reward_net),
        loss=preferences.CrossEntropyRewardLoss(),
        epochs=3,
        rng=rng,
    )
    extractor = {"normalize_class": RunningNorm}
    agent = PPO(
        policy=FeedForward32Policy,
        policy_kwargs={
            "features_extractor_class": NormalizeFeaturesExtractor,
            "features_extractor_kwargs": extractor,
        },
        env=venv,
        seed=options.seed,
        n_steps=2048 // venv.num_envs,
        batch_size=64,
        ent_coef=0.01,
        learning_rate=2e-3,
        clip_range=0.1,
        gae_lambda=0.95,
        gamma=0.97,
        n_epochs=10,
    )
    generator = preferences.AgentTrainer(
        algorithm=agent, reward_fn=reward_net, venv=venv, exploration_frac=0.05, rng=rng
    )
    return preferences.PreferenceComparisons(
        generator,
        reward_net,
        num_iterations=options.iterations,
        fragmenter=preferences.RandomFragmenter(warning_threshold=0, rng=rng),
        preference_gatherer=preferences.SyntheticGatherer(rng=rng),
        reward_trainer=trainer,
        fragment_length=100,
        transition_oversampling=1,
        initial_comparison_frac=0.1,
        allow_variable_horizon=False,
        initial_epoch_multiplier=4,
        query_schedule="hyperbolic",
        custom_logger=imitation_logger.configure(tempfile.mkdtemp(), format_strs=[]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", choices=sorted(ENVIRONMENTS), default="pendulum")
    parser.add_argument("--steps", type=int, default=100_000, help="agent steps; fragments cost some more")
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--environments", type=int, default=8)
    parser.add_argument("--parallel", action="store_true", help="one process per environment")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)

    clock = Stopwatch()
    venv = StepCounter(make(options.env, options.environments, options.parallel, rng))
    loop = learner(venv, options, rng)
    loop.train(total_timesteps=options.steps, total_comparisons=options.comparisons)
    elapsed = clock.elapsed()
    steps = venv.steps
    venv.close()
    peak = peak_rss_mb()

    agent = loop.trajectory_generator.algorithm
    test = make(options.env, 10, False, np.random.default_rng(options.seed + 1))
    sampled, spread = evaluate_policy(agent.policy, test, options.episodes, deterministic=False)
    greedy, _ = evaluate_policy(agent.policy, test, options.episodes, deterministic=True)
    name = f"imitation {ENVIRONMENTS[options.env]}"
    result = Measurement(
        name, elapsed, steps, options.threads, float(sampled), float(spread), float(greedy), options.episodes
    )
    emit(result, peak)


if __name__ == "__main__":
    main()
