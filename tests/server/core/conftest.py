"""A server over a real store in a folder of its own, and browsers and programs that call it."""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from plaudit.feedback.order import shown_order
from plaudit.server.asking import Batch, ask
from plaudit.server.security import COOKIE, cookie_name, csrf_token
from plaudit.server.services import Services, build_services
from plaudit.server.settings import ServerConfig
from plaudit.types import Judgement, Question

from ..application import application

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # what a password costs is set, not branched on
PASSWORD = "correct horse battery"
URL = "http://127.0.0.1:8777"


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A server and what stands behind it."""

    services: Services
    clock: Clock
    folder: Path

    def browser(self, url: str = URL) -> TestClient:
        """A client without a cookie; ``url`` is what it has in its address bar."""
        return TestClient(application(self.services), base_url=url, raise_server_exceptions=False)

    def join(self, name: str, role: str = "annotator") -> TestClient:
        """A browser whose person has just made an account."""
        token = self.services.accounts.invites.make("(test)", role)
        session = self.services.accounts.join(token, name, PASSWORD, "127.0.0.1", "a browser")
        return self.with_session(session)

    def with_session(self, session: str) -> TestClient:
        """A browser with this cookie, and with our pages' token."""
        client = self.browser()
        client.cookies.set(cookie_name(COOKIE, self.services.config.secure), session)
        client.headers["x-csrf-token"] = csrf_token(self.services.secret, session)
        return client

    def program(self, token: str) -> TestClient:
        """A client that sends a Bearer token and nothing else."""
        client = self.browser()
        client.headers["authorization"] = f"Bearer {token}"
        return client

    def project(self, name: str = "p", **fields: Any) -> None:
        """A project of comparisons, unless ``fields`` say otherwise."""
        self.services.projects.create("(test)", {"name": name, "title": name.upper(), "kind": "comparison"} | fields)

    def ask(self, questions: list[dict[str, Any]], name: str = "p", wanted: int = 1) -> list[Question]:
        """Put questions on the queue, as the API takes them."""
        batch = Batch(self.services.projects.get(name), "1", questions, wanted)
        return self.services.store.questions(ask(self.services.store, "(test)", self.clock(), batch).ids)

    def say(self, question: Question, annotator: str, value: dict[str, Any], **more: Any) -> str:
        """One judgement, on the record; its id. ``took`` is in seconds."""
        took = more.pop("took", 4.0)
        fields: dict[str, Any] = {
            "question": question.id,
            "annotator": annotator,
            "value": value,
            "order": shown_order(question.id, annotator, len(question.items)),
            "shown_at": self.clock.now,
            "first_input_at": self.clock.now + took,
            "submitted_at": self.clock.now + took,
            "id": str(uuid.uuid4()),
        }
        judgement = Judgement(**(fields | more))
        self.services.store.answer([judgement])
        self.clock.now = max(self.clock.now, judgement.submitted_at)
        return judgement.id


def pair(number: int, words: int = 2) -> dict[str, Any]:
    """A comparison of two responses, different for each ``number``."""
    prompt = f"question {number}"
    return {"items": [{"prompt": prompt, "response": f"{each} " * words} for each in ("good", "bad")]}


@pytest.fixture
def make_site(tmp_path: Path, empty_file: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**config: Any) -> Site:
        folder = tmp_path / f"site{len(made)}"
        clock = Clock()
        settings: dict[str, Any] = {"store": str(folder / "feedback.sqlite"), "folder": folder} | config
        folder.mkdir(exist_ok=True)
        if "store" not in config:
            shutil.copyfile(empty_file, folder / "feedback.sqlite")
        services = build_services(ServerConfig(**settings), clock, CHEAP, random.Random(0))
        made.append(Site(services, clock, folder))
        return made[-1]

    yield make
    for each in made:
        each.services.store.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_site(request: pytest.FixtureRequest, make_site: Callable[..., Site]) -> Site:
    """The test runs once on each database."""
    return make_site() if request.param == "sqlite" else make_site(store=request.getfixturevalue("postgres_url"))


def told(response: Any, status: int) -> str:
    """The one line of a refusal."""
    assert response.status_code == status, response.text
    detail: str = response.json()["detail"]
    assert detail and "\n" not in detail
    return detail
