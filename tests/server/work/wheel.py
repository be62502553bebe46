"""The package as people get it: a wheel, installed into an environment of its own, made once a session."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from plaudit.server.settings import ServerConfig

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
            (folder / "new").mkdir()
            build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
            _run(sys.executable, "-c", build, str(folder / "new"), folder=source)
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


@contextmanager
def collecting(config: ServerConfig, python: Path) -> Iterator[str]:
    """The address of ``plaudit collect`` as a process of ``python``, where the wheel is installed."""
    log = config.folder.parent / "server.log"
    command = [str(python.with_name("plaudit")), "collect", "--store", config.store, "--folder", str(config.folder)]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, "--port", str(config.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            cwd=config.folder.parent,
            env=clean_environment(),
        )
    assert process.stdout is not None and process.stdin is not None
    try:
        found = re.search(r"http://[^\s\"]+", process.stdout.readline())
        assert found is not None, f"the server did not start: {log.read_text(encoding='utf-8')}"
        yield found[0].rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()
    assert "Traceback" not in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")


def _run(*command: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), cwd=folder)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
