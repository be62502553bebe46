"""The OpenAPI document: every answer is in it, and requests made up from it break nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from plaudit.server.api import admin, auth, projects
from plaudit.server.credentials import SCOPES
from plaudit.server.security import COOKIE, csrf_token
from plaudit.server.services import build_services
from plaudit.server.settings import ServerConfig

from ..application import application
from .conftest import CHEAP, URL, Clock, Site, pair

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = pytest.mark.parametrize("examples", [8, pytest.param(25, marks=pytest.mark.thorough)])  # for each route
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
HOST = {"Host": "127.0.0.1:8777"}
FOR_BROWSERS = (
    "/api/session",
    "/api/me/password",
    "/api/me/sessions",
    "/api/me/sessions/{name}",
    "/api/consent",
    "/api/survey",
)
OURS = [
    (method, f"/api{route.path}")
    for router in (auth.router, projects.router, admin.router)
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    services = build_services(ServerConfig(str(folder / "feedback.sqlite"), folder), Clock(), CHEAP)
    made = Site(services, Clock(), folder)
    made.join("Boss", "admin")
    made.join("Boss2", "admin")
    made.project()
    made.say(made.ask([pair(0), pair(1)])[0], "Ada", {"strength": 4})
    yield made
    services.store.close()


@pytest.fixture(scope="module")
def document(site: Site) -> schemathesis.BaseSchema:
    """The document of the application, which takes half a second to make."""
    return schemathesis.openapi.from_asgi("/api/openapi.json", application(site.services), headers=HOST)


def test_every_route_says_what_can_go_wrong(document: schemathesis.BaseSchema) -> None:
    for method, path in OURS:
        found = document.raw_schema["paths"][path][method.lower()]["responses"]
        assert {"400", "403", "422", "503"} <= set(found), (method, path)
        for status, answer in found.items():
            if int(status) >= 400:
                assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Fault"}
        if "{" in path:
            assert "404" in found, (method, path)


@EXAMPLES
@pytest.mark.parametrize(("method", "path"), OURS, ids=str)
def test_requests_made_up_from_the_document(
    site: Site, document: schemathesis.BaseSchema, method: str, path: str, examples: int
) -> None:
    """Valid and invalid ones, by a program that may everything, or at a browser where a program may not."""
    operation = document[path][method]
    name = f"{method} {path} {examples}".replace("/", " ")  # every case of the module has the same store
    if path in FOR_BROWSERS:
        session = site.join(name, "admin").cookies[COOKIE]
        headers = {"Cookie": f"{COOKIE}={session}", "X-CSRF-Token": csrf_token(site.services.secret, session)}
    else:
        headers = {"Authorization": f"Bearer {site.services.accounts.tokens.make('Boss', name, 'Boss', SCOPES)}"}
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    answers: list[int] = []

    @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=SLOW, derandomize=True)
    @given(case=cases)
    def run(case: schemathesis.Case) -> None:
        response = case.call(base_url=URL, headers=headers | HOST)
        answers.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    run()
    assert answers and max(answers) <= 503
