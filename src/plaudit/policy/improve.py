"""The actor-critic update: A2C is the one-epoch, unclipped case of PPO, so there is one function for both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from plaudit.functional.masked import masked_mean, whiten
from plaudit.functional.objective import policy_loss, value_loss
from plaudit.functional.returns import gae
from plaudit.types import Array, Trajectory


@dataclass(frozen=True)
class ImproveConfig:
    """Advantage actor-critic (Mnih et al. 2016); with clip, epochs and minibatches, PPO (Schulman et al. 2017)."""

    learning_rate: float = 1e-3
    """Adam's step size at the start."""
    anneal: bool = True
    """Let the step size fall linearly to zero over the run, as Christiano et al. do."""
    gamma: float = 0.99
    """Discount of the return."""
    lam: float = 0.95
    """GAE's lambda: 1 is the Monte Carlo advantage, 0 the one-step TD error."""
    clip: float | None = None
    """PPO's epsilon; None is A2C."""
    epochs: int = 1
    """Passes over each rollout; more than one needs clip."""
    minibatches: int = 1
    """Updates a pass."""
    entropy: float = 0.01
    """Weight of the entropy bonus at the start."""
    final_entropy: float | None = None
    """Its weight at the end of the run, reached linearly; None: it stays as it is."""
    value: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Clip the norm of the gradient to this."""
    whiten: bool = True
    """Shift and scale the advantages of a rollout to mean 0 and standard deviation 1."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """rmsprop is what Mnih et al. used."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"ImproveConfig.learning_rate must be positive, got {self.learning_rate}")
        if self.epochs * self.minibatches < 1:
            raise ValueError("ImproveConfig needs at least one epoch and one minibatch")
        if self.epochs > 1 and self.clip is None:
            raise ValueError("ImproveConfig.epochs > 1 needs clip: an unclipped second pass has no trust region")
        if not 0 <= self.gamma <= 1 or not 0 <= self.lam <= 1:
            raise ValueError(f"ImproveConfig: gamma and lam lie in [0, 1], got {self.gamma} and {self.lam}")


@runtime_checkable
class Evaluable(Protocol):
    """What the update needs of a policy."""

    def evaluate(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log pi(a|o) (N,), V(o) (N,), entropy (N,), with gradients."""
        ...


class Improver:
    """Holds the optimiser; each call makes one improvement of the policy from one batch of trajectories."""

    def __init__(self, policy: nn.Module, config: ImproveConfig) -> None:
        self.policy, self.config = policy, config
        self.evaluate: Callable[..., tuple[Tensor, Tensor, Tensor]] = policy.evaluate  # type: ignore[assignment]
        parameters = list(policy.parameters())
        self.device = parameters[0].device
        if config.optimiser == "adam":
            # eps 1e-5 as in Atari actor-critics; the fused kernel halves the cost of a step of a small network
            self.optimiser: torch.optim.Optimizer = torch.optim.Adam(
                parameters, lr=config.learning_rate, eps=1e-5, fused=True
            )
        else:
            self.optimiser = torch.optim.RMSprop(parameters, lr=config.learning_rate, alpha=0.99, eps=1e-5)
        self.parameters = parameters

    def __call__(
        self, trajectory: Trajectory, rewards: Array, progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Improve the policy in place.

        rewards: (B, T), the learner's reward. progress: in [0, 1], how far the run is. generator: shuffles
        minibatches. Returns metrics as detached scalars, left on the device so that nothing waits for them.
        """
        config = self.config
        if config.anneal:
            for group in self.optimiser.param_groups:
                group["lr"] = config.learning_rate * max(1 - progress, 0.0)
        last = config.entropy if config.final_entropy is None else config.final_entropy
        entropy_weight = config.entropy + (last - config.entropy) * min(progress, 1.0)
        batch = self._prepare(trajectory, rewards)
        size = len(batch["values"])
        metrics: dict[str, Tensor] = {}
        if size == 0:  # nothing but padding
            return metrics
        for _ in range(config.epochs):
            if config.minibatches == 1:
                metrics = self._update(batch, entropy_weight)
                continue
            order = torch.randperm(size, generator=generator).to(self.device)
            for rows in order.chunk(config.minibatches):
                metrics = self._update({name: value[rows] for name, value in batch.items()}, entropy_weight)
        return metrics

    def state(self) -> dict[str, Tensor]:
        """The optimiser's moments, by parameter number, for a checkpoint."""
        return optimiser_state(self.optimiser)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        restore_optimiser(self.optimiser, state)

    def _prepare(self, trajectory: Trajectory, rewards: Array) -> dict[str, Tensor]:
        """Advantages and value targets once a rollout; everything flat (N = T * B, time-major), padding dropped."""
        config = self.config
        values, next_values, reward, ends = (
            torch.from_numpy(np.ascontiguousarray(x.T)).T
            for x in (trajectory.values, trajectory.next_values, rewards, trajectory.ends)
        )
        advantages = gae(reward, values, next_values, ends, config.gamma, config.lam)
        targets = advantages + values
        batch = {
            "observations": flat(trajectory.observations),
            "actions": flat(trajectory.actions),
            "log_probs": flat(trajectory.log_probs),
            "values": values.T.reshape(-1),
            "advantages": advantages.T.reshape(-1),
            "targets": targets.T.reshape(-1),
        }
        if not trajectory.mask.all():
            keep = flat(trajectory.mask)
            batch = {name: value[keep] for name, value in batch.items()}
        if config.whiten and len(batch["advantages"]) > 1:
            batch["advantages"] = whiten(batch["advantages"])
        return {name: value.to(self.device) for name, value in batch.items()}

    def _update(self, batch: dict[str, Tensor], entropy_weight: float) -> dict[str, Tensor]:
        config = self.config
        log_probs, values, entropy = self.evaluate(batch["observations"], batch["actions"])
        actor = policy_loss(log_probs, batch["log_probs"], batch["advantages"], config.clip)
        critic = value_loss(values, batch["targets"])
        bonus = masked_mean(entropy)
        self.optimiser.zero_grad(set_to_none=True)
        (actor + config.value * critic - entropy_weight * bonus).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, config.max_grad_norm)
        self.optimiser.step()
        return {"policy_loss": actor.detach(), "value_loss": critic.detach(), "entropy": bonus.detach()}


def flat(array: Shaped[np.ndarray, "B T *rest"]) -> Shaped[Tensor, "N *rest"]:
    """(B, T, ...) -> (T * B, ...), without a copy when memory is time-major, as collectors write it."""
    return torch.from_numpy(array.swapaxes(0, 1).reshape(-1, *array.shape[2:]))


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments as tensors by name, for a checkpoint: parameter number, dot, what it is."""
    slots = optimiser.state_dict()["state"]
    return {f"{index}.{name}": torch.as_tensor(value) for index, slot in slots.items() for name, value in slot.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Put back what :func:`optimiser_state` gave."""
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        index, name = key.split(".", 1)
        slots.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
