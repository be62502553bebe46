"""Rewards of passages: learned from what people mark in responses, by category, and given where a passage ends.

Wu et al. 2023, "Fine-grained human feedback gives better rewards for language model training", section 3. A response
y is cut into segments; a head for each category C says whether a segment has a fault of that category, and

    r_t = sum_C sum_j 1(t = T_j) w_C R_C(x, y, j)

with T_j the last token of segment j. They set R to +1 for no fault and -1 for a fault; here R is its expectation under
the head, 1 - 2 P[fault], so that a doubtful segment earns nothing.
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
from plaudit.language.heads import copy_heads, read_heads_as, write_heads
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.policy import Batch, Completions, fill, iterate_batches
from plaudit.language.rows import Rows, Tokens, Tree
from plaudit.language.text import Chat
from plaudit.types import Array, Dialogue, PlauditError

KIND = "span-reward"
ENDS = {"sentence": ".!?", "part": ".!?,;:"}
CLOSING = "\"')]}*"  # may follow the punctuation mark that ends a sentence


@dataclass(frozen=True)
class SpanConfig:
    """The heads, and how their predictions become the reward."""

    categories: tuple[str, ...] = CATEGORIES
    """Categories of faults that a passage can be marked with; each has a head."""
    weights: tuple[float, ...] | None = None
    """Weight of each category in the reward; None: equal, with sum 1."""
    segments: Literal["sentence", "part"] = "sentence"
    """Unit that is scored: a sentence, or part of a sentence between commas; a new line ends either."""

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
class MarkedResponse:
    """A prompt with one response, its S segments, and the faults of each."""

    tree: Tree
    ends: Tokens  # (S,) index of each segment's last token in the response
    faults: Array  # (S, C) bool
    offered_mask: Array | None = None  # (C,) bool: categories that the annotator could mark; None: all

    def __post_init__(self) -> None:
        if len(self.tree.completions) != 1 or self.faults.shape[:1] != self.ends.shape or len(self.ends) == 0:
            raise PlauditError("marks are about one response, with at least one segment")

    @property
    def contents(self) -> bytes:
        """Every token and every mark, as bytes."""
        return b"".join((self.tree.contents, self.ends.tobytes(), self.faults.tobytes(), self.offered.tobytes()))

    @property
    def offered(self) -> Array:
        """(C,) bool: categories that the annotator could mark; a missing mark in another category says nothing."""
        return np.ones(self.faults.shape[1], np.bool_) if self.offered_mask is None else self.offered_mask


class Segments:
    """Finds the ends of segments by the text of single tokens, the same way in training and in rewards."""

    def __init__(self, model: LanguageModel, kind: Literal["sentence", "part"]) -> None:
        self.tokenizer: Any = model.tokenizer
        self.kind: Literal["sentence", "part"] = kind

    @cached_property
    def _token_classes(self) -> tuple[Array, Array, Array]:
        """For each token of the vocabulary: whether it ends with a mark, has a new line, begins with white space."""
        special = set(self.tokenizer.all_special_ids)
        # before each token, because decoding may drop the first token's space
        before = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        skipped = len(self._read(before))
        texts = [
            "" if index in special else self._read([*before, index])[skipped:] for index in range(len(self.tokenizer))
        ]
        marks = np.array([text.rstrip(CLOSING)[-1:] in tuple(ENDS[self.kind]) for text in texts])
        lines = np.array(["\n" in text for text in texts])
        begins = np.array([text[:1].isspace() for text in texts])
        return marks, lines, begins

    def _read(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)

    def ends(self, tokens: Tokens) -> Tokens:
        """Indices of the segments' last tokens: a punctuation mark before white space, or a new line."""
        marks, lines, begins = self._token_classes
        following = np.append(begins[tokens[1:]], False)
        last = (marks[tokens] & following) | lines[tokens]
        last[-1] = True
        return np.flatnonzero(last)


def read_marks(
    store: Store, chat: Chat, config: SpanConfig, segments: Segments, length: int
) -> tuple[list[MarkedResponse], Counts]:
    """Every response that an annotator checked for faults, and counts of the judgements.

    A segment has a fault if a marked span covers one of its tokens. Spans of a category without a head are left out,
    and the head of a category that the question did not offer learns nothing from it. If the question offered none of
    the heads' categories, the judgement counts as of another kind.
    """
    examples: list[MarkedResponse] = []
    counts = Counts()
    judgements = store.judgements()
    questions = store.questions([judgement.question for judgement in judgements])
    for judgement, question in zip(judgements, questions, strict=True):
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
            tree, offsets = chat.locate(item.prompt, item.response)
        except PlauditError as error:
            counts.refused.append(f"question {question.id}: {error}")
            continue
        tree, cut = tree.cut(length)
        counts.cut += cut
        counts.used += 1
        ends = segments.ends(tree.completions[0])
        offered_mask = np.array([category in offered for category in config.categories])
        examples.append(MarkedResponse(tree, ends, _faults(spans, offsets, ends, config.categories), offered_mask))
    return examples, counts


def categories_in(store: Store) -> set[str]:
    """Every category that the store's questions about spans offer."""
    questions = store.questions([judgement.question for judgement in store.judgements()])
    return {
        name
        for question in questions
        if question.kind == "spans"
        for name in question.options.get("categories", CATEGORIES)
    }


def _faults(spans: Sequence[Mapping[str, Any]], offsets: Tokens, ends: Tokens, categories: Sequence[str]) -> Array:
    """(S, C) bool: whether a span of the category covers a token of the segment."""
    faults = np.zeros((len(ends), len(categories)), np.bool_)
    for span in spans:
        if span["category"] in categories:
            covered = np.flatnonzero((offsets[:, 0] < span["end"]) & (offsets[:, 1] > span["start"]))
            segment = np.searchsorted(ends, covered)
            faults[segment[segment < len(ends)], categories.index(span["category"])] = True  # beyond: the text was cut
    return faults


def load_span_heads(folder: Path) -> tuple[SpanConfig, dict[str, Tensor]]:
    """The heads of a saved :class:`SpanReward` and their configuration; raises as those of a text reward."""
    return read_heads_as(folder, KIND, SpanConfig)


class SpanReward(nn.Module):
    """P[fault] of every category at every token of a completion, read where segments end."""

    def __init__(self, model: LanguageModel, config: SpanConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.segments = Segments(model, config.segments)
        self.heads = nn.Linear(model.width, len(config.categories), device=model.device)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that may learn."""
        return [*self.model.trainable_parameters(), *self.heads.parameters()]

    def logits(self, rows: Rows, lower: Tensor | None) -> Tensor:
        """Log odds (N, C) float32 of a fault at every token of every completion, with gradients."""
        hidden = self.model.hidden(rows, lower).flatten(0, 1)[_token_indices(rows)].float()
        with torch.autocast(hidden.device.type, enabled=False):
            return self.heads(hidden)

    @torch.no_grad()
    def faults(self, trees: Sequence[Tree], budget: int = 4096) -> list[list[tuple[Tokens, Array]]]:
        """For each completion of each tree: the ends of its segments (S,), and P[fault] (S, C) float32."""
        faults: list[list[tuple[Tokens, Array]]] = [[] for _ in trees]
        for indices, rows, lower in iterate_batches(self.model, trees, budget):
            with self.model.precision():
                probabilities = self.logits(rows, lower).sigmoid().cpu().numpy()
            begin = 0
            for index in indices:
                for completion in trees[index].completions:
                    ends = self.segments.ends(completion)
                    faults[index].append((ends, probabilities[begin + ends]))
                    begin += len(completion)
        return faults

    @torch.no_grad()
    def rewards(self, experience: Completions, /) -> Array:
        """(B, T) float32: the score of each segment at its last token, 0 elsewhere."""
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
        write_heads(folder, KIND, dataclasses.asdict(self.config), self._head_tensors())

    @classmethod
    def load(cls, folder: Path, model: ModelConfig | None = None, device: torch.device | str = "cpu") -> SpanReward:
        """As :meth:`plaudit.language.reward.TextReward.load`."""
        config, tensors = load_span_heads(folder)
        reward = cls(load(replace(model or ModelConfig(method="frozen"), model=str(folder)), device), config)
        copy_heads(folder, tensors, reward._head_tensors())
        return reward

    def _head_tensors(self) -> dict[str, Tensor]:
        return {"weight": self.heads.weight, "bias": self.heads.bias}


class SummedReward:
    """A learned reward plus a weight times a fixed reward of passages.

    The reward of passages is loaded on first use, because a report on a run does not need it.
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


def _token_indices(rows: Rows) -> Tensor:
    """(N,) flat index of each token itself; ``sources`` are those of the tokens before."""
    counts = torch.bincount(rows.owners, minlength=len(rows.ends))
    last = counts.cumsum(0) - 1  # among the N tokens
    return rows.ends[rows.owners] - (last[rows.owners] - torch.arange(len(rows.owners), device=rows.owners.device))


@dataclass(frozen=True, eq=False)
class Marks:
    """An objective for :class:`plaudit.language.tune.Tuner`: cross-entropy in nats, a mean over categories."""

    reward: SpanReward

    def tree(self, example: MarkedResponse) -> Tree:
        """As :class:`plaudit.language.tune.Objective`."""
        return example.tree

    def weight(self, example: MarkedResponse) -> float:
        """As :class:`plaudit.language.tune.Objective`."""
        return float(len(example.ends))

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[MarkedResponse]) -> dict[str, Tensor]:
        """As :class:`plaudit.language.tune.Objective`.

        ``accuracy`` is the share of segments and categories that are predicted correctly; ``constant`` is the accuracy
        of always predicting no fault. Categories that were not offered count in neither.
        """
        begins = np.cumsum([0, *(len(example.tree.completions[0]) for example in examples)])[:-1]
        positions = np.concatenate([begin + example.ends for begin, example in zip(begins, examples, strict=True)])
        logits = self.reward.logits(rows, lower)
        logits = logits[torch.from_numpy(positions).to(logits.device)]
        faults = torch.from_numpy(np.concatenate([example.faults for example in examples])).to(logits)
        offered = np.concatenate([np.broadcast_to(example.offered, example.faults.shape) for example in examples])
        tables = {
            "loss": binary_cross_entropy_with_logits(logits, faults, reduction="none"),
            "accuracy": ((logits > 0) == (faults > 0)).float(),
            "constant": 1 - faults,
        }
        mask = torch.from_numpy(offered).to(logits.device)
        return {name: masked_mean(table, mask, dim=1).sum() for name, table in tables.items()}
