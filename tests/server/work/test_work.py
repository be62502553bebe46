"""Claiming, answering, taking back: what the page relies on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.schema import LEASES
from plaudit.server.keyed_ids import find_question, hide_id, order_of
from plaudit.server.services import Services

from .conftest import Clock, Someone
from .seed import ask

VALUES: dict[str, dict[str, Any]] = {
    "comparison": {"strength": 4},
    "correction": {"text": "Better."},
    "critique": {"text": "Short and clear."},
    "demonstration": {"text": "Once upon a time."},
    "ranking": {"ranks": [2, 1, 3, 3], "ratings": [4, 5, 1, 1], "flags": [[], [], ["hallucination"], []], "ideal": "x"},
    "rating": {"ratings": {"coherence": 4, "helpfulness": None}},
    "regeneration": {"choice": "better"},
    "side-by-side": {"choice": "neither"},
    "spans": {"spans": [{"start": 2, "end": 7, "category": "wrong", "note": ""}]},
    "thumbs": {"thumb": "down", "tags": ["isn't true"], "text": "no"},
}


def standing(served: Services) -> list[Any]:
    return served.store.judgements()


@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_kind_can_be_claimed_and_answered(served: Services, ada: Someone, name: str) -> None:
    ask(served, name)
    (shown,) = ada.claim(name)
    reply = ada.answer(shown, VALUES[name], next={"project": name, "count": 2})
    assert reply["receipt"]["status"] == "accepted"
    assert len(reply["next"]) == 2
    (kept,) = standing(served)
    assert (kept.annotator, dict(kept.value)) == (
        "Ada",
        KINDS[name].validate(VALUES[name], find_question(served.store, served.secret, "Ada", shown["question"])),
    )


def test_no_kind_is_forgotten() -> None:
    assert set(VALUES) == {name for name, kind in KINDS.items() if not kind.live}


def test_an_assignment_shows_the_items_in_this_persons_order_and_names_no_model(served: Services, ada: Someone) -> None:
    (question, *_) = ask(served, "ranking")
    response = ada.client.post("/api/work/claim", json={"project": "ranking"})
    assert "secret-model" not in response.text
    (shown,) = response.json()
    order = order_of(served.secret, question, "Ada")
    assert shown["order"] == list(order) == [each["index"] for each in shown["items"]]
    first = served.store.items(question.items)[order[0]]
    assert shown["items"][0]["response"]["text"] == first.response  # type: ignore[union-attr]
    assert shown["items"][0]["prompt"][0]["html"].startswith("<p>Tell me a <strong>story</strong>")


def test_the_stored_order_and_times_are_the_servers(served: Services, ada: Someone, clock: Clock) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    clock.now += 10
    ada.answer(shown, {"strength": -4}, elapsed={"shown_ms": 4000, "first_input_ms": 500})
    (kept,) = standing(served)
    assert kept.order == tuple(shown["order"])
    assert (kept.shown_at, kept.first_input_at, kept.submitted_at) == (clock.now - 4, clock.now - 0.5, clock.now)


def test_nothing_was_shown_before_the_lease_began(served: Services, ada: Someone, clock: Clock) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    began = clock.now
    clock.now += 10
    ada.answer(shown, {"strength": 0}, elapsed={"shown_ms": 1e7, "first_input_ms": 1e7})
    (kept,) = standing(served)
    assert kept.shown_at == kept.first_input_at == began


def test_the_same_answer_again_has_the_same_receipt_and_another_body_is_refused(served: Services, ada: Someone) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    identity = str(uuid.uuid4())
    first = ada.answer(shown, {"strength": 4}, judgement=identity)
    assert ada.answer(shown, {"strength": 4}, judgement=identity)["receipt"] == first["receipt"]
    body = {"judgement": identity, "question": shown["question"], "lease": shown["lease"], "value": {"strength": -4}}
    status, detail = ada.refused("/api/work/answer", **body)
    assert status == 409 and "another body" in detail
    assert len(list(served.store.events())) == 1


def test_two_people_never_get_the_same_question(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "comparison", 4)
    mine, theirs = ada.claim("comparison", 2), ben.claim("comparison", 3)
    assert len(mine) == 2 and len(theirs) == 2
    assert not {each["question"] for each in mine} & {each["question"] for each in theirs}


def test_a_lease_does_not_tell_the_questions_number(served: Services, ada: Someone) -> None:
    """Checks are asked before or after the others: by its number each could be told."""
    ask(served, "critique", 9)
    shown = ada.claim("critique", 3) + ada.claim("critique", 3)
    with served.store.database.read() as connection:
        kept = {row.token: row.question for row in connection.execute(select(LEASES.c.token, LEASES.c.question))}
    assert sorted(kept.values()) == [1, 2, 3, 4, 5, 6]
    for each in shown:
        token = each["lease"].split("~")[0]
        assert token not in kept and len(token.split(".")[1]) == 16
    assert len({each["lease"].split("~")[0].split(".")[1] for each in shown}) == 6
    ada.post("/api/work/release", leases=[each["lease"] for each in shown[1:]])
    (renewed,) = ada.post("/api/work/renew", lease=shown[0]["lease"])
    assert renewed["renewed"] == shown[0]["lease"]
    ada.answer(shown[0], {"text": "Short."})
    with served.store.database.read() as connection:
        assert connection.execute(select(LEASES)).all() == []


def test_another_persons_lease_is_refused(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    body = {"judgement": str(uuid.uuid4()), "question": shown["question"], "value": {"strength": 4}}
    assert ben.refused("/api/work/answer", **body, lease=shown["lease"])[0] == 403
    assert ben.refused("/api/work/answer", **body)[0] == 422
    assert ben.refused("/api/work/renew", lease=shown["lease"])[0] == 403
    assert ben.refused("/api/work/release", lease=shown["lease"])[0] == 403
    assert not standing(served)


def test_a_lease_answers_its_own_question_only(served: Services, ada: Someone) -> None:
    ask(served, "comparison")
    first, second = ada.claim("comparison", 2)
    body = {"judgement": str(uuid.uuid4()), "question": second["question"], "value": {"strength": 4}}
    assert ada.refused("/api/work/answer", **body, lease=first["lease"])[0] == 422


def test_an_answer_after_the_lease_is_kept(served: Services, ada: Someone, ben: Someone, clock: Clock) -> None:
    ask(served, "comparison", 1)
    (mine,) = ada.claim("comparison")
    clock.now += 3600
    (theirs,) = ben.claim("comparison")
    assert ben.answer(theirs, {"strength": 4})["receipt"]["status"] == "accepted"
    assert ada.answer(mine, {"strength": -4})["receipt"]["status"] == "surplus"
    assert [each.annotator for each in standing(served)] == ["Ben"]
    assert len(list(served.store.events())) == 2


def test_a_lease_lasts_while_it_is_renewed(served: Services, ada: Someone, ben: Someone, clock: Clock) -> None:
    ask(served, "comparison", 1)
    (mine,) = ada.claim("comparison")
    for _ in range(5):
        clock.now += mine["lease_seconds"] - 1
        (told,) = ada.post("/api/work/renew", leases=[mine["lease"]])
        assert told == {
            "lease": mine["lease"],
            "renewed": mine["lease"],
            "expires_at": clock.now + mine["lease_seconds"],
        }
    assert ben.claim("comparison") == []


def test_a_lease_that_ended_is_taken_again_if_nobody_else_has_it(
    served: Services, ada: Someone, ben: Someone, clock: Clock
) -> None:
    ask(served, "comparison", 1)
    (mine,) = ada.claim("comparison")
    clock.now += 3600
    (told,) = ada.post("/api/work/renew", lease=mine["lease"])
    assert told["renewed"] not in (None, mine["lease"])
    assert ben.claim("comparison") == []
    clock.now += 3600
    assert len(ben.claim("comparison")) == 1
    (told,) = ada.post("/api/work/renew", lease=told["renewed"])
    assert told["renewed"] is None and told["expires_at"] is None


def test_what_is_released_goes_to_others(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "comparison", 1)
    (mine,) = ada.claim("comparison")
    assert ben.claim("comparison") == []
    ada.post("/api/work/release", leases=[mine["lease"]])
    assert len(ben.claim("comparison")) == 1


def test_a_page_that_vanished_gets_its_question_again(served: Services, ada: Someone, clock: Clock) -> None:
    ask(served, "comparison", 1)
    (mine,) = ada.claim("comparison")
    assert ada.claim("comparison") == []  # somebody may be looking at it
    clock.now += mine["lease_seconds"] * 0.6  # no page has renewed it
    assert ada.claim("comparison", 1, (mine["lease"],)) == []  # the page that asks has it itself
    (again,) = ada.claim("comparison")
    assert again["question"] == mine["question"]


def test_undo_withdraws_and_brings_the_question_back(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "comparison", 1)
    (shown,) = ada.claim("comparison")
    given = ada.answer(shown, {"strength": 4})["receipt"]["id"]
    withdrawal = str(uuid.uuid4())
    first = ada.post("/api/work/undo", judgement=given, id=withdrawal)
    back = ada.post("/api/work/undo", judgement=given, id=withdrawal)  # sent twice, it is one event
    assert back["assignment"]["question"] == first["assignment"]["question"] == shown["question"]
    assert not standing(served)
    assert ben.claim("comparison") == []  # reserved for whoever took it back
    assert ada.answer(back["assignment"], {"strength": -4})["receipt"]["status"] == "accepted"
    (kept,) = standing(served)
    assert kept.value == {"strength": -4}
    assert len(list(served.store.events())) == 3


def test_nobody_takes_back_what_another_said(served: Services, ada: Someone, ben: Someone) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    given = ada.answer(shown, {"strength": 4})["receipt"]["id"]
    assert ben.refused("/api/work/undo", judgement=given, id=str(uuid.uuid4()))[0] == 404
    assert ben.client.get(f"/api/work/history/{given}").status_code == 404
    body = {
        "judgement": str(uuid.uuid4()),
        "question": shown["question"],
        "value": {"strength": 4},
        "supersedes": given,
    }
    assert ben.refused("/api/work/answer", **body)[0] == 409


def test_an_edit_supersedes(served: Services, ada: Someone) -> None:
    ask(served, "critique")
    (shown,) = ada.claim("critique")
    given = ada.answer(shown, {"text": "good"})["receipt"]["id"]
    again = ada.get(f"/api/work/history/{given}")
    assert again["value"] == {"text": "good"} and again["assignment"]["lease"] is None
    body = {"judgement": str(uuid.uuid4()), "question": shown["question"], "value": {"text": "very good"}}
    ada.post("/api/work/answer", **body, supersedes=given)
    (kept,) = standing(served)
    assert kept.value == {"text": "very good"}
    (entry,) = ada.get("/api/work/history", project="critique")
    assert entry["summary"] == "very good" and entry["edited"]


def test_drafts_come_back_and_end_with_the_answer(served: Services, ada: Someone, clock: Clock) -> None:
    ask(served, "critique", 1)
    (shown,) = ada.claim("critique")
    draft = {"text": "half a thou\u2026"}
    saved = ada.client.put("/api/work/draft", json={"question": shown["question"], "body": draft})
    assert saved.status_code == 204
    ada.post("/api/work/release", lease=shown["lease"])
    (again,) = ada.claim("critique")
    assert again["draft"] == draft
    given = ada.answer(again, {"text": "done"})["receipt"]["id"]
    back = ada.post("/api/work/undo", judgement=given, id=str(uuid.uuid4()))
    assert back["assignment"]["draft"] is None


def test_an_answer_is_kept_though_its_project_was_closed_meanwhile(served: Services, ada: Someone) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    served.projects.change("tests", "comparison", {"closed": True})
    reply = ada.answer(shown, {"strength": 4}, next={"project": "comparison"})
    assert reply == {"receipt": {"id": reply["receipt"]["id"], "status": "accepted"}, "next": []}
    assert ada.refused("/api/work/claim", project="comparison")[0] == 409


def test_progress_counts_what_stands_and_what_waits(served: Services, ada: Someone, ben: Someone, clock: Clock) -> None:
    ask(served, "comparison", 5)
    first, second = ada.claim("comparison", 2)
    ben.claim("comparison")
    assert ada.get("/api/work/progress", project="comparison") == {"done": 0, "waiting": 4}
    given = ada.answer(first, {"strength": 4})["receipt"]["id"]
    noon = clock.now + 5
    clock.now += 10
    ada.answer(second, {"strength": 4})
    assert ada.get("/api/work/progress", project="comparison") == {"done": 2, "waiting": 2}
    assert ada.get("/api/work/progress", project="comparison", since=noon)["done"] == 1
    ada.post("/api/work/undo", judgement=given, id=str(uuid.uuid4()))
    assert ada.get("/api/work/progress", project="comparison") == {"done": 1, "waiting": 3}


def test_history_is_paged_and_in_words(served: Services, ada: Someone) -> None:
    ask(served, "comparison", 4)
    for strength in (4, 0, None, -4):
        (shown,) = ada.claim("comparison")
        left_first = shown["order"][0] == 0
        ada.answer(shown, {"strength": strength if strength in (0, None) or left_first else -strength})
    entries = ada.get("/api/work/history", project="comparison", limit=3)
    assert [each["summary"] for each in entries] == ["right is better", "can't tell", "a tie"]
    (last,) = ada.get("/api/work/history", project="comparison", before=entries[-1]["number"])
    assert last["summary"] == "left is better"


@pytest.mark.parametrize(
    "value",
    [{"strength": 9}, {}, {"strength": "4"}, {"strength": 4, "more": 1}, {"strength": "\ud800"}, {"\ud800": 1}],
    ids=ascii,
)
def test_values_that_the_kind_refuses_are_422(served: Services, ada: Someone, value: dict[str, Any]) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    body = {"judgement": str(uuid.uuid4()), "question": shown["question"], "lease": shown["lease"], "value": value}
    sent = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}  # surrogates as \\ud800
    assert ada.client.post("/api/work/answer", **sent).status_code == 422


@pytest.mark.parametrize(
    "text",
    ['{"text": "\\ud800"}', '{"x": NaN}', f'"{"a" * 400_001}"', "[" * 900 + "]" * 900],
    ids=["surrogate", "nan", "long", "deep"],
)
def test_drafts_that_cannot_be_kept_are_422(served: Services, ada: Someone, text: str) -> None:
    (question, *_) = ask(served, "critique")
    body = f'{{"question": "{hide_id(served.secret, "Ada", "question", question.id)}", "body": {text}}}'
    response = ada.client.put("/api/work/draft", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422


def test_strangers_get_nothing(served: Services, ada: Someone, join: Callable[..., Someone]) -> None:
    ask(served, "comparison")
    ada.client.cookies.clear()
    assert ada.refused("/api/work/claim", project="comparison")[0] == 401
    assert ada.client.get("/work/comparison").headers["location"] == "/sign-in?next=/work/comparison"


def test_the_red_team_is_kept_to_its_projects(served: Services, join: Callable[..., Someone]) -> None:
    ask(served, "comparison")
    assert join("Cy", "red-team").refused("/api/work/claim", project="comparison")[0] == 403


def test_guidelines_come_with_the_question(served: Services, ada: Someone) -> None:
    ask(served, "comparison")
    served.projects.add_guideline("tests", "comparison", "Judge **only** what you see.\n\n<script>x</script>")
    (shown,) = ada.claim("comparison")
    assert shown["guideline"]["version"] == "1"
    assert "<strong>only</strong>" in shown["guideline"]["html"] and "<script" not in shown["guideline"]["html"]
    page = ada.client.get("/guidelines/comparison")
    assert page.status_code == 200 and "<strong>only</strong>" in page.text


@pytest.mark.parametrize("path", ["/", "/work/comparison", "/history/comparison", "/guidelines/comparison", "/keys"])
def test_pages_are_served_without_inline_script(served: Services, ada: Someone, path: str) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    ada.answer(shown, {"strength": 4})
    page = ada.client.get(path)
    assert page.status_code == 200
    assert " style=" not in page.text and " onclick" not in page.text
    for script in page.text.split("<script")[1:]:
        assert "src=" in script.split(">")[0] or 'type="application/json"' in script.split(">")[0]
