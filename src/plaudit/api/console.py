"""The console of training, optional extras, and names of new run folders."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from plaudit import layout
from plaudit.types import PlauditError, printable

console = Console(stderr=True)
quiet = Console(stderr=True, quiet=True)


def say(line: str) -> None:
    """Print one line on standard error, without markup, wrapping or what controls a terminal."""
    with contextlib.suppress(OSError):  # a terminal that was closed reads no lines
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def write_line(text: object) -> None:
    """Print text on standard output, without what controls a terminal."""
    print(printable(str(text)))


def optional(module: str, extra: str) -> Any:
    """Import a module of ours that needs an extra; raises :class:`PlauditError` if the extra is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise PlauditError(f"this needs {error.name}: pip install -e '.[{extra}]'") from error


def free_folder(name: str) -> Path:
    """runs/NAME, with a number if that folder exists."""
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """After Ctrl-C, print the command that continues the run in ``folder``."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; continue with: plaudit resume {layout.shell_path(folder)}")
        raise
