"""What is imitated: every kind it is read from, turns of conversations, and that nobody learns the user's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plaudit.feedback.formats import Setting
from plaudit.feedback.formats._record import Answer, make
from plaudit.feedback.formats.incoming import Reading, import_file
from plaudit.feedback.store import Store
from plaudit.language.demonstrations import read_demonstrations
from plaudit.language.models import LanguageModel
from plaudit.language.template import TRANSCRIPT
from plaudit.language.text import Chat
from plaudit.types import Dialogue, Message

Tiny = Callable[..., LanguageModel]
TALK = [("user", "the cat?"), ("assistant", "it sat"), ("user", "thank you"), ("assistant", "please go on")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "feedback.sqlite") as opened:
        yield opened


def say(store: Store, kind: str, items: list[Dialogue], value: dict, project: str = "default") -> None:
    record = make(kind, items, [Answer("ann", value)], Setting(project))
    assert record.question is not None
    store.ask([record.question], record.items)
    store.answer(record.judgements)


def load(store: Store, path: Path, *rows: object) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert import_file(store, path, Reading(strict=True)).problems.count == 0


def replies(*texts: str) -> list[Dialogue]:
    return [Dialogue((Message("user", "the cat?"), Message("assistant", text))) for text in texts]


def texts_of(trees: list, chat: Chat) -> list[str]:
    return [chat.text(tree.completions[0]) for tree in trees]


def test_each_turn_of_the_assistant_and_none_of_the_users(tiny: Tiny, store: Store, tmp_path: Path) -> None:
    chat = Chat(tiny())
    load(store, tmp_path / "talk.jsonl", {"messages": [{"role": role, "content": text} for role, text in TALK]})
    trees, counts = read_demonstrations(store, chat, 512)
    assert texts_of(trees, chat) == ["it sat", "please go on"]
    assert (counts.used, counts.cut, counts.refused, counts.earlier) == (2, 0, [], 0)
    assert chat.tokenizer.decode(trees[1].prompt) == (
        "<|user|>the cat?<|end|><|assistant|>it sat<|end|><|user|>thank you<|end|><|assistant|>"
    )
    assert all(tree.completions[0][-1] in chat.ends and (tree.completions[0][:-1] != 0).all() for tree in trees)

    last, counts = read_demonstrations(store, chat, 512, turns="last")
    assert texts_of(last, chat) == ["please go on"]
    assert (counts.used, counts.earlier) == (1, 1) and "1 earlier turns" in str(counts)


def test_every_kind_that_can_be_imitated(tiny: Tiny, store: Store, tmp_path: Path) -> None:
    chat = Chat(tiny())
    load(store, tmp_path / "pairs.jsonl", {"prompt": "the mat?", "completion": "thank you"})
    say(store, "correction", replies("the cat sat"), {"text": "the cat sat on the mat"})
    say(store, "comparison", replies("yes", "no"), {"strength": -2})
    say(store, "comparison", replies("yes", "so"), {"strength": 0})
    say(store, "ranking", replies("a", "b", "c"), {"ranks": [2, 1, 1]}, "best")
    say(store, "critique", replies("yes"), {"text": "too short"})

    trees, counts = read_demonstrations(store, chat, 512)
    assert texts_of(trees, chat) == ["thank you", "the cat sat on the mat"]
    assert (counts.used, counts.other_kinds, counts.said_nothing) == (2, 4, 0)
    trees, counts = read_demonstrations(store, chat, 512, chosen=["best"])
    assert texts_of(trees, chat) == ["thank you", "the cat sat on the mat", "b", "c"]
    trees, counts = read_demonstrations(store, chat, 512, chosen=True)
    assert texts_of(trees, chat) == ["thank you", "the cat sat on the mat", "no", "b", "c"]
    assert (counts.used, counts.other_kinds, counts.said_nothing) == (5, 1, 1)


def test_what_is_cut_and_what_is_refused_is_counted(tiny: Tiny, store: Store) -> None:
    chat = Chat(tiny())
    chat.tokenizer = type(chat.tokenizer)(tokenizer_object=chat.tokenizer.backend_tokenizer, eos_token="<|end|>")
    chat.tokenizer.chat_template = TRANSCRIPT.replace(
        "{% for", "{% if messages[0]['content'] == 'no' %}{{ raise_exception('not this one') }}{% endif %}{% for", 1
    )
    say(store, "demonstration", [Dialogue((Message("user", "the cat"),))], {"text": "the mat, please. " * 40})
    say(store, "demonstration", [Dialogue((Message("user", "no"),))], {"text": "thank you"})
    trees, counts = read_demonstrations(store, chat, 64)
    assert (
        len(trees) == counts.used == counts.cut == 1 and sum(map(len, (trees[0].prompt, *trees[0].completions))) == 64
    )
    (refused,) = counts.refused
    assert "not this one" in refused and refused.startswith("question ")
    assert str(counts) == "1 used, 0 said nothing, 0 of other kinds, 1 cut, 1 refused"
