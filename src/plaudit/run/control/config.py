"""Everything a run depends on, in one frozen value that is stored with it; and good defaults by environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import gymnasium as gym
import torch

from plaudit.control.make import EnvironmentConfig
from plaudit.control.mujoco import is_mujoco
from plaudit.control.networks import NetworkConfig
from plaudit.control.registry import resolve, split_name
from plaudit.control.side_effects import SideEffectsConfig
from plaudit.policy.improve import ImproveConfig
from plaudit.questions import FeedbackConfig
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.record import RunFolder
from plaudit.run.stored import CONTROL, PEOPLE, annotator_name
from plaudit.types import PlauditError

MOST_STEPS = 10**12  # months at a million steps per second
MOST_ROLLOUT_STEPS = 10**6


@dataclass(frozen=True)
class RunConfig:
    """One run: the same configuration on the same machine gives the same numbers, bit for bit."""

    environment: EnvironmentConfig
    network: NetworkConfig = field(default_factory=NetworkConfig)
    improve: ImproveConfig = field(default_factory=ImproveConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    side_effects: SideEffectsConfig = field(default_factory=SideEffectsConfig)
    steps: int = 1_000_000
    """Environment steps in total, over all environments."""
    rollout_steps: int = 16
    """Steps in each environment between two policy updates."""
    rounds: int = 50
    """Approximate number of rounds. A round is the unit of asking, fitting and saving, and has at least one episode."""
    annotator: str = "oracle"
    """The annotator: people (in the web app); oracle, mistake, noisy, myopic, skip, equal or random (simulated); or
    your own as MODULE:FACTORY."""
    parallel: bool = False
    """Collect and improve in one process, fit in a second and judge in a third, without waiting for each other. Always
    on with people."""
    seed: int = 0
    """Seed of everything random."""
    keep: int = 20
    """Number of checkpoints to keep at most, spread evenly over the run; the first and the last two stay in any case.
    Audits compare them. A checkpoint of Duel has 0.4 MB, so Atari keeps 4."""
    threads: int | None = None
    """Number of threads that fit the reward and process pixels; None: OMP_NUM_THREADS if set, otherwise 1 on states."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device for training; auto: the GPU for pixels if there is one, otherwise the CPU, where small networks are
    faster."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "annotator", annotator_name(self.annotator))
        if self.steps < 1 or self.rollout_steps < 1 or self.rounds < 2:
            raise PlauditError(
                f"steps and rollout_steps must be positive and rounds at least 2, got {self.steps}, "
                f"{self.rollout_steps} and {self.rounds}"
            )
        if self.steps > MOST_STEPS or self.rollout_steps > MOST_ROLLOUT_STEPS:
            raise PlauditError(
                f"steps is at most {MOST_STEPS:,} and rollout_steps {MOST_ROLLOUT_STEPS:,}, got {self.steps} and "
                f"{self.rollout_steps}"
            )
        if self.keep < 0:
            raise PlauditError(f"keep must not be negative, got {self.keep}")
        if self.seed < 0:
            raise PlauditError(f"seed must not be negative, got {self.seed}")
        if self.threads is not None and self.threads < 1:
            raise PlauditError(f"threads must be at least 1, got {self.threads}")

    @property
    def asynchronous(self) -> bool:
        """Whether training goes on while answers arrive at their own pace."""
        return self.parallel or self.annotator == PEOPLE

    def torch_device(self, pixels: bool) -> torch.device:
        """Where the networks live."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise PlauditError("device cuda was asked for, and torch sees no GPU: use --device cpu")
        cuda = self.device == "cuda" or (self.device == "auto" and pixels and torch.cuda.is_available())
        return torch.device("cuda" if cuda else "cpu")


class Run(RunFolder[RunConfig]):
    """The folder of an agent in an environment."""

    kind, config_class = CONTROL, RunConfig

    def is_milestone(self, checkpoint: Path, latest: int) -> bool:
        """Every 1st, 2nd, 4th, ... checkpoint stays, as dense as ``keep`` allows.

        The rule needs no number of rounds, which people decide where they judge.
        """
        keep = self.config.keep
        stride = 1
        while keep and latest // stride > keep:
            stride *= 2
        return keep > 0 and int(checkpoint.stem) % stride == 0


Algorithm = Literal["a2c", "ppo"]


def defaults(name: str, algorithm: Algorithm | None = None, imports: Sequence[str] = ()) -> RunConfig:
    """Settings for an environment that work without tuning, with its better algorithm or the one asked for.

    The environment may be one of a module, as MODULE:ID; ``imports`` has further modules, which are imported first.

    PPO gets more out of the same steps and answers than A2C (LOG.md). Atari has most of the paper's settings (appendix
    A.2) with 8 environments, for about an hour on two cores. Our own courts cost next to nothing, so they run 128 at a
    time.
    """
    modules, id = split_name(name)
    imports = tuple(dict.fromkeys((*imports, *modules)))
    id = resolve(id, imports)
    config = _settings_of(id)(id, algorithm or "ppo")
    return dataclasses.replace(config, environment=dataclasses.replace(config.environment, imports=imports))


def _settings_of(id: str) -> Callable[[str, Algorithm], RunConfig]:
    """The function that has the settings for environments such as this one."""
    if id.startswith("ALE/"):
        return _atari
    if id.startswith("plaudit/"):
        return _court
    return _mujoco if is_mujoco(gym.spec(id)) else _ordinary


def _atari(id: str, algorithm: Algorithm) -> RunConfig:
    a2c = ImproveConfig(learning_rate=7e-4, gae_lambda=1.0)
    ppo = ImproveConfig(learning_rate=2.5e-4, clip=0.1, epochs=4, minibatches=4)
    return RunConfig(
        EnvironmentConfig(id, num_envs=8),
        improve=a2c if algorithm == "a2c" else ppo,
        # a pass costs the same with batches of 4 as with the paper's 16, and makes four times the steps; at the paper's
        # standard deviation of 0.05 the critic hardly learns where advantages are whitened
        reward=RewardConfig(std=0.2, learning_rate=5e-4, batch=4, first_epochs=16, epochs=2),
        feedback=FeedbackConfig(labels=600),
        steps=3_000_000,
        rollout_steps=16 if algorithm == "a2c" else 128,
        rounds=30,
        keep=4,  # networks of pictures are large
    )


def _court(id: str, algorithm: Algorithm) -> RunConfig:
    a2c = ImproveConfig(learning_rate=5e-3, gae_lambda=0.9, max_grad_norm=2.0, entropy=0.1, final_entropy=0.0)
    ppo = ImproveConfig(learning_rate=2.5e-3, clip=0.2, epochs=2, minibatches=2, entropy=0.06, final_entropy=0.0)
    return RunConfig(
        EnvironmentConfig(id, num_envs=128),
        improve=a2c if algorithm == "a2c" else ppo,
        reward=RewardConfig(members=7, hidden=(32, 32), std=0.3, first_epochs=60, epochs=5),
        # clips long enough to hold a few points, and labels spread over the run
        feedback=FeedbackConfig(method="uniform", length=50, upfront=0.1, scale=8e6),
        steps=8_000_000,
        rollout_steps=16 if algorithm == "a2c" else 32,
    )


def _mujoco(id: str, algorithm: Algorithm) -> RunConfig:
    # PPO with the settings that are usual on MuJoCo (Schulman et al. 2017, table 3, as stable-baselines3 has them): an
    # update is made from 2,048 steps, in batches of 64
    a2c = ImproveConfig(learning_rate=7e-4, entropy=0.0)
    ppo = ImproveConfig(learning_rate=3e-4, clip=0.2, epochs=10, minibatches=32, entropy=0.0)
    return RunConfig(
        EnvironmentConfig(id, num_envs=8),
        network=NetworkConfig(log_std=0.0, critic="separate"),
        improve=a2c if algorithm == "a2c" else ppo,
        reward=RewardConfig(first_epochs=40, epochs=5),
        feedback=FeedbackConfig(length=50, scale=5e5),
        steps=1_000_000,
        rollout_steps=16 if algorithm == "a2c" else 256,
        rounds=30,
    )


def _ordinary(id: str, algorithm: Algorithm) -> RunConfig:
    # not whitened: where an episode is over and its end repeats, there is nothing to learn, and whitening
    # would blow the noise there up to the size of a signal
    a2c = ImproveConfig(learning_rate=3e-3, gamma=0.97, value=0.1, whiten=False)
    ppo = dataclasses.replace(a2c, clip=0.2, epochs=4, minibatches=4)
    return RunConfig(
        EnvironmentConfig(id, num_envs=40),
        network=NetworkConfig(normalise=False),
        improve=a2c if algorithm == "a2c" else ppo,
        reward=RewardConfig(hidden=(32, 32), batch=32, learning_rate=3e-3, first_epochs=40, epochs=5),
        feedback=FeedbackConfig(length=50, scale=5e5),
        steps=500_000,
        rollout_steps=16 if algorithm == "a2c" else 100,
        rounds=20,
    )
