"""Lapse rates from repeats and cycles, against values worked by hand and simulated annotators."""

import math

import numpy as np
import pytest

from plaudit.feedback.quality import Comparisons, count_cycles, count_repeats, retest_lapse, second_judgement
from plaudit.types import PlauditError


def test_repeats_by_hand() -> None:
    # Item 0 against 1, first left then right, preferred twice: the same. Then 2 against 3 is left twice, and 4
    # against 5 right twice. The last pair was not swapped, and counts for nothing; nor does a tie.
    first, second = np.array([0, 1, 2, 3, 4, 4, 6, 6, 0]), np.array([1, 0, 3, 2, 5, 5, 7, 7, 1])
    choice = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 0.0])
    left_first = np.array([True, True, True, True, True, False, True, True, True])
    repeats = count_repeats(Comparisons.from_numbers(first, second, choice), left_first)
    assert [repeats.consistent.tolist(), repeats.left.tolist(), repeats.right.tolist()] == [[1], [1], [1]]
    assert repeats.trials.tolist() == [3]


def test_lapse_by_hand() -> None:
    # P[same] = (1 + (1 - e)^2) / 2 without a side: 82 of 100 give e = 1 - sqrt(.64) = .2
    estimate = retest_lapse(82, 9, 9)
    assert estimate.lapse == pytest.approx(0.2, abs=0.011)
    assert estimate.side == pytest.approx(0, abs=0.011)
    assert estimate.low < 0.2 < estimate.high
    # Three in four answers are the better one's, one in four goes left: a = 0, b = .25, P[same] = .75, P[left] = .25.
    left_only = retest_lapse(75, 25, 0)
    assert left_only.lapse == pytest.approx(0, abs=0.011)
    assert left_only.side == pytest.approx(0.25, abs=0.011)
    assert retest_lapse(30, 0, 0).lapse == 0
    for counts in ((0, 0, 0), (-1, 1, 1)):
        with pytest.raises(PlauditError, match="counts of repeats"):
            retest_lapse(*counts)


@pytest.mark.parametrize(("lapse", "side"), [(0.1, 0.0), (0.25, 0.0), (0.1, 0.2), (0.0, 0.0)])
def test_lapse_interval_holds_the_truth(lapse: float, side: float) -> None:
    rng = np.random.default_rng(0)
    error_left, error_right = (1 - side) * lapse / 2, side + (1 - side) * lapse / 2
    probabilities = [
        (1 - error_left) * (1 - error_right) + error_left * error_right,
        (1 - error_left) * error_right,
        error_left * (1 - error_right),
    ]
    held = 0
    for counts in rng.multinomial(100, probabilities, size=50):
        estimate = retest_lapse(*map(int, counts))
        held += estimate.low <= lapse <= estimate.high
    assert held >= 45


def test_cycles_by_hand() -> None:
    # 0 > 1 > 2 > 0 is a cycle; with 3 below all there are three more triples, none of them cyclic
    first, second = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 0, 3, 3, 3])
    cycles = count_cycles(Comparisons.from_numbers(first, second, np.ones(6)))
    assert (cycles.cyclic, cycles.triples) == (1, 4)
    assert cycles.lapse == 1  # one in four is a coin's
    # answered twice with another result, a pair has no majority, and its triples are left out
    again = Comparisons.from_numbers(np.append(first, 0), np.append(second, 1), np.append(np.ones(6), -1))
    assert count_cycles(again).triples == 2
    assert math.isnan(count_cycles(Comparisons.from_numbers(first[:2], second[:2], np.ones(2))).lapse)


def test_cycles_give_the_lapse_rate() -> None:
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(60, 1)
    better = np.where(first < second, 1.0, -1.0)  # the order of the numbers is the truth
    choice = np.where(rng.random(len(first)) < 0.2, rng.choice([-1.0, 1.0], len(first)), better)
    assert count_cycles(Comparisons.from_numbers(first, second, choice)).lapse == pytest.approx(0.2, abs=0.03)


def test_second_judgement_by_hand() -> None:
    # a = .9: two agree in .81 + .01 = .82 of questions, and are then right in .81 / .82; three in .729 + .243 = .972
    value = second_judgement(0.2)
    assert value.accuracy == pytest.approx(0.9)
    assert value.agree == pytest.approx(0.82)
    assert value.agreed == pytest.approx(0.81 / 0.82)
    assert value.majority == pytest.approx(0.972)
    # m = .8: judged twice 2 * .64 / 1.64 clean answers a question, two new questions 2 * .64
    assert value.worth == pytest.approx(1.28 / 1.64)
    assert value.new == pytest.approx(1.28)
    with pytest.raises(PlauditError, match="lapse rate"):
        second_judgement(1.5)
