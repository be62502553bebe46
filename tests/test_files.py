"""A file or a folder is replaced whole, whatever happens between the write and the replacement."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit import files
from plaudit.files import append_text, copy_file, create_file, find_link, replace_file, replace_folder, replace_text

KILLED = """
import os, signal, sys
from pathlib import Path
from plaudit import files

moves, rename = int(sys.argv[3]), os.replace

def replace(*paths):  # the process dies at the given call of os.replace
    global moves
    if moves == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    moves -= 1
    rename(*paths)

os.replace = replace
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as partial:
    if sys.argv[1] == "replace_folder":
        partial = partial / "weights"
    partial.write_text("new")
"""


def kill(writer: str, path: Path, moves: int) -> None:
    """Start a process that replaces ``path`` and is killed after it wrote and made ``moves`` renames."""
    command = [sys.executable, "-c", KILLED, writer, str(path), str(moves)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_kill_between_write_and_replacement_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("old")
    kill("replace_file", path, 0)
    [partial] = [file for file in tmp_path.iterdir() if file.suffix == files.PARTIAL]
    assert path.read_text() == "old" and partial.read_text() == "new"
    replace_text(path, "newer\n")
    assert path.read_bytes() == b"newer\n" and os.listdir(tmp_path) == ["config.json"]


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
@pytest.mark.parametrize("moves", [0, 1])
def test_a_kill_between_write_and_replacement_keeps_the_old_folder(tmp_path: Path, moves: int) -> None:
    path = tmp_path / "policy"
    path.mkdir()
    (path / "weights").write_text("old")
    (path / "adapter").write_text("old")
    kill("replace_folder", path, moves)
    assert path.exists() == (moves == 0)  # one rename: the old folder is beside
    with pytest.raises(OSError, match="full"), replace_folder(path):
        assert (path / "weights").read_text() == "old"  # put back before anything is written
        raise OSError("the disk is full")
    assert (path / "weights").read_text() == "old" and os.listdir(tmp_path) == ["policy"]
    with replace_folder(path) as partial:
        (partial / "weights").write_text("new")
    assert os.listdir(path) == ["weights"] and os.listdir(tmp_path) == ["policy"]


@pytest.mark.parametrize(("replace", "is_made"), [(replace_file, Path.is_file), (replace_folder, Path.is_dir)])
def test_a_writer_that_fails_leaves_nothing_behind(
    tmp_path: Path, replace: Any, is_made: Callable[[Path], bool]
) -> None:
    path = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt), replace(path) as partial:
        assert is_made(partial)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "policy", os.replace
    path.mkdir()
    (path / "weights").write_text("old")

    def replace(source: Path, target: Path) -> None:
        if source.suffix == files.PARTIAL:
            raise PermissionError("a virus scanner reads it")
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError), replace_folder(path):
        pass
    assert (path / "weights").read_text() == "old" and os.listdir(tmp_path) == ["policy"]


def test_two_processes_may_write_one_shared_path(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    with replace_file(path, shared=True) as partial:
        with replace_file(path, shared=True) as other:
            other.write_text("other")
        partial.write_text("ours")
    assert path.read_text() == "ours" and os.listdir(tmp_path) == ["export.jsonl"]


@pytest.mark.skipif(os.name != "posix", reason="has no modes")
def test_a_private_file_is_private_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    path.write_text("old")
    with replace_file(path, mode=0o600) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        partial.write_text("password")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_text() == "password"


@pytest.fixture
def bait(tmp_path: Path) -> Path:
    """A file outside of the folder ``run``, to which links in the folder lead."""
    (tmp_path / "run").mkdir()
    path = tmp_path / ".bashrc"
    path.write_text("mine")
    return path


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.jsonl.partial", "metrics.jsonl.replaced"])
def test_nothing_is_written_through_a_link(bait: Path, name: str) -> None:
    path = bait.parent / "run" / "metrics.jsonl"
    for write in (
        lambda: replace_text(path, "theirs"),
        lambda: copy_file(Path(__file__), path),
        lambda: os.close(create_file(path)),
        lambda: _fill(path),
    ):
        (path.parent / name).symlink_to(bait)
        write()
        assert bait.read_text() == "mine" and not path.is_symlink()
        shutil.rmtree(path.parent)
        path.parent.mkdir()
    path.symlink_to(bait)
    with pytest.raises(OSError, match="it is a link"):
        append_text(path, "theirs")
    assert bait.read_text() == "mine"


def test_a_folder_is_not_replaced_through_a_link(bait: Path) -> None:
    run, home = bait.parent / "run", bait.parent / "home"
    home.mkdir()
    (home / "keep").touch()
    for name in ("policy", "policy.partial", "policy.replaced"):
        (run / name).symlink_to(home, target_is_directory=True)
    _fill(run / "policy")
    assert os.listdir(run) == ["policy"] and os.listdir(run / "policy") == ["weights"] and os.listdir(home) == ["keep"]


@pytest.mark.skipif(os.name != "posix", reason="has no hard links here")
def test_a_file_with_another_name_is_copied_before_it_grows(bait: Path) -> None:
    path = bait.parent / "run" / "metrics.jsonl"
    os.link(bait, path)
    append_text(path, " and theirs")
    assert bait.read_text() == "mine" and path.read_text() == "mine and theirs"


def test_the_first_link_in_a_folder_is_named(bait: Path) -> None:
    run = bait.parent / "run"
    (run / "wandb" / "run-1").mkdir(parents=True)
    (run / "wandb" / "latest-run").symlink_to("run-1", target_is_directory=True)
    assert find_link(run, allow="wandb") is None and find_link(run) == run / "wandb" / "latest-run"
    (run / "wandb" / "debug.log").symlink_to(bait)
    assert find_link(run, allow="wandb") == run / "wandb" / "debug.log"
    (run / "wandb" / "debug.log").unlink()
    (run / "wandb" / "run-1" / "logs").mkdir()
    (run / "wandb" / "run-1" / "logs" / "debug-core.log").symlink_to(bait)  # as wandb makes it, to the user's cache
    assert find_link(run, allow="wandb") == run / "wandb" / "run-1" / "logs" / "debug-core.log"
    assert find_link(run, allow="wandb", pattern="wandb/*/logs/debug-core.log") is None
    (run / "checkpoints").symlink_to(bait.parent, target_is_directory=True)
    assert find_link(run, allow="wandb", pattern="wandb/*/logs/debug-core.log") == run / "checkpoints"
    (run / "checkpoints").unlink()
    os.mkfifo(run / "config.json")
    assert find_link(run, allow="wandb", pattern="wandb/*/logs/debug-core.log") == run / "config.json"
    other = bait.parent / "other"
    other.symlink_to(run / "wandb" / "run-1", target_is_directory=True)
    (run / "wandb" / "run-1" / "logs" / "debug-core.log").unlink()
    assert find_link(other) is None  # the user named it


def _fill(path: Path) -> None:
    with replace_folder(path) as partial:
        (partial / "weights").write_text("new")
