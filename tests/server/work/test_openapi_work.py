"""Requests made up from the OpenAPI document, for the routes of work, items, talks and the run.

Half of them name what is there. No answer is a 5xx, and every answer is in the document.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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
from starlette.testclient import TestClient

from plaudit.server.api import items, live, run, work
from plaudit.server.credentials import SCOPES
from plaudit.server.services import build_services
from plaudit.server.settings import Caps, ServerConfig

from ..application import application
from . import seed, seed_team
from .conftest import CHEAP
from .fake_model import FakeModel

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = pytest.mark.parametrize("examples", [8, pytest.param(25, marks=pytest.mark.thorough)])  # for each route
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
URL = "http://127.0.0.1:8777"
HOST = {"Host": "127.0.0.1:8777"}
OURS = [
    (method, f"/api{route.path}")
    for router in (work.router, items.router, live.router, run.router)
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
KINDS = ("comparison", "critique", "thumbs", "conversation", "chat", "ranking")
ANSWERS: dict[str, dict[str, Any]] = {
    "comparison": {"strength": 4},
    "critique": {"text": "words"},
    "thumbs": {"thumb": "down", "tags": ["isn't true"], "text": ""},
    "ranking": {"ranks": [1, 2, 2, 3], "ratings": [1] * 4, "flags": [[]] * 4, "ideal": ""},
}
JUDGED: dict[str, dict[str, Any]] = {
    "choose": {"strength": 3},
    "thumb": {"thumb": "up", "tags": [], "text": ""},
    "regenerate": {"choice": "better"},
    "side-by-side": {"choice": "neither"},
}
Aims = dict[str, list[dict[str, dict[str, Any]]]]  # by path: what to put into the path, the query or the body


@dataclass
class Seeded:
    """A server, a program that may everything, and what there is for it to name."""

    document: schemathesis.BaseSchema
    headers: dict[str, str]
    aims: Aims


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory, fake: FakeModel) -> Iterator[Seeded]:
    folder = tmp_path_factory.mktemp("openapi")
    config = ServerConfig(
        str(folder / "feedback.sqlite"),
        folder / "server",
        endpoint=fake.url,
        endpoint_model="model",
        run=seed_team.run(folder / "run", rounds=3),
        caps=Caps(leases=1000, turns=1000, requests=10_000),
    )
    served = build_services(config, hasher=CHEAP, rng=random.Random(0))
    seed.person(served, "Ada", "admin")
    token = served.accounts.tokens.make("Ada", "made up", "Ada", SCOPES)
    for name in KINDS:
        seed.ask(served, name, 12, wanted=1000)
    seed.ask(served, "chat", 3, "beside", options={"side_by_side": True}, wanted=1000)
    headers = {"Authorization": f"Bearer {token}"} | HOST
    with TestClient(application(served), base_url=URL, headers=headers) as client:
        aims = there(client)
    document = schemathesis.openapi.from_asgi("/api/openapi.json", application(served), headers=HOST)
    yield Seeded(document, headers, aims)
    served.store.close()


def there(client: TestClient) -> Aims:
    """Questions with their leases, judgements that were given, what the model said, clips."""
    given = {name: claimed(client, name, 3) + claimed(client, name, 3) for name in KINDS}
    every = [each for some in given.values() for each in some]
    aims: Aims = {"/api/work/claim": [{"body": {"project": each}} for each in KINDS]}
    aims["/api/work/answer"] = [
        {"body": {"question": each["question"], "lease": each["lease"], "supersedes": None, "value": ANSWERS[name]}}
        for name in ANSWERS
        for each in given[name][3:]
    ]
    aims["/api/work/renew"] = [{"body": {"lease": each["lease"], "leases": []}} for each in every]
    aims["/api/work/release"] = [{"body": {"leases": [each["lease"]], "lease": None}} for each in every[-2:]]
    aims["/api/work/draft"] = [{"body": {"question": each["question"]}} for each in every]
    for name in ("progress", "history"):
        aims[f"/api/work/{name}"] = [{"query": {"project": each}} for each in KINDS]
    judged = [str(uuid.UUID(int=number, version=4)) for number in range(12)]
    for each, judgement in zip([x for name in ANSWERS for x in given[name][:3]], judged, strict=True):
        body = {"judgement": judgement, "question": each["question"], "lease": each["lease"]}
        assert client.post("/api/work/answer", json=body | {"value": ANSWERS[each["kind"]]}).status_code == 200
    aims["/api/work/history/{judgement}"] = [{"path": {"judgement": each}} for each in judged[:6]]
    aims["/api/work/undo"] = [{"body": {"judgement": each}} for each in judged[6:]]
    clips = [urlsplit(clip["src"]) for each in given["comparison"] for clip in each["items"]]
    aims["/api/items/{item}/film.webp"] = [  # an id of this person's goes with the key that came with it
        {"path": {"item": clip.path.split("/")[3]}, "query": dict(parse_qsl(clip.query))} for clip in clips
    ]
    return aims | talks(client, given["conversation"], given["chat"])


def talks(client: TestClient, conversations: Sequence[dict[str, Any]], chats: Sequence[dict[str, Any]]) -> Aims:
    """Turns to take, and what the model said to judge: two at once in a conversation, one by one in a chat."""
    beside = claimed(client, "beside", 1)
    every = (*conversations, *chats, *beside)
    turns = [{"question": each["question"], "lease": each["lease"], "turns": []} for each in every]
    aims: Aims = {"/api/live/turn": [{"body": each | {"proof": "", "samples": None}} for each in turns]}
    for (name, value), turn in zip(JUDGED.items(), (turns[0], *turns[-3:]), strict=True):
        calls = 2 if name in ("regenerate", "side-by-side") else 1
        responses = [each for _ in range(calls) for each in spoken(client, turn)]
        body = turn | {"say": "Herons?", "responses": responses, "value": value}
        fresh = [str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {number}")) for number in range(5)]
        aims[f"/api/live/{name}"] = [{"body": body | {"judgement": each}} for each in fresh]
    return aims


def claimed(client: TestClient, project: str, count: int) -> list[dict[str, Any]]:
    """Questions of a project, leased."""
    found = client.post("/api/work/claim", json={"project": project, "count": count})
    assert found.status_code == 200 and len(found.json()) == count, found.text
    return found.json()


def spoken(client: TestClient, turn: Mapping[str, Any]) -> list[dict[str, str]]:
    """What the model says, with its proofs."""
    lines = client.post("/api/live/turn", json=dict(turn) | {"say": "Herons?"}).text.splitlines()
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    said = [each for each in data if "proof" in each]
    assert said, lines
    return [{"text": each["text"], "proof": each["proof"]} for each in sorted(said, key=lambda each: each["side"])]


def aimed(case: schemathesis.Case, aim: Mapping[str, Mapping[str, Any]]) -> None:
    """Let ``case`` name what is there, and keep whatever else was made up for it."""
    if "path" in aim:
        case.path_parameters = {**aim["path"]}
    if "query" in aim:
        case.query = {**(case.query or {}), **aim["query"]}
    if "body" in aim and isinstance(case.body, dict):
        case.body = {**case.body, **aim["body"]}


@EXAMPLES
@pytest.mark.parametrize(("method", "path"), OURS, ids=str)
def test_requests_made_up_from_the_document(seeded: Seeded, method: str, path: str, examples: int) -> None:
    operation = seeded.document[path][method]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    made_up = [operation.as_strategy(generation_mode=mode) for mode in modes]
    aims = seeded.aims.get(path)
    statuses = []

    def send(case: schemathesis.Case) -> None:
        response = case.call(base_url=URL, headers=seeded.headers)
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=SLOW, derandomize=True)
    @given(case=st.one_of(*made_up))
    def anything(case: schemathesis.Case) -> None:
        send(case)

    @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=SLOW, derandomize=True)
    @given(case=made_up[0], aim=st.sampled_from(aims or [{}]))
    def what_is_there(case: schemathesis.Case, aim: Mapping[str, Mapping[str, Any]]) -> None:
        aimed(case, aim)
        send(case)

    anything()
    what_is_there()
    assert any(each < 300 for each in statuses), f"no request got through: {statuses}"


def test_every_route_says_what_can_go_wrong(seeded: Seeded) -> None:
    document = seeded.document.raw_schema
    for method, path in OURS:
        found = document["paths"][path][method.lower()]["responses"]
        assert {"400", "401", "403", "422", "503"} <= set(found), (method, path)
        for status, answer in found.items():
            if int(status) >= 400:
                assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Fault"}
