"""A process in which chat templates run, so that no template can take more time or memory than it may.

An endless call inside the interpreter, such as ``10 ** 10 ** 10``, cannot be stopped in a thread: only its process can.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from plaudit.types import PlauditError

MEMORY = 1 << 30  # bytes of memory that a template may use, with the interpreter
START_SECONDS = 60.0  # until the process is ready
CHILD = Path(__file__).with_name("template_child.py")


class EndedProcess(Exception):
    """The process ended by itself."""


class Sandbox:
    """Runs functions of ``template_child.py`` in a process, which is started on first use and after each fault."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started it: a fork of ours must start its own

    def call(self, function: str, seconds: float, **arguments: Any) -> dict[str, Any]:
        """The answer to a request: ``result``, or ``fault`` or ``excess`` with a message.

        Raises:
            TimeoutError: the function took too long, and was stopped.
            EndedProcess: the process ended by itself.
        """
        request = {"function": function, "arguments": arguments, "seconds": math.ceil(seconds) + 5}
        with self._lock:
            process = self._start()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(request, default=str).encode() + b"\n")
                process.stdin.flush()
                return json.loads(_read_line(process, seconds))
            except BaseException as error:
                self._stop()
                if isinstance(error, BrokenPipeError):
                    raise EndedProcess from error
                raise

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner != os.getpid():
            self._process.returncode = 0  # it is not ours to wait for
            self._process = None
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(CHILD), str(MEMORY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._owner = os.getpid()
            try:
                _read_line(self._process, START_SECONDS)
            except (TimeoutError, EndedProcess) as error:
                self._stop()
                raise PlauditError(
                    f"{sys.executable} cannot run chat templates: check that it imports jinja2, and free some memory"
                ) from error
        return self._process

    def _stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    _close(stream)

    def close(self) -> None:
        """End the process; another one follows when it is needed."""
        with self._lock:
            self._stop()


def _close(stream: Any) -> None:
    try:
        stream.close()
    except BrokenPipeError:  # of a request that was never read
        return


def _read_line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The next line that the process writes."""
    assert process.stdout is not None
    file, deadline, parts = process.stdout.fileno(), time.monotonic() + seconds, []
    while True:
        if not select.select([file], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise TimeoutError
        part = os.read(file, 1 << 20)
        if not part:
            raise EndedProcess
        parts.append(part)
        if part.endswith(b"\n"):
            return b"".join(parts)


SANDBOX = Sandbox()
atexit.register(SANDBOX.close)
