"""What a file system can do to us, in one line. Without torch, so that the command line answers at once."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import safetensors

from plaudit.types import PlauditError


@contextlib.contextmanager
def disk_errors(what: Path) -> Iterator[None]:
    """Turn what a file system can do to us into one line."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise PlauditError(f"disk full while writing {what}: make room, then `plaudit resume`") from error
        raise PlauditError(f"cannot access {what}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        if "No space left" in str(error):
            raise PlauditError(f"disk full while writing {what}: make room, then `plaudit resume`") from error
        raise PlauditError(f"cannot read or write {what}: {error}") from error


def replace_folder(folder: Path, save: Callable[[Path], object]) -> None:
    """Write a folder beside its place by ``save``, then put it there: a kill leaves the old one or the new one."""
    partial = folder.with_suffix(".partial")
    with disk_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        save(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
