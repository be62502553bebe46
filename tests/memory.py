"""Temporary files stand in memory where there is room: a disk takes milliseconds to write down what must survive.

Stores, checkpoints and accounts are flushed to the disk at every change, as they are for users. The tests wait for that
some ten thousand times. No test pulls the plug, so none can tell a disk in memory from another one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # on Linux a file system in memory that anybody may write to
ROOM = 3 * 2**30  # ten times what the tests leave at most; a container's has 64 MiB unless it is told otherwise


def keep_files_in_memory() -> None:
    """Let ``tempfile``, and with it pytest and each process that starts, use memory; TMPDIR names another folder."""
    if "TMPDIR" in os.environ or not (IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK | os.X_OK)):
        return
    if shutil.disk_usage(IN_MEMORY).free >= ROOM and _memory() >= ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


def _memory() -> int:
    """Bytes of memory that are free, or become so when they are asked for."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024
