"""The line of figures beside the bar: labels that were given, and how many were asked for if that is more."""

from __future__ import annotations

import pytest

from plaudit.api.control import _facts


@pytest.mark.parametrize(
    ("asked", "labels", "words"),
    [(7, 6, "6/12 labels (7 asked)"), (12, 12, "12/12 labels"), (3, 0, "0/12 labels (3 asked)")],
)
def test_labels_are_those_that_were_given(asked: int, labels: int, words: str) -> None:
    row = {"steps_per_second": 1000.0, "asked": float(asked), "labels": float(labels), "true_return": 1.5}
    assert _facts(row, 12) == f"1,000 steps/s  {words}  true 1.50"


def test_answers_of_people_count_before_a_fit_hears_of_them() -> None:
    row = {"steps_per_second": 1000.0, "asked": 12.0, "labels": 3.0, "answers": 9.0}
    assert _facts(row, 12) == "1,000 steps/s  9/12 labels (12 asked)"
