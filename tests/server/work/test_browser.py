"""The pages in a real browser: speed, undo, being offline, drafts, keys, themes, small phones."""

from __future__ import annotations

import statistics

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import expect

from plaudit.feedback.store import Store

from .browser import Site, keys, strength, until

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.xdist_group("browser")]


@pytest.mark.parametrize("judgements", [6, pytest.param(20, marks=pytest.mark.thorough)])
def test_the_next_pair_plays_within_200_ms_of_the_key(site: Site, judgements: int) -> None:
    with site.page() as page:
        page.add_init_script(
            """window.pressed = 0; window.took = [];
            addEventListener("keydown", () => (window.pressed = performance.now()), true);
            document.addEventListener("plaudit:shown", () => requestAnimationFrame(() => {
              if (window.pressed) window.took.push(performance.now() - window.pressed);
            }));"""
        )
        question = site.work(page, "many")
        page.wait_for_timeout(500)
        for _ in range(judgements):
            keys(page, "ArrowLeft")
            question = site.question(page, other_than=question)
            page.wait_for_timeout(250)  # nobody judges faster; the pairs that follow are fetched meanwhile
        took = page.evaluate("window.took")
        site.saved(page)
    print(f"keypress to next pair playing: median {statistics.median(took):.0f} ms, slowest {max(took):.0f} ms")
    assert len(took) >= judgements
    assert statistics.median(took) < 200


def test_undo_brings_the_question_back(site: Site) -> None:
    with site.page() as page:
        first = site.work(page, "clips")
        keys(page, "ArrowLeft")
        second = site.question(page, other_than=first)
        keys(page, "u")
        assert site.question(page, other_than=second) == first
        keys(page, "ArrowDown")
        site.question(page, other_than=first)
        site.saved(page)
    assert site.kept(first) == [{"strength": 0}]


def test_what_is_answered_offline_is_kept_and_sent_later(site: Site) -> None:
    with site.page() as page:
        first = site.work(page, "clips")
        page.wait_for_timeout(300)
        page.context.set_offline(True)
        keys(page, "ArrowDown")
        second = site.question(page, other_than=first)
        expect(page.locator("#state")).to_contain_text("kept on this device")
        assert site.kept(first) == []
        keys(page, "ArrowUp")
        page.wait_for_timeout(100)
        page.context.set_offline(False)
        site.saved(page)
    assert [site.kept(first), site.kept(second)] == [[{"strength": 0}], [{"strength": None}]]
    site.faults[:] = [each for each in site.faults if "ERR_INTERNET_DISCONNECTED" not in each]


def test_a_closed_page_sends_its_answers_when_it_is_opened_again(site: Site) -> None:
    with site.page() as page:
        first = site.work(page, "clips")
        page.wait_for_timeout(300)
        page.context.set_offline(True)
        keys(page, "ArrowDown")
        site.question(page, other_than=first)
        page.goto("about:blank")
        page.context.set_offline(False)
        page.add_init_script("const now = Date.now; Date.now = () => now() + 120000;")  # two minutes later
        page.goto(f"{site.url}/work/clips")
        site.saved(page)
    assert site.kept(first) == [{"strength": 0}]
    site.faults[:] = [each for each in site.faults if "ERR_INTERNET_DISCONNECTED" not in each]


def test_what_was_typed_survives_a_reload(site: Site) -> None:
    with site.page() as page:
        question = site.work(page, "critique")
        page.get_by_role("textbox").fill("half a thought")
        page.reload()
        assert site.question(page) == question
        expect(page.get_by_role("textbox")).to_have_value("half a thought")
    with site.page() as page:  # on another device, from the server
        site.work(page, "critique")
        expect(page.get_by_role("textbox")).to_have_value("half a thought")


def test_a_judgement_is_changed_from_the_history(site: Site) -> None:
    with site.page() as page:
        question = site.work(page, "texts")
        keys(page, "1", "Enter")
        site.saved(page)
        page.goto(f"{site.url}/history/texts")
        page.get_by_role("link", name="Change").first.click()
        assert site.question(page) == question
        expect(page.get_by_role("radio", name="1: A is far better")).to_be_checked()
        keys(page, "8", "Enter")
        page.wait_for_url("**/history/texts")
        expect(page.locator(".entry").first).to_contain_text("edited")
        assert site.kept(question) == [{"strength": strength(question, -4)}]
        page.get_by_role("button", name="Take back").first.click()
        until(page, "() => document.getElementById('spoken').textContent.startsWith('Taken back')")
    assert site.kept(question) == []


def test_a_page_that_crashed_gets_its_question_back_soon(site: Site) -> None:
    with site.page() as page:
        question = site.work(page, "clips")
        page.route("**/release", lambda route: route.abort())  # it goes without a word
        kept = page.evaluate("Object.entries(localStorage).find(([key]) => key.startsWith('plaudit.held'))")
        page.goto("about:blank")
        page.unroute("**/release")
        page.goto(f"{site.url}/keys")
        page.evaluate('([key, value]) => localStorage.setItem(key, value.replace(/"at":\\d+/, \'"at":0\'))', kept)
        assert site.work(page, "clips") == question
    site.faults[:] = [each for each in site.faults if "ERR_FAILED" not in each]


def test_guidelines_come_first_and_changes_are_said(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/work/guided")
        expect(page.get_by_role("heading", name="Before you begin")).to_be_focused()
        expect(page.locator("em")).to_have_text("twice")
        page.get_by_role("button", name="I have read this").click()
        site.question(page)
        keys(page, "g")
        expect(page.get_by_role("dialog", name="Guidelines")).to_be_visible()
        keys(page, "Escape")


def test_keys_are_remapped_and_switched_off(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/keys")
        page.get_by_role("button", name="A tie; neither").click()
        keys(page, "t")
        expect(page.locator("#kept")).to_have_text("Saved.")
        first = site.work(page, "clips")
        keys(page, "t")
        site.question(page, other_than=first)
        site.saved(page)
        assert site.kept(first) == [{"strength": 0}]
        page.goto(f"{site.url}/keys")
        page.get_by_role("checkbox").uncheck()
        expect(page.locator("#kept")).to_have_text("Saved.")
        second = site.work(page, "clips")
        keys(page, "t", "ArrowLeft")
        page.wait_for_timeout(200)
        assert site.question(page) == second
        page.goto(f"{site.url}/keys")
        page.get_by_role("checkbox").check()
        expect(page.locator("#kept")).to_have_text("Saved.")
        page.get_by_role("button", name="Back to the usual keys").click()
        expect(page.locator("#kept")).to_have_text("Saved.")


def test_clips_wait_where_motion_is_not_wanted(site: Site) -> None:
    with site.page(reduced_motion="reduce") as page:
        site.work(page, "clips")
        expect(page.get_by_role("button", name="Play")).to_be_visible()
        before = page.get_by_role("slider", name="Frame").input_value()
        page.wait_for_timeout(300)
        assert page.get_by_role("slider", name="Frame").input_value() == before == "0"
        keys(page, ".")
        expect(page.get_by_role("slider", name="Frame")).to_have_value("1")


def test_a_clip_that_does_not_load_says_so_and_can_be_tried_again(site: Site) -> None:
    with site.page() as page:
        page.route("**/film.webp*", lambda route: route.abort())
        page.goto(f"{site.url}/work/clips")
        expect(page.get_by_role("alert").first).to_contain_text("could not be loaded")
        expect(page.get_by_role("button", name="Left is better")).to_be_disabled()
        page.unroute("**/film.webp*")
        page.get_by_role("button", name="Try again").first.click()
        page.get_by_role("button", name="Try again").first.click()
        expect(page.get_by_role("button", name="Left is better")).to_be_enabled()
    site.faults[:] = [each for each in site.faults if "ERR_FAILED" not in each]


def test_the_theme_is_chosen_and_stays(site: Site) -> None:
    with site.page(color_scheme="light") as page:
        page.goto(f"{site.url}/")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Dark theme").click()
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark != light


def test_the_store_is_whole(site: Site) -> None:
    with Store.open(site.store, create=False) as store:
        assert {event.judgement.annotator for event in store.events()} == {"Ada", "ai:scripted"}
