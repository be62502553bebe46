"""4b. Optimum of the learned reward: would a policy that climbs the learned reward all the way be a good one?

pi* maximises the learned reward under the run's discount, exactly, by value iteration on the table of all states. Its
true return stands beside that of the run's policy. A bad pi* means that the reward is wrong; a good pi* and a bad
policy mean that the reward was not climbed. Ng and Russell 2000 compare rewards by their optimal policies, too.
"""

from __future__ import annotations

import numpy as np
import torch

from plaudit.audits.agents import AgentSubject, horizon_of
from plaudit.audits.control._refits import try_rewards
from plaudit.audits.control._tables import find_table, missing_table, policy_table
from plaudit.audits.finding import TRUE_REWARD, Cure, Finding, Null, not_measurable
from plaudit.control.solve import greedy
from plaudit.control.tables import Table
from plaudit.types import Array

WRONG = 0.5  # of learned rewards of one gridworld, wrong ones reached .58 or less of the possible return...
RIGHT = 0.8  # ... and right ones 1.00, so that one between them is doubtful
CLIMBED = 0.2  # a policy that explores loses about a tenth; twice that is more than exploration
SHUFFLES = 20
TOLERANCE = 1e-3  # standard deviations of the reward: values that differ by less are taken for equal
LARGEST_GAMMA = 0.999  # beyond it value iteration takes minutes


class Optimum:
    """The true return of the policy that is optimal for the learned reward."""

    name, title, order = "optimum", "Optimum of the learned reward", 4.5

    def measurable(self, subject: AgentSubject) -> str | None:
        """It needs a learned reward and states that can be counted."""
        return missing_table(subject) or subject.missing_reward

    def measure(self, subject: AgentSubject) -> list[Finding]:
        """Its share of the return that is possible, where 0 is a random policy and 1 the truly optimal one."""
        table = find_table(subject)
        assert table is not None
        with subject.environments(1) as envs:
            horizon = horizon_of(envs)
        gamma = min(subject.run.config.improve.gamma, LARGEST_GAMMA)
        uniform = np.full(table.shape, 1 / table.shape[1])
        lowest, highest = table.expected_return(uniform, horizon), table.optimal_return(horizon)
        if highest - lowest <= 1e-9 * max(1.0, abs(highest)):
            return [not_measurable(self.name, self.title, "every policy has the same true return here")]

        def share(policy: Array) -> float:
            return (table.expected_return(policy, horizon) - lowest) / (highest - lowest)

        members = learned_rewards(subject, table)
        pooled = subject.reward.pool(members)
        rng = np.random.default_rng(subject.config.seed)
        shuffled = [rng.permutation(pooled.ravel()).reshape(pooled.shape) for _ in range(SHUFFLES)]
        visible = subject.run.config.environment.ends == "visible"
        subject.report_progress(f"the best of all policies in {table.shape[0]} states")
        policies = optimal_policies(table, np.stack([pooled, *members, *shuffled]), gamma, visible)
        value, *shares = map(share, policies)
        null = float(np.mean(shares[len(members) :]))
        policy = share(policy_table(subject, table))
        is_climbed = policy >= value - CLIMBED
        is_wrong = max(value, policy) < WRONG  # else the policy does not go where the reward is wrong
        verdict = "fail" if is_wrong else "pass" if value >= RIGHT and is_climbed else "warn"
        return [
            Finding(
                self.name,
                self.title,
                verdict,
                f"The best policy by the learned reward has {value:.0%} of the possible true return, and the run's "
                f"policy {policy:.0%}: {self._explain(value, policy, is_climbed)}.",
                value,
                None,
                table.shape[0],
                "of the possible return",
                TRUE_REWARD,
                Null("the learned rewards shuffled among states and actions", null),
                f"fails if both are below {WRONG}; passes from {RIGHT} on if the policy has at most {CLIMBED} less",
                details={
                    "policy": policy,
                    "members": shares[: len(members)],
                    "is_climbed": is_climbed,
                    "returns": {"random": lowest, "optimal": highest, "horizon": horizon},
                },
            )
        ]

    def _explain(self, value: float, policy: float, is_climbed: bool) -> str:
        if value < RIGHT:
            if value < WRONG:
                return "the reward is wrong" + (", where the policy does not go" if policy >= WRONG else "")
            return "the reward is doubtful"
        return "the reward is right and was climbed" if is_climbed else "the reward is right and was not climbed"

    def cure(self, subject: AgentSubject, finding: Finding) -> Cure:
        """More answers for a wrong reward, more steps for one that was not climbed."""
        config = subject.run.config
        assert finding.value is not None
        if finding.value >= RIGHT:
            return Cure(
                "Train the policy for longer.",
                f"{config.steps:,} more steps",
                f"--steps {2 * config.steps}",
                obstacle="it needs a longer run",
            )
        labels = config.feedback.labels
        return Cure(
            "Ask more comparisons: longer training would only follow the wrong reward further.",
            f"{labels} more answers",
            f"--labels {2 * labels}",
            lambda: try_rewards(subject, lambda variant: self.measure(variant)[0].value, larger_is_better=True),
        )


def learned_rewards(subject: AgentSubject, table: Table) -> Array:
    """The reward (M, S, A) that each member of the run's reward model gives each action in each state."""
    count, actions = table.shape
    observations = torch.from_numpy(np.repeat(table.observations, actions, axis=0))
    with torch.inference_mode():
        rewards = subject.reward(observations, torch.arange(actions).repeat(count))
    return rewards.reshape(-1, count, actions).numpy()


def optimal_policies(table: Table, rewards: Array, gamma: float, visible_ends: bool = False) -> Array:
    """The policies (N, S, A) that are optimal for rewards (N, S, A), as the run's learner sees them.

    Where ends are hidden, the learner sees the last observation for ever; where they are visible, an end is worth 0.
    """
    rewards = rewards.astype(np.float64)
    if visible_ends:
        rewards = np.where(table.terminal[:, None], 0.0, rewards)
    else:  # a constant changes nothing, and the values are smaller without it
        rewards = rewards - rewards.mean(axis=(1, 2), keepdims=True)
    spread = rewards.std(axis=(1, 2), keepdims=True)
    values = table.solve(rewards / np.where(spread > 0, spread, 1.0), gamma, TOLERANCE)[1]
    return np.eye(table.shape[1])[greedy(values)]


MEASURE = Optimum()
