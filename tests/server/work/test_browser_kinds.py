"""Every kind of feedback, given in a real browser: once by mouse, once by keyboard alone. What is stored is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import Page, expect

from plaudit.feedback.order import shown_order

from .browser import Site, keys, strength, tab_to
from .seed import STORY

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.xdist_group("browser")]


# Each gives one judgement and returns what must be stored, given the question's id.
Give = Callable[[Page, str], Any]


def compare_mouse(page: Page, question: str) -> Any:
    page.get_by_role("button", name="Left is better").click()
    return {"strength": strength(question, 4)}


def compare_keys(page: Page, question: str) -> Any:
    keys(page, "ArrowRight")
    return {"strength": strength(question, -4)}


def tie_keys(page: Page, question: str) -> Any:
    keys(page, "ArrowDown")
    return {"strength": 0}


def unsure_mouse(page: Page, question: str) -> Any:
    page.get_by_role("button", name="Can't tell").click()
    return {"strength": None}


def eight_mouse(page: Page, question: str) -> Any:
    page.get_by_role("radio", name="2: A is better").check()
    page.get_by_role("button", name="Send").click()
    return {"strength": strength(question, 3)}


def eight_keys(page: Page, question: str) -> Any:
    keys(page, "6", "Enter")
    return {"strength": strength(question, -2)}


def write_mouse(page: Page, question: str) -> Any:
    page.get_by_role("textbox").click()
    page.get_by_role("textbox").fill("The heron waited.")
    page.get_by_role("button", name="Send").click()
    return {"text": "The heron waited."}


def write_keys(page: Page, question: str) -> Any:
    tab_to(page, "textarea")
    page.keyboard.type("It flew.")
    keys(page, "Control+Enter")
    return {"text": "It flew."}


def correct_mouse(page: Page, question: str) -> Any:
    page.get_by_role("textbox").fill(STORY.replace("missed", "struck again"))
    expect(page.locator("ins")).to_contain_text("struck again.")
    page.get_by_role("button", name="Send").click()
    return {"text": STORY.replace("missed", "struck again")}


def correct_keys(page: Page, question: str) -> Any:
    tab_to(page, "textarea")
    keys(page, "Control+End")
    page.keyboard.type(" The end.")
    keys(page, "Control+Enter")
    return {"text": f"{STORY} The end."}


def thumb_mouse(page: Page, question: str) -> Any:
    page.get_by_role("button", name="Bad").click()
    page.get_by_role("checkbox", name="isn't true").check()
    page.get_by_role("textbox").fill("no fish")
    page.get_by_role("button", name="Send").click()
    return {"thumb": "down", "tags": ["isn't true"], "text": "no fish"}


def thumb_keys(page: Page, question: str) -> Any:
    keys(page, "+", "Enter")
    return {"thumb": "up", "tags": [], "text": ""}


def regenerate_mouse(page: Page, question: str) -> Any:
    page.get_by_role("button", name="Better").click()
    return {"choice": "better"}


def regenerate_keys(page: Page, question: str) -> Any:
    keys(page, "3")
    return {"choice": "same"}


def beside_mouse(page: Page, question: str) -> Any:
    page.get_by_role("button", name="Original answer is better").click()
    return {"choice": "original"}


def beside_keys(page: Page, question: str) -> Any:
    keys(page, "ArrowLeft")
    return {"choice": "original" if shown_order(question, "Ada", 2)[0] == 0 else "new"}


def rate_mouse(page: Page, question: str) -> Any:
    page.get_by_role("group", name="coherence").get_by_role("radio", name="3").check()
    page.get_by_role("group", name="helpfulness").get_by_role("radio", name="can't tell").check()
    page.get_by_role("button", name="Send").click()
    return {"ratings": {"coherence": 3, "helpfulness": None}}


def rate_keys(page: Page, question: str) -> Any:
    keys(page, "0", "4", "Enter")
    return {"ratings": {"coherence": 0, "helpfulness": 4}}


def by_item(question: str, places: list[Any]) -> list[Any]:
    order = shown_order(question, "Ada", len(places))
    return [places[order.index(index)] for index in range(len(places))]


def rank_mouse(page: Page, question: str) -> Any:
    for letter, rank in zip("ABCD", "3321", strict=True):
        page.get_by_role("group", name=f"Rank of {letter}").get_by_role("radio", name=rank).check()
        page.get_by_role("group", name=f"Overall quality of {letter}").get_by_role("radio", name="5").check()
    expect(page.locator("[data-order]")).to_have_text("D > C > A = B")
    page.locator(".item").nth(1).get_by_text("Flags").click()
    page.locator(".item").nth(1).get_by_text("hallucination").click()
    page.get_by_role("textbox").fill("A heron fished.")
    page.get_by_role("button", name="Send").click()
    flags = by_item(question, [[], ["hallucination"], [], []])
    ranks = by_item(question, [3, 3, 2, 1])
    return {"ranks": ranks, "ratings": [5] * 4, "flags": flags, "ideal": "A heron fished."}


def rank_keys(page: Page, question: str) -> Any:
    keys(page, "b", "1", "a", "2", "c", "2", "d", "4")  # B > A = C > D
    keys(page, "ArrowUp", "=")  # D past the tie, then level with B
    expect(page.locator("[data-order]")).to_have_text("B = D > A = C")
    for place in range(4):
        tab_to(page, f"[name=rating-{place}]")
        keys(page, "Space")
    keys(page, "Control+Enter")
    ratings = by_item(question, [1] * 4)
    return {"ranks": by_item(question, [2, 1, 2, 1]), "ratings": ratings, "flags": [[]] * 4, "ideal": ""}


def mark_mouse(page: Page, question: str) -> Any:
    start = STORY.index("fish came")  # behind a character that JavaScript counts as two
    box = page.evaluate(
        """(start) => {
          const range = document.createRange(), text = document.querySelector(".markable").firstChild;
          range.setStart(text, start + 1); range.setEnd(text, start + 10);
          const {left, right, top, bottom} = range.getBoundingClientRect();
          return {left, right, y: (top + bottom) / 2};
        }""",
        start,
    )
    page.mouse.move(box["left"] + 1, box["y"])
    page.mouse.down()
    page.mouse.move(box["right"] - 1, box["y"], steps=4)
    page.mouse.up()
    page.get_by_role("button", name="wrong").click()
    expect(page.locator("mark")).to_have_text("fish came")
    page.get_by_role("textbox", name="Note on wrong").fill("none was there")
    page.get_by_role("button", name="Send").click()
    return {"spans": [{"start": start, "end": start + 9, "category": "wrong", "note": "none was there"}]}


def mark_keys(page: Page, question: str) -> Any:
    tab_to(page, ".markable")
    keys(page, "Home", "Control+ArrowRight", *["Shift+ArrowRight"] * 5, "4", "Control+Enter")
    return {"spans": [{"start": 2, "end": 6, "category": "repetitive", "note": ""}]}


def stretch_mouse(page: Page, question: str) -> Any:
    page.get_by_role("slider", name="Frame").fill("3")
    page.get_by_role("button", name="Begin here").click()
    page.get_by_role("slider", name="Frame").fill("9")
    page.get_by_role("button", name="End here").click()
    page.get_by_role("button", name="wrong").click()
    page.get_by_role("button", name="Send").click()
    return {"spans": [{"start": 3, "end": 10, "category": "wrong", "note": ""}]}


def stretch_keys(page: Page, question: str) -> Any:
    keys(page, "Space")
    tab_to(page, "input[type=range]")
    keys(page, "Home", ".", ".", "i", ".", "o", "1", "Enter")
    return {"spans": [{"start": 2, "end": 4, "category": "irrelevant", "note": ""}]}


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[Page]:
    """One page for all: it goes to another project when it has given its judgement."""
    with site.page() as page:
        yield page


GIVEN: list[tuple[str, Give]] = [
    ("comparison", compare_mouse),
    ("comparison", compare_keys),
    ("comparison", tie_keys),
    ("comparison", unsure_mouse),
    ("texts", eight_mouse),
    ("texts", eight_keys),
    ("demonstration", write_mouse),
    ("demonstration", write_keys),
    ("critique", write_mouse),
    ("critique", write_keys),
    ("correction", correct_mouse),
    ("correction", correct_keys),
    ("thumbs", thumb_mouse),
    ("thumbs", thumb_keys),
    ("regeneration", regenerate_mouse),
    ("regeneration", regenerate_keys),
    ("side-by-side", beside_mouse),
    ("side-by-side", beside_keys),
    ("rating", rate_mouse),
    ("rating", rate_keys),
    ("ranking", rank_mouse),
    ("ranking", rank_keys),
    ("spans", mark_mouse),
    ("spans", mark_keys),
    ("stretches", stretch_mouse),
    ("stretches", stretch_keys),
]


@pytest.mark.parametrize(("project", "give"), GIVEN, ids=lambda each: getattr(each, "__name__", each))
def test_a_judgement_reaches_the_store(site: Site, shared: Page, project: str, give: Give) -> None:
    question = site.work(shared, project)
    wanted = give(shared, question)
    site.saved(shared)
    assert site.kept(question) == [wanted]
