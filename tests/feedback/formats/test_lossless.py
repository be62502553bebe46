"""Plaudit's own lines: any history, out and in again, is the same history."""

import base64
import io
import json
import shutil
import tempfile
import uuid
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.feedback.formats import find_format
from plaudit.feedback.formats.incoming import import_file
from plaudit.feedback.formats.outgoing import Choice, export
from plaudit.feedback.store import Store
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question, Segment, Source

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAME = TEXT.filter(str.strip)
TIMES = st.tuples(*[st.floats(0, 2e9)] * 3).map(lambda times: (min(times), sorted(times)[1], max(times)))


# Plain values are drawn, and the nouns made of them afterwards: the types are checked with random numbers, which
# Hypothesis does not want to see while it draws.
SEGMENT = st.tuples(st.just("segment"), st.integers(1, 4), st.sampled_from(["f4", "u1", "i8"]), st.booleans())
PLACE = st.none() | st.tuples(*[st.integers(0, 9)] * 3)
MESSAGE = st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=12))
DIALOGUE = st.tuples(st.just("dialogue"), st.lists(MESSAGE, min_size=1, max_size=3).map(tuple), st.none() | TEXT)
ITEMS = st.lists(st.tuples(SEGMENT | DIALOGUE, PLACE), min_size=2, max_size=5, unique_by=lambda item: item[0])
PURPOSES = st.sampled_from(["train", "gold", "repeat"])
QUESTION = st.tuples(NAME, TEXT, NAME, st.sampled_from(["", "choice"]), PURPOSES, st.integers(1, 3), st.integers(0, 9))
STRENGTH = st.none() | st.integers(-4, 4)
ANSWER = st.tuples(st.integers(0, 9), NAME, STRENGTH, st.booleans(), TIMES, st.none() | TEXT)
WHAT = st.sampled_from(["answer", "edit", "withdraw"])


def item_of(drawn: tuple[Any, ...], place: tuple[int, ...] | None) -> Segment | Dialogue:
    if drawn[0] == "dialogue":
        return Dialogue(tuple(Message(*each) for each in drawn[1]), drawn[2])
    _, length, dtype, states = drawn
    rng = np.random.default_rng(length)
    observations = (9 * rng.random((length, 3))).astype(dtype)
    source = Source(*place) if place else None
    return Segment(observations, rng.integers(0, 3, length), rng.random((length, 2)) if states else None, source)


def fill(store: Store, drawn_items: list, drawn_questions: list, drawn_answers: list) -> None:
    """Questions, then judgements of which some are edits, withdrawals or one too many."""
    items = [item_of(*each) for each in drawn_items]
    questions = []
    for number, (wording, guideline, project, scale, purpose, wanted, turn) in enumerate(drawn_questions):
        pair = [items[turn % len(items)], items[(turn + 1) % len(items)]]
        ids = (pair[0].id, pair[1].id)
        question = Question("comparison", ids, wording, guideline, number, project, {"scale": scale} if scale else {})
        questions.append(question)
        store.ask([question], pair, wanted, purpose)
    standing: list[Judgement] = []
    for number, (what, (which, who, strength, swapped, times, why)) in enumerate(drawn_answers):
        before = standing[which % len(standing)] if standing and what != "answer" else None
        withdraw = before is not None and "strength" in before.value and what == "withdraw"
        judgement = Judgement(
            before.question if before else questions[which % len(questions)].id,
            before.annotator if before else who,
            {"withdrawn": True} if withdraw else {"strength": strength},
            (1, 0) if swapped else (0, 1),
            *times,
            id=str(uuid.UUID(int=number)),
            rationale=why,
            supersedes=before and before.id,
        )
        store.answer([judgement])
        standing = [each for each in standing if each is not before] + [judgement]


def dump(store: Store, choice: Choice | None = None) -> bytes:
    stream = io.BytesIO()
    export(store, find_format("plaudit"), stream, choice)
    return stream.getvalue()


@settings(max_examples=20)
@given(
    items=ITEMS,
    questions=st.lists(QUESTION, min_size=1, max_size=4),
    answers=st.lists(st.tuples(WHAT, ANSWER), max_size=8),
)
def test_any_history_comes_back(empty_file: Path, items: list, questions: list, answers: list):
    with tempfile.TemporaryDirectory() as folder:
        first, second, file = (Path(folder) / name for name in ("a.sqlite", "b.sqlite", "all.jsonl"))
        for path in (first, second):
            shutil.copyfile(empty_file, path)
        with Store.open(first) as store, Store.open(second) as other:
            fill(store, items, questions, answers)
            file.write_bytes(dump(store))
            assert import_file(other, file).problems.first == []
            assert dump(other) == dump(store)
            assert other.counts() == store.counts()
            assert list(other.events()) == list(store.events())  # numbers, statuses and purposes too
            assert other.judgements() == store.judgements()
            for project in {question.project for question in _questions(store)}:
                assert dump(other, Choice(project)) == dump(store, Choice(project))


def _questions(store: Store) -> list[Question]:
    names = [json.loads(line).get("question") for line in dump(store).split(b"\n")[:-1]]
    return store.questions([name for name in names if name])


def test_each_field_of_the_golden_file(exchange):
    golden = Path(__file__).parent / "golden" / "plaudit.jsonl"
    exchange.load(golden)
    written = [json.loads(line) for line in exchange.dump("plaudit")[0].split(b"\n")[:-1]]
    expected = [json.loads(line) for line in golden.read_bytes().split(b"\n")[:-1]]
    for rows in (written, expected):
        for row in rows:
            if "data" in row:  # deflated by whichever zlib there is
                row["data"] = zlib.decompress(base64.b64decode(row["data"]))
    assert written == expected
    events = list(exchange.store.events())
    assert [event.status for event in events].count("surplus") == 1
    assert [event.status for event in events].count("withdrawal") == 1
    assert {event.purpose for event in events} == {"train", "gold"}
    assert exchange.store.open_count() == 13


def test_parts(exchange):
    """A project or a kind by itself is a whole file."""
    exchange.load(Path(__file__).parent / "golden" / "plaudit.jsonl")
    for choice, questions in ((Choice("talk"), 4), (Choice(kinds=("comparison",)), 4), (Choice("nowhere"), 0)):
        lines = exchange.dump("plaudit", choice)[0].split(b"\n")[:-1]
        assert sum(line.startswith(b'{"question"') for line in lines) == questions
        with Store.open(exchange.folder / "part.sqlite") as fresh:
            part = exchange.write("part.jsonl", b"\n".join(lines))
            assert import_file(fresh, part).problems.count == 0
            assert dump(fresh, choice) == b"\n".join(lines) + b"\n"
        for file in exchange.folder.glob("part.sqlite*"):
            file.unlink()


TAMPERED = {
    "a text": (b"Sehr gut!", b"Sehr gut?", None),  # a judgement says what it says
    "a dialogue": (b'"Gut."', b'"Gut!"', "but its content is that of"),
    "a wording": (b"Rank the outputs", b"Rank these outputs", "field 'question' is "),
    "a segment": (b'"data": "eAE', b'"data": "eAF', "field 'data' does not match its id: item "),
    "no base64": (b'"data": "eAE', b'"data": "*AE', "field 'data' is not base64"),
    "a later version": (b'{"plaudit": 1}', b'{"plaudit": 2}', "is version 2, but this Plaudit reads 1: upgrade"),
    "a purpose": (b'"purpose": "gold"', b'"purpose": "fun"', "field 'purpose' must be train, gold or repeat"),
    "the times": (b'"submitted_at": 1700000012.5', b'"submitted_at": 0.5', "times must be finite"),
    "an order": (b'"order": [2, 0, 1]', b'"order": [2, 0, "1"]', "field 'order' must be whole numbers"),
}


@pytest.mark.parametrize(("old", "new", "line"), TAMPERED.values(), ids=TAMPERED.keys())
def test_a_file_that_was_changed(exchange, old: bytes, new: bytes, line: str | None):
    text = (Path(__file__).parent / "golden" / "plaudit.jsonl").read_bytes()
    assert old in text
    result = exchange.load(exchange.write("all.jsonl", text.replace(old, new)))
    if line is None:
        assert result.problems.count == 0
    else:
        assert line in result.problems.first[0], result.problems.first


def test_only_what_stood_there_when_it_began(exchange):
    """What arrives while a file is written waits for the next one, and the file is whole."""
    exchange.load(Path(__file__).parent / "golden" / "plaudit.jsonl")
    before = exchange.dump("plaudit")[0]
    (open_one,) = exchange.store.claim("late")
    late = Judgement(open_one.question.id, "late", {"strength": 1}, (0, 1), 0.0, 0.0, 0.0, "late")

    class Slow(io.BytesIO):
        def write(self, data) -> int:
            if not self.tell():
                exchange.store.answer([late])
            return super().write(data)

    stream = Slow()
    export(exchange.store, find_format("plaudit"), stream)
    assert stream.getvalue() in (before, exchange.dump("plaudit")[0])


def test_a_reply_is_as_it_was_asked(exchange):
    with pytest.raises(PlauditError, match="there is no format"):
        exchange.dump("nothing")
