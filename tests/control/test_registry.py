"""Environments of one's own: a module that registers them, its arguments, and what is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs import registration

from plaudit.control import registry
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.registry import making_failed, parse_arguments, resolve
from plaudit.run.control.config import RunConfig, defaults
from plaudit.run.stored import CONTROL, from_dict, to_dict
from plaudit.types import PlauditError

from ..lake import lake

__all__ = ["lake"]


def test_a_module_registers_its_environment(lake: str) -> None:
    with pytest.raises(PlauditError, match="unknown environment 'FlatLake-v0': nearest names are FrozenLake"):
        resolve("FlatLake-v0")
    config = defaults(f"{lake}:FlatLake-v0").environment
    assert (config.id, config.imports, config.short_name) == ("FlatLake-v0", (lake,), "FlatLake")
    assert EnvironmentConfig(f"{lake}:FlatLake-v0") == EnvironmentConfig("FlatLake-v0", imports=(lake,))
    for arguments, size in ((("size=3",), 9), ({"size": 5, "is_slippery": False}, 25)):
        envs = make(EnvironmentConfig("FlatLake-v0", 2, imports=(lake,), kwargs=arguments))  # type: ignore[arg-type]
        assert envs.single_observation_space.shape == (size,)
        envs.close()
    with pytest.raises(
        PlauditError, match=r"cannot make environment FlatLake-v0: .*unexpected keyword argument 'depth'"
    ):
        make(EnvironmentConfig("FlatLake-v0", imports=(lake,), kwargs=("depth=2",)))


def test_settings_are_stored_and_read_back() -> None:
    config = defaults("CartPole-v1", imports=["json"])
    stored = to_dict(config, CONTROL)
    stored["environment"]["kwargs"] = ["sutton_barto_reward=true"]
    read = from_dict(stored, RunConfig, CONTROL)
    assert read.environment.imports == ("json",) and read.environment.kwargs == ("sutton_barto_reward=true",)
    hash(read.environment)
    for setting in ("imports", "kwargs"):  # a folder from before they existed
        del stored["environment"][setting]
    assert from_dict(stored, RunConfig, CONTROL).environment == EnvironmentConfig("CartPole-v1", 40)


def test_arguments_are_json_or_text() -> None:
    texts = ["size=8", "wet=false", "dry=True", "map=4x4", "path=a=b", 'name="8"', "none=None", "grid=[1, 2]"]
    values = {"size": 8, "wet": False, "dry": True, "map": "4x4", "path": "a=b", "name": "8", "none": None}
    assert parse_arguments(texts) == values | {"grid": [1, 2]}
    for text in ("size", "=8", "two words=1"):
        with pytest.raises(PlauditError, match=r"environment\.kwargs must be KEY=VALUE, such as size=8"):
            EnvironmentConfig("Duel", kwargs=(text,))
    with pytest.raises(PlauditError, match="has no render_mode"):
        EnvironmentConfig("Duel", kwargs=("render_mode=human",))
    with pytest.raises(PlauditError, match="must be a plain value"):
        EnvironmentConfig("Duel", kwargs={"size": object()})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["minigrid:MiniGrid-Empty-5x5-v0", "MiniGrid-Empty-5x5-v0", "ale_py:ALE/Pong-v5"])
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    absent = ("minigrid", "ale_py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else find(name, *rest))
    monkeypatch.setattr(registration, "registry", dict(gym.registry))
    for id in [id for id in gym.registry if id.startswith("MiniGrid")]:
        monkeypatch.delitem(gym.registry, id)
    extra = "atari" if "ALE" in name else "minigrid"
    with pytest.raises(PlauditError, match=rf"pip install -e '\.\[{extra}\]'"):
        defaults(name)


@pytest.mark.parametrize(("id", "extra"), [("LunarLander-v3", "box2d"), ("HalfCheetah-v5", "mujoco")])
def test_what_gymnasium_lacks_is_named_with_its_extra(id: str, extra: str) -> None:
    missing = gym.error.DependencyNotInstalled("Box2D is not installed")
    error = making_failed(gym.spec(id), missing)
    assert str(error).endswith(f"a package is missing: pip install -e '.[{extra}]' (Box2D is not installed)")
    assert str(making_failed(gym.spec(id), TypeError("no"))) == f"cannot make environment {id}: no"


def test_packages_with_entry_points_register_their_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gymnasium called these entry points itself, and does so no longer."""

    def register() -> None:
        gym.register("Plugged-v2", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=9)

    def fail() -> None:
        raise RuntimeError("no\nroot")

    class Point:
        def __init__(self, name: str, function: Callable[[], None]) -> None:
            self.name, self.value, self.function = name, f"package_of_{name}:register", function

        def load(self) -> Callable[[], None]:
            return self.function

    points = [Point("Broken", fail), Point("Space", register), Point("__root__", register)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    monkeypatch.setattr(registry, "_plugins", set())
    try:
        with pytest.warns(UserWarning, match="package_of_Broken:register are not registered: RuntimeError: no root"):
            assert resolve("Space/Plugged-v2") == "Space/Plugged-v2"
        assert resolve("space/plugged") == "Space/Plugged-v2" and resolve("Plugged") == "Plugged-v2"
        with pytest.raises(PlauditError, match="nearest names are Space/Plugged-v2"):
            resolve("Space/Pluged-v2")
    finally:
        for id in ("Space/Plugged-v2", "Plugged-v2"):
            gym.registry.pop(id, None)
