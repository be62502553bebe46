"""What can be said in a comparison, and what is learned from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.kinds import KINDS, Kind, kind
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.types import PlauditError, Question


def test_the_registry_finds_each_file_by_itself() -> None:
    assert KINDS["comparison"] is kind("comparison") is COMPARISON
    assert all(isinstance(each, Kind) and each.name == name and each.wording for name, each in KINDS.items())
    with pytest.raises(PlauditError, match="no kind of feedback called 'stroke': choose from comparison"):
        kind("stroke")


@pytest.mark.parametrize(("strength", "mu"), [(4, 1.0), (1, 0.625), (0, 0.5), (-2, 0.25), (-4, 0.0), (None, None)])
def test_targets_worked_by_hand(strength: int | None, mu: float | None) -> None:
    assert COMPARISON.target(COMPARISON.validate({"strength": strength})) == mu


@given(st.integers(-4, 4))
def test_swapping_the_items_swaps_the_target(strength: int) -> None:
    first, second = COMPARISON.target({"strength": strength}), COMPARISON.target({"strength": -strength})
    assert first is not None and second is not None and first + second == 1.0


def test_what_is_withdrawn_is_dropped() -> None:
    assert COMPARISON.target({"withdrawn": True}) is None


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"strength": 5},
        {"strength": -5},
        {"strength": 1.0},
        {"strength": True},
        {"strength": "1"},
        {"strength": [1]},
        {"strength": 1, "note": ""},
        {"winner": 0},
        {"withdrawn": True},
    ],
)
def test_other_values_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(PlauditError, match=r"whole number in -4\.\.4"):
        COMPARISON.validate(value)


def test_a_comparison_asks_about_two() -> None:
    question = COMPARISON.question("a", "b", round=3)
    assert question == Question("comparison", ("a", "b"), COMPARISON.wording, round=3)
    assert COMPARISON.question("a", "b", wording="Which is safer?").wording == "Which is safer?"
    assert "only what you see" in COMPARISON.wording  # Christiano et al. 2017, appendix B: the raters' instructions
    COMPARISON.check(question)
    with pytest.raises(PlauditError, match="needs two items"):
        COMPARISON.check(Question("comparison", ("a",), "Which?"))
