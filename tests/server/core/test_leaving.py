"""Somebody who leaves: nothing in the store names them any more, and what they judged still counts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import AUDIT, CONSENTS, DRAFTS, METADATA, RESETS, SESSIONS, SURVEY, TOKENS, USERS
from plaudit.feedback.store import Claim, Store

from .conftest import PASSWORD, URL, Site, pair, told

NAME = "Adélaïde O'Hara"
PATH = "/api/admin/users/Ad%C3%A9la%C3%AFde%20O'Hara"
FORGET = f"{PATH}/forget"
SURVEYED = [{"name": "age", "label": "Age", "type": "number"}]


@pytest.fixture
def site(any_site: Site) -> Site:
    return any_site


def everything(site: Site) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    with site.services.store.database.read() as connection:
        return {
            name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
            for name, table in METADATA.tables.items()
        }


def lived(site: Site) -> Any:
    """Somebody who did everything that leaves a trace; the admin's browser."""
    boss = site.join("Boss", "admin")
    boss.post("/api/admin/invites", json={"role": "annotator", "note": f"for {NAME.upper()}, lakes"})
    boss.put("/api/admin/settings", json={"consent": "Read this.", "survey": SURVEYED})
    ada = site.join(NAME, "admin")
    told(site.browser().post("/api/session", json={"name": NAME, "password": "wrong"}), 401)
    ada.post("/api/consent", json={"version": "1"})
    assert ada.put("/api/survey", json={"answers": {"age": 44}}).status_code == 204
    ada.patch("/api/me", json={"preferences": {"theme": "dark"}})
    boss.patch(PATH, json={"pay": 20.0})
    ada.post("/api/admin/invites", json={"role": "annotator"})
    boss.post("/api/admin/tokens", json={"name": f"{NAME}'s laptop", "user": NAME, "scopes": ["judge"]})
    boss.post(f"{PATH}/reset")
    site.project()
    return boss


def test_nothing_names_them_any_more_and_what_they_judged_counts(site: Site) -> None:
    boss = lived(site)
    store = site.services.store
    site.services.projects.add_guideline(NAME, "p", "Look three times.")
    questions = site.ask([pair(number) for number in range(4)], wanted=2)
    first = site.say(questions[0], NAME, {"strength": 4})
    second = site.say(questions[0], NAME, {"strength": 2}, supersedes=first)
    other = site.say(questions[0], "Ben", {"strength": -4})
    store.claim(Claim(NAME, project="p"))
    with store.database.write() as connection:
        row = {"user": NAME, "question": questions[1].id, "body": "{}", "saved_at": 1.0}
        connection.execute(insert(DRAFTS).values(**row))
    before, events = everything(site), [(event.number, event.judgement.id) for event in store.events()]
    assert {each.annotator for each in store.judgements()} == {NAME, "Ben"}

    gone = boss.post(FORGET, json={"name": NAME})
    assert gone.status_code == 200, gone.text
    pseudonym = gone.json()["pseudonym"]
    assert re.fullmatch(r"forgotten-[0-9a-f]{8}", pseudonym)
    after = everything(site)
    assert NAME.casefold() not in repr(after).casefold() and "O\\'Hara".casefold() not in repr(after).casefold()
    signed = {row["id"]: row["annotator"] for row in after["judgements"]}
    assert signed == {first: pseudonym, second: pseudonym, other: "Ben"}
    unsigned = [{**row, "annotator": ""} for row in before["judgements"]]
    assert [{**row, "annotator": ""} for row in after["judgements"]] == unsigned
    assert [(event.number, event.judgement.id) for event in store.events()] == events
    assert {each.id: each.annotator for each in store.judgements()} == {second: pseudonym, other: "Ben"}
    for table in (SESSIONS, TOKENS, RESETS, DRAFTS, CONSENTS, SURVEY):
        assert not [row for row in after[table.name] if row["user"] == pseudonym], table.name
    assert not [row for row in after["leases"] if row["annotator"] == pseudonym]
    (row,) = [row for row in after["users"] if row["name"] == pseudonym]
    assert row["password"] is None and row["preferences"] == "{}" and row["pay"] == 20.0
    assert row["disabled_at"] == row["forgotten_at"] == site.clock.now
    assert {each["author"] for each in after["guidelines"]} == {pseudonym}


def test_the_audit_log_stays_under_the_pseudonym_without_addresses(site: Site) -> None:
    boss = lived(site)
    site.project("Boss", title="A project that is called as somebody is")
    before = Counter(row["action"] for row in everything(site)["audit"])
    pseudonym = boss.post(FORGET, json={"name": NAME}).json()["pseudonym"]
    rows = everything(site)["audit"]
    assert Counter(row["action"] for row in rows) == before + Counter(["changed a person", "forgot a person"])
    theirs = [row for row in rows if pseudonym in (row["who"], row["subject"])]
    assert {"joined", "signed in", "failed sign-in", "consent", "made a token"} <= {row["action"] for row in theirs}
    assert all("address" not in json.loads(row["details"]) for row in theirs)
    bosses = [row for row in rows if row["action"] == "signed in" and row["who"] == "Boss"]
    assert bosses and all("address" in json.loads(row["details"]) for row in bosses)
    last = rows[-1]
    assert (last["who"], last["action"], last["subject"]) == ("Boss", "forgot a person", pseudonym)
    assert f"for {pseudonym}, lakes" in [json.loads(row["details"]).get("note") for row in rows]


def test_a_project_called_as_somebody_keeps_its_name(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("lakes")
    site.project("lakes")
    boss.post("/api/admin/users/lakes/forget", json={"name": "lakes"})
    rows = everything(site)["audit"]
    assert [row["subject"] for row in rows if row["action"] == "made a project"] == ["lakes"]
    assert [row["subject"] for row in rows if row["action"] == "joined"][1] != "lakes"


def test_facts_cannot_be_changed_afterwards_either(site: Site) -> None:
    boss = lived(site)
    site.say(site.ask([pair(0)])[0], NAME, {"strength": 4})
    assert boss.post(FORGET, json={"name": NAME}).status_code == 200
    for table in (JUDGEMENTS, QUESTIONS, AUDIT):
        with pytest.raises(DBAPIError, match="append-only"), site.services.store.database.write() as connection:
            first = next(iter(table.c))
            connection.execute(table.update().values({first.name: first}))
    another = Store.open(site.services.config.store)  # as another process sees it
    with another, pytest.raises(DBAPIError, match="append-only"), another.database.write() as connection:
        connection.execute(JUDGEMENTS.update().values(annotator="somebody"))


def test_what_fails_on_the_way_leaves_everything_as_it_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    boss = lived(site)
    site.say(site.ask([pair(0)])[0], NAME, {"strength": 4})
    boss.patch(PATH, json={"disabled": True})
    before = everything(site)

    def fails(*_: object) -> None:
        raise RuntimeError("the machine is on fire")

    with monkeypatch.context() as patched:
        patched.setattr("plaudit.feedback.leaving._in_audit", fails)
        assert boss.post(FORGET, json={"name": NAME}).status_code == 500
    assert everything(site) == before
    with pytest.raises(DBAPIError, match="append-only"), site.services.store.database.write() as connection:
        connection.execute(JUDGEMENTS.update().values(annotator="somebody"))
    assert boss.post(FORGET, json={"name": NAME}).status_code == 200


def test_the_file_itself_holds_the_name_no_more(make_site: Callable[..., Site]) -> None:
    """SQLite would leave what was overwritten in the free space of its pages."""
    site = make_site()
    boss = lived(site)
    for question in site.ask([pair(number) for number in range(40)]):
        site.say(question, NAME, {"strength": 4})
    file = site.folder / "feedback.sqlite"
    name = NAME.encode()
    site.services.store.database.close()
    assert name in file.read_bytes()
    site.services.store.database = Store.open(file).database
    assert boss.post(FORGET, json={"name": NAME}).status_code == 200
    site.services.store.database.close()
    assert name not in file.read_bytes()


def test_it_has_to_be_meant(site: Site) -> None:
    boss = site.join("Boss", "admin")
    rev, ada = site.join("Rev", "reviewer"), site.join("Ada")
    for other in (rev, ada):
        told(other.post("/api/admin/users/Ada/forget", json={"name": "Ada"}), 403)
    assert "type it exactly" in told(boss.post("/api/admin/users/Ada/forget", json={"name": "ada"}), 422)
    told(boss.post("/api/admin/users/Nobody/forget", json={"name": "Nobody"}), 404)
    assert "yourself" in told(boss.post("/api/admin/users/Boss/forget", json={"name": "Boss"}), 409)
    assert ada.get("/api/me").status_code == 200
    assert "Type the name" in boss.get("/admin/people/Ada/forget").text
    assert "another admin" in boss.get("/admin/people/Boss/forget").text.lower()


def test_they_are_out_at_once_and_do_not_come_back(site: Site) -> None:
    boss, ada = site.join("Boss", "admin"), site.join("Ada")
    token = boss.post("/api/admin/tokens", json={"name": "t", "user": "Ada", "scopes": ["judge"]}).json()["token"]
    program = site.program(token)
    assert [each.get("/api/me").status_code for each in (ada, program)] == [200, 200]
    pseudonym = boss.post("/api/admin/users/Ada/forget", json={"name": "Ada"}).json()["pseudonym"]
    assert [each.get("/api/me").status_code for each in (ada, program)] == [401, 401]
    told(site.browser().post("/api/session", json={"name": "Ada", "password": PASSWORD}), 401)
    path = f"/api/admin/users/{pseudonym}"
    told(boss.patch(path, json={"disabled": False}), 409)
    told(boss.post(f"{path}/reset"), 409)
    told(boss.post(f"{path}/forget", json={"name": pseudonym}), 409)
    page = boss.get("/admin/people").text
    assert pseudonym in page and f"{path}/sessions" not in page and "Ada" not in page


def test_the_name_is_free_and_whoever_takes_it_inherits_nothing(site: Site) -> None:
    boss = site.join("Boss", "admin")
    boss.put("/api/admin/settings", json={"consent": "Read this."})
    site.project()
    ada = site.join("Ada")
    ada.post("/api/consent", json={"version": "1"})
    site.say(site.ask([pair(0)])[0], "Ada", {"strength": 4})
    boss.post("/api/admin/users/Ada/forget", json={"name": "Ada"})
    new = site.join("Ada")
    assert new.get("/api/me").json()["consent_needed"] is True
    assert new.get("/api/me").json()["role"] == "annotator"
    with site.services.store.database.read() as connection:
        assert "Ada" not in connection.execute(select(JUDGEMENTS.c.annotator)).scalars().all()


def test_what_only_they_were_to_be_asked_leaves_the_queue(site: Site) -> None:
    boss, store = site.join("Boss", "admin"), site.services.store
    site.join("Ada")
    site.project()
    mine, anybody = site.ask([pair(0)]), site.ask([pair(1)])
    asked = replace(mine[0], items=tuple(reversed(mine[0].items)))
    store.ask([asked], [], purpose="repeat", only_for="Ada")
    store.claim(Claim("Ada", project="p"))
    pseudonym = boss.post("/api/admin/users/Ada/forget", json={"name": "Ada"}).json()["pseudonym"]
    with store.database.read() as connection:
        assert connection.execute(select(LEASES)).all() == []
        assert connection.execute(select(OPEN_QUESTIONS.c.only_for)).scalars().all() == [None, None]
        assert connection.execute(select(QUESTIONS.c.only_for).where(QUESTIONS.c.id == asked.id)).scalar() == pseudonym
    assert {each.question.id for each in store.claim(Claim("Ben", 9, project="p"))} == {mine[0].id, anybody[0].id}


def test_pages_lead_there(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("A b")
    page = boss.get("/admin/people").text
    assert 'href="/admin/people/A%20b/forget"' in page and "/admin/people/Boss/forget" not in page
    form = boss.get("/admin/people/A%20b/forget").text
    assert 'data-path="/api/admin/users/A%20b/forget"' in form
    assert boss.post("/api/admin/users/A%20b/forget", json={"name": "A b"}, headers={"origin": URL}).status_code == 200
    with site.services.store.database.read() as connection:
        assert len(connection.execute(select(USERS.c.name)).all()) == 2
