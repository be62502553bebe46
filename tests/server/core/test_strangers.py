"""Stores from elsewhere, clocks that are wrong, files that others may read, and projects that are not for everybody."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from plaudit.feedback.store import Store
from plaudit.server.security import COOKIE
from plaudit.server.settings import make_private
from plaudit.types import PlauditError

from .conftest import PASSWORD, Site, pair, told

FOREIGN = {
    "the trigger 'slow'": "CREATE TRIGGER slow AFTER INSERT ON sessions BEGIN SELECT hex(randomblob(1000000000)); END",
    "the trigger 'users_no_update'": "CREATE TRIGGER users_no_update BEFORE UPDATE ON users BEGIN SELECT 1; END",
    "the view 'peek'": "CREATE VIEW peek AS SELECT * FROM users",
    "the table 'extra'": "CREATE TABLE extra (a)",
    "the index 'odd'": "CREATE INDEX odd ON sessions (hex(zeroblob(1000000)))",
    "the index 'part'": "CREATE INDEX part ON sessions (user) WHERE length(user) > 3",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_store_that_would_run_something_of_a_strangers_is_refused(
    tmp_path: Path, empty_file: Path, what: str
) -> None:
    path = shutil.copyfile(empty_file, tmp_path / "feedback.sqlite")
    connection = sqlite3.connect(path)
    connection.execute(FOREIGN[what])
    connection.commit()
    connection.close()
    with pytest.raises(PlauditError, match=f"holds {what}, which Plaudit does not make") as caught:
        Store.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "column",
    [
        "x AS (hex(zeroblob(9)))",
        "x DEFAULT (hex(zeroblob(9)))",
        "x CHECK (length(x) > 9)",
        "x DEFAULT/**/(hex(zeroblob(9)))",
    ],
)
def test_a_table_of_ours_with_an_expression_of_theirs_is_refused(tmp_path: Path, empty_file: Path, column: str) -> None:
    path = shutil.copyfile(empty_file, tmp_path / "feedback.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE settings RENAME TO gone")
    connection.execute(f"CREATE TABLE settings (name TEXT, value TEXT, {column})")
    connection.execute("DROP TABLE gone")
    connection.commit()
    connection.close()
    with pytest.raises(PlauditError, match="holds the table 'settings', which Plaudit does not make"):
        Store.open(path)


def test_an_index_that_somebody_added_is_harmless(tmp_path: Path, empty_file: Path) -> None:
    path = shutil.copyfile(empty_file, tmp_path / "feedback.sqlite")
    connection = sqlite3.connect(path)
    connection.execute('CREATE INDEX fast ON "sessions" (user, created_at DESC)')
    connection.commit()
    Store.open(path).close()
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'fast'").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("column", ["options", "settings"])
@pytest.mark.parametrize("text", ["{bad", "[]", "7", "[" * 100_000, ""])
def test_damaged_settings_of_a_project_are_a_fault_in_one_line(site: Site, column: str, text: str) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    connection = sqlite3.connect(site.folder / "feedback.sqlite")
    connection.execute(f"UPDATE projects SET {column} = ?", (text,))
    connection.commit()
    connection.close()
    site.services.projects._cache.clear()
    for path in ("/api/projects", "/api/work/progress?project=p"):
        assert f"{column} of project p in the store" in told(boss.get(path), 503)
    for path in ("/", "/work/p", "/history/p", "/admin"):
        page = boss.get(path)
        assert page.status_code == 503 and "restore a backup" in page.text


def test_damaged_options_of_a_question_are_a_fault_in_one_line(site: Site) -> None:
    ada = site.join("Ada")
    site.project()
    site.ask([pair(0)])
    connection = sqlite3.connect(site.folder / "feedback.sqlite")
    connection.execute("DROP TRIGGER questions_no_update")
    connection.execute("UPDATE questions SET options = '[]'")
    connection.commit()
    connection.close()
    site.services.store.reread()
    assert "options of a question in the store" in told(ada.post("/api/work/claim", json={"project": "p"}), 503)


def test_a_clock_that_was_ahead_ends_no_session_for_good(site: Site) -> None:
    """It is 200 days ahead, somebody signs in, and it is set back."""
    ada, now = site.join("Ada"), site.clock.now
    site.clock.now += 200 * 86400
    told(ada.get("/api/me"), 401)
    ben = site.join("Ben")
    assert ben.get("/api/me").status_code == 200
    again = site.browser()
    body = {"name": "Ada", "password": PASSWORD}
    assert again.post("/api/session", json=body).status_code == 204
    site.clock.now = now
    assert ada.get("/api/me").json()["name"] == "Ada"


def test_sessions_that_expired_long_ago_are_deleted_except_the_newest(site: Site) -> None:
    site.join("Ada")
    for _ in range(60):
        site.services.accounts.sign_in("Ada", PASSWORD, "127.0.0.1", "a browser", None)
    site.clock.now += 200 * 86400
    site.services.accounts.sign_in("Ada", PASSWORD, "127.0.0.1", "a browser", None)
    connection = sqlite3.connect(site.folder / "feedback.sqlite")
    assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (51,)
    connection.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_other_users_of_the_machine_read_nothing(make_site: Callable[..., Site], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "collect"
    make_private(folder)
    site = make_site(folder=folder, store=str(folder / "feedback.sqlite"))
    site.join("Ada")
    assert mode(folder) == 0o700
    assert {path.name: mode(path) & 0o077 for path in folder.iterdir() if path.suffix != ".lock"} == {
        "feedback.sqlite": 0,
        "feedback.sqlite-wal": 0,
        "feedback.sqlite-shm": 0,
        "secret": 0,
    }
    folder.chmod(0o755)  # as earlier versions made it
    make_private(folder)
    assert mode(folder) == 0o750


def test_people_who_are_not_asked_learn_nothing_of_a_red_team_project(site: Site) -> None:
    site.project("attack", kind="conversation", options={"red_team": True})
    ada, red, boss = site.join("Ada"), site.join("Rex", "red-team"), site.join("Boss", "admin")
    for path in ("/api/work/progress?project={}", "/api/work/history?project={}", "/history/{}", "/guidelines/{}"):
        answers = [ada.get(path.format(name)) for name in ("attack", "nobody")]
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert answers[0].text == answers[1].text.replace("nobody", "attack")
        assert red.get(path.format("attack")).status_code == boss.get(path.format("attack")).status_code == 200, path


def test_under_https_the_cookies_are_of_this_host_alone(make_site: Callable[..., Site]) -> None:
    site = make_site(public_url="https://judge.example")
    token = site.services.accounts.invites.make("(test)", "annotator")
    browser = TestClient(
        site.browser().app, base_url="https://judge.example", headers={"origin": "https://judge.example"}
    )
    entered = browser.post("/api/join", json={"token": token, "name": "Ada", "password": PASSWORD})
    cookies = entered.headers.get_list("set-cookie")
    assert {cookie.partition("=")[0] for cookie in cookies} == {"__Host-plaudit_session", "__Host-plaudit_browser"}
    assert all("Path=/" in cookie and "Secure" in cookie and "domain" not in cookie.lower() for cookie in cookies)
    assert browser.get("/api/me").json()["name"] == "Ada"
    session = browser.cookies[f"__Host-{COOKIE}"]
    browser.cookies.clear()
    browser.cookies.set(COOKIE, session)  # as another host of the domain can set it
    told(browser.get("/api/me"), 401)
