"""imitation's BasicRewardTrainer alone: how many comparisons a second pass through a reward fit.

One pass is the forward and backward work of one comparison (two fragments) in one epoch.
Run in the peer's environment: PYTHONPATH=benchmarks PYTHON benchmarks/peers/imitation_reward.py
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import argparse
import tempfile

import numpy as np
import torch
import torch._dynamo  # torch imports it (a second or more) when the first optimiser is made: not to be timed
from common import Measurement, Stopwatch, emit, peak_rss_mb
from fragments import Comparisons, pendulum_comparisons
from gymnasium import spaces
from imitation.algorithms import preference_comparisons as preferences
from imitation.data.types import TrajectoryWithRew
from imitation.rewards.reward_nets import BasicRewardNet
from imitation.util import logger as imitation_logger
from imitation.util.networks import RunningNorm


def pairs(data: Comparisons) -> list[tuple[TrajectoryWithRew, TrajectoryWithRew]]:
    """The comparisons as imitation holds them; a fragment of L steps has L + 1 observations."""

    def fragment(index: int, side: int) -> TrajectoryWithRew:
        observations = data.observations[index, side]
        observations = np.concatenate([observations, observations[-1:]])
        return TrajectoryWithRew(
            obs=observations,
            acts=data.actions[index, side],
            infos=None,
            terminal=False,
            rews=data.rewards[index, side],
        )

    return [(fragment(i, 0), fragment(i, 1)) for i in range(len(data.first_better))]


def accuracy(net: BasicRewardNet, data: Comparisons) -> float:
    """Share of fresh comparisons whose better fragment has the larger predicted return."""
    count, sides, length, _ = data.observations.shape
    states = data.observations.reshape(-1, 3)
    actions = data.actions.reshape(-1, 1)
    rewards = net.predict(states, actions, states, np.zeros(len(states), bool))
    returns = rewards.reshape(count, sides, length).sum(-1)
    return float(((returns[:, 0] > returns[:, 1]) == (data.first_better > 0.5)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    data = pendulum_comparisons(options.comparisons, options.length, options.seed)
    fresh = pendulum_comparisons(500, options.length, options.seed + 1000)
    limit = np.array([1.0, 1.0, 8.0], np.float32)
    net = BasicRewardNet(
        spaces.Box(-limit, limit), spaces.Box(-2.0, 2.0, (1,), np.float32), normalize_input_layer=RunningNorm
    )
    dataset = preferences.PreferenceDataset()
    dataset.push(pairs(data), data.first_better)
    trainer = preferences.BasicRewardTrainer(
        preference_model=preferences.PreferenceModel(net),
        loss=preferences.CrossEntropyRewardLoss(),
        epochs=options.epochs,
        rng=rng,
        custom_logger=imitation_logger.configure(tempfile.mkdtemp(), format_strs=[]),
    )

    clock = Stopwatch()
    trainer.train(dataset)
    elapsed = clock.elapsed()

    peak = peak_rss_mb()
    passes = options.comparisons * options.epochs
    result = Measurement(
        "imitation reward fit",
        elapsed,
        passes * 2 * options.length,
        options.threads,
        comparison_passes=passes,
        accuracy=accuracy(net, fresh),
    )
    emit(result, peak)


if __name__ == "__main__":
    main()
