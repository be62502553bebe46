"""Trackers: what they get, how a resumed run continues its curves, and that none of them can end a run."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from plaudit import layout
from plaudit.cli import main
from plaudit.run import track
from plaudit.run.control.config import Run, defaults
from plaudit.run.track import Entry, Identity, Service, check_trackers, track_run
from plaudit.types import PlauditError


@dataclass
class Fake:
    """A service that keeps what it gets; its faults are set by a test."""

    entries: list[Entry] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    closed: int = 0
    fault: Exception | None = None
    gate: threading.Event | None = None

    def connect(self, module: Any, identity: Identity) -> Fake:
        self.ids.append(identity.id)
        assert identity.settings["environment"]["id"] == "plaudit/MovingDot-v0"
        return self

    def log(self, entry: Entry) -> None:
        if self.gate is not None:
            self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.entries.append(entry)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Fake, Fake]]:
    pair = Fake(), Fake()
    for name, fake in zip(("first", "second"), pair, strict=True):
        monkeypatch.setitem(track.TRACKERS, name, Service("json", fake.connect))  # type: ignore[arg-type]
    yield pair
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("track-")]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "Duel", defaults("MovingDot"))


def test_a_tracker_gets_the_numbers_under_the_names_of_the_files(run: Run, fakes: tuple[Fake, Fake]) -> None:
    with track_run(run, ["first"]):
        run.append({"round": 0, "step": 100, "true_return": 1.5, "reward_loss": None, "done": True, "text": "a"})
        run.append({"round": 0, "update": 0, "kl": float("nan"), "score": 2}, layout.UPDATES)
        run.append({"round": 0, "update": 1, "kl": 0.5}, layout.UPDATES)
        run.append({"round": 1, "true_return": 2.5})
        run.append({"round": 1, "responses": ["a", "b"]}, layout.RESPONSES)  # no number
    run.append({"round": 2, "true_return": 9.0})  # after the block
    assert fakes[0].closed == 1 and not fakes[1].entries
    assert fakes[0].entries == [
        Entry("metrics", "step", 100, {"round": 0.0, "step": 100.0, "true_return": 1.5}),
        Entry(
            "updates",
            "updates/row",
            1,
            {"updates/round": 0.0, "updates/update": 0.0, "updates/score": 2.0, "updates/row": 1.0},
        ),
        Entry(
            "updates",
            "updates/row",
            2,
            {"updates/round": 0.0, "updates/update": 1.0, "updates/kl": 0.5, "updates/row": 2.0},
        ),
        Entry("metrics", "round", 1, {"round": 1.0, "true_return": 2.5}),
    ]


def test_a_resumed_run_continues_its_curves(run: Run, fakes: tuple[Fake, Fake]) -> None:
    config = (run.folder / layout.CONFIG).read_bytes()
    with track_run(run, ["first"]):
        for row in range(3):
            run.append({"round": row, "update": 0}, layout.UPDATES)
    resumed = Run.open(run.folder)
    with track_run(resumed):  # it remembers the tracker
        resumed.rewind(1, layout.UPDATES)  # round 2 is made again
        for row in (2, 3):
            resumed.append({"round": row, "update": 0}, layout.UPDATES)
    assert [entry.step for entry in fakes[0].entries] == [1, 2, 3, 3, 4]
    with track_run(resumed, ["none"]):
        resumed.append({"round": 4, "loss": 1.0})
    with track_run(resumed, ["second", "first"]):  # one more, from now on
        resumed.append({"round": 5, "loss": 1.0})
    with track_run(Run.open(run.folder)):
        resumed.append({"round": 6, "loss": 1.0})  # by an object that is not tracked
    assert len(fakes[0].entries) == 6 and fakes[0].entries[-1].step == 5 and len(fakes[1].entries) == 1
    assert len({*fakes[0].ids, *fakes[1].ids}) == 1
    assert (run.folder / layout.CONFIG).read_bytes() == config


def test_a_tracker_that_fails_is_one_warning(run: Run, fakes: tuple[Fake, Fake]) -> None:
    fakes[0].fault = OSError("no route\nto host")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with track_run(run, ["first", "second"]):
            for row in range(5):
                run.append({"round": row, "loss": 1.0})
    assert [str(warning.message) for warning in caught] == [
        "--track first failed, and the run continues without it (OSError: no route to host)"
    ]
    assert len(fakes[1].entries) == 5 and fakes[1].closed == 1 and len(run.metrics()) == 5


def test_a_tracker_that_hangs_holds_nothing_up(
    run: Run, fakes: tuple[Fake, Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track, "PATIENCE", 0.05)
    fakes[0].gate = threading.Event()
    with pytest.warns(UserWarning, match=r"--track first failed.*no answer within"), track_run(run, ["first"]):
        run.append({"round": 0, "loss": 1.0})
    fakes[0].gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("track-"):
            thread.join()


def test_names_of_trackers_are_checked_before_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(track.TRACKERS, "here", Service("json", Fake().connect))  # type: ignore[arg-type]
    monkeypatch.setitem(track.TRACKERS, "away", Service("plaudit_no_such_module", Fake().connect))  # type: ignore[arg-type]
    assert check_trackers([]) == () and check_trackers(["none"]) == ("none",)
    assert check_trackers(["here,here", "here"]) == ("here",)
    with pytest.raises(PlauditError, match=r"no tracker 'none': use tensorboard, wandb, trackio, mlflow"):
        check_trackers(["here,none"])
    with pytest.raises(PlauditError, match=r"--track away needs plaudit_no_such_module: pip install -e '\.\[away\]'"):
        check_trackers(["away"])


def test_every_command_that_trains_has_the_flag(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = (
        ["train", "MovingDot"],
        ["train", "chat"],
        ["tune", "sft", "texts.jsonl"],
        ["pretrain", "texts.txt"],
        ["resume", str(run.folder)],
    )
    for command in commands:
        assert main([*command, "--track", "tensorboard", "--track", "chalk"]) == 2
        assert "there is no tracker 'chalk'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
