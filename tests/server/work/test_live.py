"""Talking with a live model by the API: two samples, proofs, and what is stored on the way."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit.chat_completions import ModelServer
from plaudit.server.api import live
from plaudit.server.services import Services
from plaudit.server.settings import ServerConfig
from plaudit.types import Dialogue

from .conftest import Someone
from .fake_model import FakeModel
from .seed import ask


@pytest.fixture
def config(tmp_path: Path, model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> ServerConfig:
    monkeypatch.setenv("PLAUDIT_ENDPOINT_KEY", "sk-123")
    folder = tmp_path / "server"
    return ServerConfig(str(tmp_path / "f.sqlite"), folder, endpoint=model.url, endpoint_model="secret-model-7b")


def say(who: Someone, shown: dict[str, Any], text: str = "Hello", **more: Any) -> list[tuple[str, dict[str, Any]]]:
    """The events of one turn."""
    body = {"question": shown["question"], "lease": shown["lease"], "say": text, "samples": 2} | more
    response = who.client.post("/api/live/turn", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "secret-model" not in response.text and "sk-123" not in response.text
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines()) for block in response.text.split("\n\n") if block
    ]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


def responses(events: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return sorted((data for name, data in events if name == "response"), key=lambda data: data["side"])


def judge(shown: dict[str, Any], given: list[dict[str, Any]], value: dict[str, Any], **more: Any) -> dict[str, Any]:
    proven = [{"text": each["text"], "proof": each["proof"]} for each in given]
    own = {"judgement": str(uuid.uuid4()), "question": shown["question"], "lease": shown["lease"], "say": "Hello"}
    return own | {"responses": proven, "value": value} | more


@pytest.mark.parametrize("place", ["parse_reply", "to_html"])
def test_whatever_fails_in_the_stream_is_told_to_the_page(
    served: Services, ada: Someone, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """An exception that nobody foresaw, in the stream from the model and in what is made of it."""

    def fail(*_: Any) -> Any:
        raise RecursionError("too deep")

    monkeypatch.setattr(ModelServer if place == "parse_reply" else live, place, fail)
    ask(served, "conversation")
    (shown,) = ada.claim("conversation")
    events = say(ada, shown)
    faults = [data for name, data in events if name == "fault"]
    assert events[-1] == ("end", {}) and sorted(fault["side"] for fault in faults) == [0, 1]
    assert {fault["detail"] for fault in faults} == {"the response could not be read: try again, or tell an admin"}


def test_two_samples_stream_and_the_choice_is_a_comparison(served: Services, ada: Someone, model: FakeModel) -> None:
    ask(served, "conversation")
    (shown,) = ada.claim("conversation")
    assert shown["items"][0]["suggestion"] == "What is a heron?"
    events = say(ada, shown)
    given = responses(events)
    assert len(given) == 2 and given[0]["text"] != given[1]["text"]
    assert events[-1] == ("end", {}) and sum(name == "piece" for name, _ in events) > 4
    assert "<strong>tall</strong>" in given[0]["html"]
    assert len({each["seed"] for each in model.requests}) == 2
    assert model.requests[0]["messages"][0]["role"] == "system"  # what the question begins with
    ada.post("/api/live/choose", **judge(shown, given, {"strength": -2}))
    (kept,) = served.store.judgements()
    (question,) = served.store.questions([kept.question])
    assert (question.kind, question.options, dict(kept.value)) == ("comparison", {"scale": "eight"}, {"strength": -2})
    first, second = served.store.items(question.items)
    assert isinstance(first, Dialogue) and isinstance(second, Dialogue)
    assert (first.response, second.response) == (given[0]["text"], given[1]["text"])
    assert first.prompt == second.prompt and first.model == "secret-model-7b"
    assert served.store.open_count() == 3  # the conversations: nobody else is asked the choice


def test_the_chosen_response_goes_on(served: Services, ada: Someone, model: FakeModel) -> None:
    ask(served, "conversation")
    (shown,) = ada.claim("conversation")
    given = responses(say(ada, shown))
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": given[1]["text"]}]
    say(ada, shown, "And then?", turns=turns, proof=given[1]["proof"])
    assert [each["role"] for each in model.requests[-1]["messages"]] == ["system", "user", "assistant", "user"]
    for wrong in (
        {"turns": turns, "proof": given[0]["proof"]},
        {"turns": turns, "proof": ""},
        {"turns": [turns[0], {"role": "assistant", "content": "I said this"}], "proof": given[1]["proof"]},
        {"turns": [{"role": "assistant", "content": "I said this"}], "proof": "0" * 32},
    ):
        body = {"question": shown["question"], "lease": shown["lease"], "say": "And?", **wrong}
        assert ada.refused("/api/live/turn", **body)[0] == 403


def test_a_page_cannot_make_up_what_the_model_said(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "conversation")
    (shown,), (theirs,) = ada.claim("conversation"), ben.claim("conversation")
    given = responses(say(ada, shown))
    forged = [given[0], given[1] | {"text": "I never said this"}]
    assert ada.refused("/api/live/choose", **judge(shown, forged, {"strength": 1}))[0] == 403
    assert ada.refused("/api/live/choose", **judge(shown, given, {"strength": 1}, say="Other words"))[0] == 403
    assert ben.refused("/api/live/choose", **judge(theirs, given, {"strength": 1}))[0] == 403
    assert ben.refused("/api/live/choose", **judge(shown, given, {"strength": 1}))[0] == 403
    assert ada.refused("/api/live/choose", **judge(shown, [given[0]] * 2, {"strength": 1}))[0] == 422
    assert ada.refused("/api/live/choose", **judge(shown, given, {"strength": 0}))[0] == 422
    assert not served.store.judgements()


def test_a_choice_sent_twice_is_one_event(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    (shown,) = ada.claim("conversation")
    body = judge(shown, responses(say(ada, shown)), {"strength": 4})
    assert ada.post("/api/live/choose", **body) == ada.post("/api/live/choose", **body)
    assert ada.refused("/api/live/choose", **body | {"value": {"strength": 1}})[0] == 409
    assert len(list(served.store.events())) == 1


def test_the_whole_conversation_names_its_choices(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "conversation")
    (shown,), (theirs,) = ada.claim("conversation"), ben.claim("conversation")
    body = judge(shown, responses(say(ada, shown)), {"strength": 4})
    ada.post("/api/live/choose", **body)
    value = {"comparisons": [body["judgement"]], "comment": "fine"}
    for who, assignment, wrong in ((ben, theirs, body["judgement"]), (ada, shown, str(uuid.uuid4()))):
        made_up = {"judgement": str(uuid.uuid4()), "value": {"comparisons": [wrong]}}
        lease = {"question": assignment["question"], "lease": assignment["lease"]}
        assert who.refused("/api/work/answer", **made_up, **lease) == (
            422,
            f"judgement '{wrong}', which this answer names, is not yours",
        )
    assert ada.answer(shown, value)["receipt"]["status"] == "accepted"


@pytest.mark.parametrize(
    ("what", "value", "kind", "count"),
    [
        ("thumb", {"thumb": "down", "tags": ["isn't true"], "text": "no"}, "thumbs", 1),
        ("regenerate", {"choice": "better"}, "regeneration", 2),
        ("side-by-side", {"choice": "neither"}, "side-by-side", 2),
    ],
)
def test_a_chat_keeps_each_piece_of_feedback(
    served: Services, ada: Someone, what: str, value: dict[str, Any], kind: str, count: int
) -> None:
    ask(served, "chat", options={"side_by_side": what == "side-by-side"})
    (shown,) = ada.claim("chat")
    given = [responses(say(ada, shown, samples=1))[0] for _ in range(count)]
    body = judge(shown, given, value)
    ada.post(f"/api/live/{what}", **body)
    (kept,) = served.store.judgements()
    assert served.store.questions([kept.question])[0].kind == kind and dict(kept.value) == value
    whole = ada.answer(shown, {"judgements": [body["judgement"]], "comment": ""})
    assert whole["receipt"]["status"] == "accepted"


def test_a_fault_of_one_side_is_told_and_the_other_is_heard(served: Services, ada: Someone, model: FakeModel) -> None:
    ask(served, "conversation")
    (shown,) = ada.claim("conversation")
    model.mode = "failing_midway"
    events = say(ada, shown)
    assert [data["detail"] for name, data in events if name == "fault"] == [
        "the model's server failed (out of memory): try again"
    ] * 2
    assert events[-1][0] == "end" and not responses(events)


def test_two_responses_that_are_the_same_are_no_choice(served: Services, ada: Someone, model: FakeModel) -> None:
    ask(served, "conversation")
    (shown,) = ada.claim("conversation")
    model.texts = ["Yes."] * 2
    assert [name for name, _ in say(ada, shown)][-2:] == ["same", "end"]


def test_what_is_said_has_bounds(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    ask(served, "critique")
    (shown,), (other,) = ada.claim("conversation"), ada.claim("critique")
    own = {"question": shown["question"], "lease": shown["lease"]}
    assert ada.refused("/api/live/turn", **own, say="")[0] == 422
    assert ada.refused("/api/live/turn", **own, say="x" * 20_001)[0] == 422
    assert ada.refused("/api/live/turn", **own, say="x", samples=3)[0] == 422
    assert ada.refused("/api/live/turn", question=other["question"], lease=other["lease"], say="x")[0] == 422
    assert ada.refused("/api/live/turn", question=other["question"], lease=shown["lease"], say="x")[0] == 422


def test_a_server_without_a_model_says_so(tmp_path: Path, join: Callable[..., Someone], served: Services) -> None:
    object.__setattr__(served, "endpoint", None)
    ask(served, "conversation")
    ada = join("Ada")
    (shown,) = ada.claim("conversation")
    status, detail = ada.refused("/api/live/turn", question=shown["question"], lease=shown["lease"], say="Hello")
    assert status == 502 and "no model is connected" in detail
