"""Trackers: services that show a run's metrics while it trains, in addition to the files in its folder.

A tracker is one row of :data:`TRACKERS`. It gets every row that :meth:`RunFolder.append` writes, after the row is on
the disk. Names are those of metrics.jsonl; rows of other files are named by their file too, as updates/kl is.

A run remembers its trackers in trackers.json, with one id for all of them, and a resumed run continues its curves
under that id. They are no settings in config.json, because they change no number: the same run with another tracker is
the same run, a replay has none, and the format of run folders stays.

Each tracker works in a thread of its own, so a network that is slow or gone never holds the run up. A tracker that
fails is given up with one warning; the run and the other trackers continue.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from plaudit import layout
from plaudit.files import replace_text
from plaudit.run.disk import disk_errors
from plaudit.run.record import RunFolder, read_json
from plaudit.run.trust import sign
from plaudit.types import PlauditError

PROJECT = "plaudit"  # the project or experiment in which a service shows the run
PATIENCE = 30.0  # seconds that a run waits at its end until a tracker has sent what is left
PARAMS = 100  # settings that MLflow takes at once
NONE = "none"  # the name that turns trackers off


@dataclass(frozen=True)
class Entry:
    """The numbers in one row of metrics."""

    file: str  # the stem of the file's name: metrics, updates, ...
    axis: str  # the number in ``values`` that the curves are drawn over
    step: int  # its value
    values: Mapping[str, float]


@dataclass(frozen=True)
class Identity:
    """The run, as a service knows it."""

    folder: Path
    id: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name that the service shows."""
        return self.folder.resolve().name


class Tracker(Protocol):
    """One service, connected."""

    def log(self, entry: Entry) -> None:
        """Add a point to every curve of the entry."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class TensorBoard:
    """Event files in the run's folder: one log for metrics.jsonl, and one in a subfolder for each other file.

    Every log begins with the step that it continues from. TensorBoard then drops the points that a killed run had
    written at and after that step, because the resumed run writes them again.
    """

    def __init__(self, module: Any, identity: Identity) -> None:
        self.module, self.folder = module, identity.folder / layout.TENSORBOARD
        self.writers: dict[str, Any] = {}

    def log(self, entry: Entry) -> None:
        """As :meth:`Tracker.log`."""
        writer = self.writers.get(entry.file)
        if writer is None:
            folder = self.folder if entry.file == "metrics" else self.folder / entry.file
            writer = self.writers[entry.file] = self.module.SummaryWriter(str(folder), purge_step=entry.step)
        for name, value in entry.values.items():
            writer.add_scalar(name, value, entry.step)
        writer.flush()

    def close(self) -> None:
        """As :meth:`Tracker.close`."""
        for writer in self.writers.values():
            writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, which takes its mode, project and key from its own environment variables."""

    def __init__(self, module: Any, identity: Identity) -> None:
        self.run = module.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=identity.id,
            name=identity.name,
            resume="allow",
            config=dict(identity.settings),
            dir=str(identity.folder),
            settings=module.Settings(console="off", silent=True),
        )
        self.axes: set[str] = set()

    def log(self, entry: Entry) -> None:
        """As :meth:`Tracker.log`."""
        for name in entry.values.keys() - self.axes:
            self.run.define_metric(name, step_metric=entry.axis)
        self.axes |= entry.values.keys()
        self.run.log(dict(entry.values))

    def close(self) -> None:
        """As :meth:`Tracker.close`."""
        self.run.finish()


class Trackio:
    """A run of Trackio, on this machine or where its own environment variables say."""

    def __init__(self, module: Any, identity: Identity) -> None:
        self.run = module.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{identity.name}-{identity.id}",  # Trackio continues a run by its name
            resume="allow",
            config=dict(identity.settings),
            embed=False,
        )

    def log(self, entry: Entry) -> None:
        """As :meth:`Tracker.log`."""
        values = {name: value for name, value in entry.values.items() if name != "step"}  # Trackio's own name
        self.run.log(values, step=entry.step)

    def close(self) -> None:
        """As :meth:`Tracker.close`."""
        self.run.finish()


class MLflow:
    """A run of MLflow, where MLFLOW_TRACKING_URI says. A tag holds our id, because a server makes its own."""

    def __init__(self, module: Any, identity: Identity) -> None:
        self.module, self.client = module, module.MlflowClient()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        runs = self.client.search_runs([experiment], f"tags.`plaudit.run` = '{identity.id}'", max_results=1)
        if runs:
            self.run = runs[0].info.run_id
            self.client.update_run(self.run, status="RUNNING")
            return
        tags = {"plaudit.run": identity.id}
        self.run = self.client.create_run(experiment, tags=tags, run_name=identity.name).info.run_id
        params = [module.entities.Param(name, value) for name, value in _flatten(identity.settings)]
        for start in range(0, len(params), PARAMS):
            self.client.log_batch(self.run, params=params[start : start + PARAMS])

    def _experiment(self, name: str) -> str:
        experiment = self.client.get_experiment_by_name(name)
        return self.client.create_experiment(name) if experiment is None else experiment.experiment_id

    def log(self, entry: Entry) -> None:
        """As :meth:`Tracker.log`."""
        now, metric = int(1000 * time.time()), self.module.entities.Metric
        points = [metric(name, value, now, entry.step) for name, value in entry.values.items()]
        self.client.log_batch(self.run, metrics=points)

    def close(self) -> None:
        """As :meth:`Tracker.close`."""
        self.client.set_terminated(self.run)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as pairs of a name, such as feedback.labels, and a text of at most 500 characters."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)[:500]


@dataclass(frozen=True)
class Service:
    """A row of :data:`TRACKERS`; its name is that of the extra, too."""

    module: str
    connect: Callable[[Any, Identity], Tracker]  # from the imported module


TRACKERS: dict[str, Service] = {  # a program may add its own
    "tensorboard": Service("torch.utils.tensorboard", TensorBoard),
    "wandb": Service("wandb", WeightsAndBiases),
    "trackio": Service("trackio", Trackio),
    "mlflow": Service("mlflow", MLflow),
}


def check_trackers(names: Sequence[str]) -> tuple[str, ...]:
    """The trackers that ``--track`` names, each once; commas separate several.

    Raises:
        PlauditError: there is no such tracker, or its package is not installed.
    """
    trackers = tuple(dict.fromkeys(name for text in names for name in text.split(",")))
    if trackers == (NONE,):
        return trackers
    unknown = [name for name in trackers if name not in TRACKERS]
    if unknown:
        raise PlauditError(f"--track: there is no tracker {unknown[0]!r}: use {', '.join(TRACKERS)}, or none by itself")
    for name in trackers:
        try:
            importlib.import_module(TRACKERS[name].module)
        except ImportError as error:
            raise PlauditError(f"--track {name} needs {error.name or name}: pip install -e '.[{name}]'") from error
    return trackers


@contextmanager
def track_run(run: RunFolder[Any], names: Sequence[str] = ()) -> Iterator[None]:
    """Send the rows of a run to trackers as long as the block lasts.

    names: trackers in addition to those that the run remembers (:func:`check_trackers`); ``none`` by itself: no
    tracker this time. Warns once of each tracker that fails.
    """
    remembered = _read_trackers(run)
    trackers = tuple(dict.fromkeys((*remembered.get("trackers", ()), *names)))
    if not trackers or tuple(names) == (NONE,):
        yield
        return
    id = str(remembered.get("id") or uuid.uuid4().hex[:12])
    if trackers != tuple(remembered.get("trackers", ())):
        path = run.folder / layout.TRACKERS
        with disk_errors(path):
            replace_text(path, json.dumps({"id": id, "trackers": trackers}) + "\n")
        sign(run.folder, run.config)  # the trackers that the user named are the user's
    settings = read_json(run.folder / layout.CONFIG, "restore it from a copy, or start a new run")
    identity = Identity(run.folder, id, settings)
    relays = [_Relay(name, identity) for name in trackers]
    rows = _Rows(run, relays)
    run.observers.append(rows.observe)
    try:
        yield
    finally:
        run.observers.remove(rows.observe)
        for relay in relays:
            relay.close()
        for relay in relays:
            relay.warn()


def _read_trackers(run: RunFolder[Any]) -> dict[str, Any]:
    path = run.folder / layout.TRACKERS
    return read_json(path, "remove it, and name the trackers again with --track") if path.exists() else {}


class _Rows:
    """Turns rows as they are written into entries."""

    def __init__(self, run: RunFolder[Any], relays: Sequence[_Relay]) -> None:
        self.run, self.relays = run, relays
        self.counts: dict[str, int] = {}  # rows so far, by file

    def observe(self, row: Mapping[str, Any], name: str) -> None:
        """Hand the numbers of a row to every tracker."""
        numbers = {
            key: float(value)
            for key, value in row.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        }
        if not numbers.keys() - {"round"}:
            return
        file = Path(name).stem
        if name == layout.METRICS:
            axis = "step" if "step" in numbers else "round"
        else:  # such a row is numbered within its round only, so the curves are drawn over the rows of the file
            count = self.counts[name] + 1 if name in self.counts else len(self.run.metrics(name))
            self.counts[name] = count
            numbers = {f"{file}/{key}": value for key, value in numbers.items()} | {f"{file}/row": float(count)}
            axis = f"{file}/row"
        entry = Entry(file, axis, int(numbers[axis]), numbers)
        for relay in self.relays:
            relay.send(entry)


@dataclass
class _Relay:
    """One tracker in its own thread, which starts with the first row. Warnings come from the run's thread."""

    name: str
    identity: Identity
    queue: SimpleQueue[Entry | None] = field(default_factory=SimpleQueue)
    error: Exception | None = None
    thread: threading.Thread | None = None

    def send(self, entry: Entry) -> None:
        """Hand over an entry, unless the tracker has failed."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name=f"track-{self.name}", daemon=True)
            self.thread.start()
        self.warn()
        if self.thread.is_alive():
            self.queue.put(entry)

    def close(self) -> None:
        """Wait until everything is sent, but not for ever."""
        if self.thread is None:
            return
        self.queue.put(None)
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            self.error = TimeoutError(f"no answer within {PATIENCE:.0f} seconds")

    def _work(self) -> None:
        try:
            service = TRACKERS[self.name]
            tracker = service.connect(importlib.import_module(service.module), self.identity)
            while (entry := self.queue.get()) is not None:
                tracker.log(entry)
            tracker.close()
        except Exception as error:  # a fault of a service is no reason to end a run
            self.error = error

    def warn(self) -> None:
        """Say once that the tracker has failed."""
        if self.error is not None:
            reason = " ".join(f"{type(self.error).__name__}: {self.error}".split())
            warnings.warn(
                f"--track {self.name} failed, and the run continues without it ({reason[:300]})", stacklevel=2
            )
            self.error = None
