"""What the wheel holds, and that it runs by itself. The browser's tests run against what is installed from it."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from .wheel import ROOT, clean_environment, shared, wheel

pytestmark = pytest.mark.xdist_group("browser")


def test_the_wheel_holds_every_file_of_the_package(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = shared(tmp_path_factory)
    built = wheel(folder)
    source = folder / "source" / "src" if (folder / "source").exists() else ROOT / "src"
    wanted = {
        str(each.relative_to(source))
        for each in (source / "plaudit").rglob("*")
        if each.is_file() and "__pycache__" not in each.parts
    }
    kinds = {Path(each).suffix for each in wanted}
    assert {".html", ".css", ".js", ".svg", ".txt", ".py"} <= kinds  # pages, what they load, a licence, migrations
    with zipfile.ZipFile(built) as file:
        held = {each for each in file.namelist() if ".dist-info/" not in each}
        assert held == wanted
        for name in ("server/static/vendor/htmx.min.js", "feedback/migrations/versions/0002_people.py"):
            assert file.read(f"plaudit/{name}") == (source / "plaudit" / name).read_bytes()


def test_it_runs_without_the_source_tree(python: Path, tmp_path: Path) -> None:
    where = [python, "-c", "import plaudit; print(plaudit.__file__)"]
    environment = clean_environment()
    found = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True).stdout
    assert Path(found.strip()).is_relative_to(python.parents[1])
    folder, plaudit = tmp_path / "collect", python.with_name("plaudit")
    command = [plaudit, "collect", "--folder", str(folder), "--admin-link"]
    link = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True).stdout
    assert "/join/" in link and (folder / "feedback.sqlite").exists()
