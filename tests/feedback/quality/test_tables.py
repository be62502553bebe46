"""The long tables: what they take, what they refuse and how they say so."""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.feedback.quality import Comparisons, Ratings
from plaudit.types import PlauditError


def test_ratings_from_names() -> None:
    ratings = Ratings.from_names(["b", "a", "b"], ["x", "x", "y"], ["high", "low", "low"], order=["low", "high", "top"])
    assert (ratings.items, ratings.annotators, ratings.categories) == (("a", "b"), ("x", "y"), ("low", "high", "top"))
    assert ratings.item.tolist() == [1, 0, 1]
    assert ratings.annotator.tolist() == [0, 0, 1]
    assert ratings.category.tolist() == [1, 0, 0]
    assert ratings.values.tolist() == [0, 1, 2]
    assert ratings.counts().tolist() == [[1, 0, 0], [1, 1, 0]]


def test_ratings_from_numbers() -> None:
    ratings = Ratings.from_numbers(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([7, 2.5, 7]))
    assert ratings.categories == ("2.5", "7")
    assert ratings.values.tolist() == [2.5, 7]
    assert ratings.category.tolist() == [1, 0, 1]


def test_comparisons_from_names() -> None:
    comparisons = Comparisons.from_names(["a", "c"], ["b", "a"], [1, float("nan")], ["x", "y"])
    assert comparisons.items == ("a", "b", "c")
    assert comparisons.first.tolist() == [0, 2]
    assert comparisons.second.tolist() == [1, 0]
    assert comparisons.decisive.tolist() == [True, False]


def test_no_rows_are_a_table_too() -> None:
    assert Ratings.from_names([], [], []).counts().shape == (0, 0)
    assert len(Comparisons.from_names([], [], [], []).choice) == 0


@pytest.mark.parametrize(
    ("items", "annotators", "categories", "order", "message"),
    [
        (["a"], ["x", "y"], ["0"], None, r"Ratings.annotator must have the shape \(1,\)"),
        (["a", "a"], ["x", "x"], ["0", "1"], None, "annotator 'x' judged item 'a' more than once"),
        (["a"], ["x"], ["0"], ["1"], "lacks"),
        (["a"], ["x"], ["0"], ["0", "0"], "names a category twice"),
    ],
)
def test_ratings_refused(
    items: list[str], annotators: list[str], categories: list[str], order: list[str] | None, message: str
) -> None:
    with pytest.raises(PlauditError, match=message):
        Ratings.from_names(items, annotators, categories, order)


def test_ratings_with_wrong_numbers_are_refused() -> None:
    zero, one = np.array([0]), np.array([1.0])
    with pytest.raises(PlauditError, match=r"must lie in 0\.\.0, got 1\.\.1"):
        Ratings(np.array([1]), zero, zero, ("a",), ("x",), ("0",), one)
    with pytest.raises(PlauditError, match="whole numbers"):
        Ratings(one, zero, zero, ("a",), ("x",), ("0",), one)
    with pytest.raises(PlauditError, match="rise"):
        Ratings(zero, zero, zero, ("a",), ("x",), ("0", "1"), np.array([1.0, 1.0]))


def test_comparisons_refused() -> None:
    with pytest.raises(PlauditError, match="of item 'a' with itself"):
        Comparisons.from_names(["a"], ["a"], [1], ["x"])
    with pytest.raises(PlauditError, match=r"got 0\.5"):
        Comparisons.from_names(["a"], ["b"], [0.5], ["x"])
    with pytest.raises(PlauditError, match="1 first items and 2 second"):
        Comparisons.from_names(["a"], ["b", "c"], [1], ["x"])
