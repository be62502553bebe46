"""A real server on a port of its own, with people who are signed in and questions to judge.

It runs in a thread of the tests, which takes a sixth of the time that a process takes to start. What is to be killed,
or has limits of its own, is a process.
"""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from plaudit.feedback.store import Store
from plaudit.server.security import COOKIE
from plaudit.server.serve import ServerProcess, serve_beside
from plaudit.server.services import build_services
from plaudit.server.settings import ServerConfig
from plaudit.types import Judgement

from ..serving import serving
from ..work.conftest import CHEAP
from ..work.seed import ask, person

PASSWORD = "correct horse battery"  # of whoever `person` makes


class Real:
    """A server of `critique`s, with Ada, who judges, and Boss, an admin."""

    def __init__(self, store: str, folder: Path, questions: int = 6) -> None:
        self.folder = folder
        self.config = ServerConfig(store, folder / "server")
        self.log = folder / "log"
        services = build_services(replace(self.config, port=1), hasher=CHEAP)
        ask(services, "critique", questions)
        self.sessions = {"Ada": person(services), "Boss": person(services, "Boss", "admin")}
        services.store.close()
        self.config = replace(self.config, port=0)
        self.beside: ServerProcess | None = None
        self.thread = ExitStack()
        self.browsers: list[httpx.Client] = []

    @property
    def process(self) -> int:
        """The server's."""
        return os.getpid() if self.beside is None else self.beside.process.pid

    def start(self, process: bool = False) -> None:
        """Serve, in a thread or in a process of its own; from the second time on, on the same port."""
        if process:
            self.beside = serve_beside(self.config, self.log)
            url = self.beside.links.url
        else:
            url = self.thread.enter_context(serving(self.config))
        self.config = replace(self.config, port=int(url.rstrip("/").rsplit(":", 1)[1]))

    def kill(self) -> None:
        """Without a word."""
        assert self.beside is not None
        self.beside.process.kill()
        self.beside.close()
        self.beside = None

    def browser(self, name: str) -> httpx.Client:
        """Somebody's, on connections that stay open."""
        cookies = {COOKIE: self.sessions[name]}
        client = httpx.Client(
            base_url=self.config.url, cookies=cookies, headers={"Origin": self.config.url}, timeout=30
        )
        self.browsers.append(client)
        return client

    def kept(self) -> list[Judgement]:
        """Everything in the store, in order of arrival."""
        with Store.open(self.config.store, create=False) as store:
            return [event.judgement for event in store.events()]

    def judgements(self) -> list[str]:
        """The ids of it."""
        return [each.id for each in self.kept()]

    def close(self) -> None:
        """Stop it; nothing that it logged was a bug."""
        for each in self.browsers:
            each.close()
        self.thread.close()
        if self.beside is not None:
            self.beside.close()
        assert "Traceback" not in (log := self.log.read_text() if self.log.exists() else ""), log


def claimed(browser: httpx.Client, count: int = 3) -> list[dict[str, Any]]:
    """Assignments."""
    response = browser.post("/api/work/claim", json={"project": "critique", "count": count})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


def answer_to(assignment: dict[str, Any], text: str = "good") -> dict[str, Any]:
    """A body for `/api/work/answer`, with an id of its own."""
    return {
        "judgement": str(uuid.uuid4()),
        "question": assignment["question"],
        "lease": assignment["lease"],
        "value": {"text": text},
        "elapsed": {"shown_ms": 3000, "first_input_ms": 1000},
    }


def put_off(response: httpx.Response, *words: str) -> None:
    """503, when to try again, and one line that holds ``words``."""
    assert response.status_code == 503, f"{response.request.url}: {response.status_code} {response.text}"
    assert int(response.headers["retry-after"]) > 0
    if response.request.url.path.startswith("/api/"):
        line = response.json()["detail"]
        assert "\n" not in line
    else:
        line = response.text
        assert "<h1>Service unavailable</h1>" in line
    assert all(word in line for word in words), line
