"""The fixtures of the tests of judging, and a real server in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..work.conftest import ada, ben, clock, config, join, served
from .real import Real

__all__ = ["ada", "ben", "clock", "config", "join", "real", "served"]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Callable[..., Real]]:
    """Makes a server over the store at an address, or in a file in the folder given."""
    made: list[Real] = []

    def make(store: str | None = None, folder: Path = tmp_path) -> Real:
        made.append(Real(store or str(folder / "feedback.sqlite"), folder))
        return made[-1]

    yield make
    for each in made:
        each.close()
