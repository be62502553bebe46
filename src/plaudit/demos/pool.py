"""Clips of Duel from several policies of one run, and small reward models that are fitted to answers about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plaudit.audits.subject import AuditConfig
from plaudit.demos.demonstration import ReportProgress
from plaudit.demos.training import Training, open_agent, train
from plaudit.feedback.select import cut_indices, segment_sums
from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons, bootstrap_weights, fit_anew
from plaudit.types import Array

TRAINING = Training("Duel", labels=300, steps=1_500_000, length=50, num_envs=128, upfront=0.1)
POLICIES, CLIPS = 4, 500  # checkpoints, and clips of each
MEMBERS, EPOCHS = 3, 60


@dataclass(frozen=True, eq=False)
class Pool:
    """``N`` clips of ``L`` steps."""

    observations: Array  # (N, L, F) float32
    actions: Array  # (N, L)
    won: Array  # (N,): points that the agent won
    lost: Array  # (N,): points that it lost

    def __len__(self) -> int:
        return len(self.won)


def make_pool(folder: Path, seed: int, report_progress: ReportProgress) -> Pool:
    """Train an agent by the oracle, and cut clips from its first, its last and two further policies."""
    run = train(TRAINING, None, folder, seed, report_progress)
    parts: list[tuple[Array, ...]] = []
    rng = np.random.default_rng((seed, 26))
    with open_agent(run, AuditConfig(seed=seed)) as agent:
        chosen = np.linspace(0, len(agent.checkpoints) - 1, POLICIES).round().astype(int)
        for number in chosen.tolist():
            rollout = agent.rollout(agent.checkpoints[number])
            rows, starts = cut_indices(rollout.trajectory, TRAINING.length, CLIPS, rng)
            steps = starts[:, None] + np.arange(TRAINING.length)
            signs = (rollout.true.clip(min=0), (-rollout.true).clip(min=0))
            sums = (segment_sums(rewards, rows, starts, TRAINING.length) for rewards in signs)
            trajectory = rollout.trajectory
            parts.append(
                (trajectory.observations[rows[:, None], steps], trajectory.actions[rows[:, None], steps], *sums)
            )
    return Pool(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def fit_pairs(observations: Array, actions: Array, first_better: Array, seed: int) -> RewardEnsemble:
    """A reward model of pairs of clips (N, 2, L, F) whose first is better with probability (N,)."""
    ids = [(f"{index}a", f"{index}b") for index in range(len(first_better))]
    weights = bootstrap_weights(ids, MEMBERS, seed)
    data = Comparisons(observations.astype(np.float32), actions, first_better.astype(np.float32), weights)
    return fit_anew(data, RewardConfig(members=MEMBERS), EPOCHS, seed)


def draw_pairs(values: Array, clips: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """``count`` pairs of ``clips`` with different ``values``, as two arrays (count,) of numbers of clips."""
    first, second = rng.choice(clips, 8 * count), rng.choice(clips, 8 * count)
    decided = np.flatnonzero(values[first] != values[second])[:count]
    return first[decided], second[decided]


def accuracy(scores: Array, values: Array, first: Array, second: Array) -> float:
    """The share of pairs whose better clip by ``values`` has the higher score."""
    return float(((scores[first] > scores[second]) == (values[first] > values[second])).mean())
