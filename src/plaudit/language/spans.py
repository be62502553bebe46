"""Rewards of passages: what people marked in responses, by category, learned and given where a passage ends.

Wu et al. 2023, "Fine-grained human feedback gives better rewards for language model training", section 3. A response
y is cut into segments; a head for each category C says whether a segment has a fault of that category, and

    r_t = sum_C sum_j 1(t = T_j) w_C R_C(x, y, j)

with T_j the last token of segment j. They set R to +1 for no fault and -1 for a fault; here it is the expectation of
that under the head, 1 - 2 P[fault], so that a doubtful segment earns nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.kinds.spans import CATEGORIES
from plaudit.feedback.store import Store
from plaudit.functional.masked import masked_mean
from plaudit.interfaces import RewardModel
from plaudit.language.data import Counts
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.policy import Batch, Completions, batched, fill
from plaudit.language.reward import put_heads, read_as, write_heads
from plaudit.language.rows import Rows, Tokens, Tree
from plaudit.language.text import Chat
from plaudit.types import Array, Dialogue, PlauditError

KIND = "span-reward"
ENDS = {"sentence": ".!?", "part": ".!?,;:"}
CLOSING = "\"')]}*"  # may stand between a mark and the end of its sentence


@dataclass(frozen=True)
class SpanConfig:
    """The heads, and how the reward is made of what they say."""

    categories: tuple[str, ...] = CATEGORIES
    """What a passage can be marked as; each has a head."""
    weights: tuple[float, ...] | None = None
    """Of each category in the reward; None: equal, and together 1."""
    segments: Literal["sentence", "part"] = "sentence"
    """What is scored: sentences, or parts of them between commas, too; a new line ends either."""

    def __post_init__(self) -> None:
        if not self.categories or len(set(self.categories)) < len(self.categories):
            raise PlauditError("categories must be one or more different names")
        if self.weights is not None and len(self.weights) != len(self.categories):
            raise PlauditError(f"{len(self.weights)} weights were given for {len(self.categories)} categories")
        if self.weights is not None and not np.isfinite(self.weights).all():
            raise PlauditError(f"weights of categories are finite numbers, got {self.weights}")
        if self.segments not in ENDS:
            raise PlauditError(f"segments are one of {', '.join(ENDS)}, got {self.segments!r}")


@dataclass(frozen=True, eq=False)
class Marked:
    """A prompt with one response, the last token of each of its S segments, and which of them have which faults."""

    tree: Tree
    ends: Tokens  # (S,) places in the response
    faults: Array  # (S, C) bool
    known: Array | None = None  # (C,) bool: by which categories it could be marked; None: by each of them

    def __post_init__(self) -> None:
        if len(self.tree.completions) != 1 or self.faults.shape[:1] != self.ends.shape or len(self.ends) == 0:
            raise PlauditError("marks are about one response, with at least one segment")

    @property
    def contents(self) -> bytes:
        """Every token, and what was marked."""
        return b"".join((self.tree.contents, self.ends.tobytes(), self.faults.tobytes(), self.offered.tobytes()))

    @property
    def offered(self) -> Array:
        """(C,) bool: where it is False, that nothing was marked says nothing."""
        return np.ones(self.faults.shape[1], np.bool_) if self.known is None else self.known


class Segments:
    """Where segments of tokens end, by what the tokens say; in training as in rewards, without any text."""

    def __init__(self, model: LanguageModel, kind: Literal["sentence", "part"]) -> None:
        self.tokenizer: Any = model.tokenizer
        self.kind: Literal["sentence", "part"] = kind

    @cached_property
    def _said(self) -> tuple[Array, Array, Array]:
        """Of each token of the vocabulary: whether it ends with a mark, has a new line, begins with white space."""
        special = set(self.tokenizer.all_special_ids)
        before = self.tokenizer("a", add_special_tokens=False)["input_ids"]  # the first token may lose its white space
        known = len(self._read(before))
        texts = [
            "" if index in special else self._read([*before, index])[known:] for index in range(len(self.tokenizer))
        ]
        marks = np.array([each.rstrip(CLOSING)[-1:] in tuple(ENDS[self.kind]) for each in texts])
        lines = np.array(["\n" in each for each in texts])
        begins = np.array([each[:1].isspace() for each in texts])
        return marks, lines, begins

    def _read(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)

    def ends(self, tokens: Tokens) -> Tokens:
        """The last tokens of the segments of a response: behind a mark that white space follows, or a new line."""
        marks, lines, begins = self._said
        following = np.append(begins[tokens[1:]], False)
        last = (marks[tokens] & following) | lines[tokens]
        last[-1] = True
        return np.flatnonzero(last)


def marked(
    store: Store, chat: Chat, config: SpanConfig, segments: Segments, length: int
) -> tuple[list[Marked], Counts]:
    """Every response that somebody marked, or found nothing to mark in; and what was read.

    A segment has a fault where a marked span covers one of its tokens. Spans of a category that has no head are left
    out, and heads of a category that the question did not offer learn nothing from it; where it offered none of them,
    the judgement is of another kind.
    """
    found: list[Marked] = []
    counts = Counts()
    judgements = store.judgements()
    for judgement, question in zip(judgements, store.questions([each.question for each in judgements]), strict=True):
        offered = question.options.get("categories", CATEGORIES)
        item = store.items(list(question.items))[0] if question.kind == "spans" else None
        if not isinstance(item, Dialogue) or item.response is None or not set(offered) & set(config.categories):
            counts.other_kinds += 1
            continue
        spans = KINDS["spans"].target(judgement.value)
        if spans is None:
            counts.said_nothing += 1
            continue
        try:
            tree, places = chat.placed(item.prompt, item.response)
        except PlauditError as error:
            counts.refused.append(f"question {question.id}: {error}")
            continue
        tree, cut = tree.cut(length)
        counts.cut += cut
        counts.used += 1
        ends = segments.ends(tree.completions[0])
        known = np.array([each in offered for each in config.categories])
        found.append(Marked(tree, ends, _faults(spans, places, ends, config.categories), known))
    return found, counts


def categories_in(store: Store) -> set[str]:
    """Every category by which passages could be marked there."""
    asked = store.questions([each.question for each in store.judgements()])
    return {name for each in asked if each.kind == "spans" for name in each.options.get("categories", CATEGORIES)}


def _faults(spans: Sequence[Mapping[str, Any]], places: Tokens, ends: Tokens, categories: Sequence[str]) -> Array:
    """(S, C) bool: which segments, by their last tokens, have a token that a span of the category covers."""
    faults = np.zeros((len(ends), len(categories)), np.bool_)
    for span in spans:
        if span["category"] in categories:
            covered = np.flatnonzero((places[:, 0] < span["end"]) & (places[:, 1] > span["start"]))
            which = np.searchsorted(ends, covered)
            faults[which[which < len(ends)], categories.index(span["category"])] = True  # behind: it was cut off
    return faults


def saved_spans(folder: Path) -> tuple[SpanConfig, dict[str, Tensor]]:
    """The heads of a saved :class:`SpanReward`, and how they are read; raises as a text reward's do."""
    return read_as(folder, KIND, SpanConfig)


class SpanReward(nn.Module):
    """P[fault] of every category at every token of a completion, read where segments end."""

    def __init__(self, model: LanguageModel, config: SpanConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.segments = Segments(model, config.segments)
        self.heads = nn.Linear(model.width, len(config.categories), device=model.device)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    def learning(self) -> list[nn.Parameter]:
        """The parameters that may learn."""
        return [*self.model.learning(), *self.heads.parameters()]

    def logits(self, rows: Rows, lower: Tensor | None) -> Tensor:
        """log odds (N, C) float32 of a fault, of every token of every completion, with gradients."""
        hidden = self.model.hidden(rows, lower).flatten(0, 1)[_own_places(rows)].float()
        with torch.autocast(hidden.device.type, enabled=False):
            return self.heads(hidden)

    @torch.no_grad()
    def faults(self, trees: Sequence[Tree], budget: int = 4096) -> list[list[tuple[Tokens, Array]]]:
        """Of each completion of each tree: where its segments end (S,), and P[fault] (S, C) float32."""
        found: list[list[tuple[Tokens, Array]]] = [[] for _ in trees]
        for indices, rows, lower in batched(self.model, trees, budget):
            with self.model.precision():
                each = self.logits(rows, lower).sigmoid().cpu().numpy()
            begin = 0
            for index in indices:
                for completion in trees[index].completions:
                    ends = self.segments.ends(completion)
                    found[index].append((ends, each[begin + ends]))
                    begin += len(completion)
        return found

    @torch.no_grad()
    def rewards(self, experience: Completions, /) -> Array:
        """(B, T) float32: nothing but at the last token of each segment, which bears its score."""
        rewards = np.zeros(experience.mask.shape, np.float32)
        for batch in experience.batches:
            fill(rewards, experience.mask, batch.completions, self._batch(batch))
        ends = np.zeros_like(experience.mask)
        for row, (tokens, real) in enumerate(zip(experience.actions, experience.mask, strict=True)):
            ends[row, np.flatnonzero(real)[self.segments.ends(tokens[real])]] = True
        return np.where(ends, rewards, np.float32(0))

    def _batch(self, batch: Batch) -> Tensor:
        with self.model.precision():
            logits = self.logits(batch.rows, batch.lower_of(self.model))
        count = len(self.config.categories)
        weights = torch.tensor(self.config.weights or (1 / count,) * count, device=logits.device)
        return (1 - 2 * logits.sigmoid()) @ weights

    def save(self, folder: Path) -> None:
        """As :meth:`plaudit.language.reward.TextReward.save`."""
        self.model.save(folder)
        write_heads(folder, KIND, dataclasses.asdict(self.config), self._own())

    @classmethod
    def load(cls, folder: Path, model: ModelConfig | None = None, device: torch.device | str = "cpu") -> SpanReward:
        """As :meth:`plaudit.language.reward.TextReward.load`."""
        config, tensors = saved_spans(folder)
        reward = cls(load(replace(model or ModelConfig(method="frozen"), model=str(folder)), device), config)
        put_heads(folder, tensors, reward._own())
        return reward

    def _own(self) -> dict[str, Tensor]:
        return {"weight": self.heads.weight, "bias": self.heads.bias}


class Added:
    """A learned reward and, times a weight, one of passages that stays as it is: rewards of a response add up.

    That of passages is read when the first reward is asked for: what only looks at a run does without.
    """

    def __init__(self, reward: RewardModel[Completions], weight: float, read: Callable[[], SpanReward]) -> None:
        self.reward, self.weight, self.read = reward, weight, read

    @cached_property
    def passages(self) -> SpanReward:
        """The reward of passages."""
        return self.read()

    def rewards(self, experience: Completions, /) -> Array:
        """(B, T) float32."""
        return self.reward.rewards(experience) + np.float32(self.weight) * self.passages.rewards(experience)


def _own_places(rows: Rows) -> Tensor:
    """(N,) the flat place of each token itself; ``sources`` are the places before them."""
    counts = torch.bincount(rows.owners, minlength=len(rows.ends))
    last = counts.cumsum(0) - 1  # among the N tokens
    return rows.ends[rows.owners] - (last[rows.owners] - torch.arange(len(rows.owners), device=rows.owners.device))


@dataclass(frozen=True, eq=False)
class Marks:
    """An objective for :class:`plaudit.language.tune.Tuner`: cross-entropy in nats, means over categories."""

    reward: SpanReward

    def tree(self, example: Marked) -> Tree:
        """As :class:`plaudit.language.tune.Objective`."""
        return example.tree

    def weight(self, example: Marked) -> float:
        """As :class:`plaudit.language.tune.Objective`."""
        return float(len(example.ends))

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[Marked]) -> dict[str, Tensor]:
        """As :class:`plaudit.language.tune.Objective`.

        ``accuracy`` is the share of segments and categories that are told right, ``constant`` what saying "no fault"
        of everything would reach; of categories that were not offered neither says anything.
        """
        begins = np.cumsum([0, *(len(each.tree.completions[0]) for each in examples)])[:-1]
        places = np.concatenate([begin + each.ends for begin, each in zip(begins, examples, strict=True)])
        logits = self.reward.logits(rows, lower)
        logits = logits[torch.from_numpy(places).to(logits.device)]
        faults = torch.from_numpy(np.concatenate([each.faults for each in examples])).to(logits)
        known = np.concatenate([np.broadcast_to(each.offered, each.faults.shape) for each in examples])
        each = {
            "loss": binary_cross_entropy_with_logits(logits, faults, reduction="none"),
            "accuracy": ((logits > 0) == (faults > 0)).float(),
            "constant": 1 - faults,
        }
        mask = torch.from_numpy(known).to(logits.device)
        return {name: masked_mean(values, mask, dim=1).sum() for name, values in each.items()}
