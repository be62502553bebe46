"""The table of a run's environment, where its states can be counted, and the run's policy in it."""

from __future__ import annotations

import numpy as np

from plaudit.audits.agents import AgentSubject
from plaudit.control.tables import Table, table_of
from plaudit.types import Array

DRAWS = 64  # actions samples in each state, whose shares stand for the policy's probabilities


def find_table(subject: AgentSubject) -> Table | None:
    """The table of the run's environment; None if its states cannot be counted."""

    def find() -> Table | None:
        with subject.environments(1) as envs:
            return table_of(envs)

    return subject.share("table", find)


def missing_table(subject: AgentSubject) -> str | None:
    """Why nothing exact can be said about the environment; None if it can."""
    return None if find_table(subject) is not None else "the states of this environment cannot be counted here"


def policy_table(subject: AgentSubject, table: Table) -> Array:
    """Action probabilities (S, A) of the last policy, from what it sees in each state."""

    def draw() -> Array:
        rng = np.random.default_rng((subject.config.seed, 19))
        count, actions = table.shape
        with subject.environments(1) as envs:
            policy = subject.policy(subject.checkpoints[-1], envs)
            observations = np.repeat(table.observations, DRAWS, axis=0)
            samples = policy.to_environment(policy.act(observations, rng)[0]).reshape(count, DRAWS)
        return np.stack([(samples == action).mean(axis=1) for action in range(actions)], axis=1)

    return subject.share("policy table", draw)
