"""The critic of side effects on the room with a vase, exactly; and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from plaudit.cli import main
from plaudit.control.environments import VaseVector
from plaudit.control.environments.vase import COLUMNS, GOAL
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.side_effects import SideEffectsConfig, penalty_of, side_effects_of
from plaudit.control.solve import greedy
from plaudit.control.tables import table_of
from plaudit.policy.improve import ImproveConfig
from plaudit.questions import FeedbackConfig
from plaudit.run.control.config import Run, RunConfig
from plaudit.run.control.true_reward import true_reward_session
from plaudit.types import PlauditError, Trajectory

TABLE = VaseVector().table()


def walk(config: SideEffectsConfig | None, weight: float = 0.0) -> tuple[bool, bool, int]:
    """Whether the best policy breaks the vase and arrives, and after how many steps."""
    penalty = 0.0 if config is None else weight * penalty_of(config, TABLE, 0)
    actions = greedy(TABLE.solve(TABLE.reward - penalty, 0.95, 1e-9)[1])
    state, steps = int(TABLE.start.argmax()), 0
    while not TABLE.terminal[state] and steps < 30:
        state, steps = int(TABLE.next_state[state, actions[state], 0]), steps + 1
    assert not TABLE.terminal[state] or state // 2 == GOAL[0] * COLUMNS + GOAL[1]
    return bool(state % 2), bool(TABLE.terminal[state]), steps


def test_without_a_penalty_the_vase_breaks_with_one_it_stays_whole_and_too_much_stops_the_agent() -> None:
    assert walk(None) == (True, True, 6)
    for weight in (2, 3, 5, 10):
        assert walk(SideEffectsConfig("aup"), weight) == (False, True, 8)
    broken, arrives, _ = walk(SideEffectsConfig("aup"), 30)
    assert not broken and not arrives
    for weight in (1, 3, 10):
        assert walk(SideEffectsConfig("reachability"), weight)[0] is False


def test_inaction_compares_with_the_start() -> None:
    stepwise, inaction = (
        penalty_of(SideEffectsConfig("reachability", baseline=baseline), TABLE, 0)
        for baseline in ("stepwise", "inaction")
    )
    broken = np.arange(len(TABLE.start)) % 2 == 1
    still = ~TABLE.terminal & broken
    assert (stepwise[still, 4] == 0).all()  # nothing changes any more
    assert (inaction[still, 4] > 0.3).all()  # half of the states, those with a whole vase, are lost for good
    with pytest.raises(PlauditError, match="one start"):
        delivery = table_of(make(EnvironmentConfig("Delivery")))
        assert delivery is not None
        penalty_of(SideEffectsConfig("aup", baseline="inaction"), delivery, 0)


def test_experience_is_charged_by_its_states_and_actions() -> None:
    envs = make(EnvironmentConfig("Vase", num_envs=2))
    critic = side_effects_of(SideEffectsConfig("reachability", weight=3.0), envs, "Vase", 0)
    assert critic is not None
    before_vase, around = 2 * 2, (COLUMNS + 2) * 2  # column 2 of the first and of the second row
    observations = np.eye(len(TABLE.start), dtype=np.float32)[[[before_vase, 0], [around, 0]]]  # (B, T, S)
    zeros, flags = np.zeros((2, 2), np.float32), np.zeros((2, 2), bool)
    trajectory = Trajectory(observations, np.array([[3, 4], [3, 4]]), zeros, zeros, zeros, flags, ~flags)
    charges = critic.charge(trajectory, 0.5)
    assert charges[0, 0] > 10 * abs(charges[1, 0]) and charges[0, 0] == np.float32(1.5 * critic.penalty[before_vase, 3])
    assert charges[:, 1].tolist() == [0, 0] and charges.dtype == np.float32
    assert critic.means == [pytest.approx(critic.penalty[[before_vase, around], 3].sum() / 4)]
    envs.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Duel", "--side-effects.method", "aup"], "cannot be counted"),
        (["Vase", "--side-effects.method", "aup", "--side-effects.noop", "5"], "0 to 4"),
        (["Vase", "--side-effects.weight", "-1"], "weight"),
        (["Vase", "--side-effects.gamma", "1"], "gamma"),
        (["Vase", "--side-effects.auxiliary", "0"], "auxiliary"),
        (["MovingDot", "--side-effects.method", "reachability", "--side-effects.baseline", "inaction"], "one start"),
    ],
)
def test_what_is_not_possible_is_refused_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "side" in error and not (tmp_path / "run").exists()


def test_a_run_is_trained_on_the_reward_less_the_penalty(tmp_path: Path) -> None:
    """With a penalty that is all, the policy no longer does what it did; the row of a round says what it did."""
    config = RunConfig(
        EnvironmentConfig("Vase", num_envs=8, kwargs=("horizon=20",)),
        improve=ImproveConfig(learning_rate=2e-3),
        side_effects=SideEffectsConfig("aup", 20.0),
        feedback=FeedbackConfig(length=5),
        steps=4 * 8 * 21,
        rounds=4,
    )
    rows = []
    for name, changed in (("with", config), ("without", dataclasses.replace(config, side_effects=SideEffectsConfig()))):
        run = Run.create(tmp_path / name, changed)
        assert Run.open(run.folder).config == changed
        session, close = true_reward_session(run)
        rows.append(list(session.rounds())[-1])
        close()
    assert rows[0]["side_effects"] > 0 and "side_effects" not in rows[1]
    assert rows[0]["true_return"] != rows[1]["true_return"] or rows[0]["entropy"] != rows[1]["entropy"]
