"""Refusals in the middle of work: nothing is lost by them, and nothing gets in."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from plaudit.server.services import Services

from ..work.conftest import Clock, Someone
from ..work.seed import ask

SAID = {"strength": 4}


def test_a_session_that_ended_in_the_middle_loses_no_answer(served: Services, ada: Someone, clock: Clock) -> None:
    """The page keeps it, the person signs in again, and it is sent as it was."""
    ask(served, "comparison", 1)
    (shown,) = ada.claim("comparison")
    body = {"judgement": str(uuid.uuid4()), "question": shown["question"], "lease": shown["lease"], "value": SAID}
    clock.now += 31 * 86400
    status, line = ada.refused("/api/work/answer", **body)
    assert status == 401 and "sign in" in line and not list(served.store.events())
    ada.client.headers["Origin"] = "http://127.0.0.1"
    sign_in = {"name": "Ada", "password": "correct horse battery"}
    assert ada.client.post("/api/session", json=sign_in).status_code == 204
    first = ada.post("/api/work/answer", **body)["receipt"]
    assert first["status"] == "accepted" and ada.post("/api/work/answer", **body)["receipt"] == first
    assert len(list(served.store.events())) == 1


def test_the_id_of_another_persons_judgement_is_no_ones_to_use(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "comparison", 2)
    (mine,), (theirs,) = ada.claim("comparison"), ben.claim("comparison")
    identity = ada.answer(mine, SAID)["receipt"]["id"]
    stolen = {"judgement": identity, "value": SAID}
    for question, lease in ((theirs["question"], theirs["lease"]), (mine["question"], theirs["lease"])):
        body = stolen | {"question": question, "lease": lease}
        assert ben.refused("/api/work/answer", **body)[0] in (409, 422)
    forged = stolen | {"judgement": str(uuid.uuid4()), "question": mine["question"], "supersedes": identity}
    assert ben.refused("/api/work/answer", **forged)[0] == 409
    ((kept, status),) = [(event.judgement, event.status) for event in served.store.events()]
    assert (kept.annotator, status) == ("Ada", "accepted")


@pytest.mark.parametrize("part", range(4))
def test_a_ticket_that_was_tampered_with_answers_nothing(served: Services, ada: Someone, part: int) -> None:
    """The lease, its question, its beginning and the signature hold together."""
    ask(served, "comparison", 2)
    one, other = ada.claim("comparison", 2)
    parts, others = one["lease"].split("~"), other["lease"].split("~")
    parts[part] = others[part] if part != 2 else "0.000"
    body = {"judgement": str(uuid.uuid4()), "question": parts[1], "lease": "~".join(parts), "value": SAID}
    assert ada.refused("/api/work/answer", **body)[0] == 403
    assert ada.refused("/api/work/renew", lease=body["lease"])[0] == 403
    assert not list(served.store.events())


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Referer": "http://evil.example/work"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-CSRF-Token": "guessed"},
    ],
    ids=lambda each: "=".join(next(iter(each.items()))),
)
def test_a_forged_answer_is_refused_and_the_right_one_still_counts(
    served: Services, ada: Someone, headers: dict[str, str]
) -> None:
    ask(served, "comparison", 1)
    (shown,) = ada.claim("comparison")
    body = {"judgement": str(uuid.uuid4()), "question": shown["question"], "lease": shown["lease"], "value": SAID}
    assert ada.client.post("/api/work/answer", json=body, headers=headers).status_code == 403
    assert not list(served.store.events())
    assert ada.post("/api/work/answer", **body)["receipt"]["status"] == "accepted"


def test_an_undo_that_is_sent_again_is_one_undo(served: Services, join: Callable[..., Someone], ada: Someone) -> None:
    """Its reply was lost, say because the server was killed."""
    ask(served, "comparison", 1)
    (shown,) = ada.claim("comparison")
    said = ada.answer(shown, SAID)["receipt"]["id"]
    body = {"judgement": said, "id": str(uuid.uuid4())}
    first, second = ada.post("/api/work/undo", **body), ada.post("/api/work/undo", **body)
    assert first["receipt"] == second["receipt"]
    assert first["assignment"]["lease"] == second["assignment"]["lease"]
    assert join("Ben").claim("comparison") == []
    assert ada.answer(second["assignment"], SAID)["receipt"]["status"] == "accepted"
    assert [event.status for event in served.store.events()] == ["accepted", "withdrawal", "accepted"]
