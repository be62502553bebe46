"""The actor-critic update, for states and for tokens: A2C is the one-epoch, unclipped case of PPO.

A policy offers the experience as pieces (:meth:`Improvable.pieces`) and evaluates one (:meth:`Improvable.evaluate`).
Everything else stands here once: annealing, advantages, whitening, epochs, minibatches, the early stop on KL, value
clipping and the guard against a loss that is not a number.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.functional.divergence import k3
from plaudit.functional.masked import masked_mean, whiten
from plaudit.functional.objective import policy_loss, value_loss
from plaudit.functional.returns import gae
from plaudit.types import Array, PlauditError, Trajectory

Experience = TypeVar("Experience", bound=Trajectory)
Experience_contra = TypeVar("Experience_contra", bound=Trajectory, contravariant=True)
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class ActorCriticConfig:
    """Settings of the policy update, for states and for tokens (Mnih et al. 2016; Schulman et al. 2017)."""

    learning_rate: float = 1e-3
    """Adam's step size at the start."""
    anneal: bool = True
    """Let the step size fall linearly to zero over the run, as Christiano et al. do."""
    gamma: float = 0.99
    """Discount of the return."""
    gae_lambda: float = 0.95
    """GAE's lambda: 1 is the Monte Carlo advantage, 0 the one-step TD error."""
    clip: float | None = None
    """PPO's epsilon; None is A2C."""
    value_clip: float | None = None
    """Largest move of V away from its old value that the value loss rewards; None: no limit."""
    value: float = 0.5
    """Weight of the value loss."""
    epochs: int = 1
    """Passes over each batch of experience; more than one pass requires clip."""
    minibatches: int = 1
    """Updates in a pass."""
    max_grad_norm: float = 0.5
    """Clip the norm of the gradient to this."""
    whiten: bool = True
    """Shift and scale the advantages of a batch to mean 0 and standard deviation 1."""
    stop_kl: float | None = None
    """Largest KL, in nats per step (k3), between the policies before and after the passes over a batch; beyond it the
    passes end. None: no limit."""

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if not self.learning_rate > 0:
            raise PlauditError(f"{kind}.learning_rate must be positive, got {self.learning_rate}")
        if self.epochs < 1 or self.minibatches < 1:
            raise PlauditError(f"{kind} needs at least one epoch and one minibatch")
        if self.epochs > 1 and self.clip is None:
            raise PlauditError(f"{kind}.epochs > 1 needs clip: an unclipped second pass has no trust region")
        if not 0 <= self.gamma <= 1 or not 0 <= self.gae_lambda <= 1:
            raise PlauditError(f"{kind}: gamma and gae_lambda lie in [0, 1], got {self.gamma} and {self.gae_lambda}")


@dataclass(frozen=True)
class ImproveConfig(ActorCriticConfig):
    """The policy update: advantage actor-critic (Mnih et al. 2016); with clip, epochs and minibatches, PPO."""

    entropy: float = 0.01
    """Weight of the entropy bonus at the start."""
    final_entropy: float | None = None
    """Weight of the entropy bonus at the end of the run, reached linearly; None: the weight is constant."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """Optimiser: Adam, or RMSprop, which Mnih et al. used."""


@runtime_checkable
class Pieces(Protocol[Piece]):
    """A batch of experience as the policy evaluates it: in pieces, of which an update takes one or several."""

    @property
    def mask(self) -> Tensor | None:
        """Which entries of an arranged array count; None: all."""
        ...

    def arrange(self, values: Tensor) -> Tensor:
        """``values`` (B, T) in the order from which :meth:`take` takes."""
        ...

    def updates(self, count: int, generator: torch.Generator) -> Iterator[Sequence[Piece]]:
        """One pass over the experience as ``count`` updates, or fewer where there is less to divide."""
        ...

    def take(self, arranged: Tensor, piece: Piece) -> Tensor:
        """The entries (N,) of an arranged array that belong to the steps of ``piece``, on the policy's device."""
        ...

    def size(self, piece: Piece) -> int:
        """N, the number of steps in ``piece``."""
        ...


@runtime_checkable
class Improvable(Protocol[Experience_contra, Piece]):
    """What the update needs of a policy."""

    def pieces(self, experience: Experience_contra) -> Pieces[Piece]:
        """The experience in pieces that can be evaluated."""
        ...

    def evaluate(self, piece: Piece, /) -> tuple[Tensor, Tensor, Tensor | None]:
        """log pi(a|o) (N,), V(o) (N,) and the entropy (N,), or None where it is not computed; with gradients."""
        ...


@dataclass(frozen=True, eq=False)
class Targets:
    """What an update holds the policy against: arranged arrays, see :meth:`Pieces.arrange`."""

    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


class Improver(Generic[Experience, Piece]):
    """Holds the optimiser; each call makes one improvement of the policy from one batch of experience."""

    def __init__(self, policy: nn.Module, config: ActorCriticConfig) -> None:
        """policy: a module that is :class:`Improvable`."""
        self.policy: Any = policy
        self.config = config
        self.parameters: list[nn.Parameter] = self.learning_parameters()
        self.optimiser = self.make_optimiser()

    def learning_parameters(self) -> list[nn.Parameter]:
        """The parameters that the update changes."""
        return list(self.policy.parameters())

    def make_optimiser(self) -> torch.optim.Optimizer:
        """Adam, or RMSprop where the configuration asks for it."""
        if getattr(self.config, "optimiser", "adam") == "rmsprop":
            return torch.optim.RMSprop(self.parameters, lr=self.config.learning_rate, alpha=0.99, eps=1e-5)
        # eps 1e-5 as in Atari actor-critics: with PyTorch's default the first updates are larger than the original's.
        # The fused kernel halves the cost of a step of a small network.
        fused = self.parameters[0].device.type in ("cpu", "cuda")
        return torch.optim.Adam(self.parameters, lr=self.config.learning_rate, eps=1e-5, fused=fused)

    def __call__(
        self, experience: Experience, rewards: Array, progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Improve the policy in place.

        rewards: (B, T), the learner's reward. progress: in [0, 1], how far the run is. generator: shuffles
        minibatches. Returns means over the updates as detached scalars, left on the device so that nothing waits for
        them; {} where the experience is nothing but padding.

        Raises:
            PlauditError: the gradient is not finite; the policy is as it was before that update.
        """
        config = self.config
        if config.anneal:
            for group in self.optimiser.param_groups:
                group["lr"] = config.learning_rate * max(1 - progress, 0.0)
        if not experience.mask.any():
            return {}
        pieces = self.policy.pieces(experience)
        targets = self.targets(experience, rewards, pieces)
        entropy_weight = self.entropy_weight(progress)
        history: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            for update in pieces.updates(config.minibatches, generator):
                history.append(self.update(update, pieces, targets, entropy_weight, generator))
            if config.stop_kl is not None and float(history[-1]["moved"]) > config.stop_kl:
                break
        means = {name: sum(metrics[name] for metrics in history) / len(history) for name in history[-1]}
        return {**means, "updates": torch.tensor(float(len(history)))}  # type: ignore[dict-item]

    def state(self) -> dict[str, Tensor]:
        """The optimiser's moments, by parameter number, for a checkpoint."""
        return optimiser_state(self.optimiser)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        restore_optimiser(self.optimiser, state)

    def entropy_weight(self, progress: float) -> float:
        """The weight of the entropy bonus when a share ``progress`` of the run is over."""
        config = self.config
        if not isinstance(config, ImproveConfig):
            return 0.0
        last = config.entropy if config.final_entropy is None else config.final_entropy
        return config.entropy + (last - config.entropy) * min(progress, 1.0)

    def advantages(self, experience: Experience, rewards: Tensor, values: Tensor) -> tuple[Tensor, bool]:
        """Advantages (B, T), and whether they may be whitened. rewards, values: (B, T)."""
        next_values, ends = time_major(experience.next_values), time_major(experience.ends)
        return gae(rewards, values, next_values, ends, self.config.gamma, self.config.gae_lambda), True

    def targets(self, experience: Experience, rewards: Array, pieces: Pieces[Piece]) -> Targets:
        """Advantages and value targets, once for each batch of experience."""
        values = time_major(experience.values)
        advantages, whitenable = self.advantages(experience, time_major(rewards), values)
        returns = pieces.arrange(advantages + values)
        advantages = pieces.arrange(advantages)
        if whitenable and self.config.whiten and advantages.numel() > 1:
            advantages = whiten(advantages, pieces.mask)
        return Targets(pieces.arrange(time_major(experience.log_probs)), pieces.arrange(values), advantages, returns)

    def update(
        self,
        update: Sequence[Piece],
        pieces: Pieces[Piece],
        targets: Targets,
        entropy_weight: float,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step. Every mean is over all steps of the pieces, however the steps are divided into pieces."""
        total = sum(pieces.size(piece) for piece in update)
        self.optimiser.zero_grad(set_to_none=True)
        metrics: dict[str, Tensor] = {}
        with self.precision():
            for piece in update:
                loss, terms = self.losses(piece, pieces, targets, entropy_weight)
                share = pieces.size(piece) / total
                (loss if len(update) == 1 else loss * share).backward()
                if len(update) > 1:
                    terms = {name: metrics.get(name, 0) + term * share for name, term in terms.items()}
                metrics = terms
            metrics |= self.extra_losses(generator)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        if not torch.isfinite(norm):
            raise PlauditError(
                "the loss of the policy is not a number: lower the learning rate, or the scale of the reward; "
                "the last checkpoint is from before"
            )
        self.optimiser.step()
        return metrics | {"gradient_norm": norm}

    def losses(
        self, piece: Piece, pieces: Pieces[Piece], targets: Targets, entropy_weight: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one piece, and its terms, detached: means over the piece's steps."""
        config = self.config
        behaviour, values, advantages, returns = (
            pieces.take(array, piece)
            for array in (targets.log_probs, targets.values, targets.advantages, targets.returns)
        )
        log_probs, estimates, entropy = self.policy.evaluate(piece)
        if self.on_policy:
            behaviour = log_probs.detach()
        actor = policy_loss(log_probs, behaviour, advantages, config.clip)
        loss, terms = actor, {"policy_loss": actor.detach()}
        if self.learns_values:
            critic = value_loss(estimates, returns, None if config.value_clip is None else values, config.value_clip)
            loss = loss + config.value * critic
            terms["value_loss"] = critic.detach()
        if entropy is not None:
            bonus = masked_mean(entropy)
            loss = loss - entropy_weight * bonus
            terms["entropy"] = bonus.detach()
        if config.clip is not None:
            with torch.no_grad():
                terms["moved"] = masked_mean(k3(behaviour, log_probs))
                terms["clipped"] = ((torch.exp(log_probs - behaviour) - 1).abs() > config.clip).float().mean()
        return loss, terms

    # what language models do otherwise

    @property
    def on_policy(self) -> bool:
        """Whether the policy is known to be the one that acted, so that its ratio to that one is 1."""
        return False

    @property
    def learns_values(self) -> bool:
        """Whether the value loss is part of the loss."""
        return True

    def precision(self) -> AbstractContextManager[object]:
        """The context in which losses are computed."""
        return contextlib.nullcontext()

    def extra_losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Add the gradients of further losses; returns the losses, detached."""
        return {}


def time_major(array: Array) -> Tensor:
    """(B, T) as a tensor whose memory is time-major: what runs over time, as GAE does, then reads it in order."""
    return torch.from_numpy(np.ascontiguousarray(array.T)).T


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments as tensors by name, for a checkpoint: parameter number, dot, name of the moment."""
    slots = optimiser.state_dict()["state"]
    return {f"{index}.{name}": torch.as_tensor(value) for index, slot in slots.items() for name, value in slot.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Put back what :func:`optimiser_state` gave.

    Raises:
        ValueError, LookupError: the state is that of other parameters.
    """
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        index, name = key.split(".", 1)
        slots.setdefault(int(index), {})[name] = value
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for index, slot in slots.items():
        shape = parameters[index].shape
        if index < 0 or any(value.ndim and value.shape != shape for value in slot.values()):
            raise ValueError(f"the optimiser's state {index} is not of the parameter's shape {tuple(shape)}")
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
