"""Cutting, candidate pairs, acquisition and the label schedule: worked by hand, and as invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processes import outputs_by_hash_seed

from plaudit.feedback.select import (
    METHODS,
    acquisition,
    cut,
    cut_indices,
    labels_due,
    pairs,
    preferences,
    propose,
    segment_features,
    segment_sums,
    segments,
    select,
    valid_starts,
)
from plaudit.types import PlauditError, Trajectory


def make_trajectory(mask=None, ends=None, rows=2, steps=8, observations=None) -> Trajectory:
    zeros = np.zeros((rows, steps), dtype=np.float32)
    if observations is None:
        observations = np.arange(rows * steps * 2, dtype=np.float32).reshape(rows, steps, 2)
    return Trajectory(
        observations=observations,
        actions=np.arange(rows * steps).reshape(rows, steps),
        log_probs=zeros,
        values=zeros,
        next_values=zeros,
        ends=np.zeros((rows, steps), dtype=bool) if ends is None else ends,
        mask=np.ones((rows, steps), dtype=bool) if mask is None else mask,
        rollout=7,
        states=np.arange(rows * steps, dtype=np.uint8).reshape(rows, steps, 1),
    )


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- cutting


def test_valid_starts_by_hand():
    # Row 0: the episode ends after step 2, step 3 is the reset step. Row 1: one episode throughout.
    mask = np.ones((2, 8), dtype=bool)
    mask[0, 3] = False
    ends = np.zeros((2, 8), dtype=bool)
    ends[0, 2] = True
    got = valid_starts(mask, ends, 3)
    assert got.tolist() == [[True, False, False, False, True, True], [True] * 6]


def test_an_end_cuts_even_where_no_reset_step_follows():
    ends = np.zeros((1, 6), dtype=bool)
    ends[0, 2] = True
    got = valid_starts(np.ones((1, 6), dtype=bool), ends, 2)
    assert got.tolist() == [[True, True, False, True, True]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_valid_starts_agree_with_looking_at_every_window(seed, length):
    chance = rng(seed)
    mask, ends = chance.random((3, 7)) < 0.8, chance.random((3, 7)) < 0.2
    got = valid_starts(mask, ends, length)
    assert got.shape == (3, 8 - length)
    for row, start in np.ndindex(*got.shape):
        window = slice(start, start + length)
        assert got[row, start] == (mask[row, window].all() and not ends[row, window][:-1].any())


def test_cut_copies_and_says_where_from():
    trajectory = make_trajectory()
    for segment in cut(trajectory, 3, 5, rng()):
        source = segment.source
        assert source is not None and source.rollout == 7
        assert not np.shares_memory(segment.observations, trajectory.observations)
        assert segment.observations.base is None and segment.actions.base is None
        assert segment.states is not None and segment.states.base is None and trajectory.states is not None
        steps = slice(source.start, source.start + 3)
        np.testing.assert_array_equal(segment.observations, trajectory.observations[source.row, steps])
        np.testing.assert_array_equal(segment.actions, trajectory.actions[source.row, steps])
        np.testing.assert_array_equal(segment.states, trajectory.states[source.row, steps])


def test_cut_gives_every_segment_once_when_asked_for_more_than_there_are():
    rows, starts = cut_indices(make_trajectory(), 6, 100, rng())
    assert sorted(zip(rows.tolist(), starts.tolist(), strict=True)) == [(r, s) for r in range(2) for s in range(3)]


def test_cutting_is_uniform_over_segments():
    counts = np.zeros((2, 6))
    chance = rng()
    for _ in range(600):
        np.add.at(counts, cut_indices(make_trajectory(), 3, 4, chance), 1)
    assert abs(counts - 200).max() < 5 * math.sqrt(200)  # 600 * 4 / 12 each


def test_a_segment_longer_than_any_run_is_refused_with_the_longest_run():
    ends = np.zeros((2, 8), dtype=bool)
    ends[:, 4] = True
    with pytest.raises(PlauditError, match=r"segment of 6 steps is longer than any run of real steps \(5\)"):
        cut(make_trajectory(ends=ends), 6, 1, rng())
    with pytest.raises(PlauditError, match="9 steps"):
        cut(make_trajectory(), 9, 1, rng())
    with pytest.raises(PlauditError, match="at least one step"):
        cut(make_trajectory(), 0, 1, rng())


def test_segment_sums_by_hand():
    per_step = np.array([[[1.0, 2.0, 3.0, 4.0], [0.0, -1.0, 0.5, 0.5]]], dtype=np.float32)  # (M=1, B=2, T=4)
    got = segment_sums(per_step, np.array([0, 0, 1]), np.array([0, 2, 1]), 2)
    np.testing.assert_array_equal(got, [[3.0, 7.0, -0.5]])
    assert segment_sums(per_step, np.array([1]), np.array([0]), 4).tolist() == [[0.0]]


def test_segment_sums_are_the_sums_of_the_copied_segments():
    per_step = rng().normal(size=(3, 2, 8)).astype(np.float32)
    rows, starts = cut_indices(make_trajectory(), 3, 6, rng())
    expected = np.stack([per_step[:, r, s : s + 3].sum(axis=1) for r, s in zip(rows, starts, strict=True)], axis=1)
    np.testing.assert_allclose(segment_sums(per_step, rows, starts, 3), expected, rtol=1e-5, atol=1e-6)


# --- pairs


@given(st.integers(2, 25), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_pairs_are_distinct_and_as_many_as_there_are(count, wanted, seed):
    drawn = pairs(count, wanted, rng(seed))
    assert drawn.shape == (min(wanted, count * (count - 1) // 2), 2)
    assert ((drawn >= 0) & (drawn < count)).all()
    assert len({frozenset(pair) for pair in drawn.tolist()}) == len(drawn)
    assert (drawn[:, 0] != drawn[:, 1]).all()


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_pairs_are_disjoint_while_there_are_enough_segments(wanted, seed):
    assert len(np.unique(pairs(2 * wanted, wanted, rng(seed)))) == 2 * wanted


def test_every_ordered_pair_is_equally_likely():
    counts = np.zeros((5, 5))
    chance = rng()
    for _ in range(2000):
        counts[tuple(pairs(5, 2, chance).T)] += 1
    assert counts.trace() == 0
    others = counts[~np.eye(5, dtype=bool)]
    assert abs(others - 200).max() < 5 * math.sqrt(200)  # 2000 * 2 / 20 each


def test_one_segment_cannot_be_compared():
    with pytest.raises(PlauditError, match="two segments"):
        pairs(1, 3, rng())


# --- acquisition


# Members' P[first better], by log odds: agree strongly; disagree; both undecided.
LN3 = math.log(3)
RETURNS = np.array(
    [
        [[LN3, 0.0], [LN3, 0.0], [0.0, 0.0]],
        [[LN3, 0.0], [0.0, LN3], [1.0, 1.0]],
    ]
)


def test_preferences_by_hand():
    np.testing.assert_allclose(preferences(RETURNS), [[0.75, 0.75, 0.5], [0.75, 0.25, 0.5]], atol=1e-12)
    np.testing.assert_array_equal(preferences(np.array([[[1e9, 0.0], [0.0, 1e9]]])), [[1.0, 0.0]])


def test_disagreement_by_hand():
    np.testing.assert_allclose(acquisition("disagreement", RETURNS), [0.0, 0.0625, 0.0], atol=1e-12)
    assert select("disagreement", RETURNS, None, 1, rng()).tolist() == [1]


def test_entropy_by_hand():
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    np.testing.assert_allclose(acquisition("entropy", RETURNS), [quarter, math.log(2), math.log(2)], atol=1e-12)
    assert sorted(select("entropy", RETURNS, None, 2, rng()).tolist()) == [1, 2]
    assert acquisition("entropy", np.array([[[1e9, 0.0]]])).tolist() == pytest.approx([0.0], abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_sides_do_not_matter(seed):
    returns = rng(seed).normal(size=(3, 20, 2))
    for method in ("disagreement", "entropy"):
        np.testing.assert_allclose(acquisition(method, returns), acquisition(method, returns[..., ::-1]), atol=1e-12)


def test_k_center_by_hand():
    # Four pairs on a line at 0, 1, 9, 10: after either end comes the other one, then an inner point, 1 away.
    features = np.zeros((4, 2, 1))
    features[:, 0, 0] = [0, 1, 9, 10]
    firsts = set()
    for seed in range(20):
        chosen = select("k-center", np.zeros((1, 4, 2)), features, 4, rng(seed)).tolist()
        firsts.add(chosen[0])
        far = {0: 3, 1: 3, 2: 0, 3: 0}
        assert chosen[1] == far[chosen[0]]
        assert sorted(chosen) == [0, 1, 2, 3]
    assert len(firsts) > 1


def test_k_center_agrees_with_the_plain_algorithm():
    features = rng(3).normal(size=(40, 2, 5))
    chosen = select("k-center", np.zeros((1, 40, 2)), features, 8, rng(4)).tolist()
    points = features.reshape(40, -1)
    for i in range(1, 8):
        near = np.linalg.norm(points[:, None] - points[chosen[:i]], axis=2).min(axis=1)
        assert chosen[i] == near.argmax()


def test_uniform_is_uniform():
    counts, chance = np.zeros(6), rng()
    for _ in range(1000):
        counts[select("uniform", np.zeros((1, 6, 2)), None, 2, chance)] += 1
    assert abs(counts - 1000 / 3).max() < 5 * math.sqrt(1000 / 3)


@pytest.mark.parametrize("method", METHODS)
def test_no_segment_is_asked_about_twice_while_a_choice_remains(method):
    chance = rng(1)
    candidates = pairs(8, 28, chance)  # all pairs of eight segments: four of them can be disjoint
    returns, features = chance.normal(size=(3, 28, 2)), chance.normal(size=(28, 2, 2))
    chosen = select(method, returns, features, 3, chance, candidates)
    assert len(np.unique(candidates[chosen])) == 6
    everything = select(method, returns, features, 28, chance, candidates)
    assert sorted(everything.tolist()) == list(range(28))


def test_bad_requests_are_refused():
    with pytest.raises(PlauditError, match="uniform, disagreement, entropy, k-center"):
        select("best", RETURNS, None, 1, rng())
    with pytest.raises(PlauditError, match="4 questions from 3"):
        select("uniform", RETURNS, None, 4, rng())
    with pytest.raises(PlauditError, match="needs features"):
        select("k-center", RETURNS, None, 1, rng())
    with pytest.raises(PlauditError, match="not finite"):
        select("entropy", RETURNS * np.nan, None, 1, rng())


# --- proposing


def test_propose_asks_where_members_disagree():
    trajectory = make_trajectory(rows=4, steps=8)
    per_step = np.zeros((2, 4, 8), dtype=np.float32)
    per_step[0, 0, :4], per_step[1, 0, :4] = 1.0, -1.0  # the members differ about the start of row 0 alone
    chosen = propose("disagreement", trajectory, per_step, 4, 1, rng())
    assert len(chosen) == 1
    sources = [segment.source for segment in chosen[0]]
    assert any(source is not None and source.row == 0 and source.start < 4 for source in sources)


@pytest.mark.parametrize("method", METHODS)
def test_propose_never_pairs_equal_contents(method):
    # Every observation and action is the same: all segments are one segment, and nothing can be asked.
    zeros = np.zeros((3, 9), dtype=np.float32)
    flags = np.zeros((3, 9), dtype=bool)
    same = Trajectory(zeros[..., None], zeros.astype(int), zeros, zeros, zeros, flags, ~flags)
    assert propose(method, same, zeros[None], 3, 2, rng()) == []
    different = propose(method, make_trajectory(rows=3, steps=9), zeros[None], 3, 4, rng())
    assert len(different) == 4
    assert all(first.id != second.id for first, second in different)


def test_propose_nothing_when_nothing_is_wanted():
    assert propose("uniform", make_trajectory(), np.zeros((1, 2, 8)), 3, 0, rng()) == []


def test_features_take_the_ends_and_the_middle():
    observations = np.arange(2 * 8, dtype=np.float32).reshape(2, 8, 1)
    trajectory = make_trajectory(observations=observations)
    got = segment_features(trajectory, np.array([0, 1]), np.array([0, 1]), 5)
    scale = np.std([0.0, 9.0])  # each column differs by 9 between the two segments
    np.testing.assert_allclose(got, np.array([[0, 2, 4], [9, 11, 13]]) / scale)
    wide = make_trajectory(observations=np.zeros((2, 8, 20, 30), dtype=np.uint8))
    assert segment_features(wide, np.array([0]), np.array([0]), 5, limit=100).shape == (1, 300)


def test_selection_is_the_same_in_another_process():
    program = (
        "import numpy as np; from plaudit.feedback.select import pairs, select; r = np.random.default_rng(5);"
        "c = pairs(30, 60, r); s = r.normal(size=(3, 60, 2)); f = r.normal(size=(60, 2, 4));"
        "print([select(m, s, f, 6, r, c).tolist() for m in ('uniform', 'disagreement', 'entropy', 'k-center')])"
    )
    first, second = outputs_by_hash_seed(program)
    assert first == second and first.count("[") == 5


def test_segments_from_indices_keep_their_order():
    got = segments(make_trajectory(), np.array([1, 0]), np.array([2, 0]), 2)
    assert [(s.source.row, s.source.start) for s in got if s.source] == [(1, 2), (0, 0)]


# --- the schedule


def test_labels_due_by_hand():
    # scale = total / 3: the rate falls from 1 to 1/4, and log(1 + 1) / log(1 + 3) = 1/2 is spent after a third.
    assert labels_due(0, 900, 100, 0.25, 300.0) == 25
    assert labels_due(300, 900, 100, 0.25, 300.0) == 63  # 25 + 75 / 2 = 62.5
    assert labels_due(900, 900, 100, 0.25, 300.0) == 100
    assert labels_due(5000, 900, 100, 0.25, 300.0) == 100


def test_the_rate_falls_as_in_the_paper():
    # Appendix A.1: proportional to 2e6 / (T + 2e6), so half as fast at T = 2e6 as at the start.
    budget, total, scale = 10**9, 10**7, 2e6
    first = labels_due(1000, total, budget, 0.25, scale) - labels_due(0, total, budget, 0.25, scale)
    later = labels_due(2_001_000, total, budget, 0.25, scale) - labels_due(2_000_000, total, budget, 0.25, scale)
    assert later / first == pytest.approx(0.5, rel=1e-3)


@given(
    st.integers(0, 5000),
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.lists(st.integers(0, 10**6), min_size=2, max_size=20),
    st.one_of(st.none(), st.floats(1e-3, 1e9)),
)
def test_labels_due_never_decreases_and_ends_at_the_budget(budget, total, upfront, steps, scale):
    due = [labels_due(step, total, budget, upfront, scale) for step in sorted(steps)]
    assert due == sorted(due)
    assert all(upfront * budget - 1e-6 <= labels <= budget for labels in due)
    assert labels_due(total, total, budget, upfront, scale) == budget


def test_extremes_of_the_schedule():
    assert labels_due(0, 100, 0) == 0
    assert labels_due(0, 100, 1) == 1
    assert labels_due(0, 100, 50, upfront=1.0) == 50
    assert labels_due(0, 100, 50, upfront=0.0) == 0
    for bad in ({"budget": -1}, {"upfront": 1.5}, {"scale": 0.0}, {"total_steps": 0}, {"step": -1}):
        with pytest.raises(PlauditError, match="label schedule"):
            labels_due(**{"step": 0, "total_steps": 10, "budget": 5, **bad})
