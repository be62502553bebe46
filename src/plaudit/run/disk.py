"""File system errors as one line each. This module imports no torch, so that the command line answers at once."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import safetensors

from plaudit.types import PlauditError


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the file system into one line."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise PlauditError(f"disk full while writing {path}: make room, then `plaudit resume`") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise PlauditError(
                f"{path} cannot be a folder: a file stands there, or in place of one above it"
            ) from error
        raise PlauditError(f"cannot access {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        if "No space left" in str(error):
            raise PlauditError(f"disk full while writing {path}: make room, then `plaudit resume`") from error
        raise PlauditError(f"cannot read or write {path}: {error}") from error
