"""Write a file or a folder beside its path, then replace what stands there.

A reader, or a process that starts after a kill, finds the old content or the new one, never half of it. Any package may
write this way, so this module stands on the lowest floor and imports nothing of Plaudit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial"  # suffix of what is being written
REPLACED = ".replaced"  # suffix of a folder that the new one is about to replace


@contextlib.contextmanager
def replace_file(path: Path, mode: int | None = None, shared: bool = False) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; afterwards flush that file to the disk and let it replace ``path``.

    If the writer raises, ``path`` stays as it was and the partial file is removed. A kill leaves the partial file, and
    the next writer of the same path overwrites it.

    Args:
        mode: create the partial file with these permissions before it is written, so that others never may read it.
        shared: several processes may write ``path`` at once: each writes to a partial file that bears its process id.
    """
    partial = _partial(path, shared)
    partial.unlink(missing_ok=True)
    if mode is not None:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Replace a text file: UTF-8, with line feeds as they stand in ``text``."""
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to make a folder at; afterwards let that folder replace ``path``.

    A file system cannot exchange two folders in one step, so the old folder is renamed, the new one takes its place,
    and then the old one is removed. If a kill comes between the two renames, the next writer first puts the old folder
    back.
    """
    partial, replaced = _partial(path), path.with_name(path.name + REPLACED)
    if replaced.exists() and not path.exists():
        os.replace(replaced, path)
    shutil.rmtree(replaced, ignore_errors=True)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _flush(file)
        if path.exists():
            os.replace(path, replaced)
        os.replace(partial, path)
    except BaseException:
        if replaced.exists() and not path.exists():
            os.replace(replaced, path)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _partial(path: Path, shared: bool = False) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}" if shared else path.name + PARTIAL)


def _flush(path: Path) -> None:
    """Have the operating system write a file's content to the disk before its new name is written."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
