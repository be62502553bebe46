"""Behaviour cloning: the policy network is fitted to demonstrated actions as a classifier (Pomerleau 1991).

Supervised fine-tuning of a language model is the same function on another policy: ``plaudit.language.tune``'s
``Demonstrations`` minimise the same :func:`plaudit.functional.objective.imitation_loss`, a token being the action.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from plaudit.baselines.demonstrations import Demonstrations
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.control.observations import one_line
from plaudit.functional.actions import Choices
from plaudit.functional.objective import imitation_loss
from plaudit.policy.steps import Steps
from plaudit.types import Array, PlauditError

CONSTANT = 1e-3  # standard deviation below which an observed number did not vary in the demonstrations
ROWS = 10  # of metrics
CHUNK = 4096  # steps whose likelihood is measured at once
Report = Callable[[int, int, dict[str, float]], None]  # optimiser steps done, of how many, and the metrics so far


@dataclass(frozen=True)
class CloningConfig:
    """How a policy is fitted to demonstrations."""

    learning_rate: float = 3e-3
    """Adam's step size."""
    batch: int = 256
    """Demonstrated steps per optimiser step."""
    steps: int = 400
    """Number of optimiser steps."""
    weight_decay: float = 0.0
    """Adam's weight decay."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < 1 or self.batch < 1 or self.steps < 1 or self.weight_decay < 0:
            raise PlauditError(
                "fitting needs a learning rate in (0, 1), batch and steps from 1 and weight decay from 0, got "
                f"{self.learning_rate}, {self.batch}, {self.steps} and {self.weight_decay}"
            )


@dataclass(frozen=True)
class Likelihood:
    """How well a policy predicts demonstrated actions.

    Attributes:
        loss: the mean of -log pi(a|o), in nats.
        accuracy: the share of steps at which the likeliest action is the demonstrated one; None for continuous actions.
    """

    loss: float
    accuracy: float | None


def clone(
    envs: VectorEnv,
    demonstrations: Demonstrations,
    network: NetworkConfig,
    config: CloningConfig,
    seed: int,
    report: Report = lambda done, total, metrics: None,
) -> ActorCritic:
    """A new policy for the environments' spaces, fitted to demonstrations."""
    torch.manual_seed(seed)
    policy = ActorCritic(envs.single_observation_space, envs.single_action_space, network)
    observations, actions = prepare(envs, policy, demonstrations)
    fit(policy, observations, actions, config, np.random.default_rng(seed), report)
    return policy.eval()


def prepare(envs: VectorEnv, policy: ActorCritic, demonstrations: Demonstrations) -> tuple[Array, Array]:
    """Observations and actions as the policy stores them.

    Raises:
        PlauditError: they are not of the environment's spaces.
    """
    observation_space, action_space = envs.single_observation_space, envs.single_action_space
    shape, action_shape = demonstrations.observations.shape[1:], demonstrations.actions.shape[1:]
    if shape != observation_space.shape or action_shape != (action_space.shape or ()):
        raise PlauditError(
            f"the demonstrations have observations {shape} and actions {action_shape}, and the environment has "
            f"{one_line(observation_space)} and {one_line(action_space)}: name the environment that they were made in"
        )
    observations = np.ascontiguousarray(demonstrations.observations, observation_space.dtype)
    actions = policy.actions.from_environment(demonstrations.actions)
    if isinstance(policy.actions, Choices):
        options = actions.reshape(len(actions), -1)
        if (options < 0).any() or (options >= policy.actions.counts).any():
            raise PlauditError(f"the demonstrations have an action that is not in {one_line(action_space)}")
    return observations, actions


def fit(
    policy: ActorCritic,
    observations: Array,
    actions: Array,
    config: CloningConfig,
    rng: np.random.Generator,
    report: Report = lambda done, total, metrics: None,
) -> None:
    """Minimise the mean of -log pi(a|o) over the steps by Adam; the value function is not trained."""
    steps = Steps(torch.from_numpy(observations), torch.from_numpy(np.ascontiguousarray(actions)))
    if policy.normalise:
        inputs = steps.observations.flatten(1).float()
        std = inputs.std(dim=0, correction=0)
        # numbers that never varied are left as they are: divided by nearly nothing, a new value would drown the others
        policy.set_normaliser(inputs.mean(dim=0), torch.where(std < CONSTANT, 1.0, std))
    optimiser = torch.optim.Adam(policy.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    count, interval = len(steps), max(1, config.steps // ROWS)
    for step in range(1, config.steps + 1):
        rows = torch.from_numpy(rng.integers(0, count, config.batch)) if count > config.batch else slice(None)
        log_probs, _, _ = policy.evaluate(Steps(steps.observations[rows], steps.actions[rows]))
        loss = imitation_loss(log_probs).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % interval == 0 or step == config.steps:
            value = float(loss.detach())
            if not np.isfinite(value):
                raise PlauditError(f"step {step}: the loss is not a number: lower the learning rate")
            report(step, config.steps, {"loss": value})


@torch.no_grad()
def measure(envs: VectorEnv, policy: ActorCritic, demonstrations: Demonstrations) -> Likelihood:
    """How well a policy predicts demonstrations, which may be others than those that it was fitted to."""
    observations, actions = prepare(envs, policy, demonstrations)
    losses, hits, rng = 0.0, 0, np.random.default_rng(0)
    discrete = isinstance(policy.actions, Choices)
    for first in range(0, len(observations), CHUNK):
        rows = slice(first, first + CHUNK)
        steps = Steps(torch.from_numpy(observations[rows]), torch.from_numpy(np.ascontiguousarray(actions[rows])))
        losses += float(imitation_loss(policy.evaluate(steps)[0]).sum())
        if discrete:
            likeliest = policy.act(observations[rows], rng, greedy=True)[0]
            hits += int((likeliest == actions[rows]).reshape(len(likeliest), -1).all(axis=1).sum())
    count = len(observations)
    return Likelihood(losses / count, hits / count if discrete else None)
