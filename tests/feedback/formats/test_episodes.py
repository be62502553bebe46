"""Minari and LeRobot folders, written here as those two write them, read as segments."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from plaudit.cli import main
from plaudit.feedback.formats import FORMATS
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats._spaces import parse_space, to_array
from plaudit.feedback.formats.command import ImportArguments, run_import
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


def test_clips_are_asked_about_by_no_file(path: Path, tmp_path: Path, capsys):
    minari(tmp_path / "set", "arrow")
    lines = []
    for ask in (1, 1, 0):
        assert run_import(ImportArguments(tmp_path / "set", str(path), length=3, ask=ask)) == 0
        lines.append(capsys.readouterr().err.splitlines())
    stored = "set (minari): 2 objects read; {}0 problems"
    hint = "  this file holds clips and no questions: --ask asks nothing about them"
    assert lines[0] == [stored.format("3 clips stored, which nobody has been asked about, "), hint]
    again = stored.format("0 clips stored, which nobody has been asked about, 3 were there already, ")
    assert lines[1:] == [[again, hint], [again]]


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


def test_folders_that_are_not_read(exchange, tmp_path: Path, monkeypatch):
    def refused(line: str) -> None:
        with pytest.raises(PlauditError, match=line) as caught:
            exchange.load(folder)
        assert "\n" not in str(caught.value)

    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    refused("holds no file that is read .* and is no dataset of Minari")
    (folder / "data" / "main_data.hdf5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(r"main_data\.hdf5 can only be read with h5py: pip install -e '\.\[hdf5\]'")
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


SPACE = {
    "type": "Dict",
    "subspaces": {
        "goal": {"type": "Box", "dtype": "float32", "shape": [2]},
        "door": {"type": "Discrete", "n": 3, "start": 1},
        "arms": {"type": "Tuple", "subspaces": [{"type": "MultiDiscrete", "nvec": [2, 2]}, {"type": "MultiBinary"}]},
    },
}
GYM = spaces.Dict(
    {
        "goal": spaces.Box(-1, 1, (2,), np.float32),
        "door": spaces.Discrete(3, start=1),
        "arms": spaces.Tuple([spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(3)]),
    }
)


def sample(count: int) -> tuple[dict[str, Any], np.ndarray]:
    """Steps of the space above as columns, and as Gymnasium flattens them."""
    GYM.seed(0)
    steps = [GYM.sample() for _ in range(count)]
    columns = {
        "goal": np.stack([step["goal"] for step in steps]),
        "door": np.array([step["door"] for step in steps]),
        "arms": {str(part): np.stack([step["arms"][part] for step in steps]) for part in range(2)},
    }
    return columns, np.stack([np.asarray(spaces.flatten(GYM, step)) for step in steps])


def struct(value: Any) -> Any:
    """A column of structs, as Minari's Arrow storage has a Dict."""
    if not isinstance(value, dict):
        return fixed(value) if value.ndim > 1 else pyarrow.array(value)
    return pyarrow.StructArray.from_arrays([struct(part) for part in value.values()], names=list(value))


def test_dict_observations_are_flattened_as_gymnasium_does(exchange, tmp_path: Path):
    columns, flat = sample(8)
    data = tmp_path / "set" / "data"
    batch = pyarrow.RecordBatch.from_pydict(
        {"episode_id": np.zeros(8, np.int32), "observations": struct(columns), "actions": pyarrow.array(np.arange(8.0))}
    )
    dataset.write_dataset(batch, data, format="arrow", partitioning=["episode_id"])
    (data / "metadata.json").write_text(json.dumps({"data_format": "arrow", "observation_space": json.dumps(SPACE)}))
    result = exchange.load(tmp_path / "set", length=3)
    assert (result.items, result.problems.count) == (2, 0)
    stored(exchange, 3, [(flat[:7], np.arange(7.0))])
    bad = json.loads(json.dumps(SPACE))
    bad["subspaces"]["door"]["n"] = 1
    (data / "metadata.json").write_text(json.dumps({"data_format": "arrow", "observation_space": json.dumps(bad)}))
    assert exchange.load(tmp_path / "set", "minari", length=3).problems.first == [
        "set, episode 0: has a discrete value outside its 1 values"
    ]


JUNK = [None, 3, "x", [], {}, {"subspaces": 3}, {"subspaces": {"door": {"type": "Discrete", "n": None}}}]
JUNK += [{"subspaces": {"arms": {"subspaces": [{"type": "MultiDiscrete", "nvec": nvec}]}}} for nvec in (3, ["x", {}])]


@pytest.mark.parametrize("space", JUNK, ids=str)
def test_a_space_that_is_no_space(space: Any):
    columns, _ = sample(3)
    try:
        assert len(to_array(columns, parse_space(space))) == 3
    except ValueError as error:
        assert "\n" not in str(error)
    with pytest.raises(ValueError, match="differ in their number of steps"):
        to_array({**columns, "goal": columns["goal"][:1]}, SPACE)


@pytest.mark.parametrize("kind", ["Box", "Dict"])
def test_hdf5(exchange, tmp_path: Path, kind: str):
    h5py = pytest.importorskip("h5py")
    columns, flat = sample(8)
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for number in (1, 0, 10):
            group = file.create_group(f"episode_{number}")
            group["actions"] = np.arange(7.0) + number
            if kind == "Box":
                group["observations"] = flat.astype(np.float32)
                continue
            for name in ("goal", "door"):
                group[f"observations/{name}"] = columns[name]
            for part in range(2):
                group[f"observations/arms/_index_{part}"] = columns["arms"][str(part)]
        del file["episode_10/actions"]
        file.attrs["observation_space"] = json.dumps(SPACE if kind == "Dict" else {"type": "Box", "shape": [2, 6]})
    result = exchange.load(tmp_path / "set", length=3)
    assert (result.format, result.read, result.items) == ("minari", 3, 4)
    assert result.problems.first == ["set, episode 10: field 'actions' is missing"]
    steps = flat[:7].astype(np.float32).reshape(-1, 2, 6) if kind == "Box" else flat[:7]
    stored(exchange, 3, [(steps, np.arange(7.0) + number) for number in (0, 1)])
    assert exchange.load(data / "main_data.hdf5", length=3).items == 0  # the file by itself
    (data / "main_data.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(PlauditError, match=r"main_data\.hdf5 cannot be read .*fetch it again"):
        exchange.load(tmp_path / "set")
    with h5py.File(data / "main_data.hdf5", "w") as file:
        file["observations"] = flat
    with pytest.raises(PlauditError, match="has no group episode_0"):
        exchange.load(tmp_path / "set")


def test_d4rl(exchange, tmp_path: Path):
    """Steps one behind the other; an episode ends at a terminal or a timeout, and the last one may break off."""
    h5py = pytest.importorskip("h5py")
    steps = np.arange(22, dtype=np.float32).reshape(11, 2)
    with h5py.File(tmp_path / "hopper.hdf5", "w") as file:
        file["observations"], file["actions"], file["rewards"] = steps, steps[:, :1], steps[:, 0]
        file["terminals"], file["timeouts"] = np.arange(11) == 3, np.arange(11) == 7
    values = [row.value for row in rows(tmp_path / "hopper.hdf5")]
    assert [value["observations"][:, 0].tolist() for value in values] == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20]]
    assert [len(value["actions"]) for value in values] == [4, 4, 3]
    assert exchange.load(tmp_path / "hopper.hdf5", length=3).items == 3


def test_a_data_set_of_minari_by_its_id(exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "downloads"))
    monkeypatch.chdir(tmp_path)
    assert main(["import", "D4RL/door/human-v2", "--preview"]) == 2
    assert "download it first: minari download D4RL/door/human-v2" in capsys.readouterr().err
    data = tmp_path / "downloads" / "D4RL" / "door" / "human-v2" / "data"
    data.mkdir(parents=True)
    h5py = pytest.importorskip("h5py")
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for name in ("observations", "actions"):
            file[f"episode_0/{name}"] = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert exchange.load(Path("D4RL/door/human-v2"), length=2).items == 2


def test_they_know_each_other_apart():
    row = {"episode": 0, "observations": [], "actions": []}
    assert FORMATS["minari"].sniff(row) and not FORMATS["lerobot"].sniff(row)
    assert FORMATS["lerobot"].sniff(row | {"fps": None}) and not FORMATS["minari"].sniff(row | {"fps": None})
