"""Minari and LeRobot folders, written here as those two write them, read as segments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaudit.feedback.formats import FORMATS
from plaudit.types import PlauditError, Segment, Source

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
dataset = pytest.importorskip("pyarrow.dataset")


def fixed(array: np.ndarray) -> Any:
    """A column of lists of one length."""
    flat = array.reshape(len(array), -1)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.reshape(-1)), flat.shape[1])


def minari(folder: Path, kind: str, shape: tuple[int, ...] = (2, 3), lengths: tuple[int, ...] = (7, 5)) -> list[Any]:
    """Episodes with one observation more than actions, the actions padded, a folder each."""
    rng, episodes = np.random.default_rng(0), []
    for number, length in enumerate(lengths):
        observations = rng.random((length + 1, *shape)).astype(np.float32)
        actions = rng.integers(0, 4, length)
        episodes.append((observations[:-1], actions.astype(np.int32)))
        padded = pyarrow.array(np.append(actions, 0).astype(np.int32))
        columns = {
            "episode_id": np.full(length + 1, number, np.int32),
            "observations": fixed(observations),
            "actions": padded,
            "rewards": np.zeros(length + 1),
        }
        data = folder / "data"
        batch = pyarrow.RecordBatch.from_pydict(columns)
        dataset.write_dataset(
            batch, data, format=kind, partitioning=["episode_id"], existing_data_behavior="overwrite_or_ignore"
        )
        (data / str(number) / "metadata.json").write_text(json.dumps({"id": number, "total_steps": length}))
    space = json.dumps({"type": "Box", "dtype": "float32", "shape": list(shape)})
    body = {"data_format": kind, "observation_space": space, "total_episodes": len(lengths)}
    (folder / "data" / "metadata.json").write_text(json.dumps(body))
    return episodes


def lerobot(folder: Path, version: str = "v3.0", **more: Any) -> list[Any]:
    """Two files of frames; the second episode goes over from one into the other."""
    rng = np.random.default_rng(1)
    frames, cut, numbers = 12, 8, np.array([0] * 5 + [1] * 7)
    states, actions = rng.random((frames, 4)).astype(np.float32), rng.random((frames, 2)).astype(np.float32)
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps({"codebase_version": version, "fps": 10, **more}))
    for number, part in enumerate((slice(0, cut), slice(cut, frames))):
        columns = {
            "observation.state": [each.tolist() for each in states[part]],
            "action": fixed(actions[part]),
            "episode_index": numbers[part],
            "frame_index": np.arange(frames)[part],
        }
        path = folder / "data" / "chunk-000" / f"file-{number:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table(columns), path)
    return [(states[:5], actions[:5]), (states[5:], actions[5:])]


def stored(exchange, length: int, episodes: list[Any]) -> None:
    """Each whole segment of each episode is in the store, with where it was cut."""
    expected = [
        Segment(observations[start : start + length], actions[start : start + length], source=Source(0, row, start))
        for row, (observations, actions) in enumerate(episodes)
        for start in range(0, len(actions) - length + 1, length)
    ]
    found = exchange.store.segments([each.id for each in expected])
    assert [each.source for each in found] == [each.source for each in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.observations, other.observations)
    assert exchange.store.counts().segments == len(expected)


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_minari(exchange, tmp_path: Path, kind: str):
    episodes = minari(tmp_path / "set", kind)
    result = exchange.load(tmp_path / "set", length=3)
    assert (result.format, result.read, result.items, result.problems.count) == ("minari", 2, 3, 0)
    stored(exchange, 3, episodes)
    assert exchange.load(tmp_path / "set", length=3).items == 0


def test_lerobot(exchange, tmp_path: Path):
    episodes = lerobot(tmp_path / "set")
    result = exchange.load(tmp_path / "set", length=3)
    assert (result.format, result.read, result.items, result.problems.count) == ("lerobot", 2, 3, 0)
    stored(exchange, 3, [(states.astype(np.float64), actions) for states, actions in episodes])  # lists are doubles


def test_an_episode_shorter_than_a_segment_is_named(exchange, tmp_path: Path):
    minari(tmp_path / "set", "arrow")
    result = exchange.load(tmp_path / "set", length=6)
    assert result.items == 1
    assert result.problems.first == ["set, episode 1: field 'observations' are 5 steps, fewer than a segment's 6"]


def test_observations_that_are_no_arrays(exchange, tmp_path: Path):
    folder = tmp_path / "set"
    minari(folder, "parquet", lengths=(4,))
    (target,) = (folder / "data" / "0").glob("*.parquet")
    table = parquet.read_table(target)
    worded = table.set_column(table.column_names.index("observations"), "observations", [["go"] * 5])
    parquet.write_table(worded, target)
    result = exchange.load(folder, "minari", length=2)
    assert "no plain arrays of numbers" in result.problems.first[0]
    parquet.write_table(table.drop_columns(["actions"]), target)
    assert "is missing" in exchange.load(folder, "minari", length=2).problems.first[0]


def test_folders_that_are_not_read(exchange, tmp_path: Path):
    def refused(line: str) -> None:
        with pytest.raises(PlauditError, match=line) as caught:
            exchange.load(folder)
        assert "\n" not in str(caught.value)

    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    refused("holds no file that is read .* and is no dataset of Minari")
    (folder / "data" / "main_data.hdf5").write_bytes(b"")
    refused("keeps its episodes as HDF5, which is not read: save the dataset in Minari with data_format='arrow'")
    (folder / "data" / "main_data.hdf5").unlink()
    (folder / "data" / "metadata.json").write_text('{"data_format": "pickle"}')
    refused("has data_format 'pickle', which is not read")
    (folder / "data" / "metadata.json").write_text("[]")
    refused("must be an object")
    (folder / "data" / "metadata.json").write_text("[")
    refused("cannot be read")
    folder = tmp_path / "robot"
    lerobot(folder, "v2.1")
    refused(r"is LeRobot v2.1, and v3 is read")
    (folder / "meta" / "info.json").write_text('{"codebase_version": "v3.0"}')
    (file, other) = sorted((folder / "data").glob("*/*.parquet"))
    parquet.write_table(parquet.read_table(file).drop_columns(["observation.state"]), file)
    refused("has no column observation.state")
    file.write_bytes(b"PAR1")
    refused("cannot be read .*fetch it again")
    file.unlink()
    other.unlink()
    refused(r"has no data/chunk-\*/file-\*.parquet")


def test_they_know_each_other_apart():
    row = {"episode": 0, "observations": [], "actions": []}
    assert FORMATS["minari"].sniff(row) and not FORMATS["lerobot"].sniff(row)
    assert FORMATS["lerobot"].sniff(row | {"fps": None}) and not FORMATS["minari"].sniff(row | {"fps": None})
