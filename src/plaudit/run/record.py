"""A run is a folder: config.json, metrics.jsonl, feedback.sqlite, truth.jsonl, checkpoints/, report.html."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import filelock
import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from plaudit import layout
from plaudit.files import append_text, find_link, replace_file, replace_text
from plaudit.run.disk import disk_errors
from plaudit.run.stored import CONTROL, Config, from_dict, to_dict
from plaudit.run.trust import check_trust, sign
from plaudit.types import PlauditError, shorten

Folder = TypeVar("Folder", bound="RunFolder[Any]")
LARGEST_INT = 10**12  # rounds
LARGEST_NUMBER = 1e300  # in metrics; sums of larger numbers are infinite
KEEP = 2  # checkpoints besides the first, which stays for the report's "before"


@dataclass(frozen=True)
class Checkpoint:
    """State after a round: tensors by name, and a few plain values."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


class RunFolder(Generic[Config]):
    """One run folder. Only one process may train in it at a time; any may read."""

    kind: ClassVar[str]
    config_class: ClassVar[type]
    dropped: ClassVar[slice] = slice(1, -KEEP)  # checkpoints that another one makes superfluous

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config = folder, config
        self.observers: list[Callable[[dict[str, Any], str], object]] = []  # called with each row, and its file's name
        self.lock = filelock.FileLock(folder / layout.LOCK, timeout=0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    @classmethod
    def create(cls: type[Folder], folder: Path, config: Any, kind: str | None = None) -> Folder:
        """A new folder, for a run of the class's kind or of ``kind``; raises as :meth:`check_free`."""
        cls.check_free(folder)
        with disk_errors(folder):
            (folder / layout.CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            replace_text(folder / layout.CONFIG, json.dumps(to_dict(config, kind or cls.kind), indent=2) + "\n")
        sign(folder, config)
        return cls(folder, config)

    @staticmethod
    def check_free(folder: Path) -> None:
        """
        Raises:
            PlauditError: there is a run in it already, or something else.
        """
        if (folder / layout.CONFIG).exists():
            raise PlauditError(
                f"{folder} already holds a run: resume it with `plaudit resume {layout.shell_path(folder)}`, or choose "
                "another --out"
            )
        with disk_errors(folder):
            if folder.is_dir() and any(folder.iterdir()):
                raise PlauditError(f"{folder} holds other files: choose another --out, or empty it")

    @classmethod
    def open(cls: type[Folder], folder: Path, settings: type | None = None, kind: str | None = None) -> Folder:
        """An existing folder, with the class's settings and kind of run, or with the given ones.

        Raises:
            PlauditError: it holds no run, a damaged one, or one of another version.
        """
        stored, origin = _read_config(folder), str(folder / layout.CONFIG)
        return cls(folder, from_dict(stored, settings or cls.config_class, kind or cls.kind, origin))

    def check_trust(self, trust: bool = False, overrides: Collection[str] = ()) -> None:
        """Refuse a stranger's run that names things outside of its folder; so does its baseline.

        Raises:
            PlauditError: as :func:`plaudit.run.trust.check_trust`.
        """
        check_trust(self.folder, self.config, trust, overrides)
        folder = self.folder / layout.BASELINE
        if (folder / layout.CONFIG).exists():
            check_trust(folder, type(self).open(folder).config, trust, overrides)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Hold the folder for training.

        Raises:
            PlauditError: another process trains in it.
        """
        with disk_errors(self.folder / layout.LOCK):
            try:
                self.lock.acquire()
            except filelock.Timeout as error:
                raise PlauditError(
                    f"{self.folder} is in use by another process that trains: wait, or stop it"
                ) from error
        try:
            yield
        finally:
            self.lock.release()

    # metrics

    def append(self, metrics: dict[str, Any], name: str = layout.METRICS) -> None:
        """One line of metrics; on the disk before it returns."""
        path = self.folder / name
        with disk_errors(path):
            append_text(path, json.dumps(metrics) + "\n")
        for observe in self.observers:
            observe(metrics, name)

    def metrics(self, name: str = layout.METRICS) -> list[dict[str, Any]]:
        """All complete lines; a torn last line, from a run that was killed, is left out."""
        return self._rows(self.folder / name)

    def recorded_metrics(self) -> list[dict[str, Any]]:
        """The metrics of the run that this one replays; none where it replays none."""
        return self._rows(self.folder / layout.RECORDED)

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        if not path.exists():
            return []
        rows = []
        with disk_errors(path):
            *lines, _ = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                rows.append(_parse_row(json.loads(line), path.name != layout.RESPONSES))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                raise PlauditError(
                    f"{path}, line {number}: no metrics of a round ({type(error).__name__}: {error}); restore the "
                    "file, or remove that line"
                ) from error
        return rows

    def rewind(self, round: int, name: str = layout.METRICS) -> None:
        """Forget metrics of rounds after ``round``: they will be made again."""
        rows = [row for row in self.metrics(name) if row["round"] <= round]
        with disk_errors(self.folder):
            replace_text(self.folder / name, "".join(json.dumps(row) + "\n" for row in rows))

    # checkpoints

    def save(self, round: int, checkpoint: Checkpoint) -> None:
        """Write atomically and drop older ones: a kill at any moment leaves a whole checkpoint."""
        path = self.folder / layout.CHECKPOINTS / f"{round:06d}.safetensors"
        write(path, checkpoint)
        with disk_errors(path):
            for old in self.checkpoints()[self.dropped]:
                if not self.is_milestone(old, round):
                    old.unlink(missing_ok=True)

    def is_milestone(self, checkpoint: Path, latest: int) -> bool:
        """Whether an older checkpoint stays for good, when that of round ``latest`` has been written."""
        return False

    def checkpoints(self) -> list[Path]:
        """Paths of whole checkpoints, oldest first; the first is the untrained policy."""
        return sorted((self.folder / layout.CHECKPOINTS).glob("*.safetensors"))

    def find_checkpoint(self, name: str | int) -> Path:
        """The checkpoint called ``name``: "first", "last", or the number of its round.

        Raises:
            PlauditError: there is none of that name; the message lists the rounds.
        """
        paths = self.checkpoints()
        by_name = {str(int(path.stem)): path for path in paths}
        if paths:
            by_name |= {"first": paths[0], "last": paths[-1]}
        if str(name) not in by_name:
            names = ", ".join(by_name) or "none"
            raise PlauditError(f"{self.folder} has no checkpoint {str(name)!r}: it has {names}")
        return by_name[str(name)]

    def load(self, path: Path | None = None) -> Checkpoint:
        """A checkpoint, by default the latest.

        Raises:
            PlauditError: there is none, or it is damaged.
        """
        paths = self.checkpoints()
        if path is None and not paths:
            raise PlauditError(
                f"{self.folder} has no checkpoint yet: train it first (`plaudit resume "
                f"{layout.shell_path(self.folder)}`)"
            )
        return read(path or paths[-1])


def _parse_row(row: dict[str, Any], numbers: bool) -> dict[str, Any]:
    """A row of a file of metrics; raises what a broken row raises. numbers: a row holds nothing but numbers."""
    row["round"] = int(row["round"])
    if not 0 <= row["round"] <= LARGEST_INT:
        raise ValueError(f"round {row['round']:.6g}")
    for name, value in row.items() if numbers else ():
        if value is not None and (not isinstance(value, int | float) or abs(value) > LARGEST_NUMBER):  # NaN passes
            raise ValueError(f"{shorten(str(name))} is {shorten(repr(value))}, and must be a number")
    return row


def kind_of(folder: Path) -> str:
    """What kind of run a folder holds.

    Raises:
        PlauditError: it holds none, or a damaged one.
    """
    return str(_read_config(folder).get("kind", CONTROL))


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / layout.CONFIG
    if not path.exists():
        raise PlauditError(_explain_missing(folder))
    with disk_errors(folder):
        link = find_link(folder, allow=layout.WANDB, pattern=layout.WANDB_LOG)
    if link is not None:
        raise PlauditError(
            f"{link} is a link or no ordinary file, and a run folder holds files and folders only: put a copy of what "
            "it stands for in its place, or remove it"
        )
    return read_json(path, "restore it from a copy, or start a new run")


def _explain_missing(folder: Path) -> str:
    """Why a path is no run's folder."""
    runs = [parent for parent in folder.parents if (parent / layout.CHECKPOINTS).is_dir()]
    run = next((parent for parent in runs if (parent / layout.CONFIG).is_file()), None)
    if run is not None and folder.exists():
        return f"{folder} is not a run, but a part of one: name the run's folder, {run}"
    if not folder.exists():
        return f"there is no folder {folder}: check the path (`plaudit train` starts a run)"
    return f"{folder} holds no run: config.json is missing (start one with `plaudit train`)"


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A small file with one JSON object.

    Raises:
        PlauditError: it cannot be read, or is damaged, for which there is a ``remedy``.
    """
    with disk_errors(path):
        text = path.read_bytes()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlauditError(f"{path} is damaged ({error}): {remedy}") from error
    if not isinstance(content, dict):
        raise PlauditError(f"{path} is damaged (it holds no object): {remedy}")
    return content


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that a kill at any moment leaves a whole one."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
    with disk_errors(path), replace_file(path) as partial:
        save_file(tensors, partial, metadata={"meta": json.dumps(checkpoint.meta)})


def read(path: Path) -> Checkpoint:
    """What :func:`write` wrote.

    Raises:
        PlauditError: it is damaged.
    """
    try:
        tensors = load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            meta = dict(json.loads((file.metadata() or {})["meta"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise PlauditError(
            f"checkpoint {path} is damaged ({error}): restore it from a copy, or remove it to continue from the one "
            "before"
        ) from error
    return Checkpoint(tensors, meta)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under ``prefix/``, without it."""
    return {name.removeprefix(prefix + "/"): value for name, value in tensors.items() if name.startswith(prefix + "/")}
