"""The named configurations are valid, differ from one another, and become a run that resumes."""

import importlib
import runpy
import sys
from pathlib import Path

import pytest

from plaudit.run.control.config import Run, RunConfig
from plaudit.run.stored import CONTROL, from_dict, to_dict

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
EXPERIMENTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "start")


def config_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.syspath_prepend(str(FOLDER))
    return runpy.run_path(str(path))["CONFIG"]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_configuration_survives_its_run_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(path, monkeypatch)
    assert from_dict(to_dict(config, CONTROL), RunConfig, CONTROL) == config


def test_no_two_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [config_of(path, monkeypatch) for path in EXPERIMENTS]
    assert all(configs.count(config) == 1 for config in configs)


def start(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[object, list[str]]:
    """(exit code, what the command line was asked to do); training itself is tested elsewhere."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("start")
    asked: list[str] = []
    monkeypatch.setattr(module, "main", lambda words: asked.extend(words) or 0)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    return stopped.value.code, asked


def test_starting_makes_a_run_and_goes_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    for _ in range(2):
        code, asked = start("duel_mistake", ["--seed", "3", "--out", str(folder)], monkeypatch)
        assert (code, asked) == (0, ["resume", str(folder)])
    config = Run.open(folder).config
    assert (config.seed, config.annotator, config.feedback.labels) == (3, "mistake", 600)
    assert Run.open(folder / "baseline").config == config


def test_other_settings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    start("duel", ["--out", str(folder)], monkeypatch)
    code, asked = start("duel", ["--seed", "1", "--out", str(folder)], monkeypatch)
    assert (code, asked) == (2, []) and "other settings" in capsys.readouterr().err
    assert Run.open(folder).config.seed == 0
