"""A reward model of text: scores of completions, learned from comparisons, rankings with ties, and ratings.

The score is read at a completion's last token. Several heads stand on one trunk: members of an ensemble, and objectives
such as helpful and harmless, each of which people judge for itself.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from plaudit.functional.masked import masked_mean
from plaudit.functional.preference import bradley_terry_loss, plackett_luce_loss
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.policy import Batch, Completions, batched
from plaudit.language.rows import Rows, Tree, split
from plaudit.types import Array, PlauditError

Config = TypeVar("Config")
Pooling = Literal["mean", "worst", "uncertain"]
ALIKE = 1e-3  # nats: the standard deviation of scores below which nothing is told apart
KIND = "text-reward"
HEADS = "heads"  # .json and .safetensors, beside the trunk's files


@dataclass(frozen=True)
class HeadsConfig:
    """The heads on the trunk, and how the reward is made of their scores."""

    members: int = 1
    """Heads of the ensemble, each with its own bootstrap sample."""
    objectives: tuple[str, ...] = ("reward",)
    """What is judged; each has its own heads."""
    weights: tuple[float, ...] | None = None
    """Of each objective in the reward; None: equal."""
    pooling: Pooling = "mean"
    """Of members: mean; worst (the least of them); uncertain (mean less ``caution`` times their variance). Coste et
    al. 2023, section 3."""
    caution: float = 0.5
    """Weight of the variance (uncertain)."""
    missing_end: float | None = -1.0
    """The score of a completion that was cut off by the limit is set to this, in normalised units (Ziegler et al. 2019,
    section 2.2 and their code); None: it is scored like any other."""

    def __post_init__(self) -> None:
        if self.members < 1 or not self.objectives:
            raise PlauditError("a reward model needs at least one member and one objective")
        if self.weights is not None and len(self.weights) != len(self.objectives):
            raise PlauditError(f"{len(self.weights)} weights were given for {len(self.objectives)} objectives")


@dataclass(frozen=True, eq=False)
class Judged:
    """Completions of one prompt and what was said about them under one objective."""

    tree: Tree
    mu: float | None = None  # two completions: P[first better] as judged
    ranks: tuple[int, ...] | None = None  # K completions: 0 is best, equal numbers are ties
    ratings: tuple[float, ...] | None = None  # K completions: scores given, in the rater's standard units
    objective: int = 0
    weights: tuple[float, ...] = ()  # bootstrap counts of the members; (): every member learns from it

    def __post_init__(self) -> None:
        count = len(self.tree.completions)
        if self.mu is not None and count != 2:
            raise PlauditError(f"a comparison is about 2 completions, got {count}")
        for name in ("ranks", "ratings"):
            given = getattr(self, name)
            if given is not None and len(given) != count:
                raise PlauditError(f"{len(given)} {name} were given for {count} completions")
        if (self.mu is not None) + (self.ranks is not None) + (self.ratings is not None) != 1:
            raise PlauditError("a judgement says one of mu, ranks and ratings")

    @property
    def contents(self) -> bytes:
        """Every token, and what was said."""
        said = repr((self.mu, self.ranks, self.ratings, self.objective, self.weights))
        return self.tree.contents + said.encode()


class TextReward(nn.Module):
    """r(prompt, completion): a trunk, ``O`` objectives of ``M`` heads each, and their normalisation."""

    def __init__(self, model: LanguageModel, config: HeadsConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        shape = (len(config.objectives), config.members)
        self.heads = nn.Linear(model.width, shape[0] * shape[1], device=model.device)
        nn.init.normal_(self.heads.weight, std=(model.width + 1) ** -0.5)  # Stiennon et al. 2020, appendix B.1
        nn.init.zeros_(self.heads.bias)
        for name, value in (("mean", torch.zeros(shape)), ("std", torch.ones(shape))):
            self.register_buffer(name, value.to(model.device))
        self.mean: Tensor
        self.std: Tensor

    def save(self, folder: Path) -> None:
        """Write the trunk as plain transformers loads it, low-rank additions merged, and the heads beside it."""
        self.model.save(folder)
        write_heads(folder, KIND, dataclasses.asdict(self.config), self._own())

    @classmethod
    def load(
        cls,
        folder: Path,
        model: ModelConfig | None = None,
        heads: HeadsConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> TextReward:
        """What :meth:`save` wrote; so a reward model that saw much data is the start of one for little.

        Preference-model pretraining: Askell et al. 2021, section 4. model: what of the trunk learns now; None: nothing
        but the heads. heads: how they are read from now on; those of other objectives begin anew, and all of them where
        there are more or fewer members.

        Raises:
            PlauditError: the folder holds no reward model, or a damaged one.
        """
        config, tensors = saved_heads(folder)
        trunk = load(replace(model or ModelConfig(method="frozen"), model=str(folder)), device)
        found = cls(trunk, config)
        put_heads(folder, tensors, found._own())
        if heads is None or heads == config:
            return found
        reward = cls(trunk, heads)
        if heads.members == config.members:
            reward._take(found, set(heads.objectives) & set(config.objectives))
        return reward

    def _take(self, other: TextReward, objectives: Collection[str]) -> None:
        """The other's heads of these objectives, wherever they stand."""
        into, of = self._own(), other._own()
        with torch.no_grad():
            for each in objectives:
                here, there = (model.config.objectives.index(each) for model in (self, other))
                for name, value in into.items():
                    rows = value.view(len(self.config.objectives), self.config.members, -1)
                    rows[here] = of[name].view(len(other.config.objectives), other.config.members, -1)[there]

    def _own(self) -> dict[str, Tensor]:
        """What is not the trunk's."""
        return {"weight": self.heads.weight, "bias": self.heads.bias, "mean": self.mean, "std": self.std}

    def learning(self) -> list[nn.Parameter]:
        """The parameters that may learn."""
        return [*self.model.learning(), *self.heads.parameters()]

    def scores(self, rows: Rows, lower: Tensor | None) -> Tensor:
        """Raw scores (C, O, M) float32 of every completion, with gradients."""
        features = self.model.hidden(rows, lower).flatten(0, 1)[rows.ends].float()
        with torch.autocast(features.device.type, enabled=False):  # a head is nothing beside the trunk: float32
            return self.heads(features).unflatten(1, self.mean.shape)

    def pooled(self, scores: Tensor) -> Tensor:
        """Normalised scores (C, O, M) as one reward (C,) each: over members as configured, then over objectives."""
        normalised = (scores - self.mean) / self.std
        config = self.config
        if config.pooling == "worst":
            each = normalised.amin(dim=2)
        else:
            each = normalised.mean(dim=2)
            if config.pooling == "uncertain":
                each = each - config.caution * normalised.var(dim=2, correction=0)
        weights = config.weights or (1 / len(config.objectives),) * len(config.objectives)
        return each @ torch.tensor(weights, device=each.device)

    @torch.no_grad()
    def score(self, trees: Sequence[Tree], budget: int = 4096, keep: bool = False) -> Array:
        """Raw scores (C, O, M) float32 of every completion of every tree, in order; keep: they will be scored again."""
        trees = split(trees, budget)
        begins = np.cumsum([0, *(len(tree.completions) for tree in trees)])
        found = np.empty((int(begins[-1]), *self.mean.shape), np.float32)
        for indices, rows, lower in batched(self.model, trees, budget, keep=keep):
            with self.model.precision():
                part = self.scores(rows, lower).cpu().numpy()
            places = np.concatenate([np.arange(begins[i], begins[i + 1]) for i in indices])
            found[places] = part
        return found

    def reward(self, trees: Sequence[Tree], budget: int = 4096) -> Array:
        """Pooled, normalised rewards (C,) float32 of every completion of every tree."""
        with torch.no_grad():
            return self.pooled(torch.from_numpy(self.score(trees, budget)).to(self.mean.device)).cpu().numpy()

    def normalise(self, trees: Sequence[Tree]) -> None:
        """Let scores have mean 0 and standard deviation 1 over these samples, for each head.

        Where they hardly differ on them, as of samples that are all one, they keep their own unit, a nat: blown up,
        what is chance there would be the reward.
        """
        scores = torch.from_numpy(self.score(trees, keep=True)).to(self.mean.device)
        self.mean.copy_(scores.mean(dim=0))
        std = scores.std(dim=0, correction=0)
        self.std.copy_(torch.where(std < ALIKE, 1.0, std))

    @torch.no_grad()
    def temper(self, temperature: float) -> None:
        """Divide raw scores by ``temperature``, so that P[first better] is calibrated; rewards stay what they are."""
        for each in self._own().values():
            each.div_(temperature)

    def rewards(self, experience: Completions, /) -> Array:
        """(B, T) float32: nothing until the last token of a completion, which bears the score."""
        rewards = np.zeros(experience.mask.shape, np.float32)
        last = experience.mask.sum(axis=1) - 1
        for batch in experience.batches:
            score = self._batch(batch).cpu().numpy()
            rewards[batch.completions, last[batch.completions]] = score
        if self.config.missing_end is not None:
            cut = ~experience.ended
            rewards[cut, last[cut]] = self.config.missing_end  # set, not taken off: a good beginning earns nothing
        return rewards

    @torch.no_grad()
    def _batch(self, batch: Batch) -> Tensor:
        with self.model.precision():
            scores = self.scores(batch.rows, batch.lower_of(self.model))
        return self.pooled(scores)  # outside of the lower precision: a score is float32


@dataclass(frozen=True, eq=False)
class Preferences:
    """The loss of judgements: Bradley-Terry, Plackett-Luce with ties, or squared error on ratings.

    One judgement counts one, however many completions it ranks: the K (K - 1) / 2 pairs of a ranking are no more
    independent than that (Ouyang et al. 2022, section 3.5).
    """

    reward: TextReward

    def tree(self, example: Judged) -> Tree:
        """As :class:`plaudit.language.tune.Objective`."""
        return example.tree

    def weight(self, example: Judged) -> float:
        """As :class:`plaudit.language.tune.Objective`."""
        return 1.0

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[Judged]) -> dict[str, Tensor]:
        """As :class:`plaudit.language.tune.Objective`. ``accuracy`` is as :func:`preference_losses` says."""
        return preference_losses(self.reward.scores(rows, lower), examples)


def preference_losses(scores: Tensor, examples: Sequence[Judged]) -> dict[str, Tensor]:
    """Sums over examples of the loss in nats, a mean over members, and of the share of decided pairs put right.

    That share is one half where none was decided.

    scores: (C, O, M) of all their completions, in order; an example is about one of the O objectives.
    """
    members = scores.shape[2]
    begins = np.cumsum([0, *(len(each.tree.completions) for each in examples)])
    loss, right = scores.new_zeros(()), scores.new_zeros(())
    with torch.autocast(scores.device.type, enabled=False):  # the trunk's lower precision is not for losses
        for kind, group in _by_shape(examples).items():
            own = [examples[index] for index in group]
            table = torch.stack(
                [scores[begins[i] : begins[i + 1], each.objective] for i, each in zip(group, own, strict=True)]
            ).transpose(1, 2)  # (G, M, K)
            weights = torch.tensor([each.weights or (1.0,) * members for each in own], device=table.device)
            loss = loss + (_losses(kind[0], table, own) * weights).sum() / members
            right = right + _right(table.mean(dim=1), own)
    return {"loss": loss, "accuracy": right.detach()}


def _by_shape(examples: Sequence[Judged]) -> dict[tuple[str, int], list[int]]:
    """Examples of one kind with as many completions go through their loss in one call."""
    found: dict[tuple[str, int], list[int]] = {}
    for index, example in enumerate(examples):
        kind = "mu" if example.mu is not None else "ranks" if example.ranks is not None else "ratings"
        found.setdefault((kind, len(example.tree.completions)), []).append(index)
    return found


def _losses(kind: str, table: Tensor, examples: Sequence[Judged]) -> Tensor:
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


def _right(scores: Tensor, examples: Sequence[Judged]) -> Tensor:
    """Sum over examples of the share of their decided pairs that scores (G, K) put in the right order."""
    total = scores.new_zeros(())
    for row, example in zip(scores, examples, strict=True):
        if example.mu is not None:
            said = torch.tensor([example.mu, 1 - example.mu], device=row.device)
        elif example.ranks is not None:
            said = -torch.tensor(example.ranks, dtype=row.dtype, device=row.device)
        else:
            said = torch.tensor(example.ratings, dtype=row.dtype, device=row.device)
        better = (said[:, None] - said[None, :]).sign()
        decided = better.triu(1) != 0
        if decided.any():
            agrees = (row[:, None] - row[None, :]).sign() == better
            total = total + masked_mean(agrees.to(row.dtype), decided)
        else:
            total = total + 0.5
    return total


def write_heads(folder: Path, kind: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Heads beside a trunk that was saved: ``heads.json`` says what they are, ``heads.safetensors`` holds them."""
    try:
        save_file({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, _heads(folder)[1])
        _heads(folder)[0].write_text(json.dumps({"kind": kind, **config}, indent=2) + "\n", encoding="utf-8")
    except (OSError, safetensors.SafetensorError) as error:
        raise PlauditError(f"cannot write {folder}: {error}: check the folder and the disk") from error


def read_heads(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What :func:`write_heads` wrote.

    Raises:
        PlauditError: there are none, they are of another kind, or damaged.
    """
    config, weights = _heads(folder)
    if not config.exists():
        raise PlauditError(f"{folder} holds no reward model: {config.name} is missing (save one there first)")
    try:
        stored = json.loads(config.read_bytes())
        found = stored.pop("kind")
        tensors = load_file(weights)
    except (OSError, ValueError, AttributeError, KeyError, safetensors.SafetensorError) as error:
        raise PlauditError(f"the heads in {folder} are damaged ({error}): restore them from a copy") from error
    if found != kind:
        raise PlauditError(f"{folder} holds a {found}, and a {kind} was asked for")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}, tensors


def saved_heads(folder: Path) -> tuple[HeadsConfig, dict[str, Tensor]]:
    """The heads of a saved :class:`TextReward`, and how they are read; raises as :func:`read_heads`."""
    return read_as(folder, KIND, HeadsConfig)


def read_as(folder: Path, kind: str, of: type[Config]) -> tuple[Config, dict[str, Tensor]]:
    """What :func:`read_heads` gives, with the configuration as it was written; raises as it does."""
    stored, tensors = read_heads(folder, kind)
    try:
        return of(**stored), tensors
    except TypeError as error:
        raise PlauditError(f"{folder / HEADS}.json: {error}: it was written by another version") from error


def put_heads(folder: Path, tensors: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    """Copy what was read into a model's own tensors.

    Raises:
        PlauditError: they are others, or of other shapes.
    """
    if {name: each.shape for name, each in tensors.items()} != {name: each.shape for name, each in into.items()}:
        raise PlauditError(f"the heads in {folder} do not fit the model beside them: restore both from one copy")
    with torch.no_grad():
        for name, each in into.items():
            each.copy_(tensors[name])


def _heads(folder: Path) -> tuple[Path, Path]:
    return folder / f"{HEADS}.json", folder / f"{HEADS}.safetensors"
