"""What the commands share: the console, and arguments read with our own words where they are wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from plaudit.run.disk import disk_errors
from plaudit.types import PlauditError

console = Console(stderr=True)


def say(line: str) -> None:
    """One line on standard error, as it is."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def optional(module: str, extra: str) -> Any:
    """A module of ours that needs what an extra brings; raises :class:`PlauditError` where that is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise PlauditError(f"this needs {error.name}: pip install 'plaudit[{extra}]'") from error


@dataclass(frozen=True)
class OnRun:
    """A command on an existing run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""


def parse(cls: type[Any], arguments: list[str], name: str, description: str, default: Any = None) -> Any:
    """tyro, with our name; what it or a dataclass refuses becomes one line."""
    options: dict[str, Any] = {} if default is None else {"default": default}
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(cls, prog=f"plaudit {name}", description=description, args=arguments, **options)
    except ValueError as error:
        raise PlauditError(str(error)) from error
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        inside = [line.strip("│ ") for line in errors.getvalue().splitlines() if line.startswith("│")]
        message = " ".join(itertools.takewhile(lambda line: not line.startswith("─"), inside))
        raise PlauditError(f"{message.rstrip('.') or errors.getvalue()}; see plaudit {name} --help") from stop


def config_file(arguments: list[str]) -> dict[str, Any] | None:
    """Take ``--config FILE`` out of ``arguments`` and read it; None where it is not there."""
    if "--config" not in arguments:
        return None
    index = arguments.index("--config")
    if index + 1 >= len(arguments):
        raise PlauditError("--config needs a file: the config.json of a run")
    path = Path(arguments[index + 1])
    del arguments[index : index + 2]
    with disk_errors(path):
        text = path.read_bytes()
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise PlauditError(f"{path} is not JSON: {error}") from error
    if not isinstance(stored, dict):
        raise PlauditError(f"{path} holds no settings: give the config.json of a run")
    return stored


def fields_of(config: Any) -> dict[str, Any]:
    """A dataclass's own values, by name."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def long(argument: str, short: Mapping[str, str]) -> str:
    """An argument with its short name written out."""
    name, equals, value = argument.partition("=")
    return short.get(name, name) + equals + value


def free_folder(name: str) -> Path:
    """runs/NAME, with a number where that is taken."""
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder
