"""Folders of recorded episodes: Minari's (arrow or parquet by pyarrow, HDF5 by h5py) and LeRobot's (parquet).

Each row is ``{"episode": number, "observations": (T, ...), "actions": (T, ...)}``, LeRobot's with ``fps`` too. Pickles
are not opened.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.feedback.formats._record import Row
from plaudit.feedback.formats._spaces import NOT_NUMBERS, parse_space, to_array
from plaudit.types import Array, PlauditError

HDF5 = "main_data.hdf5"
EPISODE = re.compile(r"episode_(\d+)")
MINARI_ID = re.compile(r"(?:[\w-]+/)+[\w-]+-v\d+")  # such as D4RL/door/human-v2
ENDS = ("terminals", "timeouts")  # of D4RL's episodes
SPACES = ("observation_space", "action_space")


def is_dataset(folder: Path) -> bool:
    """Whether a folder is one of Minari's or LeRobot's."""
    data = folder / "data" if (folder / "data").is_dir() else folder
    return (folder / "meta" / "info.json").is_file() or any(data.glob("*.hdf5")) or (data / "metadata.json").is_file()


def find_minari(path: Path) -> Path | None:
    """The folder of a data set of Minari's, by its id, among those that Minari has downloaded; None if it is not."""
    if MINARI_ID.fullmatch(path.as_posix()) is None or path.exists():
        return None
    root = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    return root / path if (root / path / "data").is_dir() else None


def rows(folder: Path) -> Iterator[Row]:
    """The episodes of a folder. Raises :class:`PlauditError` where it holds none that can be read."""
    if (folder / "meta" / "info.json").is_file():
        return _lerobot(folder)
    data = folder / "data" if (folder / "data").is_dir() else folder
    if (data / HDF5).is_file():
        return read_hdf5(data / HDF5)
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
        elif part == "lib":
            import pyarrow as module
        else:
            import pyarrow.dataset as module
    except ImportError as error:
        raise PlauditError(f"{path} can only be read with pyarrow: pip install -e '.[parquet]'") from error
    return module


@contextmanager
def explain_faults(path: Path) -> Iterator[None]:
    """Faults of pyarrow (subclasses of ValueError, KeyError and OSError) and of h5py (RuntimeError too)."""
    try:
        yield
    except PlauditError:
        raise
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PlauditError(f"{path} cannot be read ({reason}): fetch it again") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises :class:`PlauditError` if it cannot be read or is no object."""
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlauditError(f"{path} cannot be read ({error}): fetch it again") from error
    if not isinstance(metadata, dict):
        raise PlauditError(f"{path} must be an object: fetch it again")
    return metadata


def _minari(data: Path) -> Iterator[Row]:
    """One folder an episode; its last row pads the actions, for there is one observation more than actions."""
    metadata = read_metadata(data / "metadata.json")
    kind = str(metadata.get("data_format", "arrow"))
    if kind not in ("arrow", "parquet"):
        raise PlauditError(f"{data} has data_format {kind!r}, which is not read: save it with data_format='arrow'")
    dataset = pyarrow("dataset", data)
    spaces = [parse_space(metadata.get(name)) for name in SPACES]
    for episode in sorted(int(entry.name) for entry in data.iterdir() if entry.is_dir() and entry.name.isdigit()):
        folder, location = data / str(episode), f"episode {episode}"
        with explain_faults(folder):
            source = dataset.dataset(folder, format=kind, ignore_prefixes=["_", ".", "metadata.json"])
            table = source.to_table()
        try:
            observations = to_array(_unpack(table["observations"].combine_chunks()), spaces[0])
            actions = to_array(_unpack(table["actions"].combine_chunks()), spaces[1])[:-1]
        except KeyError as error:
            yield Row(location, fault=f"field {error} is missing")
            continue
        except ValueError as error:
            yield Row(location, fault=str(error))
            continue
        yield Row(location, {"episode": episode, "observations": observations[: len(actions)], "actions": actions})


def _unpack(column: Any) -> Any:
    """A column as an array, a column of structs as arrays by their names."""
    if not str(column.type).startswith("struct"):
        return _array(column)
    return {column.type.field(index).name: _unpack(column.field(index)) for index in range(column.type.num_fields)}


def read_hdf5(path: Path) -> Iterator[Row]:
    """The episodes of Minari's HDF5 file, one group an episode.

    Raises:
        PlauditError: h5py is missing, or the file cannot be read or is none of Minari's.
    """
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise PlauditError(f"{path} can only be read with h5py: pip install -e '.[hdf5]'") from error
    metadata = read_metadata(path.parent / "metadata.json") if (path.parent / "metadata.json").is_file() else {}
    with explain_faults(path), h5py.File(path, "r") as opened:
        file: Any = opened  # whose stubs do not say which members are groups
        spaces = [parse_space(metadata.get(name, file.attrs.get(name))) for name in SPACES]
        numbers = sorted(int(match[1]) for name in file if (match := EPISODE.fullmatch(name)))
        if not numbers and {"observations", "actions"} <= set(file):
            yield from _read_d4rl(file)
            return
        if not numbers:
            raise PlauditError(
                f"{path} has no group episode_0, as Minari writes them, and no observations and actions, as D4RL does: "
                "name one of their files"
            )
        for number in numbers:
            group, location = file[f"episode_{number}"], f"episode {number}"
            missing = [name for name in ("observations", "actions") if not hasattr(group, "keys") or name not in group]
            if missing:
                yield Row(location, fault=f"field '{missing[0]}' is missing")
                continue
            try:
                observations = to_array(_read_group(group["observations"]), spaces[0])
                actions = to_array(_read_group(group["actions"]), spaces[1])
            except ValueError as error:
                yield Row(location, fault=str(error))
                continue
            yield Row(location, {"episode": number, "observations": observations[: len(actions)], "actions": actions})


def _read_d4rl(file: Any) -> Iterator[Row]:
    """The episodes of D4RL's HDF5 file, which holds their steps one behind the other and marks where each ends."""
    observations, actions = (np.asarray(file[name][()]) for name in ("observations", "actions"))
    ends = np.zeros(len(actions), bool)
    for name in ENDS:
        if name in file:
            ends |= np.asarray(file[name][()], bool).reshape(-1)[: len(ends)]
    cuts = [0, *(np.flatnonzero(ends) + 1).tolist()]
    if cuts[-1] < len(actions):
        cuts.append(len(actions))
    for number, (start, end) in enumerate(pairwise(cuts)):
        location = f"episode {number}"
        if observations.dtype.kind not in "biuf" or actions.dtype.kind not in "biuf":
            yield Row(location, fault=NOT_NUMBERS)
            continue
        steps = {"observations": observations[start:end], "actions": actions[start:end]}
        yield Row(location, {"episode": number, **steps})


def _read_group(node: Any) -> Any:
    """A dataset of HDF5 as an array, a group as arrays by their names."""
    return {name: _read_group(node[name]) for name in node} if hasattr(node, "keys") else node[()]


def _lerobot(folder: Path) -> Iterator[Row]:
    """Frames in the order of the files, cut where ``episode_index`` changes. Videos are not read."""
    info = read_metadata(folder / "meta" / "info.json")
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
        raise ValueError(NOT_NUMBERS)
    return np.concatenate(parts)
