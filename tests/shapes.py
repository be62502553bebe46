"""Shapes and types, where annotations state them, are checked when functions of Plaudit are called.

A check takes a tenth of a millisecond, which is a fifth of the time of a run that takes one step after another. So a
selection of tests checks the first calls of each function in each test, and of the others one in ten; `make test-all`,
which selects nothing, checks every call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest

PACKAGES = ["plaudit.functional", "plaudit.reward", "plaudit.policy"]
FIRST = 30  # calls that are checked, in each test
calls: dict[Callable[..., Any], int] = {}  # of this test
interval = 10  # after the first calls, how many there are to each that is checked


def check_shapes() -> None:
    """Check from here on: nothing may have imported plaudit yet."""
    jaxtyped = jaxtyping.jaxtyped

    def decorate(**options: Any) -> Callable[[Any], Any]:
        return functools.partial(_check_some, jaxtyped(**options))

    jaxtyping.jaxtyped = decorate  # type: ignore[assignment]  # what the hook calls
    jaxtyping.install_import_hook(PACKAGES, "beartype.beartype")


def _check_some(check: Callable[[Any], Any], function: Any) -> Any:
    checked = check(function)
    if not inspect.isfunction(function):  # a class
        return checked

    @functools.wraps(checked)
    def call(*arguments: Any, **named: Any) -> Any:
        calls[function] = count = calls.get(function, 0) + 1
        chosen = checked if count <= FIRST or count % interval == 0 else function
        return chosen(*arguments, **named)

    return call


def pytest_configure(config: pytest.Config) -> None:
    global interval
    interval = 10 if config.option.markexpr else 1


def pytest_runtest_setup() -> None:
    calls.clear()
