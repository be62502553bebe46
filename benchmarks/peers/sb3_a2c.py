"""stable-baselines3's A2C with its default settings on CartPole-v1 and on ALE/Pong-v5.

Pong with --cnn paper has the network that Plaudit uses (Christiano et al. 2017, appendix A.2) instead of the
larger one of stable-baselines3 (Mnih et al. 2015), so that the loops can be compared apart from the networks.

Run in the peer's environment: PYTHONPATH=benchmarks PYTHON benchmarks/peers/sb3_a2c.py --env cartpole
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import argparse

import ale_py
import gymnasium as gym
import torch
import torch._dynamo  # torch imports it (a second or more) when the first optimiser is made: not to be timed
from common import Measurement, Stopwatch, emit, peak_rss_mb
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack
from torch import nn

KINDS = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}


class PaperCNN(BaseFeaturesExtractor):
    """Kernels 7, 5, 3, 3; strides 3, 2, 1, 1; 16 filters; 64 units: 84 x 84 becomes 7 x 7."""

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        super().__init__(observation_space, 64)
        channels = observation_space.shape[0]
        layers: list[nn.Module] = []
        for kernel, stride in ((7, 3), (5, 2), (3, 1), (3, 1)):
            layers += [nn.Conv2d(channels, 16, kernel, stride), nn.LeakyReLU(0.01)]
            channels = 16
        self.network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 7 * 7, 64), nn.LeakyReLU(0.01))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.network(observations)


def make(name: str, environments: int, kind: str, seed: int, wrapper: dict | None = None) -> VecEnv:
    """Pong: one agent step is 4 frames, maximum of the last two, 84x84 grey, 4 stacked, as Gymnasium's own Pong-v5.

    stable-baselines3's wrappers skip frames themselves, so the environment's own skipping is switched off; sticky
    actions (0.25) apply to every frame either way.
    """
    if name == "cartpole":
        return make_vec_env("CartPole-v1", n_envs=environments, seed=seed, vec_env_cls=KINDS[kind])
    gym.register_envs(ale_py)
    unskipped = {"frameskip": 1, "repeat_action_probability": 0.25}
    venv = make_atari_env(
        "ALE/Pong-v5",
        n_envs=environments,
        seed=seed,
        vec_env_cls=KINDS[kind],
        env_kwargs=unskipped,
        wrapper_kwargs=wrapper,
    )
    return VecFrameStack(venv, n_stack=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", choices=("cartpole", "pong"), default="cartpole")
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--environments", type=int, default=16)
    parser.add_argument("--kind", choices=sorted(KINDS), default="dummy")
    parser.add_argument("--cnn", choices=("nature", "paper"), default="nature")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=50, help="0: no evaluation")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    clock = Stopwatch()
    venv = make(options.env, options.environments, options.kind, options.seed)
    policy = "MlpPolicy" if options.env == "cartpole" else "CnnPolicy"
    kwargs = {"features_extractor_class": PaperCNN} if options.cnn == "paper" else None
    agent = A2C(policy, venv, seed=options.seed, device="cpu", policy_kwargs=kwargs)
    agent.learn(options.steps)
    elapsed = clock.elapsed()
    steps = agent.num_timesteps
    venv.close()
    peak = peak_rss_mb()

    sampled = spread = greedy = None
    if options.episodes:
        whole = {"terminal_on_life_loss": False, "clip_reward": False}
        test = make(options.env, 10, "dummy", options.seed + 1000, whole)
        sampled, spread = evaluate_policy(agent.policy, test, options.episodes, deterministic=False)
        greedy, _ = evaluate_policy(agent.policy, test, options.episodes, deterministic=True)
        sampled, spread, greedy = float(sampled), float(spread), float(greedy)
    result = Measurement(
        f"stable-baselines3 A2C {options.env}",
        elapsed,
        steps,
        options.threads,
        sampled,
        spread,
        greedy,
        options.episodes or None,
    )
    emit(result, peak)


if __name__ == "__main__":
    main()
