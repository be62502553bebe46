"""The examples are short and run: in this process, or in an environment with the library that they need."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from tests.run.language.conftest import base, finished_folder, settings, tokenizer

import plaudit
from plaudit.run.control import look

__all__ = ["base", "finished_folder", "settings", "tokenizer"]
ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHORT: dict[str, Any] = {
    "steps": 1000,
    "rounds": 2,
    "labels": 8,
    "feedback": {"length": 10},
    "environment": {"num_envs": 2},
    "reward": {"first_epochs": 2, "epochs": 1},
}


@pytest.fixture
def short(blank_figures_here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small runs in an empty folder."""
    for name, value in (("EVALUATION_EPISODES", 4), ("CLIP_STEPS", 8), ("SCATTER_STEPS", 512)):
        monkeypatch.setattr(look, name, value)
    monkeypatch.setenv("SETTINGS", "{}")
    monkeypatch.chdir(tmp_path)


def run_example(name: str, monkeypatch: pytest.MonkeyPatch, **shorter: Any) -> dict[str, Any]:
    """Run the example with settings in the place of its own; returns its variables."""
    train: Callable[..., Any] = plaudit.train
    monkeypatch.setattr(plaudit, "train", lambda environment, **given: train(environment, **given | shorter))
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")


def test_examples_are_short_and_each_is_named_on_the_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert len(EXAMPLES) == 7
    for path in EXAMPLES:
        lines = path.read_text("utf-8").splitlines()
        assert len(lines) <= 40 and lines[0].startswith('"""') and f"examples/{path.name}" in page, path.name


@pytest.mark.filterwarnings("default:no clips in the report")
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("control", r"8 comparisons were learned from.*\n(.|\n)*points won less points lost in one episode: -?\d+\n$"),
        ("own_annotator", r'true return: [\d.]+ of 500(.|\n)*upright \{"strength": -?4\} \d\.\d{3} or \d\.\d{3} rad'),
        ("own_environment", r"true return: [\d.]+ of 100\nat -0.8: (left|right)\nat 0.8: (left|right)\n$"),
    ],
    ids=["control", "own_annotator", "own_environment"],
)
def test_agents(
    name: str, outcome: str, short: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_example(name, monkeypatch, **SHORT)
    gymnasium.registry.pop("Middle-v0", None)
    assert re.search(outcome, capsys.readouterr().out)


def test_language(base: Path, short: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run_example(
        "language",
        monkeypatch,
        model={"model": str(base), "layers": 1, "precision": "fp32"},
        labels=6,
        n_demonstrations=3,
        rounds=1,
        updates=2,
        prompts=3,
        sampling={"tokens": 8},
        data={"held_out": 3},
        feedback={"held_out": 0.3},
    )
    assert re.search(r"loads the model from .*policy\n +-?\d\.\d\d  Oats with fruit\.\n", capsys.readouterr().out)


def test_collecting(
    short: None,
    forked_servers: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A person joins by the link that the program prints, and answers."""
    pytest.importorskip("fastapi")
    from plaudit.api import collecting

    from .api.test_collecting import Browser

    apps: list[collecting.WebApp] = []
    start = plaudit.collect

    def collect(folder: str) -> collecting.WebApp:
        apps.append(start(folder, browser=False))
        return apps[0]

    def answer() -> None:
        while not apps or apps[0].waiting() < 3:
            time.sleep(0.02)
        person = Browser(apps[0])
        person.judge({"strength": 4}, {"strength": -4}, {"text": "Six minutes."})
        person.client.close()

    monkeypatch.setattr(plaudit, "collect", collect)
    monkeypatch.setattr(collecting, "POLL_SECONDS", 0.05)
    people = threading.Thread(target=answer)
    people.start()
    runpy.run_path(str(ROOT / "examples" / "collecting.py"), run_name="__main__")
    people.join()
    assert capsys.readouterr().out == '2 pairs in pairs.jsonl\nada wrote {"text": "Six minutes."}\n'
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()]
    assert [pair["chosen"][0]["content"][:5] for pair in pairs] == ["The m", "Yeast"]


def run_beside(peer: str, name: str, folder: Path, **variables: Any) -> str:
    """What an example prints in the peer's environment, with Plaudit and what it needs on the path."""
    python = ROOT / ".peers" / peer / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no {peer} here: PEERS={peer} bash benchmarks/peers/install.sh")
    path = os.pathsep.join((str(ROOT / "src"), sysconfig.get_paths()["purelib"]))
    environment = os.environ | {"PYTHONPATH": path, **{name: str(value) for name, value in variables.items()}}
    command = [str(python), str(ROOT / "examples" / f"{name}.py")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.thorough
def test_stable_baselines3_learns_what_was_learned(tmp_path: Path) -> None:
    """The learned reward alone makes a policy of another library balance the pole; chance gives some 22 steps."""
    settings = json.dumps({"steps": 60_000, "progress": False, "feedback": {"length": 25}})
    output = run_beside("sb3", "learned_reward_sb3", tmp_path, SETTINGS=settings, STEPS=16_000)
    returns = re.search(r"stable-baselines3's policy: (\d+) .*\n.*the run's own policy: (\d+)", output)
    assert returns is not None and int(returns[1]) > 45 and int(returns[2]) > 45, output


@pytest.mark.thorough
def test_trl_takes_a_learned_reward(finished_folder: Path, tmp_path: Path) -> None:
    """And what people said becomes a Dataset of the library's own."""
    shutil.copytree(finished_folder, tmp_path / "chat")
    shorter = json.dumps({"max_steps": 2, "logging_steps": 1, "max_completion_length": 8, "use_cpu": True})
    output = run_beside("trl", "learned_reward_trl", tmp_path, RUN=tmp_path / "chat", SETTINGS=shorter)
    assert re.search(r"learned reward in the first and the last logged step: -?\d", output), output
    store = tmp_path / "chat" / "feedback.sqlite"
    program = f"import plaudit; print(plaudit.Store({str(store)!r}).judgements().to_dataset())"
    (tmp_path / "table.py").write_text(program)
    python = ROOT / ".peers" / "trl" / "bin" / "python"
    path = os.pathsep.join((str(ROOT / "src"), sysconfig.get_paths()["purelib"]))
    done = subprocess.run(
        [str(python), "table.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert "num_rows" in done.stdout and "conversations" in done.stdout, done.stderr
