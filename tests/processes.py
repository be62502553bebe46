"""Processes that need no start of their own: they are forked from one that has imported everything.

A fresh interpreter takes some four seconds to import torch and the rest. A forked process has them, and is otherwise
like any: it has its own id, memory and files, and can be killed. What depends on the start itself (``-W``, variables
that libraries read when they are imported) needs an interpreter of its own.

The process that forks is itself forked from the tests' own (``serve_forks``), when the tests are collected and before
the first of them runs. By then everything is imported and no test has left a thread, a server or a setting behind.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import logging
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import IO, Any

CONTEXT = multiprocessing.get_context("forkserver")


def serve_forks() -> None:
    """Fork this process into the server of ``CONTEXT``, which forks again for each process that is asked of it.

    ``multiprocessing`` would start a new interpreter for the server, which imports everything once more: ten seconds
    for each of pytest's workers. Where this was not called, that is what happens.
    """
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    address = Path(tempfile.mkdtemp(prefix="plaudit-forks-")) / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        watched, alive = os.pipe()  # every process that may ask holds the end "alive"; the server goes with the last
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of threads; here is one, and it only waits for pytest
            process = os.fork()
        if process == 0:
            try:
                _serve(listener.detach(), watched)
            finally:
                os._exit(0)
        os.close(watched)
    server._forkserver_address, server._forkserver_alive_fd, server._forkserver_pid = str(address), alive, process


def _serve(listener: int, watched: int) -> None:
    # Pytest's controller waits until nobody holds its pipes. Objects of the tests' process know the numbers of their
    # files, and close them when they go. So no number may be free for a store or a socket that is opened here.
    null = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/dev/fd")):
        if number > 2 and number not in (listener, watched, null):
            with contextlib.suppress(OSError):  # the listing's own
                os.fstat(number)
                os.dup2(null, number, inheritable=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background ignore Ctrl-C
    logging.getLogger().handlers.clear()  # pytest's
    gc.freeze()
    forkserver.main(listener, watched, [])


@dataclass(frozen=True)
class Result:
    """What a process left: its exit status (negative for a signal) and all that it printed."""

    status: int
    output: str
    errors: str


def start(process: Any) -> None:
    """Start a process. ``multiprocessing`` would first run there what runs here as a program (``runpy``)."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main


class Forked:
    """A process that calls ``function(*arguments)`` in ``folder``; its output goes to files."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, folder: Path | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="plaudit-process-")
        self._streams = Path(self._temporary.name)
        for name in ("output", "errors"):
            (self._streams / name).touch()
        self._process = CONTEXT.Process(target=_enter, args=(self._streams, folder, function, arguments))
        start(self._process)

    @property
    def output(self) -> str:
        """What the process has printed up to now."""
        return (self._streams / "output").read_text("utf-8", "replace")

    @property
    def errors(self) -> str:
        """What the process has printed to standard error up to now."""
        return (self._streams / "errors").read_text("utf-8", "replace")

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


class ServerChild:
    """What ``subprocess.Popen`` gives for ``python -m plaudit.server SETTINGS``, forked: three seconds less each."""

    def __init__(self, command: list[str], *, stderr: IO[str], **_: Any) -> None:
        assert command[1:-1] == ["-m", "plaudit.server"]
        input_r, input_w = CONTEXT.Pipe(duplex=False)
        output_r, output_w = CONTEXT.Pipe(duplex=False)
        arguments = (input_r, output_w, stderr.name, command[-1])
        self._process = CONTEXT.Process(target=_serve_beside, args=arguments, daemon=True)
        start(self._process)
        self.stdin: IO[str] = os.fdopen(os.dup(input_w.fileno()), "w", encoding="utf-8")
        self.stdout: IO[str] = os.fdopen(os.dup(output_r.fileno()), "r", encoding="utf-8")
        for end in (input_r, input_w, output_r, output_w):
            end.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("plaudit.server", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self._process.pid or 0, number)


class ProgramChild:
    """What ``subprocess.Popen`` gives for ``python -m plaudit ARGUMENTS``, forked; its output goes to a file."""

    def __init__(self, command: list[str], *, stdout: IO[str], **_: Any) -> None:
        assert command[:3] == [sys.executable, "-m", "plaudit"]
        self._process = CONTEXT.Process(target=_enter_program, args=(stdout.name, command[3:]), daemon=True)
        start(self._process)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()


def _enter_program(log: str, arguments: list[str]) -> None:
    target = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False, buffering=1)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    program(*arguments)


def _serve_beside(source: Connection, target: Connection, log: str, settings: str) -> None:
    os.setsid()
    descriptors = source.fileno(), target.fileno(), os.open(log, os.O_WRONLY | os.O_APPEND)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    source.close()
    target.close()
    os.close(descriptors[2])
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    sys.exit(importlib.import_module("plaudit.server.serve").child(settings, sys.stdin))


def outputs_by_hash_seed(code: str) -> tuple[str, str]:
    """What a program prints here, and in an interpreter where strings have other hashes and sets another order."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(code, {})
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return output.getvalue(), other.stdout


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
