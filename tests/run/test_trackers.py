"""The trackers themselves, where their packages are installed: what they were given is read back.

They need the extras tensorboard, wandb, trackio and mlflow. wandb works offline here, the others on this machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from plaudit import layout
from plaudit.run.control.config import Run, defaults
from plaudit.run.track import track_run

# The services' own libraries warn of much.
pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]
CURVE = [(100, 0.5), (200, 1.5), (300, 2.5), (400, 3.5)]  # true return over environment steps
UPDATES = [(1, 0.0), (2, 0.25), (3, 0.5), (4, 0.75)]  # KL over the rows of updates.jsonl


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run.create(tmp_path / "Duel", defaults("MovingDot"))


def train_twice(run: Run, name: str) -> None:
    """Three rounds, the last of which a kill leaves without a checkpoint, then a resumed run from there to the end."""
    for rounds, names in (((0, 1, 2), [name]), ((2, 3), [])):
        run = Run.open(run.folder)
        with track_run(run, names):
            for file in (layout.METRICS, layout.UPDATES):
                run.rewind(rounds[0] - 1, file)
            for round in rounds:
                value = 100.0 if round == 2 and names else round + 0.5
                run.append({"round": round, "step": 100 * (round + 1), "true_return": value})
                run.append({"round": round, "update": 0, "kl": round / 4}, layout.UPDATES)


def test_tensorboard_reads_one_curve_from_the_event_files(run: Run) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train_twice(run, "tensorboard")
    folder = run.folder / layout.TENSORBOARD
    curves = {}
    for path, tag in ((folder, "true_return"), (folder / "updates", "updates/kl")):
        events = reader.EventAccumulator(str(path)).Reload()
        assert tag in events.Tags()["scalars"]
        curves[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    assert curves == {"true_return": CURVE, "updates/kl": UPDATES}


def test_wandb_offline_continues_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train_twice(run, "wandb")
    wandb.teardown()  # its own process writes the end of a file after finish() has returned
    logs = sorted((run.folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(logs) == 2 and len({path.name for path in logs}) == 1  # two sittings of a run with one id
    for path in logs:
        assert b"true_return" in path.read_bytes() and b"updates/kl" in path.read_bytes()


def test_trackio_continues_the_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utils, storage = pytest.importorskip("trackio.utils"), pytest.importorskip("trackio.sqlite_storage").SQLiteStorage
    for module in ("trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(f"{module}.TRACKIO_DIR", tmp_path / "trackio", raising=False)
    assert str(utils.TRACKIO_DIR) == str(tmp_path / "trackio")
    train_twice(run, "trackio")
    (name,) = storage.get_runs("plaudit")
    assert name.startswith("Duel-")
    logs = storage.get_logs("plaudit", name)
    curve = [(row["step"], row["true_return"]) for row in logs if "true_return" in row]
    assert dict(curve) == dict(CURVE)  # the round that was made again stands twice, the later one last
    assert dict((row["step"], row["updates/kl"]) for row in logs if "updates/kl" in row) == dict(UPDATES)


def test_mlflow_continues_the_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    train_twice(run, "mlflow")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("plaudit")
    (stored,) = client.search_runs([experiment.experiment_id])
    assert stored.info.run_name == "Duel" and stored.info.status == "FINISHED"
    assert stored.data.params["environment.id"] == "plaudit/MovingDot-v0"
    history = client.get_metric_history(stored.info.run_id, "true_return")
    assert dict((metric.step, metric.value) for metric in history) == dict(CURVE)
    history = client.get_metric_history(stored.info.run_id, "updates/kl")
    assert dict((metric.step, metric.value) for metric in history) == dict(UPDATES)
