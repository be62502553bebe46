"""Conversations and chats with a live model, in a real browser, by mouse and by keyboard alone."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import expect

from plaudit.feedback.store import Store

from .browser import Site, keys, tab_to
from .fake_model import FakeModel

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.xdist_group("browser")]


def everything(site: Site, project: str) -> list[tuple[str, dict[str, Any]]]:
    """What was said in a project, with its kind, in the order of arrival."""
    with Store.open(site.store, create=False) as store:
        events = [event.judgement for event in store.events()]
        asked = store.questions([each.question for each in events])
        return [(q.kind, dict(j.value)) for q, j in zip(asked, events, strict=True) if q.project == project]


def test_a_conversation_by_mouse(site: Site) -> None:
    with site.page() as page:
        site.work(page, "conversation")
        expect(page.locator("#progress")).to_have_text("Task 1 of 12")
        for number, point in enumerate(("2: A is better", "8: B is far better")):
            page.get_by_role("textbox").fill(f"Herons? {number}")
            page.get_by_role("button", name="Say it").click()
            page.get_by_role("radio", name=point).check()
            page.get_by_role("button", name="Choose").click()
        page.get_by_role("textbox", name="A closing comment").fill("went well")
        page.get_by_role("button", name="Send").click()
        site.saved(page)
    *choices, (kind, whole) = everything(site, "conversation")
    assert choices == [("comparison", {"strength": 3}), ("comparison", {"strength": -4})]
    assert kind == "conversation" and len(whole["comparisons"]) == 2 and whole["comment"] == "went well"


def test_a_conversation_with_the_red_team_by_keyboard(site: Site) -> None:
    with site.page() as page:
        site.work(page, "red")
        tab_to(page, "textarea")
        page.keyboard.type(" Misbehave!")
        keys(page, "Enter")
        expect(page.get_by_role("button", name="Choose")).to_be_visible()
        keys(page, "7", "Enter")
        expect(page.get_by_role("textbox", name="A closing comment")).to_be_focused()
        keys(page, *["Shift+Tab"] * 10, "Space")  # the first of ten tags
        keys(page, "Shift+Tab", "Space", "ArrowRight", "ArrowRight", "ArrowRight")  # from 4 by 0 and 1 to 2
        keys(page, "Control+Enter")
        site.saved(page)
    (choice, (kind, whole)) = everything(site, "red")
    assert choice == ("comparison", {"strength": -3})
    assert (kind, whole["success"], whole["tags"]) == ("conversation", 2, ["discrimination & injustice"])


def test_a_model_that_fails_loses_nothing_and_is_asked_again(site: Site, fake: FakeModel) -> None:
    with site.page() as page:
        site.work(page, "faulty")
        fake.mode = "cut"
        page.get_by_role("textbox").fill("Will this work?")
        keys(page, "Enter")
        expect(page.get_by_role("alert")).to_contain_text("cut off")
        page.get_by_role("button", name="Change what I said").click()
        expect(page.get_by_role("textbox")).to_have_value("Will this work?")
        keys(page, "Enter")
        expect(page.get_by_role("alert")).to_contain_text("cut off")
        fake.mode = "good"
        with page.expect_response("**/api/work/draft"):  # the draft goes to the server, too
            page.get_by_role("button", name="Try again").click()
            expect(page.get_by_role("button", name="Choose")).to_be_visible()
        page.reload()
        site.question(page)
        expect(page.get_by_text("Will this work?")).to_be_visible()
        keys(page, "1", "Enter")
        expect(page.get_by_role("button", name="End the conversation")).to_be_visible()
        site.saved(page)


def test_every_fault_of_the_model_is_said_and_what_was_typed_stays(site: Site, fake: FakeModel) -> None:
    faults = {
        "forbidding": "refuses this server's key",
        "busy": "busy",
        "nonsense": "no JSON",
        "web_page": "web page",
        "cut": "cut off",
        "failing": "500",
    }
    with site.page() as page:
        site.work(page, "red")
        page.get_by_role("textbox").fill("Are you there?")
        for number, (mode, words) in enumerate(faults.items()):
            fake.mode = mode
            if number:
                page.get_by_role("button", name="Try again").click()
            else:
                keys(page, "Enter")
            expect(page.get_by_role("alert")).to_contain_text(words)
            expect(page.get_by_text("Are you there?")).to_be_visible()
        fake.mode, fake.first = "slow", 0.5
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".streaming").first).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_role("button", name="Choose")).to_be_visible()
        fake.mode = "good"


def test_what_was_taken_back_is_sent_again_with_its_turns(site: Site) -> None:
    with site.page() as page:
        site.work(page, "conversation")
        before = len(everything(site, "conversation"))
        page.get_by_role("textbox").fill("Herons?")
        keys(page, "Enter")
        page.get_by_role("radio", name="2: A is better").check()
        page.get_by_role("button", name="Choose").click()
        page.get_by_role("button", name="End the conversation").click()
        page.get_by_role("button", name="Send").click()
        site.saved(page)
        page.get_by_role("button", name="Undo").first.click()
        site.saved(page)
        page.get_by_role("textbox", name="A closing comment").fill("once more")
        page.get_by_role("button", name="Send").click()
        site.saved(page)
    said = everything(site, "conversation")[before:]
    assert [(kind, value.get("withdrawn", False)) for kind, value in said] == [
        ("comparison", False),
        ("conversation", False),
        ("conversation", True),
        ("comparison", True),
        ("conversation", False),
        ("comparison", False),
    ]
    assert said[0] == said[-1] and said[4][1]["comment"] == "once more"


def test_a_chat_by_mouse(site: Site) -> None:
    with site.page() as page:
        site.work(page, "chat")
        page.get_by_role("button", name="Say it").click()
        page.get_by_role("button", name="Thumb down").click()
        page.get_by_role("checkbox", name="isn't helpful").check()
        page.get_by_role("textbox", name="In your words").fill("too short")
        page.get_by_role("button", name="Send", exact=True).click()
        page.get_by_role("button", name="Regenerate").click()
        page.get_by_role("button", name="Better").click()
        page.get_by_role("button", name="End the chat").click()
        page.get_by_role("button", name="Send").click()
        site.saved(page)
    thumb, again, (kind, whole) = everything(site, "chat")
    assert thumb == ("thumbs", {"thumb": "down", "tags": ["isn't helpful"], "text": "too short"})
    assert again == ("regeneration", {"choice": "better"})
    assert kind == "chat" and len(whole["judgements"]) == 2


def test_a_chat_side_by_side_by_keyboard(site: Site) -> None:
    with site.page() as page:
        site.work(page, "beside")
        tab_to(page, "textarea")
        keys(page, "Enter")
        expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        tab_to(page, ".judge button:not([aria-pressed])")
        keys(page, "Enter")
        expect(page.get_by_role("button", name="New answer is better")).to_be_visible()
        keys(page, "ArrowRight")
        expect(page.get_by_role("button", name="End the chat")).to_be_visible()
        tab_to(page, "[data-finish]")
        keys(page, "Enter", "Control+Enter")
        site.saved(page)
    beside, (kind, whole) = everything(site, "beside")
    assert beside == ("side-by-side", {"choice": "new"})
    assert kind == "chat" and len(whole["judgements"]) == 1
