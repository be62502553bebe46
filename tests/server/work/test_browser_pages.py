"""Every page: what axe says of it in light and dark, whether it fits a phone, whether Tab reaches all of it.

A page is visited once, in one browser profile for all of them, and everything about it is asserted then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import Page, expect

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.store import Store
from plaudit.server.services import Services

from . import seed, seed_team
from .browser import Site, until
from .conftest import site_of
from .fake_model import FakeModel

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.xdist_group("browser")]

OUTSIDE = ("/sign-in", "/join/a-link", "/reset/a-link", "/reset/{token}")  # nobody is signed in
ACCOUNT = ("/account", "/keys", "/consent", "/survey")
PEOPLE = ("/", "/guidelines/sky", "/history/sky", "/history/critique", "/work/new", "/run")
PROJECT = ("", "/quality", "/guideline", "/questions", "/settings")
ADMIN = (
    *(f"/admin{path}" for path in ("", "/new", "/people", "/tokens", "/settings", "/audit", "/backups")),
    *(f"/admin/projects/sky{path}" for path in PROJECT),
    *(f"/admin/projects/new{path}" for path in ("", "/quality", "/guideline")),
)
FORGET = "/admin/people/Ada/forget"
WORK = tuple(f"/work/{name}" for name in (*KINDS, "texts", "stretches"))
PATHS = [*PEOPLE, *ACCOUNT, *ADMIN, FORGET, *WORK, *OUTSIDE]
# Pages that are laid out anew on a phone (a table's rows are blocks there), or are opened from a message on a phone.
PHONE = ("/admin/people", "/admin/projects/sky/quality", "/admin/settings", FORGET, "/reset/a-link", "/reset/{token}")
SMALL = ("/", "/keys", "/history/sky", *WORK)  # pages of annotators, who may have a small phone
SCREEN = {"width": 1280, "height": 720}

# Counts what can be reached by Tab (of radio buttons with one name, one), and from now on collects what gets the focus:
# each control's place in the page, and whether it can be seen that it has the focus.
STOPS = """() => {
  const seen = new Set();
  const all = [...document.querySelectorAll("*")];
  document.activeElement?.blur();
  window.reached = new Map();
  addEventListener("focusin", ({ target }) => {
    const drawn = target.matches(".pip input") ? target.nextElementSibling : target;
    const { outlineStyle, outlineWidth } = getComputedStyle(drawn);
    const box = drawn.getBoundingClientRect();
    const visible = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && box.width > 0 && box.height > 0;
    window.reached.set(all.indexOf(target), visible ? "" : target.outerHTML.slice(0, 120));
  });
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((each) => !each.disabled && each.tabIndex >= 0 && each.type !== "hidden")
    .filter((each) => each.checkVisibility({ visibilityProperty: true }))
    .filter((each) => each.type !== "radio" || (!seen.has(each.name) && seen.add(each.name))).length;
}"""
REACHED = "() => [window.reached.size, [...window.reached.values()].filter((each) => each)]"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, fake: FakeModel) -> Iterator[Site]:
    def fill(served: Services) -> str:
        token = seed_team.team(served)
        seed.everything(served)
        served.consents.answer("Ada", {"age": 40})
        return token

    folder = tmp_path_factory.mktemp("team")
    with site_of(folder, fill, fake, seed_team.run(folder / "run")) as found:
        yield found


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[Page]:
    """One page to visit all the others with."""
    with site.page(color_scheme="light", reduced_motion="reduce") as page:
        yield page


def visit(site: Site, page: Page, path: str) -> None:
    """Go there, and wait until there is what there is to see."""
    site.sign_in(page.context)
    if path == "/reset/{token}":
        path = new_password(site, page, "Ben").removeprefix(site.url)
        page.context.clear_cookies()
    elif path in OUTSIDE:
        page.context.clear_cookies()
    page.goto(f"{site.url}{path}")
    if path in WORK:
        site.question(page)
    elif path == "/work/new":
        page.get_by_role("heading", name="Nothing to do at the moment").wait_for()
    elif path == "/run":
        expect(page.locator("#wanted")).to_have_text("400")
        page.locator("#curve-true_return svg path").last.wait_for()


def new_password(site: Site, page: Page, name: str) -> str:
    """The link that an admin makes for somebody who forgot a password."""
    page.goto(f"{site.url}/admin/people")
    page.get_by_role("button", name=f"Make {name} a link to a new password").click()
    return str(page.locator("#told code").text_content())


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


def scroll_width(page: Page, width: int) -> int:
    """How wide the page is on a phone of this width."""
    page.set_viewport_size({"width": width, "height": 740 if width == 360 else 640})
    return int(page.evaluate("document.documentElement.scrollWidth"))


@pytest.mark.parametrize("path", PATHS)
def test_a_page_by_axe_by_keyboard_and_on_a_phone(site: Site, shared: Page, axe: str, path: str) -> None:
    """Serious findings of axe in light and dark, what Tab does not reach or does not show, and what is too wide."""
    page = shared
    page.set_viewport_size(SCREEN)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="light")
    visit(site, page, path)
    findings: list[Any] = serious(axe, page)
    page.emulate_media(color_scheme="dark")  # which changes colours and nothing else
    findings += serious(axe, page, ["color-contrast"])
    if path not in WORK:  # what is judged by keyboard alone is in test_browser_kinds
        findings += by_keyboard(page)
    if scroll_width(page, 360) > 360:
        findings.append("wider than a phone")
    if path in PHONE:
        findings += serious(axe, page)  # still in the dark
        page.emulate_media(color_scheme="light")
        findings += serious(axe, page)
    if path in SMALL and scroll_width(page, 320) > 320:
        findings.append("wider than a small phone")
    assert findings == []


def by_keyboard(page: Page) -> list[Any]:
    """What Tab reaches without showing that, and how many controls it does not reach at all."""
    stops = page.evaluate(STOPS)
    reached, hidden = 0, []
    for number in range(2 * stops + 2):  # from where the page put the focus, to the end, and on from the start
        page.keyboard.press("Tab")
        if number >= stops - 1:
            reached, hidden = page.evaluate(REACHED)
            if reached == stops:
                break
    return hidden + ([] if reached == stops else [f"Tab reaches {reached} of {stops}"])


def test_axe_in_the_middle_of_the_work(site: Site, axe: str, fake: FakeModel) -> None:
    """Pages change while somebody works: each state is looked at, on a phone's width, in light and dark."""
    with site.page(viewport={"width": 360, "height": 740}, reduced_motion="reduce") as page:

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
        expect(page.get_by_role("heading", name="Your work")).to_be_visible()
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


def test_a_link_to_a_new_password(site: Site) -> None:
    with site.page() as page:
        link = new_password(site, page, "Dan")
        assert link.startswith(f"{site.url}/reset/")
        page.context.clear_cookies()
        page.goto(link)
        page.get_by_label("New password").fill("an entirely new password")
        page.get_by_role("button", name="Set password").click()
        page.wait_for_url(f"{site.url}/consent")  # he has not judged here before
        expect(page.get_by_role("link", name="Dan")).to_be_visible()
        page.goto(link)
        expect(page.get_by_role("heading", name="This link is no longer valid")).to_be_visible()


def test_to_forget_somebody_the_name_has_to_be_typed(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/admin/people")
        page.get_by_role("link", name="Forget Cleo").click()
        field, button = page.get_by_label("Type the name"), page.get_by_role("button", name="Forget this person")
        button.click()
        expect(field).to_be_focused()  # it is required
        field.fill("cleo")
        button.click()
        expect(page.locator("#told")).to_contain_text("type it exactly")
        field.fill("Cleo")
        button.click()
        page.wait_for_url("**/admin/people")
        expect(page.get_by_role("row", name="forgotten-")).to_contain_text("forgotten")
        expect(page.get_by_role("main")).not_to_contain_text("Cleo")
        page.goto(f"{site.url}/admin/projects/sky/quality")
        expect(page.get_by_role("main")).to_contain_text("forgotten-")
    with Store.open(site.store, create=False) as store:
        assert "Cleo" not in {event.judgement.annotator for event in store.events()}
    site.faults[:] = [each for each in site.faults if "422" not in each]


def test_the_answers_of_the_survey_are_downloaded(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/admin/settings")
        with page.expect_download() as found:
            page.get_by_role("link", name="Download as CSV").click()
        assert found.value.suggested_filename == "survey.csv"
        lines = Path(found.value.path()).read_text(encoding="utf-8").splitlines()
        assert lines[0] == "annotator,given_at,age,english,any.thing.else" and lines[1].startswith("Ada,")


def test_critiques_stand_under_the_responses_and_say_that_they_may_be_wrong(site: Site, axe: str) -> None:
    for scheme, width in (("light", 1280), ("dark", 390)):
        with site.page(color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
            visit(site, page, "/work/assisted")
            critiques = page.get_by_role("complementary", name="A model's critique")
            expect(critiques).to_have_count(2)
            expect(critiques.first).to_contain_text("which may be wrong")
            expect(critiques.first.locator("strong")).to_have_text("strikes")
            assert serious(axe, page) == []
