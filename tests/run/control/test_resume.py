"""A run that was killed, anywhere, and resumed ends bit for bit as one that was not."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit.annotators.truth import Ledger
from plaudit.feedback.store import Store
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run
from plaudit.run.control.true_reward import true_reward_session

DRIVER = """
import sys
from pathlib import Path
from plaudit.run.control.config import Run
from plaudit.run.control.assemble import preference_session
run = Run.open(Path(sys.argv[1]))
with run.training():
    session, close = preference_session(run)
    print("ready", flush=True)
    for row in session.rounds():
        print(row["round"], flush=True)
    close()
"""


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
    return tools.train(tmp_path_factory.mktemp("whole") / "run", tools.tiny(rounds=5))


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_of_a_round(
    point: str, whole: Run, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round 0 and a later round die at ``point``; no question is lost or asked twice."""
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

    run = Run.create(tmp_path / "run", whole.config)
    for survived in (0, 2):
        armed = False
        with monkeypatch.context() as patch, run.training():
            patch.setattr(owner, method, call)
            session, _ = preference_session(run)
            rounds = session.rounds()
            for _ in range(survived):
                next(rounds)
            armed = True
            with pytest.raises(Killed):
                list(rounds)
    tools.train(run.folder)
    tools.assert_same(whole, run)


@pytest.mark.parametrize("teacher", ["skip", "equal", "noisy"])
def test_teachers_that_know_the_scale_of_rewards(teacher: str, tools: Any, tmp_path: Path) -> None:
    config = tools.tiny("CartPole-v1", rounds=5, annotator=teacher)
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
    config = tools.tiny(rounds=4, **changes)
    config = dataclasses.replace(config, improve=dataclasses.replace(config.improve, optimiser="rmsprop"))
    tools.assert_same(tools.train(tmp_path / "whole", config), _in_pieces(tools, tmp_path / "pieces", config))


def test_the_true_reward_baseline(tools: Any, tmp_path: Path) -> None:
    runs = []
    for pieces in (1, 3):
        runs.append(Run.create(tmp_path / str(pieces), tools.tiny(rounds=6)))
        for _ in range(pieces):
            session, close = true_reward_session(Run.open(runs[-1].folder))
            for row in session.rounds():
                if pieces > 1 and row["round"] % 2 == 1:
                    break
            close()
    tools.assert_same(*runs)


@pytest.mark.slow
@pytest.mark.parametrize("id", ["Duel", "CartPole-v1"])
def test_killed_at_random_moments(id: str, tools: Any, tmp_path: Path) -> None:
    """kill -9, three times, whenever; the last process runs to the end."""
    seed = random.SystemRandom().randrange(2**32)  # shown by pytest when this fails
    moments, config = random.Random(seed), tools.tiny(id, rounds=8)
    whole = tools.train(tmp_path / "whole", config)
    longest = whole.metrics()[-1]["seconds"]
    run = Run.create(tmp_path / "run", config)
    for _ in range(3):
        with _driver(run.folder) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, longest / 5))
            process.kill()
    with _driver(run.folder) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and len(run.metrics()) == 8, (seed, output)
    tools.assert_same(whole, run)


def _driver(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(folder)], stdout=subprocess.PIPE, text=True)


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


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resumes(tools: Any, tmp_path: Path) -> None:
    config = tools.tiny(rounds=12)  # long enough that the signal comes in time on a fast machine
    whole = tools.train(tmp_path / "whole", config)
    run = Run.create(tmp_path / "run", config)
    command = [sys.executable, "-m", "plaudit", "resume", str(run.folder)]
    environment = os.environ | {"COLUMNS": "80"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not run.checkpoints() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    lines = [line for line in errors.splitlines() if " steps " not in line]
    assert lines == [f"stopped; go on with: plaudit resume {run.folder}"], errors
    assert len(run.metrics()) < 12
    tools.train(run.folder)
    tools.assert_same(whole, run)
