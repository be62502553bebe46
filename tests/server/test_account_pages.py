"""Signing in, joining, consent, survey and account: the pages that lead to the calls of the API."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from plaudit.feedback.kinds import comparison
from plaudit.feedback.kinds.comparison import RESPONSES
from plaudit.server.services import build_services
from plaudit.server.settings import ServerConfig

from .application import application
from .core.conftest import CHEAP

PASSWORD = "correct horse battery"


@pytest.fixture
def app(tmp_path: Path, empty_file: Path) -> Iterator[Any]:
    store = shutil.copyfile(empty_file, tmp_path / "feedback.sqlite")
    services = build_services(ServerConfig(str(store), tmp_path / "web"), hasher=CHEAP)
    yield application(services)
    services.store.close()


def nobody(app: Any) -> TestClient:
    return TestClient(app, base_url="http://localhost", headers={"Origin": "http://localhost"}, follow_redirects=False)


def joined(app: Any) -> TestClient:
    """Somebody who took an admin's invitation."""
    client = nobody(app)
    token = app.state.services.accounts.invites.make("test", "admin", uses=1, days=1.0)
    page = client.get(f"/join/{token}")
    assert page.status_code == 200 and f'value="{token}"' in page.text
    assert client.post("/api/join", json={"token": token, "name": "ada", "password": PASSWORD}).status_code == 204
    return client


def test_from_a_page_that_needs_an_account_and_back_to_it(app: Any) -> None:
    joined(app)
    client = nobody(app)
    sent = client.get("/account")
    assert sent.status_code == 303 and sent.headers["location"] == "/sign-in?next=/account"
    page = client.get(sent.headers["location"])
    assert 'data-go="/account"' in page.text
    assert client.post("/api/session", json={"name": "ada", "password": PASSWORD}).status_code == 204
    assert client.get(sent.headers["location"]).headers["location"] == "/account"  # signed in already
    assert "this one" in client.get("/account").text


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "/a\nb"])
def test_nobody_is_sent_to_another_site(app: Any, next: str) -> None:
    assert 'data-go="/"' in nobody(app).get("/sign-in", params={"next": next}).text


def test_a_password_manager_learns_whose_password_it_is(app: Any) -> None:
    page = joined(app).get("/account").text
    assert '<input class="visually-hidden" type="text" value="ada" autocomplete="username"' in page
    assert 'autocomplete="username"' in nobody(app).get("/sign-in").text


def test_of_responses_nobody_asks_which_clip_is_better(app: Any) -> None:
    client = joined(app)
    given = {"title": "T", "kind": "comparison"}
    client.post("/api/projects", json=given | {"name": "texts"})
    client.post("/api/projects", json=given | {"name": "clips", "settings": {"environment": "Duel"}})
    client.post("/api/projects", json=given | {"name": "own", "wording": "Which is kinder?"})
    pair = {"items": [{"prompt": "Why?", "response": each} for each in ("a", "b")]}
    asked = {}
    for name in ("texts", "clips", "own"):
        ids = client.post(f"/api/projects/{name}/questions", json={"questions": [pair]}).json()["ids"]
        asked[name] = app.state.services.store.questions(ids)[0].wording
    assert asked == {"texts": RESPONSES, "clips": RESPONSES, "own": "Which is kinder?"}
    wordings = [app.state.services.projects.get(name).wording for name in asked]
    assert wordings == [RESPONSES, comparison.KIND.wording, "Which is kinder?"]
    assert RESPONSES in client.get("/").text and f'placeholder="{RESPONSES}"' in client.get("/admin/new").text


def test_consent_and_survey(app: Any) -> None:
    client = joined(app)
    assert "does not ask for consent" in client.get("/consent").text and "has no survey" in client.get("/survey").text
    served = app.state.services
    served.consents.put_consent("ada", "Be *honest* <script>alert(1)</script>")
    page = client.get("/consent").text
    assert "<em>honest</em>" in page and "<script>alert" not in page
    version = served.consents.settings()["consent"]["version"]
    assert client.post("/api/consent", json={"version": version}).status_code == 204
    assert "You agreed to version" in client.get("/consent").text
    served.consents.put_survey("ada", [{"name": "age", "label": "Age <b>", "type": "number"}])
    page = client.get("/survey").text
    assert 'name="answers.age"' in page and "Age &lt;b&gt;" in page
    assert client.put("/api/survey", json={"answers": {"age": 0}}).status_code == 204
    assert 'value="0"' in client.get("/survey").text
    assert "/survey" in client.get("/account").text and "/consent" in client.get("/account").text
