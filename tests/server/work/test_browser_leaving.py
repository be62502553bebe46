"""A new password by a link, forgetting somebody, and the survey's answers as a file: in a browser, from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import expect

from plaudit.feedback.store import Store
from plaudit.server.services import Services

from . import seed_team
from .browser import Site
from .conftest import site_of

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Iterator[Site]:
    def fill(served: Services) -> str:
        token = seed_team.team(served)
        served.consents.answer("Ada", {"age": 40})
        return token

    with site_of(tmp_path_factory.mktemp("leaving"), python, fill) as found:
        yield found


def test_a_link_to_a_new_password(site: Site) -> None:
    with site.page() as page:
        page.goto(f"{site.url}/admin/people")
        page.get_by_role("button", name="Make Dan a link to a new password").click()
        link = str(page.locator("#told code").text_content())
        assert link.startswith(f"{site.url}/reset/")
        page.context.clear_cookies()
        page.goto(link)
        page.get_by_label("The new one").fill("an entirely new password")
        page.get_by_role("button", name="Set it").click()
        page.wait_for_url(f"{site.url}/consent")  # he has not judged here before
        expect(page.get_by_role("link", name="Dan")).to_be_visible()
        page.goto(link)
        expect(page.get_by_role("heading", name="This link holds no more")).to_be_visible()


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


@pytest.mark.parametrize("path", ["/reset/a-link", "/reset/{token}", "/admin/people/Ada/forget", "/admin/settings"])
def test_axe_and_the_width_of_a_phone(site: Site, path: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe: pip install axe-playwright-python"
    )
    with site.page(color_scheme="light", bypass_csp=True, viewport={"width": 360, "height": 740}) as page:
        if "{token}" in path:
            page.goto(f"{site.url}/admin/people")
            page.get_by_role("button", name="Make Ben a link to a new password").click()
            link = str(page.locator("#told code").text_content())
            path = link.removeprefix(site.url)
        page.goto(f"{site.url}{path}")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = axe.Axe().run(page).response["violations"]
            assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
