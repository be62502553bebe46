"""A user's own environment: a module in the current folder that registers a flat FrozenLake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

LAKE = """
import gymnasium
from gymnasium.wrappers import FlattenObservation

def lake(size=4, **options):
    return FlattenObservation(gymnasium.make("FrozenLake-v1", desc=["S" + "F" * (size - 1)] * size, **options))

gymnasium.register("FlatLake-v0", entry_point=lake, max_episode_steps=20)
"""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that registers FlatLake-v0. Each test has a module of its own, because imports stay."""
    name = f"lake_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(LAKE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    gym.registry.pop("FlatLake-v0", None)
