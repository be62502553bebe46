"""A PostgreSQL server that goes away under the web app and comes back: 503 meanwhile, and no restart afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from plaudit.server import accounts, projects
from plaudit.types import PlauditError

from ...postgres import Server
from .real import PASSWORD, Real, answer_to, claimed, put_off

AWAY = ("cannot reach", "see that the server runs", "everything acknowledged is kept")
PAGES = (
    "/",
    "/work/critique",
    "/history/critique",
    "/guidelines/critique",
    "/keys",
    "/account",
    "/consent",
    "/survey",
    "/sign-in",
    "/admin",
    "/admin/new",
    "/admin/people",
    "/admin/tokens",
    "/admin/settings",
    "/admin/audit",
    "/admin/backups",
    "/admin/projects/critique",
    "/admin/projects/critique/quality",
    "/admin/projects/critique/questions",
    "/admin/projects/critique/guideline",
    "/admin/projects/critique/settings",
)
CONNECTIONS = "SELECT state FROM pg_stat_activity WHERE application_name = 'plaudit' AND datname = '{}'"


@contextmanager
def away(postgres: Server, mode: str = "immediate") -> Iterator[None]:
    postgres.stop(mode)
    try:
        yield
    finally:
        postgres.start()


def connections(postgres: Server, site: Real) -> list[str]:
    """What each connection of the web app is doing."""
    name = site.config.store.partition("@/")[2].partition("?")[0]
    return [row[0] for row in postgres.sql(CONNECTIONS.format(name))]


def operations(browser: httpx.Client) -> list[tuple[str, str]]:
    """Method and path of every call of the API, as its document lists them."""
    found: dict[str, dict[str, Any]] = browser.get("/api/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in found.items() for method in methods]


def named(path: str) -> str:
    return path.replace("{project}", "critique").replace("{", "").replace("}", "")


def test_every_request_is_put_off_and_works_again(
    postgres: Server, postgres_url: str, real: Callable[..., Real], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "REMEMBERED", 0.5)
    monkeypatch.setattr(projects, "REMEMBERED", 0.5)
    site = real(postgres_url)
    site.start()
    ada, boss = site.browser("Ada"), site.browser("Boss")
    first, second = (answer_to(each) for each in claimed(ada, 2))
    assert ada.post("/api/work/answer", json=first).status_code == 200
    calls = operations(boss)
    assert len(calls) > 50
    assert boss.get("/api/export/critique").status_code == 200
    with away(postgres):  # at first it is still remembered who asks, and for what project
        put_off(ada.post("/api/work/answer", json=second), *AWAY)
        assert boss.get("/api/export/critique").status_code == 503
        assert boss.post("/api/admin/backup").status_code == 503
        time.sleep(accounts.REMEMBERED + 0.1)
        for path in PAGES:
            put_off(boss.get(path, headers={"Accept": "text/html"}), *("Cannot reach", *AWAY[1:]))
        bodies = {
            "/api/session": {"name": "Ada", "password": PASSWORD},
            "/api/join": {"token": "x", "name": "Eve", "password": PASSWORD},
            "/api/reset": {"token": "x", "password": PASSWORD},
        }
        for method, path in calls:
            body = None if method == "GET" else bodies.get(path, {})
            put_off(boss.request(method, named(path), json=body), *AWAY)
        assert boss.get("/static/style.css").status_code == 200
        assert boss.get("/api/openapi.json").status_code == 200
    assert ada.post("/api/work/answer", json=second).json()["receipt"]["status"] == "accepted"
    for path in PAGES:
        assert boss.get(path).status_code in (200, 303), path
    site.close()
    assert site.judgements() == [first["judgement"], second["judgement"]]


def test_no_connection_is_left_behind(postgres: Server, postgres_url: str, real: Callable[..., Real]) -> None:
    """Many ask at once while it is away, three times over."""
    site = real(postgres_url)
    site.start()
    browser = site.browser("Ada")
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(browser.get("/api/work/history?project=critique").status_code for _ in range(5))

    def crowd() -> None:
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    crowd()
    opened = len(list(Path(f"/proc/{site.process}/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    for mode in ("immediate", "fast", "immediate"):
        with away(postgres, mode):
            crowd()
    crowd()
    assert set(statuses) == {200, 503} and statuses[-60:] == [200] * 60
    assert set(connections(postgres, site)) <= {"idle"}
    assert len(connections(postgres, site)) <= 16
    if opened:
        assert len(list(Path(f"/proc/{site.process}/fd").iterdir())) <= opened + 16


def test_a_database_that_may_only_be_read_for_a_while_costs_no_answer(
    postgres: Server, postgres_url: str, real: Callable[..., Real]
) -> None:
    """As after a failover. It is no fault of the answer, so a page must not take it for refused."""
    site = real(postgres_url)
    site.start()
    ada = site.browser("Ada")
    body = answer_to(claimed(ada, 1)[0])
    name = postgres_url.partition("@/")[2].partition("?")[0]
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.sql(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")
    put_off(ada.post("/api/work/answer", json=body), "may only be read")
    assert ada.get("/api/work/history?project=critique").json() == []
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    postgres.sql(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")
    assert ada.post("/api/work/answer", json=body).json()["receipt"]["status"] == "accepted"
    site.close()
    assert site.judgements() == [body["judgement"]]


def test_a_server_does_not_start_without_its_database(
    postgres: Server, postgres_url: str, real: Callable[..., Real]
) -> None:
    site = real(postgres_url)
    with away(postgres), pytest.raises(PlauditError, match=r"cannot reach .*see that the server runs"):
        site.start()
    site.start()
    assert site.browser("Ada").get("/api/me").status_code == 200
