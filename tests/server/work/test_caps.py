"""Caps for each person: one annotator's script cannot take all questions, the disk or the model."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
import uuid
from typing import Any

import pytest

from plaudit.server.faults import TooManyTries
from plaudit.server.meter import DAY, Meter
from plaudit.server.services import Services
from plaudit.server.settings import Caps, ServerConfig
from plaudit.types import PlauditError

from .conftest import Clock, Someone
from .fake_model import FakeModel
from .seed import ask
from .test_live import say


@pytest.fixture
def config(config: ServerConfig, model: FakeModel) -> ServerConfig:
    caps = Caps(leases=4, surplus=2, turns=2)
    return dataclasses.replace(config, caps=caps, endpoint=model.url, endpoint_model="m")


def test_one_person_reserves_so_many_questions_and_no_more(
    served: Services, ada: Someone, ben: Someone, clock: Clock
) -> None:
    ask(served, "comparison", 12)
    first, second = ada.claim("comparison", 3), ada.claim("comparison", 3)
    assert (len(first), len(second)) == (3, 1)
    status, line = ada.refused("/api/work/claim", project="comparison", count=3)
    assert (status, line) == (
        429,
        "you have reserved 4 questions, which is the most: answer some of them, or put them back",
    )
    reply = ada.answer(first[0], {"strength": 4}, next={"project": "comparison", "count": 3})
    assert len(reply["next"]) == 1
    edit = {"question": first[0]["question"], "value": {"strength": 1}, "supersedes": reply["receipt"]["id"]}
    edit |= {"judgement": str(uuid.uuid4()), "next": {"project": "comparison", "count": 3}}
    reply = ada.post("/api/work/answer", **edit)  # stored, although Ada gets no further question
    assert (reply["receipt"]["status"], reply["next"]) == ("accepted", [])
    undone = ada.post("/api/work/undo", judgement=reply["receipt"]["id"], id=str(uuid.uuid4()))
    assert undone["assignment"]["expires_at"] is None  # others may have it: Ada has four
    assert len(ben.claim("comparison", 3)) == 3
    clock.now += 1000
    assert len(ada.claim("comparison", 3)) == 3  # those from before have expired


def test_surplus_answers_are_kept_up_to_the_cap_and_others_still_count(
    served: Services, ada: Someone, ben: Someone, clock: Clock
) -> None:
    ask(served, "comparison", 4)
    batch = ada.claim("comparison", 3)
    clock.now += 1000  # Ada's leases end, and Ben answers
    for shown in ben.claim("comparison", 2):
        ben.answer(shown, {"strength": 4})
    body = {"question": batch[0]["question"], "lease": batch[0]["lease"], "value": {"strength": 1}}
    sent = [body | {"judgement": str(uuid.uuid4())} for _ in range(3)]
    assert [ada.post("/api/work/answer", **each)["receipt"]["status"] for each in sent[:2]] == ["surplus"] * 2
    status, line = ada.refused("/api/work/answer", **sent[2])
    assert status == 409 and "2 such answers today" in line
    assert ada.post("/api/work/answer", **sent[1])["receipt"]["status"] == "surplus"  # sent again: stored before
    assert ada.answer(batch[2], {"strength": 4})["receipt"]["status"] == "accepted"


def test_the_model_writes_to_one_person_so_often_at_once(served: Services, ada: Someone, model: FakeModel) -> None:
    model.mode, model.first = "slow", 3.0
    ask(served, "conversation", 1)
    (shown,) = ada.claim("conversation")
    threads = [threading.Thread(target=say, args=(ada, shown)) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(model.requests) < 4:  # two responses for each
        assert time.monotonic() < deadline
        time.sleep(0.01)
    turn = {"question": shown["question"], "lease": shown["lease"], "say": "Hello", "samples": 2}
    status, line = ada.refused("/api/live/turn", **turn)
    assert (status, line) == (429, "the model writes 2 responses to you already: wait until one has ended")
    for thread in threads:
        thread.join()
    model.mode = "good"
    assert say(ada, shown)[-1] == ("end", {})


def test_requests_and_bytes_are_counted_for_each_person() -> None:
    now = [0.0]
    meter = Meter(Caps(requests=2, megabytes=1), lambda: now[0])
    for _ in range(80):
        meter.count_request("Ada", 10_000)
    with pytest.raises(TooManyTries, match="more than 2 requests a second"):
        meter.count_request("Ada", 0)
    meter.count_request("Ben", 0)
    now[0] = 1.0
    meter.count_request("Ada", 0)
    now[0] = 60.0
    with pytest.raises(TooManyTries, match="1 MB today") as caught:
        meter.count_request("Ada", 200_001)
    assert caught.value.seconds == DAY - 60
    now[0] = DAY
    meter.count_request("Ada", 200_001)


def test_the_route_counts_what_was_sent(served: Services, ada: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(served, "critique", 1)
    (shown,) = ada.claim("critique")
    monkeypatch.setattr(served.meter, "caps", Caps(megabytes=1))
    draft = {"question": shown["question"], "body": {"text": "x" * 390_000}}
    statuses = [ada.client.put("/api/work/draft", json=draft).status_code for _ in range(3)]
    assert statuses == [204, 204, 429]
    assert ada.get("/api/work/progress", project="critique")["done"] == 0  # reading still works


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "many"])
def test_a_cap_is_a_whole_number(value: Any) -> None:
    with pytest.raises(PlauditError, match=r"^caps\.turns must be a whole number of at least 1"):
        Caps(turns=value)


def test_the_settings_of_a_server_carry_its_caps(config: ServerConfig) -> None:
    text = config.to_json()
    assert ServerConfig.from_json(text) == config
    with pytest.raises(PlauditError, match="caps"):
        ServerConfig.from_json(json.dumps(json.loads(text) | {"caps": {"luck": 7}}))
