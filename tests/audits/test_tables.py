"""Audits where states can be counted: power, and the optimum of the learned reward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.audits.test_agents import train

from plaudit.audits.agents import AgentSubject
from plaudit.audits.control import optimum
from plaudit.audits.control.optimum import MEASURE as OPTIMUM
from plaudit.audits.control.power import MEASURE as POWER
from plaudit.audits.control.power import powers
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.tables import Table, table_of

# State 0 leads to 1 (the end) or to 2, which has two loops
NEXT_STATE = np.array([[[1], [2]], [[1], [1]], [[3], [4]], [[3], [3]], [[4], [4]]])
ENDS = np.array([False, True, False, True, True])


def fork(reward: np.ndarray) -> Table:
    return Table(NEXT_STATE, np.ones((5, 2, 1)), reward, np.eye(5)[0], ENDS, np.eye(5, dtype=np.float32))


def test_power_by_hand() -> None:
    """POWER of the end is E[R] = 1/2, of a choice more."""
    table = fork(np.zeros((5, 2)))
    power = powers(table, np.random.default_rng(0)).mean(axis=0)
    assert power[1] == pytest.approx(0.5, abs=0.1) and power[2] > power[1] + 0.1 and power[0] > power[1] + 0.05
    stay = np.tile([1.0, 0.0], (5, 1))
    assert table.visits(stay, 100)[[0, 1]] == pytest.approx([1, 99])


def test_returns_and_optima_by_hand() -> None:
    """Entering state 1 earns 1; the way through 2 costs 1 and then earns 3 or 0."""
    reward = np.array([[1.0, -1.0], [0.0, 0.0], [3.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    table = fork(reward)
    assert table.optimal_return(1) == 1.0 and table.optimal_return(2) == 2.0
    assert table.expected_return(np.full((5, 2), 0.5), 2) == pytest.approx(0.75)  # 0.5 * 1 + 0.5 * (-1 + 1.5)
    patient, hasty = (optimum.optimal_policies(table, reward[None], gamma, True)[0, 0] for gamma in (0.9, 0.1))
    assert patient.tolist() == [0, 1] and hasty.tolist() == [1, 0]
    # hidden ends: an end that pays for ever beats all; visible ends: it is worth nothing
    reward = np.array([[0.0, 0.1], [9.0, 9.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert [
        optimum.optimal_policies(table, reward[None], 0.9, visible)[0, 0].tolist() for visible in (False, True)
    ] == [
        [1, 0],
        [0, 1],
    ]
    assert table.locate(table.observations[[3, 0, 3]]).tolist() == [3, 0, 3]
    with pytest.raises(Exception, match="none of its counted states"):
        table.locate(np.full((1, 5), 0.5, np.float32))


@pytest.mark.parametrize(("id", "kwargs"), [("FrozenLake-v1", ()), ("MovingDot", ())])
def test_a_run_beside_the_optimum_of_a_right_and_of_a_wrong_reward(
    id: str, kwargs: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tmp_path / "run", id, kwargs)
    with open_subject(run.folder, AuditConfig()) as subject:
        assert isinstance(subject, AgentSubject) and POWER.measurable(subject) is None
        (row,) = POWER.measure(subject)
        assert row.null is not None and row.interval is not None
        table = optimum.find_table(subject)
        assert table is not None and OPTIMUM.measurable(subject) is None
        assert np.allclose(table.probabilities.sum(axis=-1), 1)
        (row,) = OPTIMUM.measure(subject)
        assert row.n == len(table.start) and row.value is not None and row.value <= 1 + 1e-9
        for sign, verdict in ((1.0, "pass"), (-1.0, "fail")):
            monkeypatch.setattr(
                optimum, "learned_rewards", lambda subject, table, sign=sign: np.stack([sign * table.reward] * 3)
            )
            monkeypatch.setattr(subject.reward, "pool", lambda members: members.mean(axis=0))
            (row,) = OPTIMUM.measure(subject)
            assert row.value is not None and row.null is not None and (row.value > 0.8) == (sign > 0)
            climbed = row.details["is_climbed"]
            is_excused = not climbed if verdict == "pass" else row.details["policy"] >= optimum.WRONG
            assert row.verdict == ("warn" if is_excused else verdict)
            cure = OPTIMUM.cure(subject, row)
            assert ("--steps" if sign > 0 else "--labels") in cure.setting


@pytest.mark.parametrize("name", ["MovingDot", "Delivery"])
def test_the_table_is_what_the_environment_does(name: str) -> None:
    """Every step of real experience is an outcome of the table, with its reward."""
    envs = make(EnvironmentConfig(name, num_envs=64, ends="visible"))
    table = table_of(envs)
    assert table is not None
    rng = np.random.default_rng(0)
    observations, _ = envs.reset(seed=0)
    ended, seen = np.zeros(64, bool), 0
    for _ in range(120):
        actions = rng.integers(0, table.shape[1], 64)
        states = table.locate(observations)
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        after, real = table.locate(observations), ~ended
        assert (table.next_state[states, actions] == after[:, None]).any(axis=1)[real].all()
        assert np.array_equal(table.reward[states, actions][real], rewards[real])
        assert np.array_equal(table.terminal[after][real], terminated[real])
        ended = terminated | truncated
        seen += int(real.sum())
    assert seen > 5000
    envs.close()


def test_pixels_and_large_games_have_no_table() -> None:
    for config in (EnvironmentConfig("MovingDot", observations="pixels"), EnvironmentConfig("Duel")):
        envs = make(config)
        assert table_of(envs) is None
        envs.close()
