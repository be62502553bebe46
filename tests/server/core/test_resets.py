"""A forgotten password: a link that an admin makes, and what it opens, once."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from plaudit.feedback.schema_people import AUDIT, RESETS
from plaudit.server.credentials import DAY
from plaudit.server.passwords import digest
from plaudit.server.security import COOKIE
from plaudit.server.serve import admin_link

from .conftest import PASSWORD, URL, Site, told

FRESH = "an entirely new password"


@pytest.fixture
def site(any_site: Site) -> Site:
    return any_site


def token_of(link: str) -> str:
    assert link.startswith(f"{URL}/reset/")
    return link.rsplit("/", 1)[1]


def test_a_link_sets_a_new_password_and_ends_the_other_sessions(site: Site) -> None:
    boss, ada = site.join("Boss", "admin"), site.join("Ada")
    made = boss.post("/api/admin/users/Ada/reset")
    assert made.status_code == 201
    token = token_of(made.json()["link"])
    fresh = site.browser()
    page = fresh.get(f"/reset/{token}")
    assert "Ada" in page.text and f'value="{token}"' in page.text
    assert fresh.post("/api/reset", json={"token": token, "password": FRESH}).status_code == 204
    assert fresh.get("/api/me").json()["name"] == "Ada"
    told(ada.get("/api/me"), 401)
    assert boss.get("/api/me").status_code == 200
    told(site.browser().post("/api/session", json={"name": "Ada", "password": PASSWORD}), 401)
    assert site.browser().post("/api/session", json={"name": "Ada", "password": FRESH}).status_code == 204


def test_a_link_works_once_for_a_day_and_until_the_next_one(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("Ada")

    def link() -> str:
        return token_of(boss.post("/api/admin/users/Ada/reset").json()["link"])

    def use(token: str) -> int:
        return site.browser().post("/api/reset", json={"token": token, "password": FRESH}).status_code

    first, second = link(), link()
    assert [use(first), use(second), use(second)] == [404, 204, 404]
    third = link()
    site.clock.now += DAY - 1
    assert site.services.accounts.resets.owner(third) == "Ada"
    site.clock.now += 2
    assert use(third) == 404 and "no longer valid" in site.browser().get(f"/reset/{third}").text
    fourth = link()
    site.services.accounts.set_password("Ada", FRESH, PASSWORD, None)
    assert use(fourth) == 404  # whoever knows the password has no need of it


def test_a_password_that_is_too_short_does_not_use_the_link_up(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("Ada")
    token = token_of(boss.post("/api/admin/users/Ada/reset").json()["link"])
    assert "10 to 1024" in told(site.browser().post("/api/reset", json={"token": token, "password": "short"}), 422)
    assert site.services.accounts.resets.owner(token) == "Ada"


def test_only_a_hash_is_kept_and_it_is_written_down_who_did_it(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("Ada")
    token = token_of(boss.post("/api/admin/users/Ada/reset").json()["link"])
    with site.services.store.database.read() as connection:
        assert connection.execute(select(RESETS.c.token)).scalars().all() == [digest(token)]
    site.browser().post("/api/reset", json={"token": token, "password": FRESH})
    with site.services.store.database.read() as connection:
        rows = connection.execute(select(AUDIT.c.who, AUDIT.c.action, AUDIT.c.subject)).all()
        everything = repr(connection.execute(select(AUDIT)).all())
    assert ("Boss", "made a link to a new password", "Ada") in rows and ("Ada", "set a new password", "Ada") in rows
    assert token not in everything and digest(token) not in everything and FRESH not in everything


def test_only_admins_make_links_and_only_for_those_who_may_sign_in(site: Site) -> None:
    boss, rev = site.join("Boss", "admin"), site.join("Rev", "reviewer")
    ada = site.join("Ada")
    for other in (rev, ada):
        told(other.post("/api/admin/users/Ada/reset"), 403)
    told(boss.post("/api/admin/users/Nobody/reset"), 404)
    token = token_of(boss.post("/api/admin/users/Ada/reset").json()["link"])
    boss.patch("/api/admin/users/Ada", json={"disabled": True})
    assert "disabled" in told(boss.post("/api/admin/users/Ada/reset"), 409)
    told(site.browser().post("/api/reset", json={"token": token, "password": FRESH}), 404)


def test_an_admin_alone_gets_back_in(site: Site) -> None:
    """As docs/collecting.md says: the command line's link makes another admin, who makes a link for the first."""
    site.join("Boss", "admin")
    link = admin_link(site.services)
    browser = site.browser()
    joined = browser.post(
        "/api/join", json={"token": link.rsplit("/", 1)[1], "name": "Boss again", "password": PASSWORD}
    )
    assert joined.status_code == 204
    again = site.with_session(browser.cookies[COOKIE])
    token = token_of(again.post("/api/admin/users/Boss/reset").json()["link"])
    back = site.browser()
    assert back.post("/api/reset", json={"token": token, "password": FRESH}).status_code == 204
    assert back.get("/api/me").json()["role"] == "admin"
    boss = site.with_session(back.cookies[COOKIE])
    assert boss.patch("/api/admin/users/Boss%20again", json={"disabled": True}).status_code == 200
