"""People as the eyes of an audit, in a real browser: they answer some pairs, leave, come back and finish."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import Page, expect, sync_playwright

from plaudit import layout
from plaudit.audits.audit import read_audit
from plaudit.audits.finding import Finding
from plaudit.feedback.store import Store

from ..processes import Forked, program
from ..server.work.browser import CHROMIUM, Site, keys, launch
from .test_agents import train

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("browser")]

MEASURES = ("progress-gap", "best-of-16", "agreement", "safe-stop")


def start_audit(folder: Path) -> tuple[Forked, str]:
    """`plaudit audit --eyes people` in a process of its own, and the first link that it prints."""
    options = ("--eyes", "people", "--pairs", "4", "--port", "0", "--measures", *MEASURES)
    process, deadline = Forked(program, "audit", str(folder), *options), time.monotonic() + 60
    while (links := re.findall(r"(http://\S+)\n", process.errors)) == []:
        assert process.running() and time.monotonic() < deadline, process.errors
        time.sleep(0.05)
    return process, links[0]


def answers(folder: Path) -> list[str]:
    """Ids of the judgements in a folder's store, in their order."""
    with Store.open(folder / layout.FEEDBACK, create=False) as store:
        return [event.judgement.id for event in store.events()]


def read_rows(folder: Path) -> dict[str, Finding]:
    """The rows of the audit in a folder, by name."""
    audit = read_audit(folder)
    assert audit is not None
    return {row.name: row for row in audit.findings}


def join(page: Page, link: str) -> str:
    """Make an account by an audit's first link; the address of the pairs."""
    page.goto(link)
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Join").click()
    page.get_by_role("link", name="Begin").click()
    expect(page.get_by_role("link", name="Run", exact=True)).to_have_count(0)  # no run is in training here
    return page.url


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: on Debian, apt install chromium")
def test_people_answer_some_pairs_leave_and_finish_later(tmp_path: Path) -> None:
    run = train(tmp_path / "run").folder
    seat, trained = run / "audit" / "people", (answers(run), [path.read_bytes() for path in run.glob("checkpoints/*")])
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        audit, link = start_audit(run)
        site = Site(browser, "", "", seat / layout.FEEDBACK, seat / "web")
        join(page, link)
        question = None
        for _ in range(3):
            question = site.question(page, question)
            keys(page, "ArrowLeft")
        site.question(page, question)
        site.saved(page)
        audit.signal(signal.SIGINT)
        assert audit.wait().status == 0
        first, rows = answers(seat), read_rows(run)
        assert len(first) == 3
        assert rows["progress-gap"].n == 3 and "1 of 4 fresh pairs have no answer" in rows["progress-gap"].meaning
        for name in ("best-of-16", "agreement", "safe-stop"):
            assert rows[name].verdict == "not measurable" and "none of the 4 fresh pairs" in rows[name].meaning
        for name in ("best-of-16-gold", "safe-stop-gold"):  # they ask nobody
            assert rows[name].value is not None

        audit, link = start_audit(run)  # the session in the browser goes on, at another port
        page.goto(f"{link}work/default")
        while audit.running():
            if page.evaluate("document.body.dataset.question"):
                keys(page, "ArrowRight")
            page.wait_for_timeout(50)
        expect(page.get_by_text("which may have ended")).to_be_visible()
        browser.close()
    assert audit.wait().status in (0, 1)
    rows = read_rows(run)
    assert [row.n for row in (rows["progress-gap"], rows["best-of-16"], rows["safe-stop"])] == [4, 4, 8]
    assert not any("no answer" in row.meaning or "none of" in row.meaning for row in rows.values())
    assert answers(seat)[:3] == first and len(answers(seat)) == 5 * 4  # nothing is lost or asked again
    assert (answers(run), [path.read_bytes() for path in run.glob("checkpoints/*")]) == trained  # nothing trains
