"""A corpus of attempts to run a script, in a real browser, on every page that shows what somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")


from playwright.sync_api import Dialog, Page, Request, expect

from plaudit.feedback.kinds import KINDS

from . import seed_hostile
from .browser import Site, until
from .conftest import site_of
from .fake_model import FakeModel
from .payloads import ALL, CORPUS, LOOK, names

pytestmark = pytest.mark.xdist_group("browser")
AGAIN = ("", "/quality", "/guideline", "/questions", "/settings")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, fake: FakeModel) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hostile")
    run = seed_hostile.run(folder / "run")
    with site_of(folder, seed_hostile.hostile, fake, run) as found:
        yield found


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    """A page on which nothing may run, nothing may be asked of another host, and nothing may complain."""

    def opened(dialog: Dialog) -> None:
        site.faults.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def asked(request: Request) -> None:
        if not request.url.startswith((f"{site.url}/", "about:")):
            site.faults.append(request.url)

    site.faults.clear()
    with site.page() as page:
        page.on("dialog", opened)
        page.on("request", asked)
        yield page
    assert site.faults == []


def inert(page: Page) -> None:
    assert page.evaluate(LOOK) == [], page.url


def drawn(page: Page) -> None:
    """Wait until what the scripts of the page have written is drawn, and what it would have run has run."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")


def see(site: Site, page: Page, path: str) -> int:
    """Go to a page on which nothing may run; the status of the answer."""
    answer = page.goto(f"{site.url}{path}")
    drawn(page)
    inert(page)
    assert answer is not None
    return answer.status


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(set(CORPUS)) == len(CORPUS) >= 60 and len(names()) >= 10


def test_what_looks_finds_what_it_should(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/keys")
    for bad in ("<img src=/static/icon.svg>", "<p onclick=x>", "<p hx-get=/x>", "<a href=javascript:1>x</a>"):
        page.evaluate("(bad) => { document.querySelector('main').innerHTML = bad }", bad)
        assert len(page.evaluate(LOOK)) >= 1, bad
    page.evaluate("window.__xss = 1; document.querySelector('main').textContent = ''")
    assert page.evaluate(LOOK) == ["it ran"]


def test_pages_of_annotators(site: Site, page: Page) -> None:
    for path in ("/", "/keys", "/account", "/consent", "/survey", "/run", "/guidelines/critique", "/history/compared"):
        see(site, page, path)
    expect(page.locator(".mark")).to_be_visible()


def test_history_and_what_htmx_brings_in(site: Site, page: Page) -> None:
    see(site, page, "/history/said")
    shown = page.locator(".entry").count()
    while page.get_by_role("link", name="Earlier ones").count():
        page.get_by_role("link", name="Earlier ones").click()
        until(page, "(shown) => document.querySelectorAll('.entry').length > shown", shown)
        shown = page.locator(".entry").count()
        inert(page)
    assert shown == len(CORPUS) + 4
    edits = page.get_by_role("link", name="Change").evaluate_all("(all) => all.map((each) => each.href)")
    for each in [*edits[:3], edits[-1]]:
        page.goto(each)
        site.question(page)
        inert(page)


def test_pages_of_admins(site: Site, page: Page) -> None:
    for path in ("", "/new", "/people", "/tokens", "/settings", "/audit", "/audit?before=150", "/backups"):
        assert see(site, page, f"/admin{path}") == 200
    for project in ("compared", "said", "spans"):
        for path in AGAIN:
            assert see(site, page, f"/admin/projects/{project}{path}") == 200
    for project in ("n0", "n12", f"n{len(CORPUS) - 1}"):  # these differ in title and wording
        for path in ("", "/settings"):
            assert see(site, page, f"/admin/projects/{project}{path}") == 200


@pytest.mark.parametrize("texts", [CORPUS[:2], pytest.param(CORPUS[2:6], marks=pytest.mark.thorough)], ids=len)
def test_addresses_and_faults_that_say_them_again(site: Site, page: Page, texts: tuple[str, ...]) -> None:
    for each in texts:
        for path in ("/work/", "/history/", "/admin/projects/", "/work/critique?edit=", "/sign-in?next=", "/join/"):
            answer = page.goto(f"{site.url}{path}{page.evaluate('encodeURIComponent', each)}")
            inert(page)
            assert answer is not None and answer.status < 500
    site.faults[:] = [each for each in site.faults if "the server responded with a status of 4" not in each]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_pages_of_work(site: Site, page: Page, name: str) -> None:
    page.goto(f"{site.url}/work/{name}")
    page.get_by_role("button", name="I have read this").wait_for()
    inert(page)
    page.get_by_role("button", name="I have read this").click()
    first = site.question(page)
    inert(page)
    if name == "spans":
        page.locator(".markable").focus()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("1")
        expect(page.locator("mark")).to_have_count(1)
        inert(page)
    page.get_by_role("button", name="Guidelines").click()
    inert(page)
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Put off").click()
    site.question(page, other_than=first)
    drawn(page)
    inert(page)


def talk(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/work/talk")
    site.question(page)
    if page.get_by_role("button", name="Continue talking").is_visible():
        page.get_by_role("button", name="Continue talking").click()


def together(count: int) -> list[str]:
    """The corpus with ``count`` attempts in each text."""
    return ["\n\n".join(CORPUS[start : start + count]) for start in range(0, len(CORPUS), count)]


@pytest.mark.parametrize("count", [11, pytest.param(1, marks=pytest.mark.thorough)])
def test_what_a_model_streams(site: Site, page: Page, fake: FakeModel, count: int) -> None:
    talk(site, page)
    texts = together(count)
    for first, second in zip(texts[::2], texts[1::2], strict=True):
        fake.texts = [first, second]
        page.get_by_role("textbox", name="What you say").fill(first)
        page.get_by_role("button", name="Say it").click()
        page.get_by_role("button", name="Choose").wait_for()
        inert(page)
        page.get_by_role("radio", name="1: A is far better").check()
        page.get_by_role("button", name="Choose").click()
    page.get_by_role("button", name="End the conversation").click()
    with page.expect_response("**/api/work/draft"):  # the draft goes to the server, and comes back with the page
        page.get_by_role("textbox", name="A closing comment").fill(ALL)
        inert(page)
    page.reload()
    site.question(page)
    expect(page.get_by_role("textbox", name="A closing comment")).to_have_value(ALL)
    inert(page)


@pytest.mark.parametrize("complaints", [CORPUS[:24:6], pytest.param(CORPUS[:24], marks=pytest.mark.thorough)], ids=len)
def test_what_a_model_says_when_it_fails(site: Site, page: Page, fake: FakeModel, complaints: tuple[str, ...]) -> None:
    talk(site, page)
    page.get_by_role("textbox", name="What you say").fill(ALL[:500])
    fake.mode = "failing_midway"
    try:
        for each in complaints:
            fake.complaint = each
            page.get_by_role("button", name="Say it").or_(page.get_by_role("button", name="Try again")).click()
            expect(page.get_by_role("alert")).to_contain_text("failed")
            inert(page)
    finally:
        fake.mode, fake.complaint = "good", "out of memory"
