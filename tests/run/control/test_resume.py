"""A run that was killed, anywhere, and resumed ends bit for bit as one that was not."""

from __future__ import annotations

import dataclasses
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.processes import Forked, program

from plaudit.annotators.truth import Ledger
from plaudit.feedback.store import Store
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run
from plaudit.run.control.true_reward import true_reward_session


class Killed(BaseException):
    """Nothing in the program catches this, as nothing catches SIGKILL."""


POINTS = {  # whose method we die in, and whether it has done its work by then
    "before the truth is written down": (Ledger, "keep", False),
    "before the questions are asked": (Store, "ask", False),
    "between asking and answering": (Store, "ask", True),
    "under a lease": (Store, "answer", False),
    "between answering and fitting": (Store, "answer", True),
    "before the metrics": (Run, "append", False),
    "between the metrics and the checkpoint": (Run, "save", False),
    "after the checkpoint": (Run, "save", True),
}


@pytest.fixture(scope="module")
def whole(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tools.train(tmp_path_factory.mktemp("whole") / "run", tools.tiny(rounds=4))


def test_killed_at_every_point_of_a_round(
    whole: Run, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round 0 dies at each point, one after another, and so does round 2; no question is lost or asked twice."""
    run = Run.create(tmp_path / "run", whole.config)
    for survivors in (0, 1):  # after its last point round 0 is over, and round 1 runs to its end
        for point in POINTS:
            die_at(point, run, survivors, monkeypatch)
            survivors = 0
    tools.train(run.folder)
    tools.assert_same(whole, run)


@pytest.mark.thorough
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_one_point_of_a_round(
    point: str, whole: Run, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path / "run", whole.config)
    for survivors in (0, 2):
        die_at(point, run, survivors, monkeypatch)
    tools.train(run.folder)
    tools.assert_same(whole, run)


def die_at(point: str, run: Run, survivors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resume the run, let ``survivors`` rounds end, and die at ``point`` of the next one."""
    owner, method, done = POINTS[point]
    original: Callable[..., Any] = getattr(owner, method)
    armed = False

    def call(*arguments: Any, **named: Any) -> Any:
        if armed and not done:
            raise Killed
        result = original(*arguments, **named)
        if armed:
            raise Killed
        return result

    with monkeypatch.context() as patch, run.training():
        patch.setattr(owner, method, call)
        session, _ = preference_session(run)
        rounds = session.rounds()
        for _ in range(survivors):
            next(rounds)
        armed = True
        with pytest.raises(Killed):
            list(rounds)


@pytest.mark.parametrize("annotator", ["skip", "equal", "noisy"])
def test_annotators_that_know_the_scale_of_rewards(annotator: str, tools: Any, tmp_path: Path) -> None:
    config = tools.tiny("CartPole-v1", rounds=3, annotator=annotator)
    tools.assert_same(tools.train(tmp_path / "whole", config), _in_pieces(tools, tmp_path / "pieces", config))


@pytest.mark.parametrize(
    "changes",
    [
        {"reward": RewardConfig(hidden=(8,), first_epochs=3, epochs=2, preference="regret", latest=12)},
        {"reward": RewardConfig(hidden=(8,), first_epochs=3, epochs=2, fit_lapse=False, members=1)},
    ],
    ids=["regret", "one-member"],
)
def test_other_reward_models(changes: dict[str, Any], tools: Any, tmp_path: Path) -> None:
    config = tools.tiny(rounds=3, **changes)
    config = dataclasses.replace(config, improve=dataclasses.replace(config.improve, optimiser="rmsprop"))
    tools.assert_same(tools.train(tmp_path / "whole", config), _in_pieces(tools, tmp_path / "pieces", config))


def test_the_true_reward_baseline(tools: Any, tmp_path: Path) -> None:
    runs = []
    for pieces in (1, 3):
        runs.append(Run.create(tmp_path / str(pieces), tools.tiny(rounds=3)))
        for _ in range(pieces):
            session, close = true_reward_session(Run.open(runs[-1].folder))
            for _ in session.rounds():
                if pieces > 1:
                    break
            close()
    tools.assert_same(*runs)


def test_killed_at_random_moments(whole: Run, tools: Any, tmp_path: Path) -> None:
    """kill -9, three times, at any moment; the last process runs to the end."""
    assert_survives_kills(whole, tools, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("id", ["Duel", "CartPole-v1"])
def test_longer_runs_killed_at_random_moments(id: str, tools: Any, tmp_path: Path) -> None:
    assert_survives_kills(tools.train(tmp_path / "whole", tools.tiny(id, rounds=8)), tools, tmp_path)


def assert_survives_kills(whole: Run, tools: Any, folder: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)  # shown by pytest when this fails
    moments, rows = random.Random(seed), whole.metrics()
    run = Run.create(folder / "run", whole.config)
    for _ in range(3):
        process = Forked(_drive, run.folder)
        while process.running() and not process.output:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, rows[-1]["seconds"] / 5))
        process.kill()
        result = process.wait()
        assert result.status in (0, -signal.SIGKILL) and result.output.startswith("ready"), (seed, result)
    result = Forked(_drive, run.folder).wait()
    assert result.status == 0 and len(run.metrics()) == len(rows), (seed, result)
    tools.assert_same(whole, run)


def _drive(folder: Path) -> None:
    """Resume the run and train it to its end."""
    run = Run.open(folder)
    with run.training():
        session, close = preference_session(run)
        print("ready", flush=True)
        for _ in session.rounds():
            pass
        close()


def _in_pieces(tools: Any, folder: Path, config: Any) -> Run:
    """Every process makes one round and is then no more."""
    run = Run.create(folder, config)
    session, close = preference_session(run)
    for _ in range(session.parts.plan.rounds):
        next(session.rounds())
        close()
        session, close = preference_session(run)
    close()
    return run


def test_ctrl_c_leaves_a_run_that_resumes(tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes after the first checkpoint, and the process is held there until it has come."""
    config = tools.tiny(rounds=3)
    whole = tools.train(tmp_path / "whole", config)
    run = Run.create(tmp_path / "run", config)
    process = Forked(_resume_and_wait_for_a_signal, run.folder)
    while not run.checkpoints() and process.running():
        time.sleep(0.005)
    process.signal(signal.SIGINT)
    result = process.wait()
    assert result.status == 130, result
    lines = [line for line in result.errors.splitlines() if " steps " not in line]
    assert lines == [f"stopped; continue with: plaudit resume {run.folder}"], result
    assert len(run.metrics()) == 1
    tools.train(run.folder)
    tools.assert_same(whole, run)


def _resume_and_wait_for_a_signal(folder: Path) -> None:
    save = Run.save

    def hold(run: Run, *arguments: Any) -> None:
        save(run, *arguments)
        time.sleep(60)

    Run.save = hold  # type: ignore[method-assign,assignment]
    program("resume", str(folder))
