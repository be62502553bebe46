"""The linear reward of words, against values worked by hand."""

import numpy as np
import pytest

from plaudit.functional.calibration import logistic
from plaudit.functional.words import Sparse, Vocabulary, fit_linear, scan_words, split_words


def test_words_and_matrices_by_hand() -> None:
    assert split_words("I can't. Go!") == {"i", "can't", "go", "i can't", "can't go"}
    vocabulary = Vocabulary.from_texts(["a b", "a c", "a"], fewest=1)
    assert vocabulary.words == ["a", "a b", "a c", "b", "c"]
    assert Vocabulary.from_texts(["a b", "a c", "a"], fewest=2).words == ["a"]
    matrix = vocabulary.matrix(["a b", "a"]) - vocabulary.matrix(["a", "c a"])
    vector = np.array([1.0, 10, 100, 1000, 10000])
    assert (matrix @ vector).tolist() == [1010, -10000]  # "a" stands in both, and cancels out
    assert matrix.transpose_times(np.array([1.0, 2.0])).tolist() == [0, 1, 0, 1, -2]
    assert (matrix.take(np.array([1])) @ vector).tolist() == [-10000]


def test_linear_fit_is_where_the_gradient_vanishes() -> None:
    # one word, preferred in 3 of 4 pairs: 4 logistic(w) - 3 + w = 0
    cells = np.arange(4)
    differences = Sparse(cells, np.zeros(4, np.int64), np.ones(4), (4, 1))
    (weight,) = fit_linear(differences, np.array([1.0, 1, 1, 0]), precision=1.0)
    assert 4 * logistic(np.array([weight]))[0] - 3 + weight == pytest.approx(0, abs=1e-5)
    (unpenalised,) = fit_linear(differences, np.array([1.0, 1, 1, 0]), precision=1e-9)
    assert unpenalised == pytest.approx(np.log(3), abs=1e-4)
    (double,) = fit_linear(differences, np.array([1.0, 1, 1, 0]), 2.0, np.full(4, 2.0))
    assert double == pytest.approx(weight, abs=1e-5)


def test_one_sided_words_by_hand() -> None:
    # "ref" in the preferred text of four pairs; "x" on both sides; "y" for and against
    preferred, others = ["x ref", "x ref", "x ref y", "x ref"], ["x", "x y", "x", "x"]
    scan = scan_words(preferred, others, fewest=2)
    assert scan.words[:2] == ("ref", "x ref")
    assert (scan.plus[0], scan.minus[0], scan.z[0], scan.share[0]) == (4, 0, 2.0, 1.0)
    row = scan.words.index("y")
    assert (scan.plus[row], scan.minus[row], scan.z[row]) == (1, 1, 0)
