"""Every page: what axe says of it in light and dark, whether it fits a phone, whether Tab reaches all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import Page, expect

from plaudit.feedback.kinds import KINDS
from plaudit.server.services import Services

from . import seed, seed_team
from .browser import Site, until
from .conftest import site_of
from .fake_model import FakeModel

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.xdist_group("browser")]

OUTSIDE = ("/sign-in", "/join/a-link")
ACCOUNT = ("/account", "/keys", "/consent", "/survey")
PEOPLE = ("/", "/guidelines/sky", "/history/sky", "/history/critique", "/work/new", "/run")
PROJECT = ("", "/quality", "/guideline", "/questions", "/settings")
ADMIN = (
    *(f"/admin{path}" for path in ("", "/new", "/people", "/tokens", "/settings", "/audit", "/backups")),
    *(f"/admin/projects/sky{path}" for path in PROJECT),
    *(f"/admin/projects/new{path}" for path in ("", "/quality", "/guideline")),
)
ROWS = ("/admin/people", "/admin/projects/sky/quality")
WORK = tuple(f"/work/{name}" for name in (*KINDS, "texts", "stretches"))

# What can be reached by Tab: of radio buttons with one name, one.
STOPS = """() => {
  const seen = new Set();
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((each) => !each.disabled && each.tabIndex >= 0 && each.type !== "hidden")
    .filter((each) => each.checkVisibility({ visibilityProperty: true }))
    .filter((each) => each.type !== "radio" || (!seen.has(each.name) && seen.add(each.name))).length;
}"""
# What has the focus now, named by its place in the page, and whether that can be seen.
FOCUS = """() => {
  const now = document.activeElement;
  if (!now || now === document.body) return null;
  const drawn = now.matches(".pip input") ? now.nextElementSibling : now;
  const { outlineStyle, outlineWidth } = getComputedStyle(drawn);
  const box = drawn.getBoundingClientRect();
  return {
    place: [...document.querySelectorAll("*")].indexOf(now),
    name: now.outerHTML.slice(0, 120),
    visible: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && box.width > 0 && box.height > 0,
  };
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, fake: FakeModel, python: Path) -> Iterator[Site]:
    def fill(served: Services) -> str:
        token = seed_team.team(served)
        seed.everything(served)
        return token

    folder = tmp_path_factory.mktemp("team")
    with site_of(folder, python, fill, fake, seed_team.run(folder / "run")) as found:
        yield found


def visit(site: Site, page: Page, path: str) -> None:
    """Go there, and wait until there is what there is to see."""
    if path in OUTSIDE:
        page.context.clear_cookies()
    page.goto(f"{site.url}{path}")
    if path in WORK:
        site.question(page)
    elif path == "/work/new":
        page.get_by_role("heading", name="Nothing to do at the moment").wait_for()
    elif path == "/run":
        expect(page.locator("#wanted")).to_have_text("400")
        page.locator("#curve-true_return svg path").last.wait_for()


@pytest.fixture(scope="module")
def axe() -> str:
    """axe's script."""
    base = pytest.importorskip("axe_playwright_python.base", reason="no axe: pip install axe-playwright-python")
    return str(base.AXE_SCRIPT)


def serious(axe: str, page: Page, rules: Sequence[str] = ()) -> list[Any]:
    """What axe finds on the page as it is now, by ``rules`` (empty: by all)."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe)
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = page.evaluate("(options) => axe.run(options).then((results) => results.violations)", options)
    places = [(each["id"], [node["target"] for node in each["nodes"]][:3], each["impact"]) for each in found]
    return [each for each in places if each[2] in ("serious", "critical")]


@pytest.mark.parametrize("path", [*PEOPLE, *ACCOUNT, *ADMIN, *WORK, *OUTSIDE])
def test_axe_in_light_and_dark_and_the_width_of_a_phone(site: Site, axe: str, path: str) -> None:
    with site.page(color_scheme="light", reduced_motion="reduce", bypass_csp=True) as page:
        visit(site, page, path)
        assert serious(axe, page) == []
        page.emulate_media(color_scheme="dark")  # which changes colours and nothing else
        assert serious(axe, page, ["color-contrast"]) == []
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        if path in ROWS:  # a table's rows are blocks now
            assert serious(axe, page, ["wcag2a", "wcag2aa"]) == []


def test_axe_in_the_middle_of_the_work(site: Site, axe: str, fake: FakeModel) -> None:
    """Pages change while somebody works: each state is looked at, on a phone's width, in light and dark."""
    with site.page(viewport={"width": 360, "height": 740}, reduced_motion="reduce", bypass_csp=True) as page:

        def look(what: str) -> None:
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert serious(axe, page) == [], what
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, what

        visit(site, page, "/work/conversation")
        page.get_by_role("textbox").fill("Herons?")
        page.get_by_role("button", name="Say it").click()
        page.get_by_role("radio", name="2: A is better").check()
        look("two responses")
        page.get_by_role("button", name="Choose").click()
        page.get_by_role("button", name="End the conversation").click()
        look("a closing comment")
        page.get_by_role("button", name="Guidelines").click()
        look("a dialog")
        visit(site, page, "/work/chat")
        fake.mode = "cut"
        page.get_by_role("button", name="Say it").click()
        page.get_by_role("alert").wait_for()
        look("a model that failed")
        fake.mode = "good"
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("button", name="Thumb down").click()
        look("a thumb")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Regenerate").click()
        page.get_by_role("button", name="Better").wait_for()
        look("an answer and another")


@pytest.mark.parametrize("path", [*PEOPLE, *ACCOUNT, *ADMIN, *OUTSIDE])
def test_the_tab_key_reaches_everything_and_shows_where_it_is(site: Site, path: str) -> None:
    with site.page(reduced_motion="reduce") as page:
        visit(site, page, path)
        page.evaluate("document.activeElement?.blur()")
        stops, reached = page.evaluate(STOPS), set()
        for _ in range(2 * stops + 2):  # from where the page put the focus, to the end, and on from the start
            page.keyboard.press("Tab")
            now = page.evaluate(FOCUS)
            if now is not None:
                assert now["visible"], now["name"]
                reached.add(now["place"])
            if len(reached) == stops:
                break
        assert len(reached) == stops


def test_what_is_drawn_anew_keeps_the_focus(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/")
        link = page.get_by_role("link", name="Begin with Chats").first
        link.focus()
        page.evaluate("document.getElementById('open').dataset.old = ''")
        page.evaluate("htmx.ajax('GET', '/', {target: '#open', select: '#open', swap: 'outerHTML'})")
        until(page, "() => document.getElementById('open')?.dataset.old === undefined")
        expect(link).to_be_focused()


def test_a_fault_is_a_page(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/nothing")
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_text("There is no such page.")
        page.get_by_role("link", name="Back to the start").click()
        expect(page.get_by_role("heading", name="What there is to do")).to_be_visible()
    site.faults[:] = [each for each in site.faults if "404" not in each]


def test_an_admin_acts_by_keyboard(site: Site) -> None:
    """Make an invitation and revoke it, give somebody another role; on a phone's width, where rows are blocks."""
    with site.page(viewport={"width": 390, "height": 800}) as page:
        page.goto(f"{site.url}/admin/people")
        rows = page.get_by_role("table", name="Invitations that still hold").get_by_role("row")
        before = rows.count()
        page.get_by_role("textbox", name="Note").press_sequentially("by keyboard")
        page.keyboard.press("Enter")
        expect(page.locator("#told code")).to_contain_text("/join/")
        page.reload()
        expect(rows).to_have_count(before + 1)
        page.get_by_role("button", name="Revoke the invitation by keyboard").press("Enter")
        expect(page.locator("#told")).to_have_text("The invitation is revoked.")
        expect(rows).to_have_count(before)
        page.get_by_role("combobox", name="Role of Dan").press("a")
        expect(page.locator("#told")).to_have_text("Dan's role is changed.")


def test_a_survey_may_have_names_with_dots(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/survey")
        page.get_by_role("textbox", name="Anything else?").fill("no")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#told")).to_have_text("Saved. Thank you.")
        expect(page.get_by_role("textbox", name="Anything else?")).to_have_value("no")
