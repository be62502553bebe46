"""What the wheel holds, that it runs by itself, and that its pages work in a browser."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from plaudit.server.services import build_services
from plaudit.server.settings import ServerConfig

from . import seed_team
from .conftest import CHEAP
from .seed import everything
from .wheel import ROOT, clean_environment, collecting, interpreter, shared, wheel


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of an environment whose plaudit comes from the wheel."""
    return interpreter(shared(tmp_path_factory))


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


@pytest.mark.thorough
def test_it_runs_without_the_source_tree(python: Path, tmp_path: Path) -> None:
    where = [python, "-c", "import plaudit; print(plaudit.__file__)"]
    environment = clean_environment()
    found = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True).stdout
    assert Path(found.strip()).is_relative_to(python.parents[1])
    folder, plaudit = tmp_path / "collect", python.with_name("plaudit")
    command = [plaudit, "collect", "--folder", str(folder), "--admin-link"]
    link = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True).stdout
    assert "/join/" in link and (folder / "feedback.sqlite").exists()


@pytest.mark.thorough
def test_its_pages_work_in_a_browser(python: Path, tmp_path: Path) -> None:
    """Every page of annotators and admins, with what it loads, and a judgement that reaches the store."""
    pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")
    from playwright.sync_api import sync_playwright  # an optional extra

    from .browser import CHROMIUM, Site, keys, launch, strength
    from .test_browser_pages import ACCOUNT, ADMIN, OUTSIDE, PEOPLE, WORK

    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt install chromium")
    config = ServerConfig(str(tmp_path / "feedback.sqlite"), tmp_path / "server", port=0)
    services = build_services(config, hasher=CHEAP)
    token = seed_team.team(services)
    everything(services)
    services.store.close()
    with sync_playwright() as playwright, collecting(config, python) as url:
        browser = launch(playwright)
        site = Site(browser, url, token, config.store, config.folder)
        with site.page() as page:
            question = site.work(page, "comparison")
            keys(page, "ArrowLeft")
            site.saved(page)
            assert site.kept(question, "Grace") == [{"strength": strength(question, 4, "Grace")}]
            talks = ("/work/conversation", "/work/chat")  # these want a live model
            for path in [*PEOPLE, *ACCOUNT, *ADMIN, *WORK, *OUTSIDE[:3]]:
                if path != "/run" and path not in talks:
                    answer = page.goto(f"{url}{path}")
                    assert answer is not None and answer.status in (200, 404), path
        assert [each for each in site.faults if "404" not in each] == []
        browser.close()
