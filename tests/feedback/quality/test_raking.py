"""Raking: values worked by hand, invariants, and every way in which margins can be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from plaudit.feedback.quality import effective_sample_size, rake
from plaudit.types import PlauditError

SURVEY = {"sex": ["f", "f", "f", "m"], "age": ["old", "young", "young", "young"]}


def test_one_margin_by_hand() -> None:
    # Three women share half of the weight of four, one man has the other half: 2/3 each, and 2.
    # Kish: 4^2 / (3 * 4/9 + 4) = 16 / (16/3) = 3.
    result = rake(SURVEY, {"sex": {"f": 0.5, "m": 0.5}})
    np.testing.assert_allclose(result.weights, [2 / 3, 2 / 3, 2 / 3, 2])
    assert result.effective_sample_size == pytest.approx(3)
    assert result.design_effect == pytest.approx(4 / 3)
    assert result.error <= 1e-9


def test_two_margins_by_hand() -> None:
    # All of the old half is the first woman; women have 3/4, so the other two share 1/4, and the man has 1/4.
    result = rake(SURVEY, {"sex": {"f": 0.75, "m": 0.25}, "age": {"old": 0.5, "young": 0.5}})
    np.testing.assert_allclose(result.weights, [2, 0.5, 0.5, 1])


def test_weights_are_products_of_one_factor_for_each_answer() -> None:
    """What raking keeps: odds ratios. In a two-by-two table that of the weights is 1, as of equal ones."""
    rng = np.random.default_rng(0)
    survey = {"sex": rng.choice(["f", "m"], 200).tolist(), "age": rng.choice(["old", "young"], 200).tolist()}
    margins = {"sex": {"f": 0.3, "m": 0.7}, "age": {"young": 0.8, "old": 0.2}}
    weights = rake(survey, margins).weights
    sex, age = np.array(survey["sex"]), np.array(survey["age"])
    cell = {(s, a): weights[(sex == s) & (age == a)] for s in "fm" for a in ("old", "young")}
    assert all(np.ptp(group) < 1e-12 for group in cell.values())
    odds = cell["f", "old"][0] * cell["m", "young"][0] / (cell["f", "young"][0] * cell["m", "old"][0])
    assert odds == pytest.approx(1)
    assert weights[sex == "f"].sum() / 200 == pytest.approx(0.3)
    assert weights[age == "old"].sum() / 200 == pytest.approx(0.2)
    assert weights.mean() == pytest.approx(1)


def test_margins_that_hold_already_change_nothing() -> None:
    result = rake(SURVEY, {"sex": {"f": 0.75, "m": 0.25}, "age": {"old": 0.25, "young": 0.75}})
    np.testing.assert_allclose(result.weights, 1)
    assert result.effective_sample_size == pytest.approx(4)


def test_base_weights_are_kept_within_a_group() -> None:
    result = rake(SURVEY, {"sex": {"f": 0.5, "m": 0.5}}, base=np.array([1.0, 2, 3, 9]))
    np.testing.assert_allclose(result.weights, [1 / 3, 2 / 3, 1, 2])


def test_a_group_that_should_not_count() -> None:
    np.testing.assert_allclose(rake(SURVEY, {"sex": {"f": 1.0, "m": 0.0}}).weights, [4 / 3, 4 / 3, 4 / 3, 0])


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert effective_sample_size(np.array([5.0, 0, 0])) == pytest.approx(1)
    assert effective_sample_size(np.array([1e-200, 1e-200])) == pytest.approx(2)
    with pytest.raises(PlauditError, match="not all 0"):
        effective_sample_size(np.zeros(3))


@pytest.mark.parametrize(
    ("survey", "margins", "message"),
    [
        (SURVEY, {}, "at least one margin"),
        (SURVEY, {"country": {"x": 1.0}}, r"margins for \['country'\], which the survey did not ask"),
        (SURVEY, {"sex": {"f": 0.5, "m": 0.4}}, r"margin of 'sex' must be shares that sum to 1, got a sum of 0\.9"),
        (SURVEY, {"sex": {"f": 1.5, "m": -0.5}}, "shares that sum to 1"),
        (SURVEY, {"sex": {"f": 0.5, "m": 0.4, "x": 0.1}}, r"no respondent answered \['x'\] to 'sex'"),
        (SURVEY, {"sex": {"f": 1.0}}, r"no share for the answers \['m'\]"),
        ({"a": ["x"], "b": ["y", "z"]}, {"a": {"x": 1.0}, "b": {"y": 0.5, "z": 0.5}}, "'b' has 2 answers and other"),
        ({"a": []}, {"a": {"x": 1.0}}, "no answers"),
        # The only old person is a woman, so the old cannot be more than women.
        (SURVEY, {"sex": {"f": 0.2, "m": 0.8}, "age": {"old": 0.5, "young": 0.5}}, "did not reach its margins"),
    ],
)
def test_refusals(survey: Mapping[str, Sequence[str]], margins: Mapping[str, Any], message: str) -> None:
    with pytest.raises(PlauditError, match=message):
        rake(survey, margins)


def test_base_weights_refused() -> None:
    with pytest.raises(PlauditError, match=r"base weights must be \(4,\)"):
        rake(SURVEY, {"sex": {"f": 0.5, "m": 0.5}}, base=np.array([1.0, 0.0, 1.0, 1.0]))
