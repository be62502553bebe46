"""A clock that jumps, a day forward or an hour back, while people are at work: nothing is lost or given out twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from plaudit.server.keyed_ids import reveal_id
from plaudit.server.services import Services
from plaudit.types import Judgement

from ..work.conftest import Clock, Someone
from ..work.seed import ask

DAY, HOUR = 86400.0, 3600.0
JUMPS = pytest.mark.parametrize("jump", [DAY, -HOUR], ids=["a day forward", "an hour back"])
STRANGE = pytest.mark.parametrize("jump", [DAY, 400 * DAY, -HOUR, -400 * DAY], ids=str)
SAID = {"strength": 4}
TOOK = {"shown_ms": 9000, "first_input_ms": 4000}


@pytest.fixture
def clock() -> Clock:
    """Far enough from 1970 to go back by more than a year."""
    moved = Clock()
    moved.now = 1_700_000_000.0
    return moved


def events(served: Services) -> list[tuple[Judgement, str]]:
    found = [(event.judgement, event.status) for event in served.store.events()]
    for each, _ in found:
        assert each.shown_at <= each.first_input_at <= each.submitted_at
    return found


def questions(served: Services, person: str, assignments: list[dict[str, Any]]) -> list[str]:
    """The stored ids: each person sees others."""
    return [reveal_id(served.secret, person, "question", each["question"]) for each in assignments]


def test_after_a_day_late_answers_are_kept(served: Services, ada: Someone, ben: Someone, clock: Clock) -> None:
    ask(served, "comparison", 2)
    first, second = ada.claim("comparison", 2)
    clock.now += DAY
    theirs = ben.claim("comparison", 2)  # Ada's time is over
    assert questions(served, "Ben", theirs) == questions(served, "Ada", [first, second])
    assert ben.answer(theirs[0], SAID)["receipt"]["status"] == "accepted"
    assert ada.answer(first, SAID, elapsed=TOOK)["receipt"]["status"] == "surplus"
    assert ada.answer(second, SAID, elapsed=TOOK)["receipt"]["status"] == "accepted"  # nobody was faster
    assert ben.answer(theirs[1], SAID)["receipt"]["status"] == "surplus"
    assert len(events(served)) == 4
    for each in (each for each, _ in events(served) if each.annotator == "Ada"):
        assert (each.shown_at, each.first_input_at) == (clock.now - 9, clock.now - 4)


def test_set_back_by_an_hour_nobody_gets_what_another_has(
    served: Services, ada: Someone, ben: Someone, clock: Clock
) -> None:
    ask(served, "comparison", 3)
    mine = ada.claim("comparison", 2)
    clock.now -= HOUR
    theirs = ben.claim("comparison", 3)
    assert len(theirs) == 1
    assert questions(served, "Ben", theirs)[0] not in questions(served, "Ada", mine)
    assert ben.claim("comparison", 3) == []
    told = ada.post("/api/work/renew", leases=[each["lease"] for each in mine])
    assert [each["renewed"] for each in told] == [each["lease"] for each in mine]
    assert ben.claim("comparison", 3) == []
    clock.now += 5
    for each in mine:
        assert ada.answer(each, SAID, elapsed=TOOK)["receipt"]["status"] == "accepted"
    first = events(served)[0][0]
    assert first.submitted_at - first.shown_at == 9  # as the page measured it: the lease began in the future


def test_set_back_by_an_hour_a_page_that_is_gone_holds_nothing_for_an_hour(
    served: Services, ada: Someone, ben: Someone, clock: Clock
) -> None:
    ask(served, "comparison", 1)
    (mine,) = ada.claim("comparison")
    clock.now -= HOUR
    assert ben.claim("comparison") == []
    clock.now += mine["lease_seconds"] * 0.6
    (again,) = ada.claim("comparison")  # a new page of hers: the old one has not renewed it
    assert again["question"] == mine["question"]
    clock.now += mine["lease_seconds"] + 1
    assert questions(served, "Ben", ben.claim("comparison")) == questions(served, "Ada", [mine])


@STRANGE
def test_work_goes_on_across_a_jump(served: Services, ada: Someone, ben: Someone, clock: Clock, jump: float) -> None:
    """Everything that somebody may do next with what they had before."""
    ask(served, "comparison", 8)
    ask(served, "critique", 2)
    done, held, again, put_back, _ = [*ada.claim("comparison", 3), *ada.claim("comparison", 2)]
    (essay,) = ada.claim("critique")
    said = ada.answer(done, SAID)["receipt"]
    edited = ada.answer(again, SAID)["receipt"]["id"]
    identity = str(uuid.uuid4())
    sent = ada.answer(held, SAID, judgement=identity, elapsed=TOOK)
    for move in (jump, -jump):
        clock.now += move
        client = ada.client
        if client.get("/api/me").status_code == 401:  # a session lasts for 30 days
            body = {"name": "Ada", "password": "correct horse battery"}
            assert abs(jump) > 30 * DAY and client.post("/api/session", json=body).status_code == 204
            client.headers.pop("X-CSRF-Token")
            client.headers["Origin"] = "http://127.0.0.1"
        assert ada.answer(held, SAID, judgement=identity, elapsed=TOOK)["receipt"] == sent["receipt"]
        draft = {"question": essay["question"], "body": {"text": f"half {move}"}}
        assert client.put("/api/work/draft", json=draft).status_code == 204
        told = ada.post("/api/work/renew", lease=essay["lease"])
        essay = essay | {"lease": told[0]["renewed"] or essay["lease"]}
        edit = {"question": again["question"], "supersedes": edited, "lease": None}
        edited = ada.answer(again, {"strength": -1}, **edit, elapsed=TOOK)["receipt"]["id"]
        assert ada.get("/api/work/history", project="comparison")[0]["judgement"] == edited  # the latest comes first
        for path in ("/", "/work/comparison", "/history/comparison", "/account", "/keys"):
            assert client.get(path).status_code == 200, path
    back = ada.post("/api/work/undo", judgement=said["id"], id=str(uuid.uuid4()))["assignment"]
    assert ada.answer(back, SAID, elapsed=TOOK)["receipt"]["status"] == "accepted"
    assert ada.answer(essay, {"text": "whole"}, elapsed=TOOK)["receipt"]["status"] == "accepted"
    ada.post("/api/work/release", leases=[put_back["lease"]])
    kept = events(served)
    assert len(kept) == 8 and all(status != "surplus" for _, status in kept)


@STRANGE
def test_what_is_counted_makes_sense_across_a_jump(
    served: Services, join: Callable[..., Someone], clock: Clock, jump: float
) -> None:
    ada, boss = join("Ada"), join("Boss", "admin")
    ask(served, "comparison", 12)
    for number in range(4):
        for assignment in ada.claim("comparison", 2):
            clock.now += 5
            ada.answer(assignment, SAID, elapsed=TOOK)
        if number == 1:
            clock.now += jump
            if abs(jump) > 30 * DAY:
                ada, boss = join("Eve"), join("Chief", "admin")
    rows = boss.get("/api/projects/comparison/pay")
    assert sum(each["judgements"] for each in rows) == 8
    assert all(0 < each["minutes"] <= each["judgements"] * 9 / 60 for each in rows)
    paths = ["/admin", "/admin/people", "/admin/audit", "/admin/backups", "/admin/tokens"]
    tabs = ("", "/quality", "/questions", "/guideline", "/settings")
    for path in [*paths, *(f"/admin/projects/comparison{tab}" for tab in tabs)]:
        assert boss.client.get(path).status_code == 200, path
    for path in ("progress", "agreement", "health"):
        assert boss.client.get(f"/api/projects/comparison/{path}").status_code == 200, path
    assert boss.client.post("/api/admin/backup").status_code == 201
    assert len(events(served)) == 8


@JUMPS
def test_sessions_live_through_a_jump_and_end_in_their_time(
    served: Services, ada: Someone, clock: Clock, jump: float
) -> None:
    clock.now += jump
    assert ada.client.get("/api/me").status_code == 200
    assert len(ada.get("/api/me/sessions")) == 1
    clock.now += 31 * DAY
    assert ada.refused("/api/work/claim", project="comparison")[0] == 401
    ada.client.headers["Origin"] = "http://127.0.0.1"
    body = {"name": "Ada", "password": "correct horse battery"}
    assert ada.client.post("/api/session", json=body).status_code == 204
    assert ada.client.get("/api/me").status_code == 200


def test_invitations_end_by_a_jump_and_others_can_be_made(
    served: Services, join: Callable[..., Someone], clock: Clock
) -> None:
    boss = join("Boss", "admin")
    invites = served.accounts.invites
    short, week = invites.make("Boss", "annotator", days=1.0), invites.make("Boss", "annotator")
    clock.now -= HOUR
    assert (invites.role(short), invites.role(week)) == ("annotator", "annotator")
    clock.now += HOUR + DAY
    assert (invites.role(short), invites.role(week)) == (None, "annotator")
    body = {"token": short, "name": "Late", "password": "correct horse battery"}
    status, line = boss.refused("/api/join", **body)
    assert status == 404 and "ask for another" in line
    assert boss.client.post("/api/join", json=body | {"token": week}).status_code == 204
    clock.now -= DAY  # mended: what had only seemed over holds again
    assert invites.role(short) == "annotator"
