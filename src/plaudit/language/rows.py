"""Prompts with their completions as batches of tokens, in which a prompt is computed once for all its completions.

A :class:`Tree` is one prompt and K completions of it. In a row its tokens stand one after another,

    prompt   completion 1   completion 2   ...

and a token sees the earlier tokens of its prompt and of its own completion, at the position it would have without the
other completions. So scores and log-probabilities are those of K separate sequences (tests hold that), while the prompt
goes through the model once. Several trees share a row if they fit, and do not see each other.
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
    origin: bytes | None = None  # name of the prompt, if it is not its tokens: some were cut, for example

    def __post_init__(self) -> None:
        if len(self.prompt) == 0:
            raise PlauditError("a prompt has no tokens: begin it with the model's first token, or write something")
        for index, completion in enumerate(self.completions):
            if len(completion) == 0:
                raise PlauditError(f"completion {index + 1} has no tokens: leave out empty completions")

    def __len__(self) -> int:
        """Tokens in a row, the prompt counted once."""
        return len(self.prompt) + sum(len(completion) for completion in self.completions)

    @property
    def name(self) -> bytes:
        """Name of the prompt before anything was cut; trees of one name go to the same side of a split."""
        return self.prompt.tobytes() if self.origin is None else self.origin

    @property
    def contents(self) -> bytes:
        """Every token, and the length of each part, as bytes."""
        parts = (self.prompt, *self.completions)
        return b"".join(len(part).to_bytes(4, "big") + part.tobytes() for part in parts)

    def cut(self, length: int) -> tuple[Tree, bool]:
        """This tree with no sequence longer than ``length``, and whether anything was cut.

        The prompt loses its oldest tokens, down to a quarter of ``length``; then completions lose their last.
        """
        longest = max((len(completion) for completion in self.completions), default=0)
        if len(self.prompt) + longest <= length:
            return self, False
        prompt_length = min(len(self.prompt), max(length - longest, length // 4, 1))
        completions = tuple(completion[: max(length - prompt_length, 1)] for completion in self.completions)
        return Tree(self.prompt[-prompt_length:], completions, self.name), True


@dataclass(frozen=True, eq=False)
class Rows:
    """R rows of T tokens that hold some trees, and the positions of the tokens to be predicted.

    N counts the tokens of all completions, C the completions, both in the order of the trees. A flat index is
    row * T + column.
    """

    tokens: Tensor  # (R, T) int64; padding is 0
    positions: Tensor  # (R, T) int64, from 0 at the start of each tree
    trees: Tensor  # (R, T) int32: which tree of the row, -1 for padding
    branches: Tensor  # (R, T) int32: 0 for the prompt, 1.. for its completions
    sources: Tensor  # (N,) int64: flat index that predicts the token: of the token before it in its sequence
    targets: Tensor  # (N,) int64: the token
    owners: Tensor  # (N,) int64: the token's completion
    ends: Tensor  # (C,) int64: flat index of each completion's last token
    begins: Tensor  # int64: flat index of each tree's first token

    @cached_property
    def mask(self) -> Tensor:
        """(R, 1, T, T) bool: whether the first column sees the second. Padding sees only itself; no token sees it."""
        trees, branches = self.trees, self.branches
        same_tree = trees.unsqueeze(2) == trees.unsqueeze(1)
        line = (branches.unsqueeze(1) == 0) | (branches.unsqueeze(2) == branches.unsqueeze(1))
        columns = torch.arange(trees.shape[1], device=trees.device)
        allowed = same_tree & line & (trees >= 0).unsqueeze(1) & (columns.unsqueeze(1) >= columns)
        allowed |= torch.eye(trees.shape[1], dtype=torch.bool, device=trees.device)
        return allowed.unsqueeze(1)

    def to(self, device: torch.device) -> Rows:
        """The same rows on that device."""
        return Rows(**{name: getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__})


def lay(trees: Sequence[Tree], width: int | None = None) -> Rows:
    """Lay out trees in few rows (first fit, longest first), ``width`` tokens wide or as wide as the longest tree.

    ``sources``, ``owners``, ``ends`` and ``begins`` follow the order of ``trees``, whatever their rows are.
    """
    lengths = [len(tree) for tree in trees]
    row_indices = _first_fit(lengths, max(width or 0, *lengths))
    width = max(sum(lengths[index] for index in row) for row in row_indices)  # no column that is padding everywhere
    shape = (len(row_indices), width)
    tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    numbers, branches = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
    begins = np.zeros(len(trees), np.int64)
    for row, indices in enumerate(row_indices):
        column = 0
        for number, index in enumerate(indices):
            begins[index] = row * width + column
            prompt = len(trees[index].prompt)
            for branch, part in enumerate((trees[index].prompt, *trees[index].completions)):
                span = (row, slice(column, column + len(part)))
                tokens[span], numbers[span], branches[span] = part, number, branch
                positions[span] = np.arange(len(part)) + (prompt if branch else 0)
                column += len(part)
    arrays = (tokens, positions, numbers, branches, *_locate(trees, begins), begins)
    return Rows(*(torch.from_numpy(array) for array in arrays))


def _first_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Indices that share a row of ``width``, by row: first fit, longest first."""
    least = min(lengths)
    free: dict[int, int] = {}  # tokens left in rows that are not full
    packed: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        row = next((row for row, left in free.items() if left >= lengths[index]), None)
        if row is None:
            row = len(packed)
            free[row] = width
            packed.append([])
        free[row] -= lengths[index]
        packed[row].append(index)
        if free[row] < least:
            del free[row]
    return packed


def pack_rows(lengths: Sequence[int], width: int, budget: int) -> list[list[int]]:
    """Indices in groups that :func:`lay` puts into rows of ``width``, at most ``budget`` tokens or one row each.

    Rows that were filled together are filled the same way alone, so a group needs no more rows than here.
    """
    width = max(width, *lengths)
    packed = _first_fit(lengths, width)
    rows_at_once = max(budget // width, 1)
    return [
        [index for row in packed[i : i + rows_at_once] for index in row] for i in range(0, len(packed), rows_at_once)
    ]


def _locate(trees: Sequence[Tree], begins: Tokens) -> tuple[Tokens, Tokens, Tokens, Tokens]:
    """``sources``, ``targets``, ``owners`` and ``ends`` of trees that begin at these flat indices."""
    sources, targets, owners, ends = [], [], [], []
    for tree, begin in zip(trees, begins, strict=True):
        last = begin + len(tree.prompt) - 1
        position = last + 1
        for completion in tree.completions:
            sources.append(np.concatenate(([last], np.arange(position, position + len(completion) - 1))))
            targets.append(completion)
            owners.append(np.full(len(completion), len(ends), np.int64))
            position += len(completion)
            ends.append(position - 1)
    none = [np.empty(0, np.int64)]
    flat = (np.concatenate(arrays or none) for arrays in (sources, targets, owners))
    return *flat, np.array(ends, np.int64)  # type: ignore[return-value]


def split(trees: Sequence[Tree], budget: int) -> list[Tree]:
    """Split trees of more than ``budget`` tokens into several, each with the prompt; completions keep their order.

    A tree stays above the budget only if one completion with its prompt is. A row takes memory in proportion to the
    square of its length, so this helps wherever the completions of a prompt need not be together.
    """
    trees_within: list[Tree] = []
    for tree in trees:
        parts: list[list[Tokens]] = [[]]
        used = len(tree.prompt)
        for completion in tree.completions:
            if parts[-1] and used + len(completion) > budget:
                parts.append([])
                used = len(tree.prompt)
            parts[-1].append(completion)
            used += len(completion)
        trees_within += [tree] if len(parts) == 1 else [Tree(tree.prompt, tuple(part)) for part in parts]
    return trees_within


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in groups of like length, none above ``budget`` tokens when padded, unless one sequence is longer.

    This suits results that do not depend on how a step is split, such as a loss summed over all tokens.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def pad_sequences(sequences: Sequence[Tokens], left: bool, fill: int = 0) -> tuple[Tokens, NDArray[np.bool_]]:
    """Sequences as one (B, T) array, padded on the left or the right, and a mask that is False in padding."""
    width = max((len(sequence) for sequence in sequences), default=0)
    tokens = np.full((len(sequences), width), fill, np.int64)
    real = np.zeros(tokens.shape, np.bool_)
    for row, sequence in enumerate(sequences):
        columns = slice(width - len(sequence), None) if left else slice(0, len(sequence))
        tokens[row, columns], real[row, columns] = sequence, True
    return tokens, real
