"""Supervised fitting of language models: demonstrations, comparisons and DPO are objectives of one procedure.

An optimiser step takes ``batch`` examples; they go through the model in parts of like length that fit into memory.
Losses are summed over the parts and divided once by the step's total, so the split does not change the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.functional.objective import imitation_loss
from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.models import LanguageModel
from plaudit.language.policy import BUDGET, iterate_batches
from plaudit.language.rows import Rows, Tree
from plaudit.policy.improve import optimiser_state, restore_optimiser
from plaudit.types import PlauditError

Example = TypeVar("Example")
Contra = TypeVar("Contra", contravariant=True)


@dataclass(frozen=True)
class TuneConfig:
    """How a language model is fitted to examples."""

    learning_rate: float = 1e-5
    """AdamW's step size at its maximum."""
    batch: int = 8
    """Examples per optimiser step."""
    epochs: int = 1
    """Passes over the examples."""
    length: int = 512
    """Largest number of tokens of a sequence; longer ones are cut, counted and reported."""
    warmup: float = 0.05
    """Share of the steps over which the step size rises from zero."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Schedule of the step size after the warm-up: it falls to zero, except with constant."""
    weight_decay: float = 0.0
    """AdamW's weight decay, applied to matrices only."""
    max_grad_norm: float = 1.0
    """Clip the norm of the gradient to this."""
    tokens: int = BUDGET
    """Padded tokens that go through the model at once; a smaller number needs less memory."""
    steps: int | None = None
    """Number of optimiser steps; None: as many as the epochs contain."""
    seed: int = 0
    """Seed of the order of examples; a run uses its own seed instead."""

    def __post_init__(self) -> None:
        steps = 1 if self.steps is None else self.steps
        if not self.learning_rate > 0 or min(self.batch, self.epochs, self.tokens, steps) < 1:
            raise PlauditError("fitting needs learning rate, batch, epochs, steps and tokens above 0")
        if self.length < 2:
            raise PlauditError(f"length must be above 1, got {self.length}")
        if not 0 <= self.warmup < 1:
            raise PlauditError(f"warmup is a share of the steps in [0, 1), got {self.warmup}")


@runtime_checkable
class Objective(Protocol[Contra]):
    """The loss that examples give a model."""

    def tree(self, example: Contra) -> Tree:
        """The example's tokens."""
        ...

    def weight(self, example: Contra) -> float:
        """The example's weight in the mean: its number of tokens, or 1."""
        ...

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[Contra]) -> dict[str, Tensor]:
        """Sums over these examples, whose trees are laid out in ``rows``: ``loss``, with gradients, and metrics."""
        ...


class Tuner(Generic[Example]):
    """Fits parameters to examples by AdamW; can stop and continue at any step."""

    def __init__(
        self,
        model: LanguageModel,
        parameters: Sequence[nn.Parameter],
        objective: Objective[Example],
        examples: Sequence[Example],
        config: TuneConfig,
    ) -> None:
        if not examples:
            raise PlauditError("there is nothing to fit to: no example was left")
        self.model, self.objective, self.examples, self.config = model, objective, examples, config
        self.parameters = list(parameters)
        matrices = [parameter for parameter in self.parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in self.parameters if parameter.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        fused = model.device.type in ("cpu", "cuda")
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, eps=1e-8, fused=fused)
        self.done = 0
        self.steps_per_epoch = -(-len(examples) // config.batch)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.config.steps or self.steps_per_epoch * self.config.epochs

    def run(self) -> Iterator[dict[str, float]]:
        """Run the remaining steps; yields the metrics of each, as means over its examples.

        Raises:
            PlauditError: no parameter can learn, or the loss is no longer a number.
        """
        if not self.parameters:
            raise PlauditError("there is nothing to fit: all weights of the model are frozen")
        while self.done < self.steps:
            epoch, step = divmod(self.done, self.steps_per_epoch)
            order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self.examples))
            chosen = [self.examples[i] for i in order[step * self.config.batch : (step + 1) * self.config.batch]]
            metrics = self._step(chosen)
            self.done += 1
            yield {"epoch": self.done / self.steps_per_epoch, **metrics}

    def _step(self, chosen: Sequence[Example]) -> dict[str, float]:
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        trees = [self.objective.tree(example) for example in chosen]
        total = sum(self.objective.weight(example) for example in chosen)
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        widest = max(map(len, trees))  # a step has too few examples to group them by length, so short ones share rows
        with self.model.precision():  # one context, so that the weights are cast once a step
            for indices, rows, lower in iterate_batches(self.model, trees, self.config.tokens, widest, keep=True):
                losses = self.objective.losses(rows, lower, [chosen[index] for index in indices])
                (losses["loss"] / total).backward()
                sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in losses.items()}
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        if not torch.isfinite(norm):
            raise PlauditError(
                f"step {self.done + 1}: the loss is not a number: lower the learning rate "
                f"(it was {self.config.learning_rate:g}); nothing after the last checkpoint is kept"
            )
        self.optimiser.step()
        means = {name: value / total for name, value in sums.items()}
        return means | {"learning_rate": rate, "gradient_norm": float(norm), "tokens": float(sum(map(len, trees)))}

    def _rate(self) -> float:
        """AdamW's step size at this step."""
        config, steps = self.config, self.steps
        warm = max(round(config.warmup * steps), 1) if config.warmup else 0
        if self.done < warm:
            return config.learning_rate * (self.done + 1) / warm
        progress = (self.done - warm) / max(steps - warm, 1)
        left = {"linear": 1 - progress, "cosine": 0.5 * (1 + cos(pi * progress)), "constant": 1.0}[config.schedule]
        return config.learning_rate * left

    @torch.no_grad()
    def evaluate(self, examples: Sequence[Example]) -> dict[str, float]:
        """Means of the objective over other examples."""
        trees = [self.objective.tree(example) for example in examples]
        total = sum(self.objective.weight(example) for example in examples)
        sums: dict[str, float] = {}
        with self.model.precision():
            for indices, rows, lower in iterate_batches(self.model, trees, self.config.tokens, keep=True):
                losses = self.objective.losses(rows, lower, [examples[index] for index in indices])
                sums = {name: sums.get(name, 0.0) + float(value) for name, value in losses.items()}
        return {name: value / total for name, value in sums.items()}

    def state(self) -> dict[str, Tensor]:
        """Steps done and the optimiser's moments, for a checkpoint; the parameters are the model's own."""
        return {"done": torch.tensor(self.done), **optimiser_state(self.optimiser)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""
        self.done = int(state["done"])
        restore_optimiser(self.optimiser, {name: value for name, value in state.items() if name != "done"})


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Supervised fine-tuning: behaviour cloning on text, with the loss that `plaudit baseline bc` has for actions.

    The loss is on completions alone, in nats per token.
    """

    model: LanguageModel

    def tree(self, example: Tree) -> Tree:
        """As :class:`Objective`."""
        return example

    def weight(self, example: Tree) -> float:
        """As :class:`Objective`."""
        return float(sum(len(completion) for completion in example.completions))

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[Tree]) -> dict[str, Tensor]:
        """As :class:`Objective`."""
        return {"loss": imitation_loss(completion_log_probs(self.model, rows, lower)[0]).sum()}


def completion_log_probs(model: LanguageModel, rows: Rows, lower: Tensor | None) -> tuple[Tensor, Tensor]:
    """log pi of the tokens (N,), and summed over each completion (C,), in nats."""
    hidden = model.hidden(rows, lower).flatten(0, 1)[rows.sources]
    log_probs = token_log_probs(hidden, model.output, rows.targets)
    return log_probs, torch.zeros(len(rows.ends), device=log_probs.device).index_add(0, rows.owners, log_probs)
