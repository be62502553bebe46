"""Processes that need no start of their own: one process imports Plaudit, and forks them.

A fresh interpreter takes some four seconds to import torch and the rest. A forked process has them, and is otherwise
like any: it has its own id, memory and files, and can be killed. What depends on the start itself (``-W``, variables
that libraries read when they are imported) needs an interpreter of its own.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import runpy
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tests.processes", "plaudit.cli", "plaudit.run.control.assemble", "plaudit.run.language.assemble", "transformers"]
)


@dataclass(frozen=True)
class Result:
    """What a process left: its exit status (negative for a signal) and all that it printed."""

    status: int
    output: str
    errors: str


class Forked:
    """A process that calls ``function(*arguments)`` in ``folder``; its output goes to files."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, folder: Path | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="plaudit-process-")
        self._streams = Path(self._temporary.name)
        for name in ("output", "errors"):
            (self._streams / name).touch()
        self._process = CONTEXT.Process(target=_enter, args=(self._streams, folder, function, arguments))
        self._process.start()

    @property
    def output(self) -> str:
        """What the process has printed up to now."""
        return (self._streams / "output").read_text("utf-8", "replace")

    def running(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """SIGKILL: the process cannot catch it."""
        self._process.kill()

    def signal(self, number: int) -> None:
        """Send a signal, such as SIGINT."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 240) -> Result:
        """Wait for the end. A process that is not over by then is killed, and a fault."""
        self._process.join(seconds)
        late = self._process.is_alive()
        self._process.kill()
        self._process.join()
        status = self._process.exitcode
        assert status is not None
        output, errors = ((self._streams / name).read_text("utf-8", "replace") for name in ("output", "errors"))
        self._process.close()
        self._temporary.cleanup()
        assert not late, f"not over after {seconds} s:\n{errors}"
        return Result(status, output, errors)


def program(*arguments: str) -> None:
    """Run ``python -m plaudit ARGUMENTS``."""
    sys.argv = ["plaudit", *arguments]
    runpy.run_module("plaudit", run_name="__main__", alter_sys=True)


def script(path: Path) -> None:
    """Run ``python -W error PATH``."""
    sys.argv = [str(path)]
    warnings.simplefilter("error")
    runpy.run_path(str(path), run_name="__main__")


def _enter(streams: Path, folder: Path | None, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    for number, name in ((1, "output"), (2, "errors")):
        descriptor = os.open(streams / name, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8", line_buffering=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), encoding="utf-8", line_buffering=True)
    if folder is not None:
        os.chdir(folder)
    function(*arguments)
