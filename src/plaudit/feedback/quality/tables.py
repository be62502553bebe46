"""The long tables that everything in this package reads: one row for each judgement, columns of equal length.

Shape letters: ``N`` judgements, ``I`` items, ``A`` annotators, ``C`` categories. Rows name items, annotators and
categories by number; the names stand once, beside the columns. Float columns hold NaN where there is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.types import Array, PlauditError

Names = tuple[str, ...]


def number(names: Sequence[str]) -> tuple[Array, Names]:
    """Numbers (N,) int64 for ``names`` in sorted order, and the names that they stand for."""
    distinct, index = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    return index.reshape(-1).astype(np.int64), tuple(distinct.tolist())


def check_column(column: Array, label: str, length: int | None = None) -> None:
    """PlauditError unless ``column`` is (N,), with N = ``length`` where that is given."""
    if column.ndim != 1 or (length is not None and len(column) != length):
        shape = "(N,)" if length is None else f"({length},)"
        raise PlauditError(f"{label} must have the shape {shape}, got {column.shape}")


def check_index(column: Array, label: str, length: int, names: Names) -> None:
    """PlauditError unless ``column`` (N,) holds whole numbers that ``names`` has."""
    check_column(column, label, length)
    if not np.issubdtype(column.dtype, np.integer):
        raise PlauditError(f"{label} must hold whole numbers, got {column.dtype}")
    if len(column) and not 0 <= int(column.min()) <= int(column.max()) < len(names):
        low, high = int(column.min()), int(column.max())
        raise PlauditError(f"{label} must lie in 0..{len(names) - 1}, got {low}..{high}; is a name missing?")


def check_level(level: float) -> None:
    """PlauditError unless ``level`` lies strictly between 0 and 1."""
    if not 0 < level < 1:
        raise PlauditError(f"level must lie between 0 and 1, got {level}; a 95 % interval has level 0.95")


def position(names: Names, name: str, label: str) -> int:
    """The number of ``name``; PlauditError when nobody is called that."""
    if name not in names:
        raise PlauditError(f"there is no {label} called {name!r} among {len(names)}")
    return names.index(name)


def _name_numbers(column: Array) -> Names:
    return tuple(str(index) for index in range(int(column.max()) + 1 if column.size else 0))


@dataclass(frozen=True, eq=False)
class Ratings:
    """Who put which item into which category. One judgement for each annotator and item; gaps are allowed.

    A second judgement of the same item by the same person is a repeat, which says how steady that person is
    (:func:`~plaudit.feedback.quality.health`) and nothing about agreement, so it is refused here.

    PlauditError: columns of different shapes, numbers without a name, a repeat, values that are not finite.
    """

    item: Array  # (N,) int in 0..I-1
    annotator: Array  # (N,) int in 0..A-1
    category: Array  # (N,) int in 0..C-1
    items: Names  # I names
    annotators: Names  # A names
    categories: Names  # C names, in their order where they have one
    values: Array  # (C,) float: the number that each category stands for, rising

    def __post_init__(self) -> None:
        check_column(self.item, "Ratings.item")
        size = len(self.item)
        check_index(self.item, "Ratings.item", size, self.items)
        check_index(self.annotator, "Ratings.annotator", size, self.annotators)
        check_index(self.category, "Ratings.category", size, self.categories)
        check_column(self.values, "Ratings.values", len(self.categories))
        if not np.isfinite(self.values).all() or (np.diff(self.values) <= 0).any():
            raise PlauditError(f"Ratings.values must be finite and rise from category to category, got {self.values}")
        cell, count = np.unique(self.item * len(self.annotators) + self.annotator, return_counts=True)
        if (count > 1).any():
            item, annotator = divmod(int(cell[np.argmax(count > 1)]), len(self.annotators))
            raise PlauditError(
                f"annotator {self.annotators[annotator]!r} judged item {self.items[item]!r} more than once; "
                f"keep one judgement of each item, repeats belong to health()"
            )

    @classmethod
    def from_names(
        cls,
        items: Sequence[str],
        annotators: Sequence[str],
        categories: Sequence[str],
        order: Sequence[str] | None = None,
    ) -> Ratings:
        """From three lists of N names. ``order`` lists the categories, lowest first; by default they are sorted.

        PlauditError: lists of different lengths, a category that ``order`` lacks or has twice.
        """
        item, item_names = number(items)
        annotator, annotator_names = number(annotators)
        category, categories_present = number(categories)
        names = categories_present if order is None else tuple(order)
        missing = sorted(set(categories_present) - set(names))
        if missing or len(set(names)) != len(names):
            fault = f"lacks {missing}" if missing else "names a category twice"
            raise PlauditError(f"the order of categories {list(names)} {fault}")
        position_of = np.array([names.index(name) for name in categories_present], dtype=np.int64)
        values = np.arange(len(names), dtype=np.float64)
        return cls(item, annotator, position_of[category], item_names, annotator_names, names, values)

    @classmethod
    def from_numbers(cls, item: Array, annotator: Array, value: Array) -> Ratings:
        """From numbers alone, (N,) each; the distinct numbers in ``value`` are the categories."""
        check_column(value, "value")
        distinct, category = np.unique(value.astype(np.float64), return_inverse=True)
        names = tuple(f"{number:g}" for number in distinct.tolist())
        return cls(
            item, annotator, category.reshape(-1), _name_numbers(item), _name_numbers(annotator), names, distinct
        )

    def counts(self) -> Array:
        """How many annotators put each item into each category, (I, C) int64."""
        shape = (len(self.items), len(self.categories))
        return np.bincount(self.item * shape[1] + self.category, minlength=shape[0] * shape[1]).reshape(shape)


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Which of two items is better. Repeats are allowed.

    ``choice`` is 1 when the first is better, -1 when the second is, 0 for a tie and NaN for can't tell, whatever side
    they were shown on. It is the sign of a comparison's strength (``plaudit.feedback.kinds.comparison``).

    PlauditError: columns of different shapes, numbers without a name, an item against itself, another choice.
    """

    first: Array  # (N,) int in 0..I-1
    second: Array  # (N,) int in 0..I-1
    choice: Array  # (N,) float: 1, 0, -1 or NaN
    annotator: Array  # (N,) int in 0..A-1
    items: Names  # I names
    annotators: Names  # A names

    def __post_init__(self) -> None:
        check_column(self.first, "Comparisons.first")
        size = len(self.first)
        check_index(self.first, "Comparisons.first", size, self.items)
        check_index(self.second, "Comparisons.second", size, self.items)
        check_index(self.annotator, "Comparisons.annotator", size, self.annotators)
        check_choice(self.choice, "Comparisons.choice", size)
        if (self.first == self.second).any():
            row = int(np.argmax(self.first == self.second))
            raise PlauditError(f"comparison {row} is of item {self.items[int(self.first[row])]!r} with itself")

    @classmethod
    def from_names(
        cls, first: Sequence[str], second: Sequence[str], choice: Sequence[float | int], annotators: Sequence[str]
    ) -> Comparisons:
        """From the names of the items and annotators and the choices, N of each.

        PlauditError: lists of different lengths, and what the class refuses.
        """
        if len(first) != len(second):
            raise PlauditError(f"there are {len(first)} first items and {len(second)} second ones")
        columns, items = number([*first, *second])
        annotator, names = number(annotators)
        return cls(
            columns[: len(first)], columns[len(first) :], np.array(choice, dtype=np.float64), annotator, items, names
        )

    @classmethod
    def from_numbers(cls, first: Array, second: Array, choice: Array, annotator: Array | None = None) -> Comparisons:
        """From numbers alone, (N,) each; without ``annotator`` one person judged all."""
        annotators_column = np.zeros(first.shape, dtype=np.int64) if annotator is None else annotator
        items = _name_numbers(np.concatenate([first, second]))
        return cls(first, second, choice.astype(np.float64), annotators_column, items, _name_numbers(annotators_column))

    @property
    def decisive(self) -> Array:
        """Where one of the two was called better, (N,) bool."""
        return np.abs(self.choice) == 1


def check_choice(choice: Array, label: str, length: int | None = None) -> None:
    """PlauditError unless ``choice`` (N,) holds 1, 0, -1 and NaN only."""
    check_column(choice, label, length)
    valid = np.isin(choice, (-1.0, 0.0, 1.0)) | np.isnan(choice)
    if not valid.all():
        raise PlauditError(
            f"{label} must be 1 (first), -1 (second), 0 (tie) or NaN (can't tell), got {choice[~valid][0]}"
        )
