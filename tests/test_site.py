"""The documentation site is built from the pages and the docstrings, without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import plaudit

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    pytest.importorskip("mkdocs", reason="no mkdocs here: make docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.thorough
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    assert {"index.html", "loop.html", "CONTRIBUTING.html"} <= pages.keys()
    for name, page in pages.items():
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"(https?:[^\"]*)", page)
        assert not loaded, (name, loaded)


@pytest.mark.thorough
def test_search_works_in_a_page_that_is_opened_from_a_folder(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright")
    from tests.server.work.browser import CHROMIUM, launch  # it needs Playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt install chromium")
    with playwright.sync_playwright() as started:
        page = launch(started).new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto((site / "loop.html").as_uri())
        page.locator("input[name=query]").click()
        page.keyboard.type("annotat")
        page.locator(".md-search-result__link").first.click()
        page.wait_for_url("**/judging.html*")
        assert {request.partition(":")[0] for request in requests} <= {"file", "data", "about"}


def test_the_page_of_the_api_has_every_public_name_with_its_docstring() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: plaudit\.(\w+)$", page, re.MULTILINE)
    assert sorted(listed) == plaudit.__all__
    assert [name for name in listed if not getattr(plaudit, name).__doc__] == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = re.findall(r"(\S+\.md)$", navigation, re.MULTILINE)
    docs = ROOT / "docs"
    pages = {
        path.relative_to(docs).as_posix() for folder in (docs, docs / "limitations") for path in folder.glob("*.md")
    }
    assert pages <= set(listed) and len(listed) == len(set(listed))
