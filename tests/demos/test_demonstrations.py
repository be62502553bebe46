"""Demonstrations: the exact ones against theory, their pages, and what the command refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plaudit.baselines.irl import IrlConfig
from plaudit.cli import main
from plaudit.control.environments import GraspVector, OffSwitchVector
from plaudit.control.environments.grasp import is_held, is_seen_held
from plaudit.demos.demonstration import list_demos, load_demo, run_demo
from plaudit.demos.gallery import irl, power
from plaudit.demos.gallery.power import share_of_hub
from plaudit.types import PlauditError

RIGHT, LEFT, DOWN, UP = 3, 2, 1, 0


def test_each_demonstration_has_a_title_and_a_source() -> None:
    names = list_demos()
    assert {"grasp", "off-switch", "power", "vase", "hits", "imitation", "irl"} <= set(names)
    for name in names:
        demo = load_demo(name)
        assert demo.TITLE and demo.SOURCE and callable(demo.demonstrate)
    with pytest.raises(PlauditError, match=r"no demonstration 'claw': choose one of .*grasp"):
        load_demo("claw")


@pytest.mark.parametrize("options", [1, 2, 3, 5])
def test_rewards_prefer_the_hub_as_often_as_the_theorem_says(options: int) -> None:
    # a standard error of 1,000 draws is at most 0.016
    assert share_of_hub(options, 1000, np.random.default_rng(0)) == pytest.approx(options / (options + 1), abs=0.06)


def test_demonstrations_leave_the_reward_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Potentials keep every optimal action and shuffling keeps none; here with few and short ones."""
    for name, value in (("HORIZON", 12), ("CHANGES", 1), ("POTENTIALS", 5), ("CONFIG", IrlConfig(steps=20))):
        monkeypatch.setattr(irl, name, value)
    result = run_demo("irl", tmp_path / "irl", 0, lambda line: None)
    assert (result.value.value, result.null.value) == (1.0, 0.0)
    assert "What an inferred reward is worth" in (tmp_path / "irl" / "report.html").read_text("utf-8")


@pytest.mark.thorough
def test_errors_of_a_clone_compound(tmp_path: Path) -> None:
    result = run_demo("imitation", tmp_path / "imitation", 0, lambda line: None)
    assert result.value.value >= 1.9 and result.details[0].value <= 1.2 and result.null.value <= 1.1


def test_an_exact_demonstration_writes_its_page_and_its_numbers(tmp_path: Path) -> None:
    result = run_demo("vase", tmp_path / "vase", 0, lambda line: None)
    assert result.null.value == 0 and result.value.value > 0.3
    assert [detail.value for detail in result.details] == [6, 8]
    record = json.loads((tmp_path / "vase" / "demo.json").read_text("utf-8"))
    assert record["name"] == "vase" and record["value"]["value"] == result.value.value
    page = (tmp_path / "vase" / "report.html").read_text("utf-8")
    assert result.observation in page and "reward alone" in page and "plaudit demo vase" in page
    with pytest.raises(PlauditError, match="exists already"):
        run_demo("vase", tmp_path / "vase", 0, lambda line: None)


def test_the_command_lists_runs_and_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "REWARDS", 100)
    assert main(["demo"]) == 0
    assert "grasp" in capsys.readouterr().out
    assert main(["demo", "power", "--out", str(tmp_path / "power")]) == 0
    assert "What helps:" in capsys.readouterr().out and (tmp_path / "power" / "report.html").exists()
    for arguments, message in ((["claw"], "no demonstration 'claw'"), (["power", "--seed", "-1"], "negative")):
        assert main(["demo", *arguments, "--out", str(tmp_path / "none")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_grasp_counts_only_at_the_ball_and_the_camera_does_not_see_the_depth() -> None:
    states = np.array([[0, 0, 1], [0, 2, 1], [0, 0, 0], [1, 0, 1]])
    assert is_held(states).tolist() == [True, False, False, False]
    assert is_seen_held(states).tolist() == [True, True, False, False]
    hands = GraspVector(4)
    hands.reset(seed=0)
    hands.set_states(states)
    _, rewards, *_ = hands.step(np.array([0, 2, 4, 1]))
    assert rewards.tolist() == [1, 0, 0, 0]  # of the states before the step
    after = hands.states()
    assert after[0].tolist() == [0, 0, 1] and after[1].tolist() == [0, 2, 1]  # a closed hand does not move
    assert after[2].tolist() == [0, 0, 1] and after[3].tolist() == [1, 0, 1]


def walk(interruption: float, actions: list[int], agents: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """The agents' last states and their returns."""
    envs = OffSwitchVector(agents, interruption=interruption)
    envs.reset(seed=1)
    returns, over = np.zeros(agents), np.zeros(agents, bool)
    for action in actions:
        _, rewards, terminated, *_ = envs.step(np.full(agents, action))
        returns += np.where(over, 0, rewards)
        over |= terminated
        if over.all():
            break
    return envs.states(), returns


def test_the_switch_holds_agents_unless_the_button_was_pressed() -> None:
    short = [RIGHT] * 5 + [DOWN] * 3
    assert walk(0.0, short)[1].tolist() == [50 - 8] * 64
    states, returns = walk(1.0, short)
    assert (states[:, 3] == 1).all() and (returns == -8).all()
    states, returns = walk(0.5, short)
    assert 16 < int((returns > 0).sum()) < 48
    around = [DOWN] * 2 + [UP] * 2 + short  # four steps more
    states, returns = walk(1.0, around)
    assert (states[:, 2] == 1).all() and (returns == 50 - 12).all()
    with pytest.raises(PlauditError, match="interruption is a probability"):
        OffSwitchVector(1, interruption=1.5)
