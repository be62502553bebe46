"""The page of `plaudit chat --browser` over HTTP: who gets in, what is refused, and how responses stream."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from starlette.testclient import TestClient

from plaudit.server.chat.app import Services, create_chat_app
from plaudit.server.chat.models import Worker
from plaudit.server.faults import Upstream
from plaudit.server.security import POLICY, csrf_token
from plaudit.server.streaming import merge

from .chatting import Parrot, services


@pytest.fixture
def parrots() -> tuple[Parrot, Parrot]:
    return Parrot("Trained"), Parrot("Before RL", "hm ")


@pytest.fixture
def served(parrots: tuple[Parrot, Parrot]) -> Iterator[Services]:
    served = services(*parrots)
    yield served
    served.worker.close()


@pytest.fixture
def client(served: Services) -> Iterator[TestClient]:
    """A browser that opened the link."""
    with TestClient(create_chat_app(served), base_url="http://127.0.0.1") as client:
        assert client.get(f"/open/{served.address.token}").url.path == "/"
        client.headers["X-CSRF-Token"] = csrf_token(served.address.secret, served.address.session)
        yield client


def turn(client: TestClient, say: str, *parts: dict[str, Any], **more: Any) -> list[tuple[str, dict[str, Any]]]:
    """The events of a turn."""
    body = {"parts": parts or [{"model": 0}], "say": say, "tokens": 64, "temperature": 0.7}
    response = client.post("/api/turn", json=body | more)
    assert response.status_code == 200, response.text
    blocks = [block.split("\n") for block in response.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def named(events: list[tuple[str, dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [data for event, data in events if event == name]


def test_only_a_browser_that_opened_the_link_gets_in(served: Services) -> None:
    body = {"parts": [{"model": 0}], "say": "Hi", "tokens": 5, "temperature": 1}
    with TestClient(create_chat_app(served), base_url="http://127.0.0.1") as stranger:
        page = stranger.get("/")
        assert page.status_code == 403 and "Open the link that plaudit chat printed" in page.text
        assert "Back to the start" not in page.text
        assert stranger.get("/open/guess").status_code == 403
        assert stranger.post("/api/turn", json=body).json()["detail"].startswith("open the link")
        assert stranger.get("/", headers={"Host": "evil.example"}).status_code == 400
        opened = stranger.get(f"/open/{served.address.token}", follow_redirects=False)
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and served.address.token not in cookie
        assert stranger.get("/").headers["content-security-policy"] == POLICY
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
            assert stranger.post("/api/turn", json=body, headers=headers).status_code == 403


def test_two_models_answer_at_once_with_conversations_and_scores_of_their_own(
    client: TestClient, parrots: tuple[Parrot, Parrot]
) -> None:
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hm"}]
    parts = ({"model": 0}, {"model": 1, "turns": history})
    events = turn(client, "say *this* again", *parts, system="Be brief.", seed=5, tokens=3)
    for side, text, is_complete in ((0, "say *this* again", True), (1, "hm say *this*", False)):
        mine = [(name, data) for name, data in events if data.get("side") == side]
        assert "".join(data["text"] for data in named(mine, "piece")) == text
        (response,) = named(mine, "response")
        assert response["html"] == f"<p>{text.replace('*this*', '<em>this</em>')}</p>\n"
        assert (response["text"], response["tokens"], response["is_complete"], response["omitted"]) == (
            text,
            3,
            is_complete,
            0,
        )
        assert named(mine, "score") == [{"side": side, "score": 3.0}]
    assert events[-1] == ("end", {})
    sides = [data["side"] for name, data in events if name == "piece"]
    assert sides != sorted(sides), "one model waited for the other"
    (conversation, sampling), *_ = parrots[1].requests
    assert [(message.role, message.content) for message in conversation] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hm"),
        ("user", "say *this* again"),
    ]
    assert (sampling.tokens, sampling.temperature, sampling.seed) == (3, 0.7, 5)


def test_faults_of_models_are_told_and_the_next_turn_works(client: TestClient) -> None:
    assert named(turn(client, "too long"), "fault") == [{"side": 0, "detail": "the message has 900 tokens: shorten it"}]
    events = turn(client, "die", {"model": 1}, {"model": 1})
    (first, second) = named(events, "fault")
    assert first["detail"] == (
        "the model failed (RuntimeError: CUDA out of memory tried to allocate): try again, or see the terminal"
    )
    assert {first["side"], second["side"]} == {0, 1} and events[-1] == ("end", {})
    events = turn(client, "unscored")
    assert [name for name, _ in events] == ["piece", "response", "fault", "end"]
    assert events[2][1]["detail"].startswith("the reward model: ")
    (response,) = named(turn(client, "omit <b onclick=x>bold</b>"), "response")
    assert response["omitted"] == 2 and "<b" not in response["html"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parts": []}, "parts"),
        ({"parts": [{"model": 2}]}, "there is no such model"),
        ({"say": ""}, "say"),
        ({"tokens": 1000}, "does not fit the model's window of 1000"),
        ({"tokens": None}, "tokens"),
        ({"temperature": -1}, "temperature"),
        ({"say": "x" * 20_001}, "say"),
        ({"parts": [{"model": 0, "turns": [{"role": "system", "content": "x"}]}]}, "role"),
        ({"parts": [{"model": 0, "turns": [{"role": "user", "content": "x" * 190_000}] * 2}]}, "begin a new one"),
        ({"parts": [{"model": 0, "turns": [{"role": "user", "content": "x" * 190_000}] * 9}]}, "larger than 1 MiB"),
        ({"more": 1}, "more"),
    ],
)
def test_bad_requests(client: TestClient, change: dict[str, Any], words: str) -> None:
    body = {"parts": [{"model": 0}], "say": "Hi", "tokens": 5, "temperature": 1}
    response = client.post("/api/turn", json=body | change)
    assert response.status_code in (413, 422) and words in response.json()["detail"]


def test_half_of_a_surrogate_pair_is_refused(client: TestClient) -> None:
    body = '{"parts": [{"model": 0}], "say": "\\ud800", "tokens": 5, "temperature": 1}'
    assert client.post("/api/turn", content=body, headers={"Content-Type": "application/json"}).status_code == 422


def test_the_loop_never_waits_for_a_model_and_a_response_that_is_left_ends() -> None:
    """Two conversations stream by turns, and closing one leaves the other as it is."""

    async def converse() -> None:
        worker, release = Worker(), threading.Event()

        def stuck() -> Any:
            yield "first"
            assert release.wait(20)
            yield "second"

        left = stuck()
        async with aclosing(merge([worker.iterate(left)])) as values:
            assert await anext(values) == (0, "first")
            await asyncio.wait_for(asyncio.sleep(0), 1)  # the loop is free while the model computes
        release.set()
        counts = [worker.iterate(value for value in "abc"), worker.iterate(value for value in "xyz")]
        async with aclosing(merge(counts)) as values:
            pairs = [pair async for pair in values]
        assert [value for side, value in pairs if side == 0] == [*"abc", None]
        assert [value for side, value in pairs if side == 1] == [*"xyz", None]
        assert next(left, "closed") == "closed"
        worker.stop()
        with pytest.raises(Upstream, match="ended in the terminal"):
            await worker.call(len, "x")
        worker.close()

    asyncio.run(converse())
