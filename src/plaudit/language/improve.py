"""PPO, RLOO, GRPO and filtered cloning on completions: the actor-critic update of control, over rows of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from plaudit.functional.divergence import k1, k3
from plaudit.functional.masked import masked_mean, whiten
from plaudit.functional.objective import policy_loss, value_loss
from plaudit.functional.returns import cloning_advantages, gae, group_advantages
from plaudit.language.policy import Batch, Completions, TokenPolicy, regrouped
from plaudit.policy.improve import optimiser_state, restore_optimiser
from plaudit.types import Array, PlauditError, Trajectory

Pretraining = Callable[[torch.Generator], Tensor]  # a mean loss in nats a token on other text, with gradients


@dataclass(frozen=True)
class TokenImproveConfig:
    """PPO on tokens (Ziegler et al. 2019), or what several completions of a prompt say of each other."""

    advantage: Literal["gae", "rloo", "grpo", "cloning"] = "gae"
    """gae: a value function (PPO); rloo: less the mean of the prompt's other completions (Ahmadian et al. 2024); grpo:
    less the mean of all of them, divided by their standard deviation (Shao et al. 2024); cloning: the best of them
    is imitated, the others are not (filtered cloning: Dong et al. 2023)."""
    learning_rate: float = 1e-5
    """Adam's step size at the start."""
    anneal: bool = True
    """Let it fall linearly to zero over the run."""
    gamma: float = 1.0
    """Discount; 1, as a text is judged as a whole."""
    lam: float = 0.95
    """GAE's lambda."""
    clip: float = 0.2
    """PPO's epsilon."""
    value_clip: float | None = 0.2
    """V may not gain by moving further than this from where it was; None: it may."""
    value: float = 0.1
    """Weight of the value loss."""
    epochs: int = 4
    """Passes over each batch of completions."""
    minibatches: int = 1
    """Updates a pass; each takes its share of the prompts."""
    max_grad_norm: float = 1.0
    """Clip the norm of the gradient to this."""
    whiten: bool = True
    """Shift and scale advantages to mean 0 and standard deviation 1 (gae)."""
    ptx: float = 0.0
    """Weight of the pretraining loss that is mixed in: PPO-ptx (Ouyang et al. 2022, eq. 2)."""
    stop_kl: float | None = 0.1
    """End the passes over a batch when the policy has moved this far from it, in nats a token (k3); None: never."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0 or self.epochs < 1 or self.minibatches < 1:
            raise PlauditError("improving needs a learning rate above 0, and at least one epoch and one minibatch")
        if not 0 <= self.gamma <= 1 or not 0 <= self.lam <= 1:
            raise PlauditError(f"gamma and lam lie in [0, 1], got {self.gamma} and {self.lam}")

    @property
    def once(self) -> bool:
        """Whether a batch of completions is learned from once, so that the policy is still the one that wrote it."""
        return self.epochs == self.minibatches == 1

    @property
    def uncompared(self) -> bool:
        """Whether experience will do that has no log-probabilities and values of the policy as it was."""
        return self.once and self.advantage != "gae"


class TokenImprover:
    """Holds the optimiser; each call improves the policy on one batch of completions."""

    def __init__(self, policy: TokenPolicy, config: TokenImproveConfig, pretraining: Pretraining | None = None) -> None:
        if config.ptx and pretraining is None:
            raise PlauditError("ptx mixes in a pretraining loss and there is no text for it: name a file of text")
        self.policy, self.config, self.pretraining = policy, config, pretraining
        self.parameters = policy.learning()
        fused = policy.model.device.type in ("cpu", "cuda")
        # eps 1e-5: with PyTorch's own default the first updates are more aggressive than the original's
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate, eps=1e-5, fused=fused)

    def __call__(
        self, trajectory: Trajectory, rewards: Array, progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Improve the policy in place on ``trajectory``, whose ``rewards`` are (B, T); returns means as metrics."""
        if not isinstance(trajectory, Completions):
            raise TypeError("a language model learns from Completions")
        config = self.config
        if trajectory.reference_log_probs is None and not config.uncompared:
            raise ValueError("only one update without a value function can do without what the policy was: compare")
        if config.anneal:
            for group in self.optimiser.param_groups:
                group["lr"] = config.learning_rate * max(1 - progress, 0.0)
        flat = self._prepare(trajectory, rewards)
        sums: dict[str, Tensor] = {}
        updates, metrics = 0, sums
        for _ in range(config.epochs):
            for chosen in self._minibatches(trajectory, generator):
                metrics = self._update(chosen, flat, trajectory.mask, generator)
                updates += 1
                sums = {name: sums.get(name, 0) + value for name, value in metrics.items()}
            if config.stop_kl is not None and float(metrics["moved"]) > config.stop_kl:
                break
        return {name: value / updates for name, value in sums.items()} | {"updates": torch.tensor(float(updates))}

    def _minibatches(self, trajectory: Completions, generator: torch.Generator) -> Iterator[Sequence[Batch]]:
        """What each update of a pass takes: prompts, drawn without repeats, with all their completions.

        Batches are of like length and as large as memory allows, so none of them is a sample of the whole.
        """
        groups = int(trajectory.groups.max()) + 1
        if min(self.config.minibatches, groups) == 1:
            yield trajectory.batches
            return
        order = torch.randperm(groups, generator=generator).numpy()
        for part in np.array_split(order, min(self.config.minibatches, groups)):
            yield regrouped(trajectory.batches, np.isin(trajectory.groups, part), self.policy.budget)

    def _prepare(self, trajectory: Completions, rewards: Array) -> dict[str, Array]:
        """Advantages and value targets, (B, T) each; with the log-probabilities and values that were."""
        config = self.config
        reward, values, following = (torch.from_numpy(x) for x in (rewards, trajectory.values, trajectory.next_values))
        mask, ends = torch.from_numpy(trajectory.mask), torch.from_numpy(trajectory.ends)
        advantages = gae(reward, values, following, ends, config.gamma, config.lam)
        targets = advantages + values
        if config.advantage == "gae":
            if config.whiten:
                advantages = whiten(advantages, mask)
        else:
            totals, groups = torch.where(mask, reward, 0.0).sum(1), torch.from_numpy(trajectory.groups)
            if config.advantage == "cloning":
                each = cloning_advantages(totals, groups)
            else:
                each = group_advantages(totals, groups, scale=config.advantage == "grpo")
            advantages = each[:, None].expand_as(reward)
        return {
            "advantages": advantages.numpy(),
            "targets": targets.numpy(),
            "log_probs": trajectory.log_probs,
            "values": trajectory.values,
        }

    def _update(
        self, chosen: Sequence[Batch], flat: dict[str, Array], mask: Array, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One step on some batches. Every mean is over all their tokens, however they are split."""
        total = sum(len(batch.rows.targets) for batch in chosen)
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        with self.policy.model.precision():
            for batch in chosen:
                losses = self._losses(batch, flat, mask)
                share = len(batch.rows.targets) / total
                loss = losses["policy_loss"]
                if self.config.advantage == "gae":
                    loss = loss + self.config.value * losses["value_loss"]
                (loss * share).backward()
                sums = {name: sums.get(name, 0) + value.detach() * share for name, value in losses.items()}
            if self.config.ptx and self.pretraining is not None:
                extra = self.pretraining(generator)
                (self.config.ptx * extra).backward()
                sums["ptx_loss"] = extra.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        if not torch.isfinite(norm):
            raise PlauditError(
                "the loss of the policy is not a number any more: lower the learning rate, or the reward's scale; the "
                "last checkpoint is from before"
            )
        self.optimiser.step()
        return sums | {"gradient_norm": norm.detach()}

    def _losses(self, batch: Batch, flat: dict[str, Array], mask: Array) -> dict[str, Tensor]:
        """Means over the tokens of one batch."""
        config, rows = self.config, batch.completions
        device = self.policy.model.device
        old, values, advantages, targets = (
            torch.from_numpy(flat[name][rows][mask[rows]]).to(device)
            for name in ("log_probs", "values", "advantages", "targets")
        )
        log_probs, estimates = self.policy.evaluate(batch)
        old = log_probs.detach() if config.once else old
        clipped = None if config.value_clip is None else values
        outside = (torch.exp(log_probs - old) - 1).abs() > config.clip
        return {
            "policy_loss": policy_loss(log_probs, old, advantages, config.clip),
            "value_loss": value_loss(estimates, targets, clipped, config.value_clip),
            "moved": masked_mean(k3(old, log_probs)),
            "clipped": outside.float().mean(),
        }

    def state(self) -> dict[str, Tensor]:
        """The optimiser's moments, by parameter number, for a checkpoint."""
        return optimiser_state(self.optimiser)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        restore_optimiser(self.optimiser, state)


def divergence(trajectory: Completions) -> dict[str, float]:
    """How far what was written is from the reference, in nats a completion and a token; and the decoder's error.

    Nothing where it was not compared.
    """
    if trajectory.reference_log_probs is None:
        return {}
    own, reference = (torch.from_numpy(x) for x in (trajectory.log_probs, trajectory.reference_log_probs))
    mask = torch.from_numpy(trajectory.mask)
    each = torch.where(mask, k1(own, reference), 0.0).sum(1)
    off = torch.where(mask, own - torch.from_numpy(trajectory.sampled_log_probs), 0.0).abs()
    return {
        "kl": float(each.mean()),
        "kl_token": float(masked_mean(k3(own, reference), mask)),
        "mismatch": float(masked_mean(off, mask)),
    }
