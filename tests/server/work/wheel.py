"""The package as people get it: a wheel, installed into an environment of its own, made once a session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[3]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def shared(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a session have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def wheel(folder: Path) -> Path:
    """A wheel of the working tree; PLAUDIT_WHEEL names one that is there already."""
    if given := os.environ.get("PLAUDIT_WHEEL"):
        return Path(given).resolve(strict=True)
    with FileLock(folder / "wheel.lock"):
        if not (made := list(folder.glob("wheel/plaudit-*.whl"))):
            pytest.importorskip("setuptools", reason="no setuptools here to build the wheel with")
            source = folder / "source"  # a copy: a build leaves files behind
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / "src", source / "src", ignore=unwanted)
            for name in ("pyproject.toml", "README.md", "LICENSE"):
                shutil.copyfile(ROOT / name, source / name)
            _run(
                *PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(folder / "new"), str(source)
            )
            os.replace(folder / "new", folder / "wheel")
            made = list(folder.glob("wheel/plaudit-*.whl"))
    return made[0]


def interpreter(folder: Path) -> Path:
    """A Python whose plaudit is the wheel's; everything else is what the tests run with, so nothing is downloaded."""
    built, home = wheel(folder), folder / "installed"
    python = home / "bin" / "python"
    with FileLock(folder / "installed.lock"):
        if not (home / "ready").exists():
            _run(sys.executable, "-m", "venv", "--without-pip", str(home))
            _run(*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(built))
            (site,) = home.glob("lib/python*/site-packages")
            others = [each for each in sys.path if Path(each).name in ("site-packages", "dist-packages")]
            # Paths named here come last, and the .pth files in them, an editable plaudit's among them, are not read.
            (site / "others.pth").write_text("\n".join(others), encoding="utf-8")
            (home / "ready").touch()
    return python


def clean_environment() -> dict[str, str]:
    """Nothing by which the source tree could come in."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
