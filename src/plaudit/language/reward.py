"""A reward model of text: scores of completions, learned from comparisons, rankings with ties, and ratings.

The score is read at a completion's last token. One trunk has several heads: for the members of an ensemble, and for
objectives such as helpful and harmless, which people judge separately.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from plaudit.functional.masked import masked_mean
from plaudit.functional.pooling import Pooling, pool
from plaudit.functional.preference import bradley_terry_loss, plackett_luce_loss
from plaudit.language.classifiers import read_classifier, read_labels, write_classifier
from plaudit.language.heads import copy_heads, has_heads, read_heads, read_heads_as, write_heads
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.policy import Batch, Completions, iterate_batches
from plaudit.language.readout import SETTINGS, Readout
from plaudit.language.rows import Rows, Tree, lay, split
from plaudit.types import Array, PlauditError

MIN_STD = 1e-3  # nats: below this standard deviation, differences of scores are taken as noise
KIND = "text-reward"


@dataclass(frozen=True)
class HeadsConfig:
    """The heads on the trunk, and how their scores become the reward."""

    members: int = 1
    """Heads of the ensemble, each with its own bootstrap sample."""
    objectives: tuple[str, ...] = ("reward",)
    """Names of the objectives that annotators judge; each objective has its own heads."""
    weights: tuple[float, ...] | None = None
    """Weight of each objective in the reward; None: equal."""
    pooling: Pooling = "mean"
    """Pooling of the members' scores. mean; worst: their minimum; uncertain: their mean less ``caution`` times their
    variance (Coste et al. 2023, section 3)."""
    caution: float = 0.5
    """Weight of the variance (with uncertain pooling only)."""
    missing_end: float | None = -1.0
    """Score of a completion that the token limit cut off, in normalised units (Ziegler et al. 2019, section 2.2 and
    their code); None: the score of the reward model, as for any other."""

    def __post_init__(self) -> None:
        if self.members < 1 or not self.objectives:
            raise PlauditError("a reward model needs at least one member and one objective")
        if self.weights is not None and len(self.weights) != len(self.objectives):
            raise PlauditError(f"{len(self.weights)} weights were given for {len(self.objectives)} objectives")


@dataclass(frozen=True, eq=False)
class JudgedCompletions:
    """Completions of one prompt, and a judgement of them under one objective."""

    tree: Tree
    mu: float | None = None  # two completions: P[first better] as judged
    ranks: tuple[int, ...] | None = None  # K completions: 0 is best, equal numbers are ties
    ratings: tuple[float, ...] | None = None  # K completions: their ratings, in the rater's standard units
    objective: int = 0
    weights: tuple[float, ...] = ()  # bootstrap counts of the members; (): every member learns from it

    def __post_init__(self) -> None:
        count = len(self.tree.completions)
        if self.mu is not None and count != 2:
            raise PlauditError(f"a comparison is about 2 completions, got {count}")
        for name in ("ranks", "ratings"):
            values = getattr(self, name)
            if values is not None and len(values) != count:
                raise PlauditError(f"{len(values)} {name} were given for {count} completions")
        if (self.mu is not None) + (self.ranks is not None) + (self.ratings is not None) != 1:
            raise PlauditError("a judgement has exactly one of mu, ranks and ratings")

    @property
    def contents(self) -> bytes:
        """Every token and the judgement, as bytes."""
        judgement = repr((self.mu, self.ranks, self.ratings, self.objective, self.weights))
        return self.tree.contents + judgement.encode()


class TextReward(nn.Module):
    """r(prompt, completion): a trunk, ``O`` objectives of ``M`` heads each, and their normalisation."""

    def __init__(self, model: LanguageModel, config: HeadsConfig, readout: Readout | None = None) -> None:
        """readout: where the scores of a published classifier are read; None: at the last token of a completion."""
        super().__init__()
        self.model, self.config, self.readout = model, config, readout or Readout()
        shape = (len(config.objectives), config.members)
        self.heads = nn.Linear(model.width, shape[0] * shape[1], device=model.device)
        nn.init.normal_(self.heads.weight, std=(model.width + 1) ** -0.5)  # Stiennon et al. 2020, appendix B.1
        nn.init.zeros_(self.heads.bias)
        for name, value in (("mean", torch.zeros(shape)), ("std", torch.ones(shape))):
            self.register_buffer(name, value.to(model.device))
        self.mean: Tensor
        self.std: Tensor

    def save(self, folder: Path) -> None:
        """Write the trunk as plain transformers loads it, with LoRA merged, and the heads next to it.

        transformers' AutoModelForSequenceClassification gives the raw scores, a mean over members, with one label per
        objective. Only a constant that ratings taught, the bias, is not among them.
        """
        weight = self.heads.weight.unflatten(0, self.mean.shape).mean(dim=1)
        write_classifier(self.model, self.config.objectives, weight, folder, self.readout.padding)
        write_heads(folder, KIND, dataclasses.asdict(self.config) | self.readout.settings(), self._head_tensors())

    @classmethod
    def load(
        cls,
        folder: Path,
        model: ModelConfig | None = None,
        heads: HeadsConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> TextReward:
        """Load what :meth:`save` wrote, or a published sequence classifier, for use or to fit it further.

        Fitting on a large data set first is preference-model pretraining: Askell et al. 2021, section 4. model: which
        part of the trunk learns; None: only the heads. heads: the new configuration of the heads; heads of new
        objectives start from random weights, and so do all heads if the number of members differs.

        Raises:
            PlauditError: the folder holds no reward model, or a damaged one.
        """
        settings = replace(model or ModelConfig(method="frozen"), model=str(folder))
        config = load_heads_config(folder, settings.trust_remote_code)
        if has_heads(folder):
            trunk = load(settings, device, reward=True)
            readout = Readout.of_settings(trunk.model, trunk.tokenizer, read_heads(folder, KIND)[0])
            saved = cls(trunk, config, readout)
            copy_heads(folder, load_heads(folder)[1], saved._head_tensors())
        else:
            trunk, tensors = read_classifier(settings, device)
            padding = trunk.model.config.get_text_config().pad_token_id
            saved = cls(trunk, config, Readout.of_classifier(trunk.model, trunk.tokenizer, padding))
            copy_heads(folder, saved._head_tensors() | tensors, saved._head_tensors())
        trunk = saved.model
        if heads is None or heads == config:
            return saved
        reward = cls(trunk, heads, saved.readout)
        if heads.members == config.members:
            reward._copy_heads(saved, set(heads.objectives) & set(config.objectives))
        return reward

    def _copy_heads(self, source: TextReward, objectives: Collection[str]) -> None:
        """Copy the heads of these objectives from ``source``, where their index may differ."""
        tensors, source_tensors = self._head_tensors(), source._head_tensors()
        with torch.no_grad():
            for objective in objectives:
                index, source_index = (model.config.objectives.index(objective) for model in (self, source))
                for name, value in tensors.items():
                    table = value.view(len(self.config.objectives), self.config.members, -1)
                    source_table = source_tensors[name].view(len(source.config.objectives), source.config.members, -1)
                    table[index] = source_table[source_index]

    def _head_tensors(self) -> dict[str, Tensor]:
        """The tensors that are not the trunk's."""
        return {"weight": self.heads.weight, "bias": self.heads.bias, "mean": self.mean, "std": self.std}

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that may learn."""
        return [*self.model.trainable_parameters(), *self.heads.parameters()]

    def scores(self, rows: Rows, lower: Tensor | None, bias_learns: bool = True) -> Tensor:
        """Raw scores (C, O, M) float32 of every completion, with gradients."""
        bias = self.heads.bias if bias_learns else self.heads.bias.detach()
        features = self.model.hidden(rows, lower).flatten(0, 1)[self.readout.positions(rows)].float()
        with torch.autocast(features.device.type, enabled=False):  # a head costs little, so it is float32
            return linear(features, self.heads.weight, bias).unflatten(1, self.mean.shape)

    def pool(self, scores: Tensor) -> Tensor:
        """Normalised scores (C, O, M) as one reward (C,) each: over members as configured, then over objectives."""
        normalised = (scores - self.mean) / self.std
        config = self.config
        pooled = pool(normalised.movedim(2, 0), config.pooling, config.caution)
        weights = config.weights or (1 / len(config.objectives),) * len(config.objectives)
        return pooled @ torch.tensor(weights, device=pooled.device)

    @torch.no_grad()
    def score(self, trees: Sequence[Tree], budget: int = 4096, keep: bool = False) -> Array:
        """Raw scores (C, O, M) float32 of every completion, in order; keep: cache states, for scoring trees again."""
        trees = split([self.extend(tree) for tree in trees], budget)
        begins = np.cumsum([0, *(len(tree.completions) for tree in trees)])
        scores = np.empty((int(begins[-1]), *self.mean.shape), np.float32)
        for indices, rows, lower in iterate_batches(self.model, trees, budget, keep=keep):
            with self.model.precision():
                part = self.scores(rows, lower).cpu().numpy()
            positions = np.concatenate([np.arange(begins[i], begins[i + 1]) for i in indices])
            scores[positions] = part
        return scores

    def extend(self, tree: Tree) -> Tree:
        """The tree with what the template writes after a response, if the score is read there."""
        return self.readout.extend(tree, self.model.reach)

    def reward(self, trees: Sequence[Tree], budget: int = 4096) -> Array:
        """Pooled, normalised rewards (C,) float32 of every completion of every tree."""
        with torch.no_grad():
            return self.pool(torch.from_numpy(self.score(trees, budget)).to(self.mean.device)).cpu().numpy()

    def normalise(self, trees: Sequence[Tree]) -> None:
        """Set each head's mean and standard deviation, so that scores of these samples have mean 0 and deviation 1.

        Scores that hardly differ, as those of equal samples, keep their unit, a nat: scaled up, noise would be the
        reward.
        """
        scores = torch.from_numpy(self.score(trees, keep=True)).to(self.mean.device)
        self.mean.copy_(scores.mean(dim=0))
        std = scores.std(dim=0, correction=0)
        self.std.copy_(torch.where(std < MIN_STD, 1.0, std))

    @torch.no_grad()
    def temper(self, temperature: float) -> None:
        """Divide raw scores by ``temperature``, so that P[first better] is calibrated; rewards stay what they are."""
        for tensor in self._head_tensors().values():
            tensor.div_(temperature)

    def rewards(self, experience: Completions, /) -> Array:
        """(B, T) float32: the score at the last token of each completion, 0 elsewhere."""
        rewards = np.zeros(experience.mask.shape, np.float32)
        last = experience.mask.sum(axis=1) - 1
        for batch in experience.batches:
            score = self._batch(batch).cpu().numpy()
            rewards[batch.completions, last[batch.completions]] = score
        if self.config.missing_end is not None:
            cut = ~experience.finished
            rewards[cut, last[cut]] = self.config.missing_end  # set, not subtracted: a good beginning earns nothing
        return rewards

    @torch.no_grad()
    def _batch(self, batch: Batch) -> Tensor:
        with self.model.precision():
            if self.readout.tail:
                rows = lay([self.extend(tree) for tree in batch.trees]).to(self.model.device)
                scores = self.scores(rows, None)
            else:
                scores = self.scores(batch.rows, batch.lower_of(self.model))
        return self.pool(scores)  # outside the lower precision, because a score is float32


@dataclass(frozen=True, eq=False)
class Preferences:
    """The loss of judgements: Bradley-Terry, Plackett-Luce with ties, or squared error on ratings.

    Each judgement has weight 1, however many completions it ranks, because the K (K - 1) / 2 pairs of a ranking are not
    independent (Ouyang et al. 2022, section 3.5).
    """

    reward: TextReward

    def tree(self, example: JudgedCompletions) -> Tree:
        """As :class:`plaudit.language.tune.Objective`."""
        return self.reward.extend(example.tree)

    def weight(self, example: JudgedCompletions) -> float:
        """As :class:`plaudit.language.tune.Objective`."""
        return 1.0

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[JudgedCompletions]) -> dict[str, Tensor]:
        """As :class:`plaudit.language.tune.Objective`; ``accuracy``: see :func:`preference_losses`."""
        # comparisons and rankings do not depend on the bias: rounding must not move it
        bias_learns = any(example.ratings is not None for example in examples)
        return preference_losses(self.reward.scores(rows, lower, bias_learns), examples)


def preference_losses(scores: Tensor, examples: Sequence[JudgedCompletions]) -> dict[str, Tensor]:
    """Sums over examples of the loss in nats, a mean over members, and of ``accuracy``.

    ``accuracy`` is the share of decided pairs that the scores order as judged, and one half if no pair is decided.

    scores: (C, O, M) of all completions of the examples, in order; an example is about one of the O objectives.
    """
    members = scores.shape[2]
    begins = np.cumsum([0, *(len(example.tree.completions) for example in examples)])
    loss, right = scores.new_zeros(()), scores.new_zeros(())
    with torch.autocast(scores.device.type, enabled=False):  # losses are not in the trunk's lower precision
        for kind, group in _by_shape(examples).items():
            judged = [examples[index] for index in group]
            table = torch.stack(
                [scores[begins[i] : begins[i + 1], example.objective] for i, example in zip(group, judged, strict=True)]
            ).transpose(1, 2)  # (G, M, K)
            weights = torch.tensor([example.weights or (1.0,) * members for example in judged], device=table.device)
            loss = loss + (_losses(kind[0], table, judged) * weights).sum() / members
            right = right + _count_correct(table.mean(dim=1), judged)
    return {"loss": loss, "accuracy": right.detach()}


def _by_shape(examples: Sequence[JudgedCompletions]) -> dict[tuple[str, int], list[int]]:
    """Indices of examples by kind of judgement and number of completions; each group takes one call of its loss."""
    groups: dict[tuple[str, int], list[int]] = {}
    for index, example in enumerate(examples):
        kind = "mu" if example.mu is not None else "ranks" if example.ranks is not None else "ratings"
        groups.setdefault((kind, len(example.tree.completions)), []).append(index)
    return groups


def _losses(kind: str, table: Tensor, examples: Sequence[JudgedCompletions]) -> Tensor:
    """(G, M) losses in nats of scores (G, M, K)."""
    device, dtype = table.device, table.dtype
    if kind == "mu":
        mu = torch.tensor([example.mu for example in examples], dtype=dtype, device=device)[:, None]
        return bradley_terry_loss(table[..., 0] - table[..., 1], mu.expand(table.shape[:2]))
    if kind == "ranks":
        ranks = torch.tensor([example.ranks for example in examples], device=device)[:, None]
        return plackett_luce_loss(table, ranks.expand(table.shape).contiguous())
    ratings = torch.tensor([example.ratings for example in examples], dtype=dtype, device=device)[:, None]
    return masked_mean((table - ratings).square(), dim=2)


def _count_correct(scores: Tensor, examples: Sequence[JudgedCompletions]) -> Tensor:
    """Sum over examples of the share of their decided pairs that scores (G, K) put in the right order."""
    total = scores.new_zeros(())
    for row, example in zip(scores, examples, strict=True):
        if example.mu is not None:
            values = torch.tensor([example.mu, 1 - example.mu], device=row.device)
        elif example.ranks is not None:
            values = -torch.tensor(example.ranks, dtype=row.dtype, device=row.device)
        else:
            values = torch.tensor(example.ratings, dtype=row.dtype, device=row.device)
        better = (values[:, None] - values[None, :]).sign()
        decided = better.triu(1) != 0
        if decided.any():
            agrees = (row[:, None] - row[None, :]).sign() == better
            total = total + masked_mean(agrees.to(row.dtype), decided)
        else:
            total = total + 0.5
    return total


def load_heads_config(folder: Path, trust: bool = False) -> HeadsConfig:
    """The heads of a saved :class:`TextReward`, or of a published classifier; raises as :func:`read_heads`."""
    if not has_heads(folder):
        labels = read_labels(str(folder), trust)
        if labels is not None:
            return HeadsConfig(objectives=labels)
    return load_heads(folder)[0]


def load_heads(folder: Path) -> tuple[HeadsConfig, dict[str, Tensor]]:
    """The heads of a saved :class:`TextReward` and their configuration; raises as :func:`read_heads`."""
    return read_heads_as(folder, KIND, HeadsConfig, ignored=SETTINGS)
