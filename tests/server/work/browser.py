"""A real server and a real browser for the tests of the pages."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright
from sqlalchemy import select

from plaudit.feedback.order import shown_order
from plaudit.feedback.schema import LEASES, QUESTIONS
from plaudit.feedback.store import Store
from plaudit.server.keyed_ids import reveal_id
from plaudit.server.security import COOKIE

# The shell is Chromium without a window: the same engine, at half the processor time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
WATCH = """
addEventListener("securitypolicyviolation", (event) => console.error("CSP: " + event.violatedDirective));
"""


def launch(playwright: Playwright) -> Browser:
    """The Chromium that is installed; as root it runs without its sandbox."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])


def until(page: Page, expression: str, argument: Any = None, seconds: float = 20.0) -> None:
    """Wait until a JavaScript function holds. (Playwright's own wait evaluates a string, which our policy forbids.)"""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, f"never: {expression}"
        page.wait_for_timeout(20)


# Newer Chromium says so of a handler in a <template>, too, in which nothing runs. That none comes into a page is what
# tests look for in the page itself.
BLOCKED = ("Executing inline event handler violates the following Content Security Policy", "CSP: script-src-attr")


class Site:
    """A server with a person who is signed in, in a browser that reports what goes wrong in its pages."""

    def __init__(self, browser: Browser, url: str, token: str, store: str | Path, folder: Path) -> None:
        self.browser, self.url, self.token, self.store, self.folder = browser, url, token, store, folder
        self.faults: list[str] = []

    @contextmanager
    def page(self, **how: Any) -> Iterator[Page]:
        """A fresh browser profile, signed in."""
        context = self.browser.new_context(**how)
        self.sign_in(context)
        context.add_init_script(WATCH)
        context.set_default_timeout(10_000)
        page = context.new_page()

        def heard(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(BLOCKED):
                self.faults.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        try:
            yield page
            self.leave(page)
        finally:
            context.close()

    def sign_in(self, context: BrowserContext) -> None:
        """Give a browser profile the session of the site's person."""
        context.add_cookies([{"name": COOKIE, "value": self.token, "url": self.url}])

    def leave(self, page: Page, seconds: float = 3.0) -> None:
        """Go away, and wait until the question on the page is nobody's: a browser that closes drops the message which
        gives it back. Nobody hears of it from a page that is offline."""
        shown = page.evaluate("document.body?.dataset.question ?? ''")
        page.goto("about:blank")
        if not shown:
            return
        deadline = time.monotonic() + seconds
        held = select(LEASES.c.token).join(QUESTIONS, QUESTIONS.c.number == LEASES.c.question)
        with Store.open(self.store, create=False) as store:
            while time.monotonic() < deadline:
                with store.database.look() as connection:
                    if connection.execute(held.where(QUESTIONS.c.id == self.stored(shown))).first() is None:
                        break
                page.wait_for_timeout(20)

    def work(self, page: Page, project: str) -> str:
        """Open a project, and wait for a question that can be answered; its id."""
        page.goto(f"{self.url}/work/{project}")
        return self.question(page)

    def question(self, page: Page, other_than: str | None = None) -> str:
        """The id of the question on the page, once it can be answered."""
        until(
            page,
            "(other) => (document.body?.dataset.question ?? other) !== other "
            "&& !document.querySelector('[data-send]')?.disabled && !document.querySelector('[data-vote]')?.disabled",
            other_than,
        )
        return str(page.evaluate("document.body.dataset.question"))

    def saved(self, page: Page) -> None:
        """Wait until everything has been acknowledged."""
        until(
            page,
            "() => !Object.keys(localStorage).some((key) => key.startsWith('plaudit.outbox')) "
            "&& (document.getElementById('state')?.textContent ?? 'Saved') === 'Saved'",
        )

    def kept(self, question: str, annotator: str = "Ada") -> list[dict[str, Any]]:
        """Values that stand, of a question, in the order of their arrival."""
        with Store.open(self.store, create=False) as store:
            return [
                json.loads(json.dumps(dict(each.value)))
                for each in store.judgements()
                if each.question == self.stored(question, annotator)
            ]

    def stored(self, question: str, annotator: str = "Ada") -> str:
        """The id in the store of a question that the annotator sees under another."""
        return reveal_id((self.folder / "secret").read_bytes(), annotator, "question", question)


def keys(page: Page, *names: str) -> None:
    for name in names:
        page.keyboard.press(name)


def strength(question: str, left: int, annotator: str = "Ada") -> int:
    """A judgement of the left one, in the order of the items."""
    return left if shown_order(question, annotator, 2)[0] == 0 else -left


def tab_to(page: Page, selector: str) -> None:
    """Reach a control with the Tab key alone."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement?.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")
