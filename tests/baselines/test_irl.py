"""Inverse RL against values worked by hand, its gradient against differences, and what no demonstration can tell."""

import itertools
from math import e, log

import numpy as np
import pytest
from tests.control.test_solve import COIN, STAY_OR_GO

from plaudit.baselines.identify import (
    best_actions,
    board_table,
    compare_forms,
    compare_shaping,
    shape_reward,
    share_of_return,
    shift_shares,
    try_potentials,
)
from plaudit.baselines.irl import FORM_NAMES, IrlConfig, Visits, dual, exact_visits, infer, make_form
from plaudit.control.environments.delivery import WEIGHTS, Board, knox_board
from plaudit.control.solve import occupancy, soft_value_iteration, value_iteration
from plaudit.control.tables import Table
from plaudit.types import PlauditError

# State 0: both actions lead to the end, state 1, and earn 1 and 3.
CHOICE = Table(
    next_state=np.ones((2, 2, 1), np.int64),
    probabilities=np.ones((2, 2, 1)),
    reward=np.array([[1.0, 3.0], [0.0, 0.0]]),
    start=np.array([1.0, 0.0]),
    terminal=np.array([False, True]),
    observations=np.eye(2, dtype=np.float32),
    features=np.array([[[1.0], [3.0]], [[9.0], [9.0]]]),  # those of the end never count
    feature_names=("pay",),
)
HOME = board_table(Board.parse("0003 0620 0507"))
STEPS = 12


def random_table(seed: int) -> Table:
    """Four states, two actions, two outcomes each; state 3 is an end."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet([1.0, 1.0], (4, 2))
    return Table(
        next_state=rng.integers(0, 4, (4, 2, 2)),
        probabilities=chances,
        reward=rng.normal(size=(4, 2)),
        start=np.array([0.5, 0.3, 0.2, 0.0]),
        terminal=np.array([False, False, False, True]),
        observations=np.eye(4, dtype=np.float32),
        features=rng.normal(size=(4, 2, 3)),
    )


def test_soft_values_by_hand() -> None:
    values, policy = soft_value_iteration(STAY_OR_GO, 2)
    last = log(e + e**3)  # one step to go: stay earns 1, go earns 3
    first = log(e ** (1 + last) + e**3)
    np.testing.assert_allclose(values, [first, 0.0])
    np.testing.assert_allclose(policy[:, 0, 1], [e ** (3 - first), e ** (3 - last)])
    np.testing.assert_allclose(policy.sum(axis=2), 1.0)
    # a single action has no entropy: chance is averaged, 1 + V / 2, and not maximised over
    assert soft_value_iteration(COIN, 3)[0][0] == pytest.approx(value_iteration(COIN, horizon=3)[0][0]) == 1.75
    np.testing.assert_allclose(occupancy(COIN, np.ones((3, 2, 1)), np.array([1.0, 0.0])), [[1.75], [0.0]])
    with pytest.raises(ValueError, match="horizon from 1"):
        soft_value_iteration(COIN, 0)


def test_two_states_by_hand() -> None:
    """Three of four demonstrators take action 1: pi(1) = 3/4, so the weights differ by ln 3, and are symmetric."""
    visits = Visits(np.array([[0.25, 0.75], [0.0, 0.0]]), CHOICE.start)
    config = IrlConfig(steps=400, learning_rate=0.1, l2=0.0)
    inferred = infer(CHOICE, make_form("state-action", CHOICE), visits, 1, config)
    np.testing.assert_allclose(inferred.weights, [-log(3) / 2, log(3) / 2, 0.0, 0.0], atol=1e-4)
    assert inferred.likelihood == pytest.approx(0.25 * log(0.25) + 0.75 * log(0.75)) and inferred.gap < 1e-4
    # r = w pay: the two differ by 2 w
    linear = infer(CHOICE, make_form("linear", CHOICE), visits, 1, config)
    assert linear.weights == pytest.approx([log(3) / 2], abs=1e-4) and linear.reward[1].tolist() == [0.0, 0.0]
    # one state follows whatever is done: nothing can be told, and r = 0 is kept
    assert infer(CHOICE, make_form("next-state", CHOICE), visits, 1, config).weights == pytest.approx(0.0)


@pytest.mark.parametrize("name", FORM_NAMES)
def test_the_gradient_is_that_of_the_dual(name: str) -> None:
    table = random_table(1)
    form, rng = make_form(name, table), np.random.default_rng(2)
    visits = exact_visits(table.process(), table.start, 5)
    weights, step = rng.normal(size=form.count), 1e-6
    gradient = dual(table, form, visits, 5, weights)[1]
    for index in range(form.count):
        change = np.eye(form.count)[index] * step
        values = [dual(table, form, visits, 5, weights + sign * change)[0] for sign in (1, -1)]
        assert gradient[index] == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)


def test_the_true_reward_is_stationary_and_feature_counts_are_those_of_the_form() -> None:
    table = random_table(3)
    visits = exact_visits(table.process(), table.start, 6)
    for name in ("state-action", "transition"):
        form = make_form(name, table)
        assert form.count_features(visits.visits).sum() == pytest.approx(visits.visits.sum())
    form = make_form("state-action", table)
    value, gradient = dual(table, form, visits, 6, np.where(table.terminal[:, None], 0.0, table.reward).ravel())
    assert np.abs(gradient).max() < 1e-12
    rng = np.random.default_rng(0)
    assert all(dual(table, form, visits, 6, rng.normal(size=form.count))[0] < value for _ in range(5))


def test_inferred_rewards_are_as_good_at_home() -> None:
    visits = exact_visits(HOME.process(), HOME.start, STEPS)
    for name in ("linear", "next-state"):
        inferred = infer(HOME, make_form(name, HOME), visits, STEPS, IrlConfig(steps=150))
        assert share_of_return(HOME, inferred.reward, STEPS) > 0.97, name


def test_potentials_change_no_optimal_action_and_zero_explains_everything() -> None:
    """Ng et al. 1999; and with r = 0 every action is optimal (Ng and Russell 2000)."""
    home = board_table(knox_board())
    potentials = try_potentials(home, 25, seed=0)
    assert (potentials.unchanged, potentials.count) == (25, 25) and 0.4 < potentials.correlation < 0.8
    assert best_actions(home.process(np.zeros(home.shape))).all()
    assert share_of_return(home, np.zeros(home.shape), 100) == 0.0
    assert share_of_return(home, home.reward, 100) == 1.0
    # the shaped reward is one in (s, s'): the sum over an episode differs by phi at the start alone
    potential = np.random.default_rng(1).normal(size=home.shape[0])
    difference = shape_reward(home, potential) - home.reward
    expected = np.where(home.terminal, 0.0, potential)
    for state, action in itertools.product(np.flatnonzero(home.start)[:9], range(4)):
        after = home.next_state[state, action, 0]
        assert difference[state, action] == pytest.approx(expected[after] - expected[state])


def test_comparisons_leave_a_constant_open_that_matters_where_episodes_end() -> None:
    shares = shift_shares(board_table(knox_board()), (0.0, 0.5, 1.1, 2.0), 100)
    assert shares[0.0] == 1.0 and shares[0.5] > 0.95
    assert shares[1.1] < 0.65 and shares[2.0] < 0.65  # every step pays, so the goal is put off


def test_the_form_decides_what_transfers_and_shaping_does_not() -> None:
    shares = compare_shaping(3, seed=112)
    assert shares["r(s, s'), true"] == shares["r(s, s'), shaped"] == 1.0
    assert max(shares["r(s, a), true"], shares["r(s, a), shaped"]) < 0  # worse than a random policy
    home = board_table(knox_board())
    visits = exact_visits(home.process(), home.start, 40)
    rows = {row.name: row for row in compare_forms(visits, 40, 2, seed=1, config=IrlConfig(steps=60))}
    assert rows["linear"].home > 0.95 and rows["linear"].rearranged > 0.9 and rows["linear"].rewired > 0.9
    assert rows["state-action"].rearranged < 0.5
    assert (rows["r = 0"].home, rows["r = 0"].rearranged, rows["r = 0"].correlation) == (0.0, 0.0, 0.0)


def test_forms_say_what_they_need() -> None:
    plain = Table(*(getattr(CHOICE, name) for name in list(CHOICE.__dataclass_fields__)[:6]))
    with pytest.raises(PlauditError, match=r"names no features.*--form state-action"):
        make_form("linear", plain)
    with pytest.raises(PlauditError, match="no form of reward 'cubic': use one of linear"):
        make_form("cubic", CHOICE)
    with pytest.raises(PlauditError, match="a learning rate above 0"):
        IrlConfig(learning_rate=0)
    weights = make_form("linear", board_table(knox_board()))
    np.testing.assert_allclose(weights.reward(WEIGHTS), board_table(knox_board()).reward)
