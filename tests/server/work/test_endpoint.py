"""The client of a live model, against a real server that does what servers do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from plaudit.server.endpoint import Endpoint, Limits
from plaudit.server.faults import Upstream
from plaudit.server.settings import ServerConfig
from plaudit.types import Message, PlauditError

from .fake_model import FakeModel

HELLO = [Message("system", "Be brief."), Message("user", "Hello")]
QUICK = Limits(connect=1.0, first=0.4, idle=0.4, tokens=64, characters=300)


def stream(endpoint: Endpoint, seed: int = 7) -> list[str]:
    async def collect() -> list[str]:
        return [piece async for piece in endpoint.stream(HELLO, seed)]

    return asyncio.run(collect())


def test_pieces_come_as_they_are_written_and_the_key_goes_along(model: FakeModel) -> None:
    model.texts = ["Herons \U0001f41f stand still."]
    pieces = stream(Endpoint(model.url, "some-model", "sk-123"))
    assert "".join(pieces) == "Herons \U0001f41f stand still." and len(pieces) > 2
    (body,) = model.requests
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert (body["model"], body["seed"], body["stream"]) == ("some-model", 7, True)
    assert model.keys == ["Bearer sk-123"]


def test_a_model_without_a_name_is_the_first_one_listed(model: FakeModel) -> None:
    stream(Endpoint(f"{model.url}/v1/chat/completions", key="sk-123"))
    assert model.requests[0]["model"] == "listed-model" and model.keys == ["Bearer sk-123"] * 2


def test_a_server_that_refuses_a_seed_is_asked_without_one(model: FakeModel) -> None:
    model.mode = "picky"
    assert "".join(stream(Endpoint(model.url, "m"))).startswith("Herons")
    assert ["seed" in each for each in model.requests] == [True, True]  # the fake adds one to the second
    assert model.requests[1]["seed"] == 1


def test_a_server_that_does_not_stream_is_understood(model: FakeModel) -> None:
    model.mode = "unstreamed"
    assert stream(Endpoint(model.url, "m")) == ["all at once"]


def test_a_response_without_end_is_cut(model: FakeModel) -> None:
    model.mode = "endless"
    assert sum(map(len, stream(Endpoint(model.url, "m", limits=QUICK)))) == 300


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("cut", "cut off"),
        ("web_page", "web page"),
        ("nonsense", "no JSON"),
        ("misshapen", "no text"),
        ("shapeless", "another shape"),
        ("failing", "answered 500 Internal Server Error"),
        ("forbidding", "refuses this server's key"),
        ("missing", "does not know this model"),
        ("busy", "busy"),
        ("failing_midway", "out of memory"),
        ("empty", "answer was empty"),
        ("silent", "has not begun"),
        ("stuck", "in the middle"),
        ("without_line_ends", "a line without end"),
        ("without_event_ends", "an event without end"),
        ("deep", "no JSON"),
        ("packed", "packs its answers"),
    ],
)
def test_every_fault_is_one_line_without_the_models_name_or_key(model: FakeModel, mode: str, words: str) -> None:
    model.mode = mode
    with pytest.raises(Upstream) as caught:
        stream(Endpoint(model.url, "secret-model-7b", "sk-123", QUICK))
    said = str(caught.value)
    assert words in said and "\n" not in said and "secret-model" not in said and "sk-123" not in said


@pytest.mark.parametrize(
    ("name", "complaint", "message"),
    [
        (
            "m",
            "out of memory: model 'm' (m/latest), I'm afraid",
            "out of memory: model 'the model' (the model/latest), ",
        ),
        ("model", "no such model", "the model's server failed (no such model): try again"),
        (
            "server",
            "the server's model is busy",
            "the model's server failed (the the model's model is busy): try again",
        ),
        ("", "listed-model is out of memory", "the model's server failed (the model is out of memory): try again"),
    ],
)
def test_only_the_servers_own_words_hide_the_models_name(
    model: FakeModel, name: str, complaint: str, message: str
) -> None:
    model.mode, model.complaint = "failing_midway", complaint
    with pytest.raises(Upstream) as caught:
        stream(Endpoint(model.url, name, limits=QUICK))
    assert message in str(caught.value)
    model.mode = "stuck"
    with pytest.raises(Upstream, match=r"^the model has stopped in the middle of its answer: try again$"):
        stream(Endpoint(model.url, name, limits=QUICK))


def test_a_response_that_drips_is_cut_after_its_time(model: FakeModel) -> None:
    model.texts, model.pause = ["drop, " * 700], 0.05  # 30 seconds
    start = time.monotonic()
    assert stream(Endpoint(model.url, "m", limits=Limits(whole=0.3)))
    assert time.monotonic() - start < 10


def test_a_listing_names_a_model_in_a_short_text(model: FakeModel) -> None:
    model.listed = "m" * 201
    with pytest.raises(Upstream, match="does not say which models it has"):
        stream(Endpoint(model.url, limits=QUICK))


def test_a_model_may_take_its_time_to_begin(model: FakeModel) -> None:
    model.mode, model.first = "slow", 0.5
    assert Limits().first > 20
    assert "Herons" in "".join(stream(Endpoint(model.url, "m", limits=Limits(first=10.0))))


def test_a_server_that_is_down_is_said_to_be(model: FakeModel) -> None:
    model.close()
    with pytest.raises(Upstream, match="cannot be reached"):
        stream(Endpoint(model.url, "m", limits=QUICK))
    with pytest.raises(Upstream, match="cannot be reached"):
        stream(Endpoint(model.url, limits=QUICK))
    model.server.server_close = lambda: None  # type: ignore[method-assign]
    model.server.shutdown = lambda: None  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses this server's key"), (429, "busy"), (500, "which models")]
)
def test_a_server_that_does_not_list_its_models_says_why(model: FakeModel, status: int, words: str) -> None:
    model.listing = status
    with pytest.raises(Upstream, match=words):
        stream(Endpoint(model.url, limits=QUICK))
    model.listing = 200
    assert stream(Endpoint(model.url, limits=QUICK))


@pytest.mark.parametrize("listed", [False, True])
def test_a_redirect_is_not_followed(model: FakeModel, listed: bool) -> None:
    """Another server would get the prompt, and at the same host the key as well."""
    second = FakeModel()
    path = "models" if listed else "chat/completions"
    model.mode, model.listing, model.location = "redirecting", 307, f"{second.url}/v1/{path}"
    with pytest.raises(Upstream, match="which models" if listed else "answered 307 Temporary Redirect"):
        stream(Endpoint(model.url, "" if listed else "some-model", "sk-123", QUICK))
    second.close()
    assert model.keys == ["Bearer sk-123"] and second.keys == []


def test_a_key_that_no_header_can_hold_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAUDIT_ENDPOINT_KEY", "sk\u2013123")
    config = ServerConfig(str(tmp_path / "f.sqlite"), tmp_path, endpoint="http://h:1")
    with pytest.raises(PlauditError, match=r"^PLAUDIT_ENDPOINT_KEY holds what no key holds"):
        Endpoint.from_config(config)
