"""Health of annotators: counts worked by hand, each fault found and named, honest people left alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from plaudit.feedback.quality import Comparisons, Evidence, Health, Limits, fewest_seconds, health
from plaudit.types import Array, PlauditError


def asked(choice: list[float], annotator: list[int] | None = None) -> Comparisons:
    """Comparisons of different pairs, so that none is a repeat."""
    first = np.arange(0, 2 * len(choice), 2)
    who = np.zeros(len(choice), dtype=np.int64) if annotator is None else np.array(annotator)
    return Comparisons.from_numbers(first, first + 1, np.array(choice), who)


def only(comparisons: Comparisons, evidence: Evidence | None = None) -> Health:
    (row,) = health(comparisons, evidence)
    return row


# --- counts --------------------------------------------------------------------------------------------------------


def test_sides_by_hand() -> None:
    """First better and shown left: left. Second better and shown left: left. A tie and can't tell are neither."""
    comparisons = asked([1, 1, -1, -1, 0, math.nan])
    row = only(comparisons, Evidence(left_first=np.array([True, False, False, True, True, True])))
    assert (row.left.successes, row.left.trials) == (2, 4)
    assert row.left_p_value == pytest.approx(1)
    assert (row.tie.successes, row.tie.trials) == (1, 5)
    assert (row.cant_tell.successes, row.cant_tell.trials, row.answers) == (1, 6, 6)
    assert (row.most_frequent.successes, row.most_frequent.trials) == (2, 6)


def test_without_evidence_there_are_no_trials() -> None:
    row = only(asked([1, -1]))
    assert [row.left.trials, row.consistency.trials, row.gold.trials, row.too_fast.trials] == [0, 0, 0, 0]
    assert math.isnan(row.left_p_value)
    assert math.isnan(row.residual_z)
    assert math.isnan(row.lapse)
    assert row.flags == ()


def test_repeats_by_hand() -> None:
    """Items a, b. Rows of one person, in order of time, and what each says against the one before it:

    1. (a, b), a left, a better.
    2. (a, b), b left, a better: swapped and the same.
    3. (a, b), b left, b better: not swapped, does not count.
    4. (b, a), b left, b better: not swapped either, though the question is turned around.
    5. (b, a), a left, a better: swapped, not the same.
    6. can't tell: left out.
    7. (a, b), b left, a better: swapped against 5 and the same.
    Another person's answer and another pair come in between and do not matter.
    """
    rows = [  # first, second, choice, first is left, annotator
        (0, 1, 1, True, 0),
        (0, 2, 1, True, 0),
        (0, 1, 1, False, 0),
        (0, 1, -1, True, 1),
        (0, 1, -1, False, 0),
        (1, 0, 1, True, 0),
        (1, 0, -1, False, 0),
        (0, 1, math.nan, True, 0),
        (0, 1, 1, False, 0),
    ]
    first, second, choice, left, who = (np.array(column) for column in zip(*rows, strict=True))
    mine, others = health(Comparisons.from_numbers(first, second, choice, who), Evidence(left_first=left))
    assert (mine.consistency.successes, mine.consistency.trials) == (2, 3)
    assert others.consistency.trials == 0


def test_who_always_presses_left_contradicts_himself() -> None:
    first, left = np.tile([0], 20), np.tile([True, False], 10)
    comparisons = Comparisons.from_numbers(first, first + 1, np.where(left, 1.0, -1.0))
    row = only(comparisons, Evidence(left_first=left))
    assert (row.left.rate, row.consistency.rate, row.consistency.trials) == (1, 0, 19)


def test_gold_by_hand() -> None:
    """Right, wrong, a tie called a tie, can't tell (no answer), not gold."""
    gold = np.array([1, 1, 0, -1, np.nan])
    row = only(asked([1, -1, 0, math.nan, 1]), Evidence(gold=gold))
    assert (row.gold.successes, row.gold.trials) == (2, 3)


def test_too_fast_by_hand() -> None:
    seconds, fewest = np.array([0.4, 0.5, np.nan, 9.0]), np.array([0.5, 0.5, 0.5, np.nan])
    row = only(asked([1, 1, 1, 1]), Evidence(seconds=seconds, fewest_seconds=fewest))
    assert (row.too_fast.successes, row.too_fast.trials) == (1, 2)


def test_fewest_seconds_by_hand() -> None:
    np.testing.assert_allclose(fewest_seconds(clip_seconds=np.array([2.0, 10.0])), [1, 5])
    np.testing.assert_allclose(fewest_seconds(words=np.array([0, 375])), [0, 30])  # 750 words a minute
    both = fewest_seconds(np.array([2.0]), np.array([100]), clip_share=0.25, words_per_minute=600.0)
    np.testing.assert_allclose(both, [0.5 + 10])


# --- faults --------------------------------------------------------------------------------------------------------


def pool(seed: int, annotators: int = 300, each: int = 100) -> tuple[Comparisons, Evidence]:
    """Honest people: they differ in noise and lapse, tie 15 % and can't tell 3 %; some pairs are gold or repeats."""
    rng = np.random.default_rng(seed)
    fresh = each - each // 10
    shape = (annotators, each)
    score = rng.normal(0, 1.5, 2000)
    first = rng.integers(0, 2000, shape)
    second = (first + rng.integers(1, 2000, shape)) % 2000
    left = rng.random(shape) < 0.5
    # The last tenth repeats the first tenth with sides swapped; these are easy pairs, which people answer alike.
    again = slice(fresh, None), slice(0, each - fresh)
    for column in (first, second):
        column[:, again[0]] = column[:, again[1]]
    left[:, again[0]] = ~left[:, again[1]]
    delta = score[first] - score[second]
    delta[:, again[0]] = delta[:, again[1]] = 3 * np.sign(delta[:, again[1]])
    sure = 1 / (1 + np.exp(-delta * rng.uniform(0.8, 1.4, (annotators, 1))))
    lapse = rng.uniform(0, 0.1, (annotators, 1))
    choice = np.where(rng.random(shape) < (1 - lapse) * sure + lapse / 2, 1.0, -1.0)
    ordinary = np.arange(each) >= each - fresh
    ordinary[again[0]] = False
    choice[(rng.random(shape) < 0.15) & ordinary] = 0
    choice[(rng.random(shape) < 0.03) & ordinary] = np.nan
    gold = np.where((rng.random(shape) < 0.1) & (np.abs(delta) > 2) & (choice != 0), np.sign(delta), np.nan)
    evidence = Evidence(
        left_first=left.ravel(),
        seconds=rng.gamma(5, 0.8, choice.size),
        fewest_seconds=np.full(choice.size, 1.0),
        gold=gold.ravel(),
        probability=(1 / (1 + np.exp(-delta))).ravel(),
    )
    who = np.repeat(np.arange(annotators), each)
    return Comparisons.from_numbers(first.ravel(), second.ravel(), choice.ravel(), who), evidence


@pytest.mark.parametrize("each", [20, 100, 400])
def test_honest_people_are_left_alone(each: int) -> None:
    """Four pools of 300 honest people, nine tests each: at most one flag in all, where 5 % each would raise 540."""
    flags = [flag for seed in range(4) for row in health(*pool(seed, each=each)) for flag in row.flags]
    assert len(flags) <= 1, flags


def spoil(comparisons: Comparisons, evidence: Evidence, who: int) -> tuple[Comparisons, Evidence, Array]:
    """Copies that may be written to, and where that person's rows are."""
    columns = {name: getattr(evidence, name).copy() for name in ("left_first", "seconds", "gold", "probability")}
    copied = replace(comparisons, choice=comparisons.choice.copy())
    return copied, replace(evidence, **columns), comparisons.annotator == who


FAULTS = {
    "left": "chose the left side in 9",
    "right": "chose the right side in 9",
    "coin": "answers like a coin",
    "liar": "goes against the reward model more than others do",
    "wrong on gold": "answered only 0 of",
    "hasty": "answered 200 of 200 (100%) questions faster than they can be taken in",
    "monotonous": "gave one and the same answer to 200 of 200 (100%) questions",
    "indifferent": "called 160 of 200 (80%) comparisons a tie",
    "at a loss": "could not tell in 160 of 200 (80%) comparisons",
    "forgetful": "gave the same answer to only",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_named(fault: str) -> None:
    """One of 100 people has it; 200 answers each, and nobody else is flagged."""
    comparisons, evidence, own = spoil(*pool(1, annotators=100, each=200), who=42)
    choice, left = comparisons.choice, evidence.left_first
    assert left is not None
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(own)
    coin = rng.choice([-1.0, 1.0], len(rows))
    press_left = np.where(left[rows], 1.0, -1.0)
    if fault in ("left", "right"):
        side = press_left if fault == "left" else -press_left
        choice[rows] = np.where(rng.random(len(rows)) < 0.9, side, coin)
        words = FAULTS[fault][:-2]
    else:
        words = FAULTS[fault]
    if fault == "coin":
        choice[rows] = coin
    elif fault == "liar":
        choice[rows] = -choice[rows]
    elif fault == "wrong on gold":
        assert evidence.gold is not None
        evidence.gold[rows] = -choice[rows]
        evidence.gold[rows[choice[rows] == 0]] = np.nan
    elif fault == "hasty":
        assert evidence.seconds is not None
        evidence.seconds[rows] = 0.3
    elif fault == "monotonous":
        choice[rows] = press_left
    elif fault in ("indifferent", "at a loss"):
        choice[rows[:160]] = 0 if fault == "indifferent" else np.nan
        choice[rows[160:]] = coin[160:]
    elif fault == "forgetful":  # many repeats of one pair, with the sides swapped each time
        comparisons.first[rows], comparisons.second[rows] = 0, 1
        left[rows] = np.arange(len(rows)) % 2 == 0
        choice[rows] = coin
    rows_of_health = health(comparisons, evidence)
    assert any(flag.startswith(words) for flag in rows_of_health[42].flags), rows_of_health[42].flags
    assert [row.annotator for row in rows_of_health if row.flags] == ["42"]


def test_few_answers_flag_nobody() -> None:
    """Ten answers, all left: likely enough to happen to one of 300."""
    comparisons, evidence, own = spoil(*pool(2, each=10), who=0)
    assert evidence.left_first is not None
    comparisons.choice[own] = np.where(evidence.left_first[own], 1.0, -1.0)
    row = health(comparisons, Evidence(left_first=evidence.left_first))[0]
    assert row.left.rate == 1
    assert row.left_p_value == pytest.approx(2 / 1024)
    assert row.flags == ()


def test_limits_move_the_flags() -> None:
    comparisons = asked([0.0] * 60 + [1.0] * 40)
    assert only(comparisons).flags == ()
    (row,) = health(comparisons, limits=Limits(tie=0.3))
    assert row.flags == ("called 60 of 100 (60%) comparisons a tie",)


def test_order_of_annotators_does_not_matter() -> None:
    comparisons, evidence = pool(3, annotators=20, each=60)
    moved = np.random.default_rng(0).permutation(20)
    names = tuple(str(place) for place in np.argsort(moved))
    shuffled = replace(comparisons, annotator=moved[comparisons.annotator], annotators=names)
    before, after = health(comparisons, evidence), health(shuffled, evidence)
    for old, new in zip(before, (after[place] for place in moved), strict=True):
        assert new.residual_z == pytest.approx(old.residual_z)  # sums over the pool, in another order
        assert replace(new, residual_z=old.residual_z) == old


def test_refusals() -> None:
    comparisons = asked([1, -1])
    with pytest.raises(PlauditError, match=r"Evidence.gold must have the shape \(2,\)"):
        health(comparisons, Evidence(gold=np.array([1.0])))
    with pytest.raises(PlauditError, match=r"Evidence\.gold must be 1"):
        health(comparisons, Evidence(gold=np.array([1.0, 2.0])))
    with pytest.raises(PlauditError, match="left_first must be bool"):
        health(comparisons, Evidence(left_first=np.array([1, 0])))
    with pytest.raises(PlauditError, match="seconds and fewest_seconds together"):
        health(comparisons, Evidence(seconds=np.array([1.0, 2.0])))
    with pytest.raises(PlauditError, match="before the question was shown"):
        health(comparisons, Evidence(seconds=np.array([-1.0, 2.0]), fewest_seconds=np.ones(2)))
    with pytest.raises(PlauditError, match=r"Limits.side must lie strictly between 0 and 0\.5"):
        Limits(side=0.5)
    with pytest.raises(PlauditError, match="clips, the number of words, or both"):
        fewest_seconds()
    with pytest.raises(PlauditError, match="words must not be negative"):
        fewest_seconds(words=np.array([-1.0]))
    with pytest.raises(PlauditError, match="words_per_minute > 0"):
        fewest_seconds(words=np.array([1.0]), words_per_minute=0.0)
