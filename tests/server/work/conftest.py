"""A server's services over a real store, people who are signed in, and a model that can be told to fail."""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from plaudit.server.security import COOKIE, csrf_token
from plaudit.server.services import Services, build_services
from plaudit.server.settings import ServerConfig

from ..application import application
from ..serving import serving
from .fake_model import FakeModel
from .seed import everything, person

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Someone:
    """A person with a browser."""

    def __init__(self, client: TestClient, name: str) -> None:
        self.client, self.name = client, name

    def get(self, path: str, **parameters: Any) -> Any:
        """The answer's JSON; the status must be 200."""
        response = self.client.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, **body: Any) -> Any:
        """The answer's JSON (None for 204)."""
        response = self.client.post(path, json=body)
        assert response.status_code in (200, 204), response.text
        return response.json() if response.status_code == 200 else None

    def refused(self, path: str, **body: Any) -> tuple[int, str]:
        """Status and reason of a request that must fail."""
        response = self.client.post(path, json=body)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["detail"]

    def claim(self, project: str, count: int = 1, held: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """Assignments."""
        return self.post("/api/work/claim", project=project, count=count, held=list(held))

    def answer(self, assignment: dict[str, Any], value: dict[str, Any], **more: Any) -> Any:
        """The reply to an answer under an assignment's lease."""
        body = {"judgement": str(uuid.uuid4()), "question": assignment["question"], "lease": assignment["lease"]}
        return self.post("/api/work/answer", **(body | {"value": value} | more))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model() -> Iterator[FakeModel]:
    fake = FakeModel()
    yield fake
    fake.close()


@pytest.fixture
def config(tmp_path: Path, empty_file: Path) -> ServerConfig:
    store = shutil.copyfile(empty_file, tmp_path / "feedback.sqlite")
    return ServerConfig(str(store), tmp_path / "server")


@pytest.fixture
def served(config: ServerConfig, clock: Clock) -> Iterator[Services]:
    services = build_services(config, clock, CHEAP, random.Random(0))
    yield services
    services.store.close()


@pytest.fixture
def join(served: Services) -> Iterator[Callable[..., Someone]]:
    """Make an account and sign in: ``join("Ada", "annotator")``."""
    app, clients = application(served), []

    def make(name: str, role: str = "annotator") -> Someone:
        invite = served.accounts.invites.make("tests", role)
        token = served.accounts.join(invite, name, "correct horse battery", "127.0.0.1", "tests")
        client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
        client.cookies.set(COOKIE, token)
        client.headers["X-CSRF-Token"] = csrf_token(served.secret, token)
        clients.append(client)
        return Someone(client, name)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def ada(join: Callable[..., Someone]) -> Someone:
    return join("Ada")


@pytest.fixture
def ben(join: Callable[..., Someone]) -> Someone:
    return join("Ben")


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeModel]:
    model = FakeModel()
    yield model
    model.close()


@contextmanager
def site_of(
    folder: Path, fill: Callable[[Services], str], fake: FakeModel | None = None, run: Path | None = None
) -> Iterator[Any]:
    """A server over what ``fill`` writes, and a real browser; ``fill`` returns the session of who is signed in."""
    pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")
    from playwright.sync_api import sync_playwright  # an optional extra

    from .browser import CHROMIUM, Site, launch

    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt install chromium")
    store = folder / "feedback.sqlite"
    model: dict[str, Any] = {} if fake is None else {"endpoint": fake.url, "endpoint_model": "secret-model-7b"}
    config = ServerConfig(str(store), folder / "server", port=0, run=run, **model)
    services = build_services(config, hasher=CHEAP, rng=random.Random(0))
    token = fill(services)
    services.store.close()
    with sync_playwright() as playwright, serving(config) as url:
        browser = launch(playwright)
        yield Site(browser, url, token, store, config.folder)
        browser.close()


@pytest.fixture(scope="module")  # and no longer: while Playwright runs, nothing else may run an event loop
def site(tmp_path_factory: pytest.TempPathFactory, fake: FakeModel) -> Iterator[Any]:
    """A server with every kind of work, and a real browser in which Ada is signed in."""

    def fill(served: Services) -> str:
        everything(served)
        return person(served)

    with site_of(tmp_path_factory.mktemp("site"), fill, fake) as found:
        yield found


@pytest.fixture
def quiet(site: Any) -> Iterator[None]:
    """No error in the console, no script or style that the policy refused."""
    site.faults.clear()
    yield
    assert site.faults == []
