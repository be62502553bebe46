"""The oracle and B-Pref's simulated annotators, on returns worked by hand and in fixed-seed samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processes import outputs_by_hash_seed

from plaudit.annotators.biased import BIASES, SIMULATED_ANNOTATORS, Bias, BiasedAnnotator, simulated_annotator
from plaudit.annotators.draws import sides
from plaudit.annotators.oracle import Oracle, partial_return
from plaudit.types import Array, PlauditError, Question, Segment


class Known:
    """Truth for tests: a segment's observations are its rewards."""

    def __init__(self, scale: float | None = None) -> None:
        self.scale = scale

    def rewards_of(self, segment: Segment) -> Array:
        return segment.observations

    def reward_per_step(self, round: int) -> float | None:
        return self.scale


def segment(*rewards: float) -> Segment:
    return Segment(np.array(rewards, dtype=np.float32), np.zeros(len(rewards), dtype=np.int64))


def strength(annotator, first: Segment, second: Segment, number: int = 0):
    question = Question("comparison", (first.id, second.id), "Which is better?", round=number)
    return annotator.judge(question, [first, second]).value["strength"]


def many(annotator, first: Segment, second: Segment, count: int = 4000) -> Array:
    return np.array([strength(annotator, first, second, number) for number in range(count)])


def test_oracle_by_hand():
    oracle = Oracle(Known())
    assert strength(oracle, segment(1, 0, 1), segment(0, 1, 0)) == 4
    assert strength(oracle, segment(0, 1, 0), segment(1, 0, 1)) == -4
    assert strength(oracle, segment(0, 1, 1), segment(1, 1, 0)) == 0


def test_the_same_rewards_in_another_order_tie_exactly():
    rewards = [0.1, 0.7, 1e8, -1e8, 0.3, 1e-7]
    assert strength(Oracle(Known()), segment(*rewards), segment(*reversed(rewards))) == 0


def test_partial_return_by_hand():
    rewards = np.array([1.0, 2.0, 4.0])
    assert partial_return(rewards) == 7.0
    assert partial_return(rewards, 0.5) == 0.25 * 1 + 0.5 * 2 + 4


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=3), st.lists(st.integers(-5, 5), min_size=3, max_size=3))
def test_rational_annotators_are_antisymmetric(first, second):
    if first == second:
        return
    a, b = segment(*first), segment(*second)
    for annotator in (
        Oracle(Known()),
        simulated_annotator("myopic", Known()),
        simulated_annotator("equal", Known(1.0)),
    ):
        assert strength(annotator, a, b) == -strength(annotator, b, a)


def test_myopic_prefers_what_came_last():
    # 0.9^2 * 2 = 1.62 against 1.7 at the end; the plain sums are 2 and 1.7.
    early, late = segment(2, 0, 0), segment(0, 0, 1.7)
    assert strength(Oracle(Known()), early, late) == 4
    assert strength(simulated_annotator("myopic", Known()), early, late) == -4


def test_mistake_errs_one_time_in_ten():
    said = many(simulated_annotator("mistake", Known(), seed=3), segment(1, 0), segment(0, 0))
    assert set(said) == {4, -4}
    assert abs((said == -4).mean() - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 4000)


def test_noisy_is_boltzmann():
    said = many(simulated_annotator("noisy", Known(), seed=3), segment(1.0, math.log(3) - 1), segment(0, 0))
    assert abs((said == 4).mean() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 4000)
    assert strength(simulated_annotator("noisy", Known()), segment(1e6, 0), segment(0, 0)) == 4


def test_random_is_a_coin_even_where_the_oracle_is_sure():
    said = many(simulated_annotator("random", Known()), segment(100, 0), segment(0, 0))
    assert abs((said == 4).mean() - 0.5) < 4 * math.sqrt(0.25 / 4000)


def test_skip_by_hand():
    # Usual return of a 4-step segment: 5 * 4 = 20; a tenth of it is 2. B-Pref's code would have used 0.2.
    skip = simulated_annotator("skip", Known(5.0))
    assert strength(skip, segment(1, 0, 0, 0.9), segment(0, 0, 0, 0)) is None
    assert strength(skip, segment(1, 0, 0, 1), segment(0, 0, 0, 0)) == 4
    assert strength(skip, segment(0, 0, 0, 0), segment(3, 0, 0, 0)) == -4


def test_equal_by_hand():
    equal = simulated_annotator("equal", Known(5.0))
    assert strength(equal, segment(10, 0, 0, 1.9), segment(10, 0, 0, 0)) == 0
    assert strength(equal, segment(10, 0, 0, 2), segment(10, 0, 0, 0)) == 4


def test_thresholds_where_the_usual_return_is_negative_or_unknown():
    low, lower = segment(-10, 0, 0, 0), segment(-13, 0, 0, 0)
    assert strength(simulated_annotator("skip", Known(-5.0)), low, lower) == 4
    assert strength(simulated_annotator("equal", Known(-5.0)), low, segment(-11, 0, 0, 0)) == 0
    assert strength(simulated_annotator("equal", Known(-5.0)), low, lower) == 4
    for name in ("skip", "equal"):
        assert strength(simulated_annotator(name, Known(None)), low, lower) == 4


def test_biases_combine():
    every = BiasedAnnotator(Known(5.0), Bias(beta=1.0, gamma=0.9, mistake=0.1, skip=0.1, equal=0.1), "all")
    assert strength(every, segment(0, 0, 0, 0), segment(0, 1, 0, 0)) is None
    assert strength(every, segment(0, 0, 0, 10), segment(0, 0, 0, 9)) == 0
    said = many(every, segment(0, 0, 0, 30), segment(0, 0, 0, 0))
    assert abs((said == -4).mean() - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 4000)


def test_seeds_and_annotators_draw_apart():
    a, b = segment(1, 0), segment(0, 0)
    coins = [many(simulated_annotator("random", Known(), seed), a, b, 200) for seed in (0, 1)]
    assert 60 < (coins[0] == coins[1]).sum() < 140
    np.testing.assert_array_equal(coins[0], many(simulated_annotator("random", Known(), 0), a, b, 200))


def test_sides_are_shuffled_and_the_value_stays_in_the_questions_order():
    first, second = segment(1, 0), segment(0, 0)
    orders = []
    for number in range(400):
        question = Question("comparison", (first.id, second.id), "Which is better?", round=number)
        answer = Oracle(Known()).judge(question, [first, second])
        assert answer.value == {"strength": 4}
        assert answer.order == sides(question.id, 2)
        orders.append(answer.order)
    assert 150 < orders.count((0, 1)) < 250 and orders.count((0, 1)) + orders.count((1, 0)) == 400


def test_answers_are_the_same_in_another_process():
    program = (
        "import numpy as np\n"
        "from plaudit.annotators.biased import BIASES, simulated_annotator\n"
        "from plaudit.types import Question, Segment\n"
        "class Known:\n"
        "    def rewards_of(self, segment): return segment.observations\n"
        "    def reward_per_step(self, round): return 1.0\n"
        "a, b = (Segment(np.array(r, dtype=np.float32), np.zeros(2)) for r in ([0.5, 0.6], [0.4, 0.2]))\n"
        "for name in BIASES:\n"
        "    one = simulated_annotator(name, Known(), 7)\n"
        "    asked = [Question('comparison', (a.id, b.id), 'Which?', round=r) for r in range(40)]\n"
        "    print([(x.value['strength'], x.order) for x in (one.judge(q, [a, b]) for q in asked)])\n"
    )
    first, second = outputs_by_hash_seed(program)
    assert first == second and first.count("\n") == len(BIASES)


def test_unknown_annotators_and_questions_are_refused():
    with pytest.raises(PlauditError, match="oracle, mistake, noisy, myopic, skip, equal, random"):
        simulated_annotator("kind", Known())
    assert [simulated_annotator(name, Known()).name for name in SIMULATED_ANNOTATORS] == list(SIMULATED_ANNOTATORS)
    three = [segment(1, 0), segment(0, 0), segment(2, 0)]
    question = Question("ranking", tuple(each.id for each in three), "Which order?")
    for name in SIMULATED_ANNOTATORS:
        with pytest.raises(PlauditError, match="ranking of 3 items"):
            simulated_annotator(name, Known()).judge(question, three)


@pytest.mark.parametrize(
    "bad", [{"beta": -1.0}, {"beta": math.nan}, {"gamma": 0.0}, {"mistake": 1.1}, {"skip": -0.1}, {"equal": math.inf}]
)
def test_a_bias_is_validated_at_birth(bad):
    with pytest.raises(PlauditError, match=f"simulated annotator: {next(iter(bad))}"):
        Bias(**bad)
