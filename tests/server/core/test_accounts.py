"""Names, passwords, sessions, invitations, tokens; who may what; and what is written down about it."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from plaudit.feedback.schema_people import AUDIT, INVITES, SESSIONS, TOKENS, USERS
from plaudit.feedback.store import Conflict
from plaudit.server.accounts import Accounts
from plaudit.server.faults import NotFound, NotSignedIn, TooManyTries
from plaudit.server.names import clean_name
from plaudit.server.passwords import Passwords, digest
from plaudit.server.security import BROWSER, COOKIE
from plaudit.server.throttle import Throttle
from plaudit.types import PlauditError

from .conftest import CHEAP, PASSWORD, URL, Site, pair, told


@pytest.fixture
def site(any_site: Site) -> Site:
    return any_site


def accounts_of(site: Site) -> Accounts:
    return site.services.accounts


# Names


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 65, "a\nb", "a\x00b", "a\u202eb", "a\u200bb", "a/b", "..", "a?b", "\u0430dmin"]
)
def test_names_that_mislead_are_refused(name: str) -> None:
    with pytest.raises(PlauditError, match="name"):
        clean_name(name)


def test_names_are_kept_in_one_form() -> None:
    assert clean_name("  E\u0301milie ") == "\u00c9milie"
    assert clean_name("\u0418\u0440\u0430 2") == "\u0418\u0440\u0430 2"


def test_names_that_differ_in_case_only_are_one_name(site: Site) -> None:
    site.join("Stra\u00dfe")
    for other in ("STRASSE", "strasse", "Stra\u00dfe"):
        with pytest.raises(Conflict, match="taken"):
            site.join(other)


def test_nobody_takes_the_name_that_judgements_are_signed_with(site: Site) -> None:
    site.project()
    site.say(site.ask([pair(0)])[0], "oracle", {"strength": 4})
    with pytest.raises(Conflict, match="signed"):
        site.join("oracle")


# Passwords and signing in


def test_signing_in(site: Site) -> None:
    site.join("Ada")
    browser = site.browser()
    assert browser.post("/api/session", json={"name": " ada ", "password": PASSWORD}).status_code == 204
    me = browser.get("/api/me").json()
    assert me == {"name": "Ada", "role": "annotator", "scopes": ["judge"], "preferences": {}, "consent_needed": False}
    assert browser.delete("/api/session", headers={"origin": URL}).status_code == 204
    told(browser.get("/api/me"), 401)


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(site: Site) -> None:
    site.join("Ada")
    wrong = site.browser().post("/api/session", json={"name": "Ada", "password": "wrong"})
    unknown = site.browser().post("/api/session", json={"name": "Nobody", "password": "wrong"})
    assert told(wrong, 401) == told(unknown, 401) == "name or password is wrong"


def test_an_unknown_name_costs_a_hash_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    real = PasswordHasher.verify

    def verify(self: PasswordHasher, kept: str, password: bytes) -> bool:
        tried.append(kept)
        return bool(real(self, kept, password))

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    assert not Passwords(CHEAP).verify(None, "whatever") and len(tried) == 1


@pytest.mark.parametrize("password", ["short", "", "x" * 1025])
def test_passwords_have_bounds(site: Site, password: str) -> None:
    token = accounts_of(site).invites.make("(test)", "annotator")
    with pytest.raises(PlauditError, match="10 to 1024 characters"):
        accounts_of(site).join(token, "Ada", password, "", "")
    assert accounts_of(site).invites.role(token) == "annotator"  # the invitation is not used up by it


def test_a_password_is_hashed_again_when_the_parameters_change(site: Site) -> None:
    site.join("Ada")
    dearer = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    Accounts(site.services.store, site.clock, dearer).sign_in("Ada", PASSWORD, "", "")
    with site.services.store.database.read() as connection:
        kept = connection.execute(select(USERS.c.password)).scalar_one()
    assert "t=2" in kept and dearer.verify(kept, PASSWORD)


def test_the_defaults_cost_something() -> None:
    assert "m=47104,t=2,p=1" in Passwords().hash(PASSWORD)


def test_guessing_becomes_slow_for_the_name_and_for_the_address(site: Site) -> None:
    seconds = [0.0]
    accounts = Accounts(site.services.store, site.clock, Passwords(CHEAP), seconds=lambda: seconds[0])
    site.join("Ada")
    for _ in range(6):
        with pytest.raises(NotSignedIn):
            accounts.sign_in("Ada", "wrong", "10.0.0.1", "")
    with pytest.raises(TooManyTries) as slow:  # the right password has to wait as well
        accounts.sign_in("ada", PASSWORD, "10.0.0.1", "")
    with pytest.raises(TooManyTries):  # the same account by another spelling
        accounts.sign_in("  Ada ", "wrong", "10.0.0.1", "")
    assert slow.value.seconds == 1.0
    seconds[0] += 1.0
    accounts.sign_in("Ada", PASSWORD, "10.0.0.1", "")
    for number in range(45):  # names that change do not help one address
        with pytest.raises(NotSignedIn):
            accounts.sign_in(f"guess {number}", "wrong", "10.0.0.1", "")
    with pytest.raises(TooManyTries):
        accounts.sign_in("another guess", "wrong", "10.0.0.1", "")
    for _ in range(20):  # whoever sits behind the same address is never shut out for long
        with suppress(NotSignedIn, TooManyTries):
            accounts.sign_in("another guess", "wrong", "10.0.0.1", "")
        seconds[0] += 60.0
    accounts.sign_in("Ada", PASSWORD, "10.0.0.1", "")


def test_strangers_keep_nobody_out(site: Site) -> None:
    """Whatever they try from other addresses, from another one of their network, and behind the person's own."""
    ada = site.join("Ada")
    home = site.browser()
    enter = {"name": "Ada", "password": PASSWORD}
    assert home.post("/api/session", json=enter).status_code == 204
    for number in range(60):
        with suppress(NotSignedIn, TooManyTries):
            accounts_of(site).sign_in("Ada", "wrong", f"2001:db8::{number % 9:x}", "")
    with pytest.raises(TooManyTries):  # one network is one sender
        accounts_of(site).sign_in("Ada", "wrong", "2001:db8::ffff", "")
    accounts_of(site).sign_in("Ada", PASSWORD, "10.0.0.2", "")
    stranger = site.browser()  # at the address of Ada's own browser
    while stranger.post("/api/session", json=enter | {"password": "wrong"}).status_code != 429:
        pass
    told(stranger.post("/api/session", json=enter), 429)
    home.cookies.delete(COOKIE)
    assert home.post("/api/session", json=enter).status_code == 204  # known from before
    # The cookie of a browser helps the person alone that it was given to, and is slowed down as well.
    stranger.cookies.set(BROWSER, home.cookies[BROWSER].replace(".", ".0"))
    told(stranger.post("/api/session", json=enter), 429)
    home.cookies.delete(COOKIE)
    tries = [home.post("/api/session", json=enter | {"password": "wrong"}).status_code for _ in range(7)]
    assert tries == [401] * 6 + [429]
    assert ada.get("/api/me").status_code == 200


def test_waiting_is_announced(site: Site) -> None:
    browser = site.browser()
    answers = [browser.post("/api/session", json={"name": "x", "password": "y"}) for _ in range(7)]
    assert [each.status_code for each in answers] == [401] * 6 + [429]
    assert answers[-1].headers["retry-after"] == "1"


def test_guesses_that_are_made_at_once_are_counted_before_they_are_tried(site: Site) -> None:
    site.join("Ada")
    accounts = accounts_of(site)
    together = threading.Barrier(12)
    outcomes: list[str] = []

    def guess(number: int) -> None:
        together.wait()
        try:
            accounts.sign_in("Ada", f"wrong {number}", "10.0.0.1", "")
        except (NotSignedIn, TooManyTries) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["NotSignedIn"] * 6 + ["TooManyTries"] * 6


def test_no_password_is_hashed_for_a_link_that_does_not_hold(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_(self: Passwords, password: str) -> str:
        raise AssertionError("hashed for a stranger")

    monkeypatch.setattr(Passwords, "hash", hash_)
    with pytest.raises(NotFound):
        accounts_of(site).join("bogus", "Eve", PASSWORD, "", "")
    with pytest.raises(NotFound):
        accounts_of(site).reset("bogus", PASSWORD, "", "")


def test_a_throttle_doubles_is_bounded_and_forgets() -> None:
    seconds = [0.0]
    throttle = Throttle(free=1, longest=60.0, size=3, seconds=lambda: seconds[0])
    waits = []
    for _ in range(9):
        throttle.count_failure("a")
        waits.append(throttle.wait("a"))
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    for name in "bcd":
        throttle.count_failure(name)
    assert throttle.wait("a") == 0  # the oldest was let go
    for _ in range(3):
        throttle.count_failure("d")
    seconds[0] += 300
    throttle.count_failure("d")
    assert throttle.wait("d") == 0


# Sessions


def test_sessions_are_kept_as_hashes(site: Site) -> None:
    token = site.join("Ada").cookies[COOKIE]
    with site.services.store.database.read() as connection:
        rows = connection.execute(select(SESSIONS)).mappings().all()
    assert [row["token"] for row in rows] == [digest(token)]
    assert not any(token in str(value) for row in rows for value in row.values())


def test_a_session_ends_by_time_by_name_and_all_at_once(site: Site) -> None:
    one = site.join("Ada")
    two, three, four = (
        site.with_session(accounts_of(site).sign_in("Ada", PASSWORD, "", f"browser {n}")) for n in range(3)
    )
    listed = one.get("/api/me/sessions").json()
    assert len(listed) == 4 and sum(each["current"] for each in listed) == 1
    name = next(each["name"] for each in listed if each["agent"] == "browser 0")
    assert one.delete(f"/api/me/sessions/{name}").status_code == 204
    told(two.get("/api/me"), 401)
    told(one.delete(f"/api/me/sessions/{name}"), 404)
    assert one.delete("/api/me/sessions").status_code == 204
    told(three.get("/api/me"), 401)
    told(four.get("/api/me"), 401)
    site.clock.now += 29.9 * 86400
    assert one.get("/api/me").status_code == 200
    site.clock.now += 0.2 * 86400
    told(one.get("/api/me"), 401)


def test_nobody_ends_the_sessions_of_others(site: Site) -> None:
    ada, grace = site.join("Ada"), site.join("Grace")
    name = ada.get("/api/me/sessions").json()[0]["name"]
    told(grace.delete(f"/api/me/sessions/{name}"), 404)
    assert ada.get("/api/me").status_code == 200


def test_a_new_password_ends_the_other_sessions(site: Site) -> None:
    one = site.join("Ada")
    two = site.with_session(accounts_of(site).sign_in("Ada", PASSWORD, "", ""))
    told(one.put("/api/me/password", json={"old": "wrong", "new": "something else"}), 422)
    assert one.put("/api/me/password", json={"old": PASSWORD, "new": "something else"}).status_code == 204
    assert one.get("/api/me").status_code == 200
    told(two.get("/api/me"), 401)
    accounts_of(site).sign_in("Ada", "something else", "", "")


def test_preferences_are_merged(site: Site) -> None:
    ada = site.join("Ada")
    ada.patch("/api/me", json={"preferences": {"keys": {"left": "a"}, "speed": 2}})
    changed = ada.patch("/api/me", json={"preferences": {"speed": None}}).json()
    assert changed["preferences"] == {"keys": {"left": "a"}}
    told(ada.patch("/api/me", json={"preferences": {"a": "x" * 20_001}}), 422)


# Invitations


def test_an_invitation_makes_an_account_once(site: Site) -> None:
    boss = site.join("Boss", "admin")
    link = boss.post("/api/admin/invites", json={"role": "reviewer", "note": "for Ada"}).json()["link"]
    assert link.startswith(f"{URL}/join/")
    body = {"token": link.rsplit("/", 1)[1], "name": "Ada", "password": PASSWORD}
    browser = site.browser()
    assert browser.post("/api/join", json=body).status_code == 204
    assert browser.get("/api/me").json()["role"] == "reviewer"
    assert "used up" in told(site.browser().post("/api/join", json=body | {"name": "Eve"}), 404)


def test_the_last_use_goes_to_one_of_many_who_come_at_once(site: Site) -> None:
    token = accounts_of(site).invites.make("(test)", "annotator", uses=2)
    outcomes: list[str] = []

    def join(number: int) -> None:
        try:
            accounts_of(site).join(token, f"person {number}", PASSWORD, "", "")
            outcomes.append("in")
        except NotFound:
            outcomes.append("out")

    threads = [threading.Thread(target=join, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["in"] * 2 + ["out"] * 4
    assert len(accounts_of(site).users()) == 2


def test_a_name_that_is_taken_uses_nothing_up(site: Site) -> None:
    site.join("Ada")
    token = accounts_of(site).invites.make("(test)", "annotator")
    taken = site.browser().post("/api/join", json={"token": token, "name": "ADA", "password": PASSWORD})
    assert "is taken" in told(taken, 409)
    accounts_of(site).join(token, "Grace", PASSWORD, "", "")
    assert {each.name for each in accounts_of(site).users()} == {"Ada", "Grace"}


def test_invitations_expire_and_can_be_revoked(site: Site) -> None:
    boss = site.join("Boss", "admin")
    invites = accounts_of(site).invites
    late = invites.make("Boss", "annotator", days=1.0)
    site.clock.now += 86401
    assert invites.role(late) is None
    invites.make("Boss", "annotator")
    (listed,) = boss.get("/api/admin/invites").json()
    assert boss.delete(f"/api/admin/invites/{listed['id']}").status_code == 204
    assert boss.get("/api/admin/invites").json() == []
    told(boss.delete("/api/admin/invites/nothing"), 404)
    with site.services.store.database.read() as connection:
        kept = connection.execute(select(INVITES.c.token)).scalars().all()
    assert late not in kept


def test_the_first_link_holds_until_the_next_one_is_made(site: Site) -> None:
    invites = accounts_of(site).invites
    old = invites.make("(first run)", "admin", 1, 1.0)
    new = invites.make("(first run)", "admin", 1, 1.0)
    assert (invites.role(old), invites.role(new)) == (None, "admin")


# Tokens and roles


def test_a_token_may_no_more_than_its_scopes_and_its_owner(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("Ada")
    made = boss.post("/api/admin/tokens", json={"name": "export", "scopes": ["read"]})
    assert made.status_code == 201 and made.json()["token"].startswith("plt_")
    program = site.program(made.json()["token"])
    assert program.get("/api/me").json()["scopes"] == ["read"]
    assert program.get("/api/projects").status_code == 200
    told(program.get("/api/admin/users"), 403)
    told(program.post("/api/projects", json={"name": "p", "title": "P", "kind": "comparison"}), 403)
    told(program.get("/api/me/sessions"), 403)  # accounts are for people at a browser
    mighty = boss.post("/api/admin/tokens", json={"name": "mighty", "user": "Ada", "scopes": ["judge", "admin"]})
    assert site.program(mighty.json()["token"]).get("/api/me").json()["scopes"] == ["judge"]


def test_tokens_are_hashed_named_once_expire_and_can_be_revoked(site: Site) -> None:
    boss = site.join("Boss", "admin")
    body = {"name": "nightly", "scopes": ["read"], "days": 1}
    token = boss.post("/api/admin/tokens", json=body).json()["token"]
    told(boss.post("/api/admin/tokens", json=body), 409)
    told(boss.post("/api/admin/tokens", json=body | {"name": "x", "user": "Nobody"}), 404)
    with site.services.store.database.read() as connection:
        assert connection.execute(select(TOKENS.c.token)).scalars().all() == [digest(token)]
    program = site.program(token)
    site.clock.now += 86401
    told(program.get("/api/me"), 401)
    other = boss.post("/api/admin/tokens", json={"name": "other", "scopes": ["read"]}).json()["token"]
    assert boss.delete("/api/admin/tokens/other").status_code == 204
    told(site.program(other).get("/api/me"), 401)
    told(boss.delete("/api/admin/tokens/other"), 404)
    assert [each["name"] for each in boss.get("/api/admin/tokens").json()] == ["nightly"]


@pytest.mark.parametrize("role", ["annotator", "red-team", "reviewer"])
def test_only_admins_administrate(site: Site, role: str) -> None:
    somebody = site.join("Ada", role)
    for path in ("users", "invites", "tokens", "settings", "audit", "backup"):
        assert "admin" in told(somebody.get(f"/api/admin/{path}"), 403)
    assert "admin" in told(somebody.patch("/api/admin/users/Ada", json={"role": "admin"}), 403)
    assert somebody.get("/api/me").json()["role"] == role


def test_people_who_are_disabled_are_out_at_once(site: Site) -> None:
    boss, ada = site.join("Boss", "admin"), site.join("Ada")
    token = accounts_of(site).tokens.make("Boss", "t", "Ada", ["judge"])
    changed = boss.patch("/api/admin/users/Ada", json={"disabled": True})
    assert changed.json()["disabled_at"] == site.clock.now
    told(ada.get("/api/me"), 401)
    told(site.program(token).get("/api/me"), 401)
    told(site.browser().post("/api/session", json={"name": "Ada", "password": PASSWORD}), 401)
    boss.patch("/api/admin/users/Ada", json={"disabled": False})
    told(ada.get("/api/me"), 401)  # sessions stay ended
    accounts_of(site).sign_in("Ada", PASSWORD, "", "")


GRANTS = ("invites", "tokens", "resets")


@pytest.mark.parametrize(
    "change", [{"disabled": True}, {"role": "reviewer"}, {"role": "annotator", "disabled": True}, None], ids=str
)
def test_what_an_admin_made_ends_with_the_admin(site: Site, change: dict[str, Any] | None) -> None:
    """Else a disabled or forgotten admin gets back in: by an invitation, as somebody else, or as another admin."""
    boss, evil = site.join("Boss", "admin"), site.join("Evil", "admin")
    site.join("Ada")
    invite = evil.post("/api/admin/invites", json={"role": "admin", "uses": 3}).json()["link"].rsplit("/", 1)[1]
    token = evil.post("/api/admin/tokens", json={"name": "t", "user": "Boss", "scopes": ["admin"]}).json()["token"]
    link = evil.post("/api/admin/users/Boss/reset").json()["link"].rsplit("/", 1)[1]
    own = boss.post("/api/admin/invites", json={}).json()["link"].rsplit("/", 1)[1]
    theirs = boss.post("/api/admin/tokens", json={"name": "u", "user": "Ada", "scopes": ["judge"]}).json()["token"]
    listed = {name: boss.get(f"/api/admin/{name}").json() for name in GRANTS}
    assert {row["created_by"] for row in listed["invites"]} == {"Boss", "Evil"}
    assert {(row["user"], row["created_by"]) for row in listed["tokens"]} == {("Ada", "Boss"), ("Boss", "Evil")}
    assert [(row["user"], row["created_by"]) for row in listed["resets"]] == [("Boss", "Evil")]
    page = boss.get("/admin/people").text
    assert page.count("<bdi>Evil</bdi>") >= 3 and "Token <bdi>t</bdi>" in page and "New password" in page
    if change is None:
        boss.patch("/api/admin/users/Evil", json={"disabled": True})
        assert boss.post("/api/admin/users/Evil/forget", json={"name": "Evil"}).status_code == 200
    else:
        assert boss.patch("/api/admin/users/Evil", json=change).status_code == 200
    stranger = site.browser()
    told(stranger.post("/api/join", json={"token": invite, "name": "Evil2", "password": PASSWORD}), 404)
    told(site.program(token).get("/api/admin/users"), 401)
    told(stranger.post("/api/reset", json={"token": link, "password": PASSWORD}), 404)
    assert [len(boss.get(f"/api/admin/{name}").json()) for name in GRANTS] == [1, 1, 0]
    assert site.program(theirs).get("/api/me").json()["name"] == "Ada"  # what others made stays
    assert stranger.post("/api/join", json={"token": own, "name": "Eve", "password": PASSWORD}).status_code == 204
    if change is not None:
        entry = boss.get("/api/admin/audit").json()["entries"]
        details = next(row["details"] for row in entry if row["action"] == "changed a person")
        assert details == change | {"invitations ended": 1, "tokens ended": 1, "links ended": 1}
        boss.patch("/api/admin/users/Evil", json={"disabled": False, "role": "admin"})
        told(site.program(token).get("/api/me"), 401)  # and does not come back


def test_a_link_to_a_new_password_can_be_revoked(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("Ada")
    link = boss.post("/api/admin/users/Ada/reset").json()["link"].rsplit("/", 1)[1]
    assert boss.delete("/api/admin/users/Ada/reset").status_code == 204
    told(site.browser().post("/api/reset", json={"token": link, "password": PASSWORD}), 404)
    told(boss.delete("/api/admin/users/Ada/reset"), 404)


def test_a_token_gives_no_right_that_it_lacks(site: Site) -> None:
    boss = site.join("Boss", "admin")
    program = site.program(boss.post("/api/admin/tokens", json={"name": "a", "scopes": ["admin"]}).json()["token"])
    assert "no right to judge" in told(
        program.post("/api/admin/tokens", json={"name": "b", "scopes": ["judge", "admin"]}), 403
    )
    assert program.post("/api/admin/tokens", json={"name": "b", "scopes": ["admin"]}).status_code == 201


def test_a_token_that_reads_changes_no_preferences(site: Site) -> None:
    boss = site.join("Boss", "admin")
    program = site.program(accounts_of(site).tokens.make("Boss", "r", "Boss", ["read"]))
    told(program.patch("/api/me", json={"preferences": {"theme": "dark"}}), 403)
    assert boss.get("/api/me").json()["preferences"] == {}


def test_roles_change_at_once_and_the_last_admin_stays(site: Site) -> None:
    boss, ada = site.join("Boss", "admin"), site.join("Ada")
    for change in ({"role": "annotator"}, {"disabled": True}):
        assert "last admin" in told(boss.patch("/api/admin/users/Boss", json=change), 409)
    boss.patch("/api/admin/users/Ada", json={"role": "admin", "pay": 21.5})
    assert ada.get("/api/admin/users").json()[1]["pay"] == 21.5
    assert boss.patch("/api/admin/users/Boss", json={"role": "reviewer"}).json()["role"] == "reviewer"
    told(boss.patch("/api/admin/users/Boss", json={"role": "admin"}), 403)
    told(ada.patch("/api/admin/users/Nobody", json={}), 404)


def test_an_admin_signs_somebody_out_everywhere(site: Site) -> None:
    boss, ada = site.join("Boss", "admin"), site.join("Ada")
    assert boss.delete("/api/admin/users/Ada/sessions").status_code == 204
    told(ada.get("/api/me"), 401)


# The audit log


def test_what_happens_is_written_down_and_no_secret_is(site: Site) -> None:
    boss = site.join("Boss", "admin")
    link = boss.post("/api/admin/invites", json={}).json()["link"]
    token = boss.post("/api/admin/tokens", json={"name": "t", "scopes": ["read"]}).json()["token"]
    site.browser().post("/api/session", json={"name": "Boss", "password": "hunter2hunter2"})
    site.browser().post("/api/session", json={"name": "hunter2hunter2", "password": "Boss"})  # in the wrong field
    boss.put("/api/me/password", json={"old": PASSWORD, "new": "hunter3hunter3"})
    boss.patch("/api/admin/users/Boss", json={"pay": 3})
    rows = boss.get("/api/admin/audit").json()["entries"]
    actions = [row["action"] for row in rows]
    for action in ("signed in", "joined", "made an invitation", "made a token", "changed their password"):
        assert action in actions
    assert actions.count("failed sign-in") == 2 and actions[0] == "changed a person"
    secrets = (PASSWORD, "hunter2", "hunter3", token, link.rsplit("/", 1)[1], boss.cookies[COOKIE])
    assert not any(secret in str(rows) for secret in secrets)


def test_the_audit_log_is_read_page_by_page(site: Site) -> None:
    boss = site.join("Boss", "admin")
    for number in range(5):
        boss.post("/api/admin/invites", json={"note": str(number)})
    seen, before = [], None
    while True:
        found = boss.get("/api/admin/audit", params={"limit": 3} | ({"before": before} if before else {})).json()
        seen += [row["event"] for row in found["entries"]]
        before = found["next"]
        if before is None:
            break
    assert seen == sorted(seen, reverse=True) and len(seen) == len(set(seen)) == 8


def test_the_audit_log_cannot_be_rewritten(site: Site) -> None:
    site.join("Boss", "admin")
    with pytest.raises(Exception, match="append-only"), site.services.store.database.write() as connection:
        connection.execute(update(AUDIT).values(who="somebody else"))
