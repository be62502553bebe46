"""A file or a folder is replaced whole, whatever happens between the write and the replacement."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit import files
from plaudit.files import replace_file, replace_folder, replace_text

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
        partial.mkdir()
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
    assert path.read_text() == "old" and (tmp_path / "config.json.partial").read_text() == "new"
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
        partial.mkdir()
        (partial / "weights").write_text("new")
    assert os.listdir(path) == ["weights"] and os.listdir(tmp_path) == ["policy"]


@pytest.mark.parametrize(("replace", "make"), [(replace_file, Path.touch), (replace_folder, Path.mkdir)])
def test_a_writer_that_fails_leaves_nothing_behind(tmp_path: Path, replace: Any, make: Callable[[Path], None]) -> None:
    path = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt), replace(path) as partial:
        make(partial)
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
    with pytest.raises(PermissionError), replace_folder(path) as partial:
        partial.mkdir()
    assert (path / "weights").read_text() == "old" and os.listdir(tmp_path) == ["policy"]


def test_two_processes_may_write_one_shared_path(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    with replace_file(path, shared=True) as partial:
        assert str(os.getpid()) in partial.name
        with replace_file(path) as other:
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
