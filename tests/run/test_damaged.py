"""A damaged or hostile run folder costs one line, whatever its numbers, shapes and depths are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from plaudit import layout
from plaudit.cli import main
from plaudit.run.control.config import Run
from plaudit.run.record import Checkpoint, read, write

DEEP = "[" * 100_000 + "]" * 100_000
pytestmark = pytest.mark.usefixtures("blank_figures")
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tools.train(tmp_path_factory.mktemp("whole") / "run", tools.tiny(rounds=2))


def change(setting: str, value: Any) -> Damage:
    """Give a setting in config.json, such as reward.hidden, a value: JSON, or a text that stands for itself."""

    def damage(folder: Path) -> None:
        path = folder / layout.CONFIG
        settings = inner = json.loads(path.read_text())
        *groups, name = setting.split(".")
        for group in groups:
            inner = inner[group]
        inner[name] = "\0"
        path.write_text(
            json.dumps(settings).replace('"\\u0000"', value if isinstance(value, str) else json.dumps(value))
        )

    return damage


def change_row(column: str, value: str) -> Damage:
    """Give a column of the last row of the metrics a value, as JSON."""

    def damage(folder: Path) -> None:
        path = folder / layout.METRICS
        *rows, last = path.read_text().splitlines()
        text = json.dumps(json.loads(last) | {column: "\0"}).replace('"\\u0000"', value)
        path.write_text("\n".join([*rows, text]) + "\n")

    return damage


def change_checkpoint(change: Callable[[Checkpoint], Checkpoint]) -> Damage:
    def damage(folder: Path) -> None:
        for path in (folder / layout.CHECKPOINTS).iterdir():
            write(path, change(read(path)))

    return damage


def reshape(prefix: str) -> Damage:
    """Give every tensor of a part of the checkpoints another shape."""

    def change(checkpoint: Checkpoint) -> Checkpoint:
        tensors = {
            name: torch.cat([tensor, tensor]) if name.startswith(prefix) and tensor.ndim else tensor
            for name, tensor in checkpoint.tensors.items()
        }
        return Checkpoint(tensors, checkpoint.meta)

    return change_checkpoint(change)


def write_text(name: str, text: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_text(text)

    return damage


DAMAGES = {
    **{f"{setting} is {value!s:.20}": change(setting, value) for setting, value in [
        ("steps", None), ("steps", "1e400"), ("steps", 10**30), ("seed", "x" * 3 and '"1"'), ("rounds", [2]),
        ("reward", 3), ("reward", DEEP), ("reward.hidden", [10**9]), ("reward.hidden", ["64"]), ("reward.hidden", 64),
        ("reward.members", 10**8), ("network.hidden", [64] * 10**4), ("network.hidden", [-1]), ("rollout_steps", 10**9),
        ("environment.num_envs", 10**9), ("environment.id", None), ("environment.kwargs", [None]),
        ("improve.clip", "{}"), ("improve.learning_rate", 10**400), ("device", []), ("threads", '"one"'),
        ("reward.preference", {}), ("feedback.labels", "NaN"), ("annotator", 7), ("annotator", '"\\u001b[31m"'),
    ]},
    **{f"{column} of a row is {value:.20}": change_row(column, value) for column, value in [
        ("step", "null"), ("step", '"many"'), ("step", "1" * 400), ("step", "Infinity"), ("round", "1e400"),
        ("round", "-1"), ("round", DEEP), ("seconds", "{}"), ("true_return", '"\\u001b[31m"'), ("labels", "[]"),
    ]},
    **{f"{prefix} has another shape": reshape(prefix) for prefix in ("policy", "reward", "improve", "collector")},
    "no metrics": write_text(layout.METRICS, ""),
    "deep settings": write_text(layout.CONFIG, DEEP),
    "deep trackers": write_text(layout.TRACKERS, DEEP),
    "metrics are a list": write_text(layout.METRICS, "[1, 2]\n"),
    "meta is a list": change_checkpoint(lambda it: Checkpoint(it.tensors, [1])),  # type: ignore[arg-type]
    "meta has no number": change_checkpoint(lambda it: Checkpoint(it.tensors, {"round": "x", "seconds": 0})),
    "meta is endless": change_checkpoint(lambda it: Checkpoint(it.tensors, {"round": 1e400, "seconds": 0})),
    "no tensors": change_checkpoint(lambda it: Checkpoint({}, it.meta)),
}  # fmt: skip
UNREAD = {  # by a report
    "improve has another shape",
    "collector has another shape",
    "meta has no number",
    "meta is endless",
    'annotator is "\\u001b[31m"',
}
REMADE = {"no metrics", *(name for name in DAMAGES if name.startswith("step of a row is null"))}  # by resume


@pytest.mark.parametrize("command", ["report", "resume"])
def test_damage_is_one_line(
    whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (name, damage) in enumerate(DAMAGES.items()):
        if name in (UNREAD if command == "report" else REMADE):
            continue
        folder = tmp_path / str(number)
        shutil.copytree(whole.folder, folder)
        damage(folder)
        code = main([command, str(folder)])
        output = capsys.readouterr()
        lines = [line for line in output.err.splitlines() if line.startswith("plaudit: ")]
        assert (code, len(lines)) == (2, 1), f"{name}: {output.err[-2000:]}"
        assert "\x1b" not in output.err and len(output.err) < 2000, name
        shutil.rmtree(folder)
