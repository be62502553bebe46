"""What a file system can do to us, in one line. Without torch, so that the command line answers at once."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
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
