"""Rules from a user's file: ``rule:path/to/file.py:function``.

Plaudit runs the file as Python. A name can also come from a run's configuration: resuming another user's run runs the
file that its configuration names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.types import PlauditError


@dataclass(frozen=True)
class OwnRule:
    """A user's function of a response, of a prompt, or of both, to a score in [0, 1]."""

    name: str  # file.py:function
    function: Callable[..., Any]
    parameters: tuple[str, ...]  # "prompt" and "response", in the function's order

    def __call__(self, prompt: str, response: str) -> float:
        """The response's score; PlauditError if the function fails or returns no number from 0 to 1."""
        texts = {"prompt": prompt, "response": response}
        try:
            score = self.function(*(texts[name] for name in self.parameters))
        except Exception as error:  # a user's code can raise anything
            raise PlauditError(f"{self.name} failed on {response[:40]!r}: {_line(error)}") from error
        try:
            value = float(score)
        except (TypeError, ValueError):
            value = math.nan
        if not 0 <= value <= 1:
            raise PlauditError(f"{self.name} gave {score!r} for {response[:40]!r}: return a number from 0 to 1")
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
    return OwnRule(name, rule, _parameters(name, rule))


def _parameters(name: str, function: Callable[..., Any]) -> tuple[str, ...]:
    """Which texts a function takes: by the names ``prompt`` and ``response``, otherwise the response, or both."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C, such as len
        return ("response",)
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    required = sum(p.default is p.empty for p in parameters if p.kind is not p.VAR_POSITIONAL)
    if names and set(names) <= {"prompt", "response"}:
        return names
    if len(names) >= required and required <= 2 and names:
        return ("prompt", "response") if required == 2 else ("response",)
    raise PlauditError(f"{name} takes {required} arguments: write a function of response, or of prompt and response")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
