"""MuJoCo beneath Gymnasium's environments: its warnings are shown once, and it draws without a display."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any

from gymnasium.envs.registration import EnvSpec

WAY_OUT = "without a display, set MUJOCO_GL=egl, or MUJOCO_GL=osmesa where there is no GPU driver"
_warnings: set[str] = set()  # warnings that this process has shown


def is_mujoco(spec: EnvSpec) -> bool:
    """Whether the environment is one of Gymnasium's that need MuJoCo."""
    return str(spec.entry_point).startswith("gymnasium.envs.mujoco")


def prepare_mujoco() -> None:
    """Call this before an environment is made. Nothing happens where MuJoCo is not installed.

    Each model that MuJoCo compiles repeats the same warnings, to the terminal and into MUJOCO_LOG.TXT. Without a
    display, Gymnasium would choose GLFW, which fails only when it draws and leaves a context that nothing can free.
    """
    if importlib.util.find_spec("mujoco") is None:
        return
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "egl")
    mujoco: Any = importlib.import_module("mujoco")  # an optional extra
    mujoco.set_mju_user_warning(show_once)


def show_once(message: str) -> None:
    """Print a warning that this process has not printed yet."""
    if message not in _warnings:
        _warnings.add(message)
        print(f"MuJoCo: {' '.join(message.split())}", file=sys.stderr)
