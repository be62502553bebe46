"""The C library's habits with memory that is freed, set to those of training."""

from __future__ import annotations

import ctypes
import sys

TRIM, PAD, MAP = -1, -2, -3  # M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD of glibc's malloc.h
MiB = 2**20


def keep_freed() -> bool:
    """Have glibc keep what is freed for the next request, and say whether it does; nothing happens elsewhere.

    By default it hands large blocks back to the system at once. A step of training asks for the same gigabytes as the
    last one, and the system gives it each of their pages anew, emptied first: a tenth of the time. The most memory
    that is held stays as it was. 32 MiB is as far as the library's threshold goes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return all(mallopt(option, value) == 1 for option, value in ((MAP, 32 * MiB), (TRIM, 2**31 - 1), (PAD, 64 * MiB)))
