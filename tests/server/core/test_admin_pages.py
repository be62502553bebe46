"""The admin pages: who sees them, that they hold nothing inline, and that what people wrote stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from .conftest import Site, pair, told

ADMIN = (
    "/admin/new",
    "/admin/people",
    "/admin/tokens",
    "/admin/settings",
    "/admin/audit",
    "/admin/backups",
    "/admin/projects/p/questions",
    "/admin/projects/p/settings",
)
REVIEWER = ("/admin", "/admin/projects/p", "/admin/projects/p/quality", "/admin/projects/p/guideline")
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value is not None]


def full(site: Site) -> None:
    """Something on every page, with markup where people write."""
    site.project(title=f"P {EVIL}", wording=f"Which? {EVIL}", settings={"judgements_wanted": 2})
    for number in range(2):
        site.services.projects.add_guideline(f"Boss {EVIL}", "p", f"## Guideline {number}\n\n{EVIL}")
    questions = site.ask([pair(n) for n in range(3)], wanted=2)
    for name in ("Ada", f"Eve {EVIL}"):
        site.say(questions[0], name, {"strength": 4})
    invites = site.services.accounts.invites
    invites.make("(test)", "annotator", words=EVIL)
    site.services.consents.put_consent("Boss", f"Consent {EVIL}")
    survey = [
        {"name": EVIL, "label": EVIL, "type": "choice", "choices": [EVIL, "b"]},
        {"name": "b", "label": "B", "type": "text"},
    ]
    site.services.consents.put_survey("Boss", survey)


@pytest.mark.parametrize("path", ADMIN + REVIEWER)
def test_pages_hold_nothing_inline_and_every_field_has_a_name(site: Site, path: str) -> None:
    boss = site.join("Boss", "admin")
    site.services.accounts.tokens.make("Boss", "t<b>", "Boss", ["read"])
    boss.post("/api/admin/backup")
    full(site)
    answer = boss.get(path)
    assert answer.status_code == 200, answer.text
    assert "<script>alert" not in answer.text and "<img" not in answer.text
    page = Reader(answer.text)
    assert len(page.ids) == len(set(page.ids)), path
    labelled = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    for tag, attributes in page.tags:
        assert not any(name == "style" or name.startswith("on") for name in attributes), (path, tag, attributes)
        assert tag != "style" and not (tag == "script" and not attributes.get("src")), (path, tag)
        if tag in ("input", "select", "textarea") and attributes.get("type") not in ("hidden", "checkbox"):
            assert attributes.get("id") in labelled or attributes.get("aria-label"), (path, attributes)
        if tag == "th":
            assert attributes.get("scope"), (path, attributes)
    assert answer.text.count("<table") == answer.text.count("<caption")
    assert len(re.findall(r"<h1", answer.text)) == 1


@pytest.mark.parametrize("path", ADMIN + REVIEWER)
def test_who_sees_what(site: Site, path: str) -> None:
    site.project()
    assert site.join("Ada").get(path).status_code == 403
    reviewer = site.join("Rev", "reviewer").get(path)
    assert reviewer.status_code == (403 if path in ADMIN else 200)
    if path not in ADMIN:
        assert "/admin/people" not in reviewer.text and "data-method" not in reviewer.text


def test_pages_of_an_empty_server(site: Site) -> None:
    boss = site.join("Boss", "admin")
    assert "Make the first project" in boss.get("/admin").text
    assert "There are no backups yet" in boss.get("/admin/backups").text
    told(boss.get("/api/projects/none/progress"), 404)
    assert boss.get("/admin/projects/none").status_code == 404


def test_an_older_version_of_the_guideline_can_be_read(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    for text in ("first words", "second words"):
        site.services.projects.add_guideline("Boss", "p", text)
    assert "second words</p>" in boss.get("/admin/projects/p/guideline").text
    assert "first words</p>" in boss.get("/admin/projects/p/guideline?version=1").text


@pytest.mark.parametrize("kind", ["comparison", "ranking", "rating", "thumbs", "demonstration", "conversation"])
def test_the_example_of_a_question_is_one(site: Site, kind: str) -> None:
    boss = site.join("Boss", "admin")
    site.project(kind=kind)
    page = boss.get("/admin/projects/p/questions").text
    examples = [each for each in re.findall(r'<pre class="code">(.*?)</pre>', page, re.DOTALL) if "sky" in each]
    assert examples
    for each in examples:
        line = each.replace("&#34;", '"').replace("&#39;", "'")
        if '"value": {}' not in line:
            body = f'{{"questions": [{line}]}}'
            answer = boss.post("/api/projects/p/questions", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (201, 409), answer.text
