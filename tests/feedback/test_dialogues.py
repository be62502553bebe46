"""Conversations as items: their names, their parts, and that any text comes back as it was."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from plaudit.feedback import codec
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Store
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question, Segment

from .refusals import assert_refused

TEXTS = st.text(st.characters())  # NUL and lone surrogates too
ROLES = st.sampled_from(["system", "user", "assistant"])
# What a dialogue is made of; it is made in the test, for beartype draws at random when it looks into it.
PARTS = st.tuples(st.lists(st.tuples(ROLES, TEXTS), min_size=1, max_size=4), st.none() | TEXTS)
ODD = "a\0b \ud800 \U0001f44d\U0001f3fd e\u0301 \u202e\r\n\u2028 球"


def talk(*turns: str, model: str | None = None) -> Dialogue:
    """User and assistant by turns."""
    roles = ("user", "assistant")
    return Dialogue(tuple(Message(roles[place % 2], text) for place, text in enumerate(turns)), model)


def made(parts: Any) -> Dialogue:
    return Dialogue(tuple(Message(*each) for each in parts[0]), parts[1])


@given(PARTS)
def test_a_dialogue_comes_back_character_for_character(parts: Any) -> None:
    dialogue = made(parts)
    back = codec.unpack(dialogue.id, *codec.pack(dialogue), None)
    assert back == dialogue and back.id == dialogue.id


@given(PARTS, PARTS)
def test_different_dialogues_have_different_names(parts: Any, others: Any) -> None:
    one, other = made(parts), made(others)
    assert (one.id == other.id) == (one == other)


def test_prompt_and_response() -> None:
    asked, answered = talk("hello"), talk("hello", "hi")
    assert (asked.prompt, asked.response) == ((Message("user", "hello"),), None)
    assert (answered.prompt, answered.response) == (asked.messages, "hi")
    assert talk("hello", "hi", "bye").response is None


def test_what_is_no_message() -> None:
    with pytest.raises((ValueError, TypeCheckError), match="role"):
        Message("model", "hi")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Dialogue\.messages is empty"):
        Dialogue(())


def test_names_do_not_change_between_releases() -> None:
    """The first two as the release before computed them: stores hold these names."""
    question = Question("comparison", ("left", "right"), "Which is better?", "2", 7)
    assert question.id == "b88eccbd507158281df8c370e9512d82"
    segment = Segment(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 2], np.int64))
    assert segment.id == "76b754de5541a644b7a0ac3ce8c25ccf"
    assert talk("hello", ODD, model="m").id == "ee880ef70f982c0f72676561e5d4309c"
    elsewhere = Question("comparison", ("left", "right"), "Which is better?", "2", 7, "chats", {"scale": "eight"})
    assert elsewhere.id == "9f02b34bcaca8eec8e113e1c4293a51d"


def test_a_question_is_named_by_everything_it_asks() -> None:
    """Each field changes the name; the order in which options are written does not."""
    plain = Question("ranking", ("a", "b"), "Rank.")
    others = [
        Question("ranking", ("b", "a"), "Rank."),
        Question("comparison", ("a", "b"), "Rank."),
        Question("ranking", ("a", "b"), "Rank!"),
        Question("ranking", ("a", "b"), "Rank.", "2"),
        Question("ranking", ("a", "b"), "Rank.", "1", 1),
        Question("ranking", ("a", "b"), "Rank.", project="chats"),
        Question("ranking", ("a", "b"), "Rank.", options={"ideal": True}),
        Question("ranking", ("a", "b"), "Rank.", options={"ideal": False}),
    ]
    assert len({plain.id, *(each.id for each in others)}) == 9
    one, other = {"ideal": True, "ratings": False}, {"ratings": False, "ideal": True}
    assert Question("ranking", ("a", "b"), "Rank.", options=one) == Question(
        "ranking", ("a", "b"), "Rank.", options=other
    )
    assert len({Question("ranking", ("a", "b"), "Rank.", options=each).id for each in (one, other)}) == 1
    with pytest.raises(ValueError, match=r"Question\.project is empty"):
        Question("ranking", ("a", "b"), "Rank.", project=" ")


def test_dialogues_are_stored_beside_segments(store: Store, make: Any) -> None:
    dialogues = [talk(ODD, f"{number} {ODD}", model="m") for number in range(2)]
    segment = make.segments(1)[0]
    question = Question(
        "comparison",
        tuple(each.id for each in dialogues),
        kind("comparison").wording,
        "1",
        0,
        "chats",
        {"scale": "eight"},
    )
    assert store.ask([question], [*dialogues, segment]) == 1
    ids = [dialogues[1].id, segment.id, dialogues[0].id]
    assert [each.id for each in store.items(ids)] == ids
    assert store.items(ids)[::2] == dialogues[::-1]
    assert store.questions([question.id]) == [question]
    assert store.questions([question.id])[0].options == {"scale": "eight"}
    with assert_refused(dialogues[1].id, "is a dialogue, but a segment was requested"):
        store.segments(ids)


def test_any_text_may_be_said_in_an_answer_but_what_is_no_unicode(store: Store) -> None:
    dialogue = talk("hello")
    question = Question("demonstration", (dialogue.id,), "Write.")
    store.ask([question], [dialogue])
    fine = ODD.replace("\ud800", "")
    said = judgement(question, "first", fine)
    assert store.answer([said])[0].status == "accepted"
    assert store.judgements() == [said]
    with assert_refused("lone surrogate", "send UTF-8"):
        store.answer([judgement(question, "second", "\ud800")])
    with assert_refused("lone surrogate", "send UTF-8"):
        store.record([(question, judgement(question, "third", ODD))], [])
    assert store.counts().judgements == 1


def judgement(question: Question, identity: str, words: str) -> Any:
    return Judgement(question.id, "ann", {"text": words}, (0,), 0.0, 1.0, 2.0, identity)


@pytest.mark.parametrize(
    "body",
    [
        b"no deflated bytes",
        zlib.compress(b"{"),
        zlib.compress(b"[]"),
        zlib.compress(b"null"),
        zlib.compress(json.dumps({"messages": []}).encode()),
        zlib.compress(json.dumps({"messages": [], "model": None}).encode()),
        zlib.compress(json.dumps({"messages": [["user"]], "model": None}).encode()),
        zlib.compress(b'{"messages": [["user", "\xff"]], "model": null}'),
    ],
)
def test_bytes_that_are_no_dialogue(body: bytes) -> None:
    with assert_refused("item name cannot be read", "restore the store from a copy"):
        codec.unpack("name", codec.DIALOGUE, body, None)


def test_a_dialogue_that_was_changed() -> None:
    with assert_refused("has changed on disk"):
        codec.unpack(talk("hello").id, *codec.pack(talk("hullo")), None)
    with pytest.raises(PlauditError, match="plain JSON"):
        codec.to_json({"x": float("nan")})
