"""A talk and what was said in it: taken back together, brought back together, and nothing in it made up."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.kinds.conversation import MOST_TURNS as TURNS
from plaudit.server.services import Services
from plaudit.server.settings import ServerConfig

from .conftest import Clock, Someone
from .fake_model import FakeModel
from .seed import ask
from .test_live import judge, responses, say


@pytest.fixture
def config(tmp_path: Path, model: FakeModel) -> ServerConfig:
    folder = tmp_path / "server"
    return ServerConfig(str(tmp_path / "f.sqlite"), folder, endpoint=model.url, endpoint_model="secret-model-7b")


class Talk:
    """A conversation in which the first of the two responses always goes on."""

    def __init__(self, who: Someone, project: str = "conversation") -> None:
        (self.shown,) = who.claim(project)
        self.who, self.turns, self.proof, self.ids = who, [], "", []
        self.given: list[dict[str, Any]] = []

    def hear(self, text: str) -> list[dict[str, Any]]:
        """Two responses to ``text``."""
        self.given = responses(say(self.who, self.shown, text, turns=self.turns, proof=self.proof, samples=None))
        return self.given

    def choose(self, text: str, strength: int = 4) -> str:
        """A turn, and the judgement on it."""
        body = judge(self.shown, self.hear(text), {"strength": strength}, say=text, turns=self.turns)
        self.who.post("/api/live/choose", **body)
        chosen = self.given[0]
        self.turns = [*self.turns, {"role": "user", "content": text}, {"role": "assistant", "content": chosen["text"]}]
        self.proof = chosen["proof"]
        self.ids.append(body["judgement"])
        return body["judgement"]

    def end(self, ids: list[str] | None = None, **more: Any) -> str:
        """Send the whole; its id."""
        value = {"comparisons": self.ids if ids is None else ids, "comment": "fine"}
        return self.who.answer(self.shown, value, **more)["receipt"]["id"]

    def refused(self, ids: list[str]) -> str:
        """Why the whole may not name these."""
        own = {"judgement": str(uuid.uuid4()), "question": self.shown["question"], "lease": self.shown["lease"]}
        status, detail = self.who.refused("/api/work/answer", **own, value={"comparisons": ids, "comment": ""})
        assert status == 422
        return detail


def undo(who: Someone, judgement: str) -> dict[str, Any]:
    body = {"judgement": judgement, "id": str(uuid.uuid4())}
    undone = who.post("/api/work/undo", **body)
    assert who.post("/api/work/undo", **body)["receipt"] == undone["receipt"]  # sent twice, it is once
    return body | {"assignment": undone["assignment"]}


def standing(served: Services) -> list[tuple[str, Any]]:
    """What counts, by kind and strength."""
    kept = served.store.judgements()
    kinds = [each.kind for each in served.store.questions([each.question for each in kept])]
    return sorted((of, each.value.get("strength")) for of, each in zip(kinds, kept, strict=True))


def test_undo_takes_the_turns_back_and_sending_it_again_brings_them_back(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    talk = Talk(ada)
    for text, strength in (("One", 4), ("Two", -2)):
        talk.choose(text, strength)
    whole = talk.end()
    both = [("comparison", -2), ("comparison", 4), ("conversation", None)]
    assert standing(served) == both
    for _ in range(2):
        taken = undo(ada, whole)
        assert standing(served) == []
        talk.shown = taken["assignment"]
        whole = talk.end()
        assert standing(served) == both
        ada.post("/api/work/undo", judgement=taken["judgement"], id=taken["id"])  # late, from a slow network
        assert standing(served) == both
    assert len({each.id for each in served.store.judgements()}) == 3


def test_what_was_taken_back_by_itself_stays_so(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    talk = Talk(ada)
    first, _ = talk.choose("One", 4), talk.choose("Two", -2)
    undo(ada, first)
    whole = talk.end()
    assert standing(served) == [("comparison", -2), ("conversation", None)]
    talk.shown = undo(ada, whole)["assignment"]
    assert standing(served) == []
    talk.end()
    assert standing(served) == [("comparison", -2), ("conversation", None)]


def test_an_edited_turn_goes_with_the_whole(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    talk = Talk(ada)
    first = talk.choose("One", 4)
    asked = ada.get(f"/api/work/history/{first}")["assignment"]
    edit = {"judgement": str(uuid.uuid4()), "question": asked["question"], "supersedes": first}
    ada.post("/api/work/answer", **edit, value={"strength": -1})
    whole = talk.end()
    assert standing(served) == [("comparison", -1), ("conversation", None)]
    undo(ada, whole)
    assert standing(served) == []


def test_an_edit_of_the_whole_doubles_nothing(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    talk = Talk(ada)
    first, second = talk.choose("One", 4), talk.choose("Two", -2)
    whole = talk.end()
    shorter = talk.end([first], supersedes=whole)
    assert standing(served) == [("comparison", 4), ("conversation", None)]
    talk.end([first, second], supersedes=shorter)
    assert standing(served) == [("comparison", -2), ("comparison", 4), ("conversation", None)]


def test_a_chat_takes_its_thumbs_and_regenerations_along(served: Services, ada: Someone) -> None:
    ask(served, "chat")
    (shown,) = ada.claim("chat")
    old, new = (responses(say(ada, shown, samples=1))[0] for _ in range(2))
    thumb = judge(shown, [old], {"thumb": "up", "tags": [], "text": ""})
    again = judge(shown, [old, new], {"choice": "better"})
    ada.post("/api/live/thumb", **thumb)
    ada.post("/api/live/regenerate", **again)
    value = {"judgements": [thumb["judgement"], again["judgement"]], "comment": ""}
    whole = ada.answer(shown, value)["receipt"]["id"]
    assert [of for of, _ in standing(served)] == ["chat", "regeneration", "thumbs"]
    back = undo(ada, whole)["assignment"]
    assert standing(served) == []
    ada.answer(back, value)
    assert [of for of, _ in standing(served)] == ["chat", "regeneration", "thumbs"]


def test_a_whole_names_its_own_turns_in_their_order(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    ask(served, "conversation", project="elsewhere")
    one, two = Talk(ada), Talk(ada)
    first, second = one.choose("One"), one.choose("Two")
    other = two.choose("Something else")
    assert "does not continue the turn" in one.refused([second, first])
    assert "was not given in this conversation" in one.refused([first, other])
    assert f"at most {TURNS} judgements" in one.refused([str(uuid.uuid4()) for _ in range(TURNS + 1)])
    one.end()
    assert "belongs to another conversation of yours" in two.refused([first])
    away = Talk(ada, "elsewhere")
    assert "was not given in this conversation" in away.refused([first])  # begun alike, and of another project


def test_responses_that_did_not_come_together_are_no_choice(served: Services, ada: Someone, clock: Clock) -> None:
    ask(served, "conversation")
    ask(served, "chat")
    talk = Talk(ada)
    once, again = talk.hear("Hello"), talk.hear("Hello")
    for pair in ([once[0], again[1]], [once[1], once[0]], [again[0], once[1]]):
        status, detail = ada.refused("/api/live/choose", **judge(talk.shown, pair, {"strength": 1}))
        assert status == 422 and "in this order" in detail
    (shown,) = ada.claim("chat")
    old = responses(say(ada, shown, samples=None))[0]
    clock.now += 1
    new = responses(say(ada, shown, samples=None))[0]
    wrong = judge(shown, [new, old], {"choice": "better"})
    assert ada.refused("/api/live/regenerate", **wrong)[0] == 422
    ada.post("/api/live/regenerate", **judge(shown, [old, new], {"choice": "better"}))


def test_a_talk_has_only_its_own_kind_of_feedback(served: Services, ada: Someone) -> None:
    ask(served, "conversation")
    ask(served, "chat")
    (shown,) = ada.claim("conversation")
    given = responses(say(ada, shown))
    thumb = judge(shown, given[:1], {"thumb": "up", "tags": [], "text": ""})
    assert ada.refused("/api/live/thumb", **thumb)[0] == 422
    (chat,) = ada.claim("chat")
    assert ada.refused("/api/live/choose", **judge(chat, given, {"strength": 1}))[0] == 422
    for assignment, samples in ((shown, 1), (chat, 2)):
        own = {"question": assignment["question"], "lease": assignment["lease"], "say": "Hello"}
        assert ada.refused("/api/live/turn", **own, samples=samples)[0] == 422


def test_a_talk_ends(served: Services, ada: Someone) -> None:
    """After it was sent, when its project is closed, and after fifty turns."""
    ask(served, "conversation")
    talk = Talk(ada)
    talk.choose("One")
    late = judge(talk.shown, talk.hear("Two"), {"strength": 1}, say="Two", turns=talk.turns)
    own = {"question": talk.shown["question"], "lease": talk.shown["lease"], "say": "Three"}
    long = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}] * TURNS
    assert "has had its 50 turns" in ada.refused("/api/live/turn", **own, turns=long)[1]
    whole = talk.end()
    assert ada.refused("/api/live/turn", **own)[0] == 409
    assert ada.refused("/api/live/choose", **late)[0] == 409
    undo(ada, whole)
    say(ada, talk.shown, "Three")
    ada.post("/api/live/choose", **late)
    served.projects.change("tests", "conversation", {"closed": True})
    assert ada.refused("/api/live/turn", **own)[0] == 409


def test_times_of_a_turn_begin_with_its_lease(served: Services, ada: Someone, clock: Clock) -> None:
    ask(served, "conversation")
    talk = Talk(ada)
    clock.now += 60
    body = judge(talk.shown, talk.hear("Hello"), {"strength": 1})
    ada.post("/api/live/choose", **body | {"elapsed": {"shown_ms": 3_600_000, "first_input_ms": 0}})
    (kept,) = served.store.judgements()
    assert kept.submitted_at - kept.shown_at == 60


def test_nobody_asks_for_a_conversation_without_turns(served: Services, join: Callable[..., Someone]) -> None:
    ask(served, "conversation")
    boss = join("Boss", "admin")
    held = {"items": [{"prompt": "Hello"}], "options": {"held": True}}
    assert "held" in boss.refused("/api/projects/conversation/questions", questions=[held])[1]
    new = {"name": "new", "title": "New", "kind": "conversation", "options": {"held": True}}
    assert "held" in boss.refused("/api/projects", **new)[1]
    told = boss.client.patch("/api/projects/conversation", json={"options": {"turns": 2, "held": False}})
    assert told.status_code == 422
