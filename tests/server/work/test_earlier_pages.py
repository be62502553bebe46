"""Pages and outboxes of versions before keyed ids: an upgrade loses no answer, and tells scripts nothing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from plaudit.server.keyed_ids import earlier_order, hide_id, reveal_id
from plaudit.server.services import Services
from plaudit.server.tickets import Ticket

from .conftest import Clock, Someone
from .fake_model import FakeModel
from .seed import ask
from .test_live import config as config  # with a model
from .test_live import say

SAID = {"strength": 4}


def earlier(served: Services, shown: dict[str, Any], person: str = "Ada") -> dict[str, Any]:
    """The assignment as a page has it that an earlier version made: with stored ids."""
    ticket = Ticket.read(served.secret, person, shown["lease"])
    lease = Ticket(ticket.token, ticket.question, ticket.claimed_at, "stored").write(served.secret, person)
    assert lease.split("~")[1] == ticket.question != shown["question"]
    return shown | {"question": ticket.question, "lease": lease}


def test_an_answer_in_an_outbox_is_kept_with_the_order_that_was_shown(served: Services, ada: Someone) -> None:
    questions = {question.id: question for question in ask(served, "comparison", 12)}
    batch = [earlier(served, shown) for _ in range(4) for shown in ada.claim("comparison", 3)]
    for shown in batch:
        body = {"judgement": str(uuid.uuid4()), "question": shown["question"], "lease": shown["lease"], "value": SAID}
        first = ada.post("/api/work/answer", **body)["receipt"]
        assert first["status"] == "accepted" and ada.post("/api/work/answer", **body)["receipt"] == first
    orders = {judgement.question: tuple(judgement.order) for judgement in served.store.judgements()}
    assert orders == {identity: earlier_order(question, "Ada") for identity, question in questions.items()}


def test_an_earlier_page_renews_and_takes_back_and_answers_again(served: Services, ada: Someone, clock: Clock) -> None:
    ask(served, "comparison", 2)
    first, second = [earlier(served, shown) for shown in ada.claim("comparison", 2)]
    clock.now += 3600  # the leases have ended
    renewed = ada.post("/api/work/renew", leases=[first["lease"], second["lease"]])
    first["lease"], second["lease"] = [entry["renewed"] for entry in renewed]
    receipt = ada.answer(first, SAID)["receipt"]
    back = ada.post("/api/work/undo", judgement=receipt["id"], id=str(uuid.uuid4()))["assignment"]
    assert ada.answer(first | {"lease": back["lease"]}, {"strength": -4})["receipt"]["status"] == "accepted"
    assert ada.answer(second, SAID)["receipt"]["status"] == "accepted"
    edit = {"question": second["question"], "supersedes": served.store.judgements()[-1].id, "value": {"strength": 1}}
    ada.post("/api/work/answer", judgement=str(uuid.uuid4()), **edit)
    assert [dict(judgement.value) for judgement in served.store.judgements()] == [{"strength": -4}, {"strength": 1}]


def test_an_earlier_page_continues_a_live_talk(served: Services, ada: Someone, model: FakeModel) -> None:
    ask(served, "conversation")
    (shown,) = ada.claim("conversation")
    assert [name for name, _ in say(ada, earlier(served, shown)) if name != "piece"] == ["response", "response", "end"]


@pytest.mark.parametrize("is_right", [True, False])
def test_a_guess_at_a_stored_id_is_answered_alike(served: Services, ada: Someone, is_right: bool) -> None:
    """Under each form of a ticket, and for a change of an answer: a script learns nothing of its guess."""
    ask(served, "comparison", 2)
    first, second = ada.claim("comparison", 2)
    guess = reveal_id(served.secret, "Ada", "question", first["question"]) if is_right else "0" * 32
    body = {"judgement": str(uuid.uuid4()), "value": SAID}
    assert ada.refused("/api/work/answer", **body, question=guess, lease=first["lease"])[0] == 422
    receipt = ada.answer(first, SAID)["receipt"]
    edit = {"question": guess, "value": {"strength": 1}, "supersedes": receipt["id"]}
    changed = ada.post("/api/work/answer", judgement=str(uuid.uuid4()), **edit)["receipt"]
    assert changed["status"] == "accepted"
    back = ada.post("/api/work/undo", judgement=changed["id"], id=str(uuid.uuid4()))["assignment"]
    line = ada.refused("/api/work/answer", **body, question=second["question"], lease=back["lease"])
    assert line == (422, "the lease is another question's: load the page again")
    answer = body | {"question": guess, "lease": back["lease"]}
    assert ada.post("/api/work/answer", **answer)["receipt"]["status"] == "accepted"
    keyed = hide_id(served.secret, "Ada", "question", served.store.judgements()[0].question)
    assert ada.post("/api/work/answer", **answer | {"question": keyed})["receipt"]["status"] == "accepted"  # the same
    assert len(served.store.judgements()) == 1
