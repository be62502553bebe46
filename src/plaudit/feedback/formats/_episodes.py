"""Folders of recorded episodes: Minari's (arrow or parquet) and LeRobot's (parquet). pyarrow reads them, nothing else.

Each row is ``{"episode": number, "observations": (T, ...), "actions": (T, ...)}``, LeRobot's with ``fps`` too. Pickles
and HDF5 are not opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.feedback.formats._record import Row
from plaudit.types import Array, PlauditError


def is_dataset(folder: Path) -> bool:
    """Whether a folder is one of Minari's or LeRobot's."""
    data = folder / "data" if (folder / "data").is_dir() else folder
    return (folder / "meta" / "info.json").is_file() or any(data.glob("*.hdf5")) or (data / "metadata.json").is_file()


def rows(folder: Path) -> Iterator[Row]:
    """The episodes of a folder. Raises :class:`PlauditError` where it holds none that can be read."""
    if (folder / "meta" / "info.json").is_file():
        return _lerobot(folder)
    data = folder / "data" if (folder / "data").is_dir() else folder
    if any(data.glob("*.hdf5")):
        raise PlauditError(
            f"{data} keeps its episodes as HDF5, which is not read: save the dataset in Minari with data_format='arrow'"
        )
    if (data / "metadata.json").is_file():
        return _minari(data)
    raise PlauditError(
        f"{folder} holds no file that is read (.jsonl, .json, .csv, .parquet, .arrow), and is no dataset of Minari "
        "(data/metadata.json) or LeRobot (meta/info.json): name a file"
    )


def pyarrow(part: str, path: Path) -> Any:
    """A module of pyarrow, which is an optional extra."""
    try:
        if part == "parquet":
            import pyarrow.parquet as module
        elif part == "ipc":
            import pyarrow.ipc as module
        else:
            import pyarrow.dataset as module
    except ImportError as error:
        raise PlauditError(f"{path} can only be read with pyarrow: pip install -e '.[parquet]'") from error
    return module


@contextmanager
def explain_faults(path: Path) -> Iterator[None]:
    """pyarrow's faults are subclasses of ValueError, KeyError and OSError."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PlauditError(f"{path} cannot be read ({reason}): fetch it again") from error


def _metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlauditError(f"{path} cannot be read ({error}): fetch it again") from error
    if not isinstance(metadata, dict):
        raise PlauditError(f"{path} must be an object: fetch it again")
    return metadata


def _minari(data: Path) -> Iterator[Row]:
    """One folder an episode; its last row pads the actions, for there is one observation more than actions."""
    metadata = _metadata(data / "metadata.json")
    kind = str(metadata.get("data_format", "arrow"))
    if kind not in ("arrow", "parquet"):
        raise PlauditError(f"{data} has data_format {kind!r}, which is not read: save it with data_format='arrow'")
    dataset = pyarrow("dataset", data)
    shape = _shape(metadata.get("observation_space"))
    for episode in sorted(int(entry.name) for entry in data.iterdir() if entry.is_dir() and entry.name.isdigit()):
        folder, location = data / str(episode), f"episode {episode}"
        with explain_faults(folder):
            source = dataset.dataset(folder, format=kind, ignore_prefixes=["_", ".", "metadata.json"])
            table = source.to_table()
        try:
            observations = _array(table["observations"])
            actions = _array(table["actions"])[:-1]
        except KeyError as error:
            yield Row(location, fault=f"field {error} is missing")
            continue
        except ValueError as error:
            yield Row(location, fault=str(error))
            continue
        length = len(actions)
        if shape is not None and int(np.prod(shape)) == observations[0].size:
            observations = observations.reshape(-1, *shape)
        yield Row(location, {"episode": episode, "observations": observations[:length], "actions": actions})


def _shape(space: Any) -> tuple[int, ...] | None:
    """A Box's shape out of Minari's description of a space, which is JSON, sometimes within a string."""
    try:
        body = json.loads(space) if isinstance(space, str) else space
    except ValueError:
        return None
    shape = body.get("shape") if isinstance(body, dict) else None
    good = isinstance(shape, list) and all(isinstance(size, int) and size > 0 for size in shape)
    return tuple(shape) if good and shape else None


def _lerobot(folder: Path) -> Iterator[Row]:
    """Frames in the order of the files, cut where ``episode_index`` changes. Videos are not read."""
    info = _metadata(folder / "meta" / "info.json")
    version = str(info.get("codebase_version"))
    if not version.startswith("v3"):
        raise PlauditError(f"{folder} is LeRobot {version}, and v3 is read: convert it with LeRobot's own script")
    parquet = pyarrow("parquet", folder)
    files = sorted((folder / "data").glob("chunk-*/file-*.parquet"))
    if not files:
        raise PlauditError(f"{folder} has no data/chunk-*/file-*.parquet: fetch it again")
    episode, observations, actions = -1, [], []
    for path in files:
        with explain_faults(path), parquet.ParquetFile(path) as file:
            missing = {"episode_index", "observation.state", "action"} - set(file.schema_arrow.names)
            if missing:
                raise PlauditError(f"{path} has no column {min(missing)}: only episodes with a state are read")
            for batch in file.iter_batches(columns=["episode_index", "observation.state", "action"]):
                numbers = batch.column("episode_index").to_numpy(zero_copy_only=False)
                states, done = _array(batch.column("observation.state")), _array(batch.column("action"))
                cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
                for start, end in pairwise(cuts):
                    if start < end and numbers[start] != episode:
                        if observations:
                            yield _episode(episode, observations, actions, info)
                        episode, observations, actions = int(numbers[start]), [], []
                    observations.append(states[start:end])
                    actions.append(done[start:end])
    if observations:
        yield _episode(episode, observations, actions, info)


def _episode(number: int, observations: list[Array], actions: list[Array], info: dict[str, Any]) -> Row:
    steps = {"observations": np.concatenate(observations), "actions": np.concatenate(actions)}
    value = {"episode": number, "fps": info.get("fps"), **steps}
    return Row(f"episode {number}", value)


def _array(column: Any) -> Array:
    """A column as an array with one row a step; raises ValueError where it is no column of numbers."""
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    parts = []
    for chunk in chunks:
        if len(chunk) == 0:
            continue
        values = chunk.to_numpy(zero_copy_only=False)
        parts.append(np.stack(list(values)) if values.dtype == object and not isinstance(values[0], dict) else values)
    if not parts or parts[0].dtype.kind not in "biuf":
        raise ValueError("its observations and actions are no plain arrays of numbers, and are not read")
    return np.concatenate(parts)
