"""Prompts with their completions as batches of tokens, in which a prompt is computed once for all its completions.

A :class:`Tree` is one prompt and K completions of it. In a row its tokens stand one after another,

    prompt   completion 1   completion 2   ...

and a token sees what comes before it of its prompt and of its own completion, at the position it would have if the
others were not there. So scores and log-probabilities are those of K separate sequences (tests hold that), while the
prompt goes through the model once. Several trees share a row where they fit, and do not see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plaudit.types import PlauditError

Tokens = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tree:
    """A prompt of P >= 1 tokens and K >= 0 completions of at least one token each."""

    prompt: Tokens
    completions: tuple[Tokens, ...]
    origin: bytes | None = None  # what names the prompt, where that is not its tokens: some were cut, say

    def __post_init__(self) -> None:
        if len(self.prompt) == 0:
            raise PlauditError("a prompt has no tokens: begin it with the model's first token, or write something")
        for index, completion in enumerate(self.completions):
            if len(completion) == 0:
                raise PlauditError(f"completion {index + 1} has no tokens: leave out what is empty")

    def __len__(self) -> int:
        """Tokens in a row, the prompt counted once."""
        return len(self.prompt) + sum(len(each) for each in self.completions)

    @property
    def name(self) -> bytes:
        """What names the prompt as it was before anything was cut: trees of one name stand on one side of a split."""
        return self.prompt.tobytes() if self.origin is None else self.origin

    @property
    def contents(self) -> bytes:
        """Every token, and where each part ends."""
        parts = (self.prompt, *self.completions)
        return b"".join(len(each).to_bytes(4, "big") + each.tobytes() for each in parts)

    def cut(self, length: int) -> tuple[Tree, bool]:
        """This tree with no sequence longer than ``length``, and whether anything was cut.

        The prompt loses its oldest tokens, down to a quarter of ``length``; then completions lose their last.
        """
        longest = max((len(each) for each in self.completions), default=0)
        if len(self.prompt) + longest <= length:
            return self, False
        kept = min(len(self.prompt), max(length - longest, length // 4, 1))
        completions = tuple(each[: max(length - kept, 1)] for each in self.completions)
        return Tree(self.prompt[-kept:], completions, self.name), True


@dataclass(frozen=True, eq=False)
class Rows:
    """R rows of T tokens that hold some trees, and where the tokens to be predicted stand in them.

    N counts the tokens of all completions, C the completions, both in the order of the trees. Flat places are
    row * T + column.
    """

    tokens: Tensor  # (R, T) int64; padding is 0
    positions: Tensor  # (R, T) int64, from 0 at the start of each tree
    trees: Tensor  # (R, T) int32: which tree of the row, -1 for padding
    branches: Tensor  # (R, T) int32: 0 for the prompt, 1.. for its completions
    sources: Tensor  # (N,) int64: the flat place that predicts the token: the one before it in its sequence
    targets: Tensor  # (N,) int64: the token
    owners: Tensor  # (N,) int64: which completion it belongs to
    ends: Tensor  # (C,) int64: the flat place of each completion's last token
    begins: Tensor  # int64: the flat place of each tree's first token

    @cached_property
    def mask(self) -> Tensor:
        """(R, 1, T, T) bool: whether the first place sees the second. Padding sees itself, and nobody sees it."""
        trees, branches = self.trees, self.branches
        same = trees.unsqueeze(2) == trees.unsqueeze(1)
        line = (branches.unsqueeze(1) == 0) | (branches.unsqueeze(2) == branches.unsqueeze(1))
        places = torch.arange(trees.shape[1], device=trees.device)
        allowed = same & line & (trees >= 0).unsqueeze(1) & (places.unsqueeze(1) >= places)
        allowed |= torch.eye(trees.shape[1], dtype=torch.bool, device=trees.device)
        return allowed.unsqueeze(1)

    def to(self, device: torch.device) -> Rows:
        """The same rows there."""
        return Rows(**{name: getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__})


def lay(trees: Sequence[Tree], width: int | None = None) -> Rows:
    """Trees in as few rows as fit (first fit, longest first), ``width`` tokens wide or as wide as the longest tree.

    ``sources``, ``owners``, ``ends`` and ``begins`` follow the order of ``trees``, wherever these came to lie.
    """
    lengths = [len(each) for each in trees]
    held = _fitted(lengths, max(width or 0, *lengths))
    width = max(sum(lengths[index] for index in row) for row in held)  # no column that is padding everywhere
    shape = (len(held), width)
    tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    numbers, branches = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
    begins = np.zeros(len(trees), np.int64)
    for row, indices in enumerate(held):
        column = 0
        for number, index in enumerate(indices):
            begins[index] = row * width + column
            prompt = len(trees[index].prompt)
            for branch, part in enumerate((trees[index].prompt, *trees[index].completions)):
                here = (row, slice(column, column + len(part)))
                tokens[here], numbers[here], branches[here] = part, number, branch
                positions[here] = np.arange(len(part)) + (prompt if branch else 0)
                column += len(part)
    laid = (tokens, positions, numbers, branches, *_places(trees, begins), begins)
    return Rows(*(torch.from_numpy(each) for each in laid))


def _fitted(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Which share a row of ``width``: first fit, longest first."""
    least = min(lengths)
    free: dict[int, int] = {}  # what is left in rows that are not full
    held: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        row = next((row for row, left in free.items() if left >= lengths[index]), None)
        if row is None:
            row = len(held)
            free[row] = width
            held.append([])
        free[row] -= lengths[index]
        held[row].append(index)
        if free[row] < least:
            del free[row]
    return held


def packs(lengths: Sequence[int], width: int, budget: int) -> list[list[int]]:
    """Indices in groups that :func:`lay` puts into rows of ``width``, none above ``budget`` tokens but for one row.

    Rows that were filled together are filled the same way by themselves, so a group needs no more rows than here.
    """
    width = max(width, *lengths)
    held = _fitted(lengths, width)
    each = max(budget // width, 1)
    return [[index for row in held[i : i + each] for index in row] for i in range(0, len(held), each)]


def _places(trees: Sequence[Tree], begins: Tokens) -> tuple[Tokens, Tokens, Tokens, Tokens]:
    """``sources``, ``targets``, ``owners`` and ``ends`` of trees that begin at these flat places."""
    sources, targets, owners, ends = [], [], [], []
    for tree, begin in zip(trees, begins, strict=True):
        last = begin + len(tree.prompt) - 1
        place = last + 1
        for completion in tree.completions:
            sources.append(np.concatenate(([last], np.arange(place, place + len(completion) - 1))))
            targets.append(completion)
            owners.append(np.full(len(completion), len(ends), np.int64))
            place += len(completion)
            ends.append(place - 1)
    none = [np.empty(0, np.int64)]
    flat = (np.concatenate(each or none) for each in (sources, targets, owners))
    return *flat, np.array(ends, np.int64)  # type: ignore[return-value]


def split(trees: Sequence[Tree], budget: int) -> list[Tree]:
    """Trees of more than ``budget`` tokens as several, each with the prompt; completions keep their order.

    None is above the budget but where one completion with its prompt is. For what does not need the completions of a
    prompt together: a row costs memory as the square of its length.
    """
    found: list[Tree] = []
    for tree in trees:
        parts: list[list[Tokens]] = [[]]
        used = len(tree.prompt)
        for each in tree.completions:
            if parts[-1] and used + len(each) > budget:
                parts.append([])
                used = len(tree.prompt)
            parts[-1].append(each)
            used += len(each)
        found += [tree] if len(parts) == 1 else [Tree(tree.prompt, tuple(part)) for part in parts]
    return found


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in groups of like length, none above ``budget`` tokens once padded, unless one alone is longer.

    What does not depend on how a step is split, as a loss summed over all of its tokens, may be computed so.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def padded(sequences: Sequence[Tokens], left: bool, fill: int = 0) -> tuple[Tokens, NDArray[np.bool_]]:
    """Sequences as one (B, T) array, padded on the left or on the right, and where they are real."""
    width = max((len(each) for each in sequences), default=0)
    tokens = np.full((len(sequences), width), fill, np.int64)
    real = np.zeros(tokens.shape, np.bool_)
    for row, each in enumerate(sequences):
        here = slice(width - len(each), None) if left else slice(0, len(each))
        tokens[row, here], real[row, here] = each, True
    return tokens, real
