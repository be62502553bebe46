"""In a real browser: an answer that is given while the database is away is kept, told of, and sent once it is back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ...postgres import Server
from .real import Real

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")
from playwright.sync_api import expect, sync_playwright

from ..work.browser import CHROMIUM, Site, launch


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: on Debian, apt install chromium")
def test_an_answer_given_while_the_database_is_away(
    postgres: Server, postgres_url: str, real: Callable[..., Real]
) -> None:
    site = real(postgres_url)
    site.start()
    with sync_playwright() as playwright:
        seen = Site(launch(playwright), site.config.url, site.sessions["Ada"], site.config.store, site.config.folder)
        with seen.page() as page:
            first = seen.work(page, "critique")
            postgres.stop()
            try:
                page.get_by_role("textbox").fill("said while it was away")
                page.locator("[data-send]").click()
                second = seen.question(page, other_than=first)  # work goes on with what is there already
                expect(page.locator("#state")).to_contain_text("kept on this device")
                reason = page.locator("#state").get_attribute("title") or ""
                assert "cannot reach" in reason and "\n" not in reason
                page.get_by_role("textbox").fill("said at once after it")
                page.locator("[data-send]").click()
                expect(page.locator("#state")).to_contain_text("2 kept on this device")
                page.wait_for_event(
                    "requestfinished", lambda request: request.url.endswith("/answer")
                )  # it is tried again
                with seen.page() as other:
                    answer = other.goto(f"{seen.url}/account")
                    assert answer is not None and answer.status == 503
                    expect(other.get_by_role("heading", level=1)).to_have_text("Service unavailable")
                    expect(other.get_by_role("alert")).to_contain_text("everything acknowledged is kept")
            finally:
                postgres.start()
            seen.saved(page)
            expect(page.locator("#state")).to_have_text("Saved")
            assert seen.question(page) not in (first, second)
        seen.browser.close()
    # The browser tells of answers 503 and nothing else.
    assert [each for each in seen.faults if "503" not in each] == []
    site.close()
    kept = site.kept()
    assert [(each.question, each.value["text"]) for each in kept] == [
        (seen.stored(first), "said while it was away"),
        (seen.stored(second), "said at once after it"),
    ]
