"""The page of `plaudit chat --browser` in a real browser, by mouse and by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import Page, expect, sync_playwright

from plaudit.server.chat.app import Services

from .browser import CHROMIUM, WATCH, keys, launch, tab_to
from .chatting import Parrot, serving_chat

pytestmark = pytest.mark.xdist_group("browser")


class ChatSite:
    """The page on two models, in a browser that reports what goes wrong in it."""

    def __init__(self, browser: Any, services: Services, models: tuple[Parrot, Parrot]) -> None:
        self.browser, self.services, self.models = browser, services, models

    @contextmanager
    def page(self, **options: Any) -> Iterator[Page]:
        """The page in a fresh browser profile."""
        context = self.browser.new_context(**options)
        context.add_init_script(WATCH)
        context.set_default_timeout(10_000)
        faults: list[str] = []
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(self.services.address.link)
        try:
            yield page
            assert faults == []
        finally:
            context.close()


@pytest.fixture(scope="module")
def chat_site() -> Iterator[ChatSite]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt install chromium")
    models = Parrot("Trained"), Parrot("Before RL", "hm ")
    with sync_playwright() as playwright, serving_chat(*models) as services:
        browser = launch(playwright)
        yield ChatSite(browser, services, models)
        browser.close()


def say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Your message").fill(text)
    keys(page, "Enter")


def wait(page: Page) -> None:
    expect(page.get_by_role("button", name="Retry")).to_be_enabled()


def test_two_models_are_compared_and_each_remembers_its_own_answers(chat_site: ChatSite) -> None:
    with chat_site.page() as page:
        say(page, "are **herons** tall?")
        wait(page)
        trained, before = (page.get_by_role("region", name=name, exact=True) for name in ("Trained", "Before RL"))
        expect(trained).to_contain_text("are herons tall?")
        expect(trained.locator("strong")).to_have_text("herons")
        expect(trained).to_contain_text("reward 3.00")
        expect(before.locator(".chip.good")).to_have_text("reward 4.00")
        say(page, "why?")
        wait(page)
        for model, answer in zip(chat_site.models, ("are **herons** tall?", "hm are **herons** tall?"), strict=True):
            assert [message.content for message in model.requests[-1][0]] == ["are **herons** tall?", answer, "why?"]
        page.get_by_role("button", name="Retry").click()
        wait(page)
        first, second = (request[1].seed for request in chat_site.models[0].requests[-2:])
        assert first != second
        assert len(chat_site.models[0].requests[-1][0]) == 3, "the retried message is asked once more, not added"
        page.get_by_role("button", name="Change my message").click()
        expect(page.get_by_role("textbox", name="Your message")).to_have_value("why?")
        page.get_by_role("button", name="New conversation").click()
        expect(page.get_by_text("Nothing of the conversation is stored")).to_be_visible()
        expect(page.locator(".exchange")).to_have_count(0)


def test_by_keyboard_alone_with_settings_and_stop(chat_site: ChatSite) -> None:
    model = chat_site.models[0]
    with chat_site.page() as page:
        expect(page.get_by_role("textbox", name="Your message")).to_be_focused()
        keys(page, "Shift+Tab")  # out of the field, where single keys work
        tab_to(page, "#settings summary")
        keys(page, "1", "Enter")
        tab_to(page, "#temperature")
        keys(page, "Home")
        tab_to(page, "#tokens")
        page.keyboard.type("5000")
        keys(page, "Shift+Tab", "/")
        page.keyboard.type("go on")
        keys(page, "Enter")
        expect(page.get_by_role("spinbutton")).to_be_focused()  # more tokens than the window has are refused
        page.get_by_role("spinbutton").fill("900")
        model.pause = 0.02
        tab_to(page, "#say")
        keys(page, "Enter")
        expect(page.locator(".streaming")).to_contain_text("on on on")
        keys(page, "Escape")
        expect(page.get_by_text("stopped", exact=True)).to_be_visible()
        model.pause = 0.0
        sampling = model.requests[-1][1]
        assert (sampling.temperature, sampling.tokens) == (0.0, 900)
        say(page, "and?")
        wait(page)
        assert model.requests[-1][0][1].content.startswith("on on")
        assert model.closed >= 1
        keys(page, "Shift+Tab", "n")
        expect(page.locator(".exchange")).to_have_count(0)


def test_a_model_that_fails_is_told_and_what_was_said_stays(chat_site: ChatSite) -> None:
    with chat_site.page(viewport={"width": 320, "height": 640}, color_scheme="dark") as page:
        page.get_by_role("radio", name="Before RL").check()
        say(page, "die")
        expect(page.get_by_role("alert")).to_contain_text("The model failed (RuntimeError: CUDA out of memory")
        expect(page.locator(".answer .prose")).to_have_text("hm")
        wait(page)
        page.get_by_role("radio", name="Trained").check()
        say(page, "too long")
        expect(page.get_by_role("alert").last).to_contain_text("shorten it")
        page.get_by_role("button", name="Change my message").click()
        say(page, "omit")
        expect(page.get_by_text("window full: 2 oldest messages left out")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_two_tabs_stream_at_once_and_do_not_meet(chat_site: ChatSite) -> None:
    model = chat_site.models[0]
    model.pause = 0.01
    words = {name: " ".join(f"{name}{number}" for number in range(40)) for name in "ab"}
    with chat_site.page() as first, chat_site.page() as second:
        for page in (first, second):
            page.get_by_role("radio", name="Trained").check()
        say(first, words["a"])
        say(second, words["b"])
        expect(first.locator(".streaming")).to_contain_text("a1")
        expect(second.locator(".streaming")).to_contain_text("b1")
        for page, name in ((first, "a"), (second, "b")):
            wait(page)
            expect(page.locator(".answer .prose")).to_have_text(words[name])
    model.pause = 0.0
