"""Texts as sets of words and of pairs of neighbouring words, and a linear reward model of them.

It is the smallest reward model of texts: what a large one knows beyond words, this one tells. Matrices are sparse,
because a text has few of all words. Shape letters: ``N`` texts or pairs, ``F`` words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from plaudit.functional.calibration import logistic
from plaudit.types import Array

WORD = re.compile(r"\w[\w'\u2019]*")
FEWEST = 3  # texts that a word must stand in
PRECISION = 25.0  # of the normal prior on a word's weight
_STEPS, _INNER = 12, 40  # of Newton's method, and of conjugate gradients in each
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Sparse:
    """A matrix (N, F) as its non-zero entries, in any order."""

    row: Array  # (Z,) int
    column: Array  # (Z,) int
    value: Array  # (Z,) float64
    shape: tuple[int, int]

    def __matmul__(self, vector: Array) -> Array:
        """(N,) from (F,)."""
        return np.bincount(self.row, self.value * vector[self.column], minlength=self.shape[0])

    def transpose_times(self, vector: Array) -> Array:
        """(F,) from (N,)."""
        return np.bincount(self.column, self.value * vector[self.row], minlength=self.shape[1])

    def __sub__(self, subtrahend: Sparse) -> Sparse:
        """Entries that are equal stay, as two that cancel out; :meth:`merge` removes them."""
        row, column = np.concatenate([self.row, subtrahend.row]), np.concatenate([self.column, subtrahend.column])
        return Sparse(row, column, np.concatenate([self.value, -subtrahend.value]), self.shape).merge()

    def merge(self) -> Sparse:
        """The same matrix with one entry in each place, and none that is zero."""
        cells, index = np.unique(self.row * self.shape[1] + self.column, return_inverse=True)
        value = np.bincount(index, self.value, minlength=len(cells))
        row, column = np.divmod(cells[value != 0], self.shape[1])
        return Sparse(row, column, value[value != 0], self.shape)

    def take(self, rows: Array) -> Sparse:
        """The rows (K,) in that order, each at most once."""
        position = np.full(self.shape[0], -1)
        position[rows] = np.arange(len(rows))
        mask = position[self.row] >= 0
        return Sparse(position[self.row[mask]], self.column[mask], self.value[mask], (len(rows), self.shape[1]))


def split_words(text: str) -> set[str]:
    """Words in small letters, and pairs of neighbours."""
    words = WORD.findall(text.lower())
    return {*words, *(f"{first} {second}" for first, second in pairwise(words))}


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words and pairs of words, each with its column."""

    index: dict[str, int]

    @classmethod
    def from_texts(cls, texts: Iterable[str], fewest: int = FEWEST) -> Vocabulary:
        """The words of at least ``fewest`` of the texts, in alphabetical order."""
        counts = Counter(word for text in texts for word in split_words(text))
        return cls({word: column for column, word in enumerate(sorted(w for w, n in counts.items() if n >= fewest))})

    @property
    def words(self) -> list[str]:
        """The word of each column."""
        return list(self.index)

    def matrix(self, texts: Sequence[str]) -> Sparse:
        """(N, F): 1 where a text has a word."""
        cells = [
            (row, column)
            for row, text in enumerate(texts)
            for word in split_words(text)
            if (column := self.index.get(word)) is not None
        ]
        table = np.array(cells, np.int64).reshape(-1, 2)
        return Sparse(table[:, 0], table[:, 1], np.ones(len(table)), (len(texts), len(self.index)))


def fit_linear(differences: Sparse, mu: Array, precision: float = PRECISION, weights: Array | None = None) -> Array:
    """Weights (F,) of a linear reward by Bradley-Terry: P[first better] = logistic(x @ w), x the difference (N, F).

    Minimises the cross-entropy plus precision / 2 |w|^2 by Newton's method, each step by conjugate gradients.

    mu: (N,) P[first better] as judged. weights: (N,) of the pairs; None: 1 each.
    """
    importance = np.ones(len(mu)) if weights is None else weights
    solution = np.zeros(differences.shape[1])
    for _ in range(_STEPS):
        predicted = logistic(differences @ solution)
        gradient = differences.transpose_times(importance * (predicted - mu)) + precision * solution
        if np.abs(gradient).max(initial=0.0) < _TOLERANCE * max(len(mu), 1):
            break
        solution = solution - _solve(differences, importance * predicted * (1 - predicted), precision, gradient)
    return solution


def fit_words(better: Sequence[str], worse: Sequence[str]) -> Callable[[Sequence[str]], Array]:
    """A linear reward (N,) of texts, by their words alone, fitted to pairs of a better and a worse text."""
    vocabulary = Vocabulary.from_texts([*better, *worse])
    weight = fit_linear(vocabulary.matrix(better) - vocabulary.matrix(worse), np.ones(len(better)))
    return lambda texts: vocabulary.matrix(texts) @ weight


def _solve(matrix: Sparse, curvature: Array, precision: float, target: Array) -> Array:
    """v with (X' diag(curvature) X + precision) v = target, by conjugate gradients."""
    solution = np.zeros(len(target))
    residual, direction = target.copy(), target.copy()
    norm = first = float(residual @ residual)
    for _ in range(_INNER):
        if norm <= 1e-10 * first or norm == 0:
            break
        product = matrix.transpose_times(curvature * (matrix @ direction)) + precision * direction
        step = norm / float(direction @ product)
        solution, residual = solution + step * direction, residual - step * product
        last, norm = norm, float(residual @ residual)
        direction = residual + norm / last * direction
    return solution


@dataclass(frozen=True, eq=False)
class OneSided:
    """Words by how one-sidedly they stand in the preferred texts, (F,) each."""

    words: tuple[str, ...]
    plus: Array  # int: pairs in which only the preferred text has the word
    minus: Array  # int: pairs in which only the other one has it
    z: Array  # (plus - minus) / sqrt(plus + minus): the sign test; 0 for a word that never differs

    @property
    def share(self) -> Array:
        """Share of the pairs with a difference in which the word's text is preferred, or is not: the larger one."""
        return np.maximum(self.plus, self.minus) / np.maximum(self.plus + self.minus, 1)


def scan_words(preferred: Sequence[str], rejected: Sequence[str], fewest: int = FEWEST) -> OneSided:
    """Count on which side of ``N`` pairs each word stands alone; the most one-sided first."""
    vocabulary = Vocabulary.from_texts([*preferred, *rejected], fewest)
    difference = vocabulary.matrix(preferred) - vocabulary.matrix(rejected)
    size = len(vocabulary.index)
    plus, minus = (np.bincount(difference.column[difference.value == sign], minlength=size) for sign in (1, -1))
    z = (plus - minus) / np.sqrt(np.maximum(plus + minus, 1))
    order = np.argsort(-np.abs(z), kind="stable")
    words = vocabulary.words
    return OneSided(tuple(words[column] for column in order), plus[order], minus[order], z[order])
