"""Paths that a program gives to a function of the API."""

from __future__ import annotations

import os
from pathlib import Path

from plaudit.types import PlauditError


def check_path(path: object, parameter: str) -> Path:
    """``path`` as a Path; raises `PlauditError`, which names the ``parameter``, unless it is one that is not empty."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise PlauditError(f"{parameter} must be a path, such as 'runs/mine', got {path!r}")
    return Path(text)
