"""Rules from a user's file: ``rule:path/to/file.py:function``.

Plaudit runs the file as Python. A name can also come from a run's configuration: resuming another user's run runs the
file that its configuration names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.types import PlauditError


@dataclass(frozen=True)
class OwnRule:
    """A user's function from a text to a score in [0, 1]."""

    name: str  # file.py:function
    function: Callable[[str], Any]

    def __call__(self, text: str) -> float:
        """The text's score; PlauditError if the function fails or returns no number from 0 to 1."""
        try:
            score = self.function(text)
        except Exception as error:  # a user's code can raise anything
            raise PlauditError(f"{self.name} failed on {text[:40]!r}: {_line(error)}") from error
        try:
            value = float(score)
        except (TypeError, ValueError):
            value = math.nan
        if not 0 <= value <= 1:
            raise PlauditError(f"{self.name} gave {score!r} for {text[:40]!r}: return a number from 0 to 1")
        return value


def own_rule(name: str) -> OwnRule:
    """The rule that ``file.py:function`` names; the file is run.

    Raises:
        PlauditError: the file is missing, has no such function, or fails.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise PlauditError(f"{name}: there is no Python file {file}: write rule:path/to/file.py:function")
    module_name = f"plaudit_rule_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None  # true for every name that ends with .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # a dataclass looks its module up there while the file runs
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # of somebody else's making
        del sys.modules[module_name]
        raise PlauditError(f"{file} fails when it is run: {_line(error)}") from error
    rule = getattr(module, function, None)
    if not callable(rule):
        raise PlauditError(f"{name}: {file} has no function {function!r}: name one from a text to a number from 0 to 1")
    return OwnRule(name, rule)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
