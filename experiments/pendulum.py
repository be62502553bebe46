"""Pendulum from comparisons: continuous actions, PPO."""

import dataclasses

from start import start

from plaudit.policy.improve import ImproveConfig
from plaudit.run.config import defaults

PPO = ImproveConfig(learning_rate=1e-3, clip=0.2, epochs=4, minibatches=4)
CONFIG = dataclasses.replace(defaults("Pendulum-v1"), improve=PPO)

if __name__ == "__main__":
    start("pendulum", CONFIG)
