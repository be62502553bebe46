"""Stores from elsewhere, and clocks that are wrong."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from plaudit.feedback.store import Store
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
    connection.close()
    Store.open(path).close()


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
