"""What is put in comes out: segments, questions, judgements, and the order in which they count."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sqlalchemy import insert, make_url, text
from sqlalchemy.exc import DBAPIError

from plaudit.feedback import codec
from plaudit.feedback.schema_people import AUDIT
from plaudit.feedback.store import Receipt, Store
from plaudit.types import PlauditError, Question, Segment, Source

SMALL = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)
DTYPES = st.sampled_from(["float32", "float64", "float16", "uint8", "int16", "int64", "bool", "complex64"])


@given(st.data(), st.integers(1, 5), st.booleans())
def test_a_segment_comes_back_bit_for_bit(data: Any, length: int, stateful: bool) -> None:
    observations, actions, states = (
        data.draw(DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, (length, *data.draw(SMALL))))) for _ in range(3)
    )
    segment = Segment(observations, actions, states if stateful else None, Source(1, 2, 3))
    back = codec.unpack(segment.id, *codec.pack(segment), segment.source)
    assert isinstance(back, Segment)
    for name in ("observations", "actions", "states"):
        sent, received = getattr(segment, name), getattr(back, name)
        assert (sent is None) == (received is None)
        if sent is not None:
            assert (
                sent.dtype == received.dtype and sent.shape == received.shape and sent.tobytes() == received.tobytes()
            )
    assert back.source == segment.source


def test_a_transposed_view_keeps_its_meaning() -> None:
    frames = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)
    segment = Segment(frames, np.zeros(4, np.int64))
    back = codec.unpack(segment.id, *codec.pack(segment), None)
    assert isinstance(back, Segment) and (back.observations == frames).all()


@pytest.mark.parametrize("dtype", ["U3", ">f4", "O", "M8[s]"])
def test_a_dtype_that_would_change_is_refused(dtype: str) -> None:
    with pytest.raises(PlauditError, match=r"Segment\.actions has dtype"):
        codec.pack(Segment(np.zeros(2, np.float32), np.zeros(2).astype(dtype)))


def test_pixels_shrink() -> None:
    frames = np.zeros((25, 84, 84, 4), np.uint8)
    frames[:, 40:44, 10:12] = 255
    segment = Segment(frames, np.zeros(25, np.int64))
    assert len(codec.pack(segment)[1]) < frames.nbytes / 50


def test_segments_keep_order_and_source_and_are_stored_once(store: Store, make: Any) -> None:
    segments = make.segments(5)
    assert store.add_items(segments) == 5
    moved = replace(segments[0], source=Source(9, 9, 9))
    assert store.add_items([*segments, moved, moved]) == 0
    ids = [segments[place].id for place in (3, 0, 3, 4)]
    back = store.segments(ids)
    assert [each.id for each in back] == ids
    assert back[1].source == segments[0].source  # the first source stays
    assert store.segments([]) == []


def test_asking_twice_asks_once(store: Store, make: Any) -> None:
    questions, segments = make.pairs(3)
    assert store.ask(questions, segments) == 3
    assert store.ask([*questions, *questions], segments) == 0
    again = [replace(each, round=1) for each in questions]
    assert store.ask([*again, *again, *questions], []) == 3
    for _ in range(2):  # from disk, then from memory
        assert store.questions([again[2].id, questions[0].id]) == [again[2], questions[0]]
    assert (store.open_count(), store.counts().questions, store.counts().segments) == (6, 6, 6)


def test_a_question_about_an_unknown_segment_leaves_nothing_behind(store: Store, make: Any) -> None:
    questions, segments = make.pairs(2)
    with pytest.raises(PlauditError, match=f"no item {segments[3].id}"):
        store.ask(questions, segments[:3])
    assert store.counts().questions == store.counts().segments == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "stroke"}, "no kind of feedback called 'stroke': choose from chat"),
        ({"items": ("a", "b", "c")}, "needs two items"),
    ],
)
def test_a_question_its_kind_refuses(store: Store, make: Any, change: dict[str, Any], message: str) -> None:
    questions, segments = make.pairs(1)
    with pytest.raises(PlauditError, match=message):
        store.ask([replace(questions[0], **change)], segments)


@pytest.mark.parametrize("get", [Store.segments, Store.questions])
def test_unknown_names_are_said(store: Store, get: Callable[[Store, list[str]], object]) -> None:
    with pytest.raises(PlauditError, match=rf"{re.escape(store.database.name)} has no \w+ x \(and 1 more\)"):
        get(store, ["x", "y"])


def test_a_judgement_comes_back_as_it_was_said(store: Store, make: Any) -> None:
    questions, segments = make.pairs(1)
    store.ask(questions, segments)
    said = make.judgement(questions[0], "Zoë", None, rationale="can't see\nthe ball — 球", order=(1, 0))
    assert store.answer([said]) == [Receipt(said.id, "accepted")]
    assert store.judgements() == [said]
    assert [event.judgement for event in store.events()] == [said]


def test_the_same_again_is_a_duplicate_and_another_body_a_conflict(store: Store, make: Any) -> None:
    questions, segments = make.pairs(2)
    store.ask(questions, segments)
    said, more = make.judgement(questions[0]), make.judgement(questions[1])
    assert [receipt.status for receipt in store.answer([said, said])] == ["accepted", "duplicate"]
    for change in (
        {"value": {"strength": 3}},
        {"annotator": "bob"},
        {"question": questions[1].id},
        {"rationale": "on reflection"},
    ):
        with pytest.raises(PlauditError, match=f"{said.id} is stored with another body"):
            store.answer([more, replace(said, **change)])
    assert store.judgements() == [said]  # all or nothing: `more` did not slip in
    again = replace(said, submitted_at=103.0)  # a client that heard no reply sends it again, later
    assert store.answer([again])[0].status == "duplicate" and store.judgements() == [said]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "nowhere"}, "nowhere, which was never asked"),
        ({"value": {"strength": 5}}, "whole number in -4..4"),
        ({"order": (0, 1, 2)}, "3 items in its order, its question has 2"),
        ({"id": " "}, "has no id"),
        ({"rationale": "\ud800"}, "a lone surrogate"),
        ({"rationale": "\0"}, "NUL"),
        ({"value": {"withdrawn": True}}, "withdraws nothing"),
        ({"supersedes": "nothing"}, "supersedes nothing, which is not a judgement on the same question"),
    ],
)
def test_what_cannot_be_a_judgement_is_refused(store: Store, make: Any, change: dict[str, Any], message: str) -> None:
    questions, segments = make.pairs(1)
    store.ask(questions, segments)
    with pytest.raises(PlauditError, match=message):
        store.answer([replace(make.judgement(questions[0]), **change)])
    assert store.counts().judgements == 0


def test_edit_undo_and_think_again(store: Store, make: Any) -> None:
    questions, segments = make.pairs(1)
    store.ask(questions, segments)
    first = make.judgement(questions[0], strength=4)
    edited = replace(make.judgement(questions[0], strength=-1), supersedes=first.id)
    assert [receipt.status for receipt in store.answer([first, edited])] == ["accepted", "accepted"]
    assert store.judgements() == [edited] and store.open_count() == 0
    with pytest.raises(PlauditError, match="which a later one supersedes: name the latest"):
        store.answer([make.withdrawal(first)])
    undo = make.withdrawal(edited)
    assert store.answer([undo]) == [Receipt(undo.id, "accepted")]
    assert store.judgements() == [] and store.open_count() == 1
    with pytest.raises(PlauditError, match="which is a withdrawal already"):
        store.answer([make.withdrawal(undo)])
    assert [lease.question for lease in store.claim("ann")] == questions  # having withdrawn, they may answer again
    restored = replace(make.judgement(questions[0], strength=2), supersedes=undo.id)
    store.answer([restored])
    assert store.judgements() == [restored] and store.open_count() == 0
    assert [event.status for event in store.events()] == ["accepted", "accepted", "withdrawal", "accepted"]


def test_only_the_author_changes_a_judgement(store: Store, make: Any) -> None:
    questions, segments = make.pairs(1)
    store.ask(questions, segments)
    said = make.judgement(questions[0], "ann")
    store.answer([said])
    with pytest.raises(PlauditError, match=r"by bob supersedes .* by ann: only its author"):
        store.answer([make.judgement(questions[0], "bob", supersedes=said.id)])


def test_surplus_is_kept_but_does_not_count(store: Store, make: Any) -> None:
    questions, segments = make.pairs(2)
    store.ask(questions[:1], segments[:2])
    store.ask(questions[1:], segments[2:], judgements_wanted=2)
    single = [make.judgement(questions[0], name) for name in ("ann", "bob")]
    double = [make.judgement(questions[1], name) for name in ("ann", "ann", "bob", "cyd")]
    assert [each.status for each in store.answer(single)] == ["accepted", "surplus"]
    assert [each.status for each in store.answer(double)] == ["accepted", "surplus", "accepted", "surplus"]
    assert store.judgements() == [single[0], double[0], double[2]]
    assert len(list(store.events())) == 6
    counts = store.counts()
    assert (counts.judgements, counts.effective, counts.surplus, counts.open) == (6, 3, 3, 0)
    # A seat falls free; the surplus answer, once edited, may take it.
    store.answer([make.withdrawal(single[0])])
    edited = make.judgement(questions[0], "bob", -2, supersedes=single[1].id)
    assert [each.status for each in store.answer([edited])] == ["accepted"]
    assert store.judgements() == [edited, double[0], double[2]]


def test_judgements_are_ordered_by_round_then_question_then_arrival(store: Store, make: Any, address: str) -> None:
    late, segments = make.pairs(2, round=1)
    early, others = make.pairs(2, round=0)
    store.ask(late, segments)
    store.ask(early, others, judgements_wanted=2)
    said = {
        name: make.judgement(question, who)
        for name, question, who in [
            ("late1", late[1], "ann"),
            ("early1b", early[1], "bob"),
            ("early0", early[0], "ann"),
            ("late0", late[0], "ann"),
            ("early1a", early[1], "ann"),
        ]
    }
    for judgement in said.values():
        store.answer([judgement])
        assert judgement in store.judgements()  # step by step, so that the cache grows by single events
    expected = [said[name] for name in ("early0", "early1b", "early1a", "late0", "late1")]
    assert store.judgements() == expected
    assert store.judgements(0) == expected[:3] and store.judgements(-1) == [] and store.judgements(1) == expected
    with Store.open(address) as other:
        assert other.judgements() == expected  # read at once, the order is the same


def test_questions_are_found_when_memory_is_short(store: Store, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaudit.feedback.rows.REMEMBERED", 1)
    questions, segments = make.pairs(4)
    store.ask(questions, segments)
    for wanted in (questions[:2], questions[1:], questions[::-1]):
        assert store.questions([question.id for question in wanted]) == wanted


def test_a_callers_list_is_its_own(store: Store, make: Any) -> None:
    questions, segments = make.pairs(1)
    store.ask(questions, segments)
    store.answer([make.judgement(questions[0])])
    store.judgements().clear()
    assert len(store.judgements()) == 1


def test_two_stores_on_one_database_see_each_other(store: Store, address: str, make: Any) -> None:
    questions, segments = make.pairs(2)
    with Store.open(address, create=False) as other:
        store.ask(questions, segments)
        assert other.open_count() == 2
        said = make.judgement(questions[0])
        other.answer([said])
        assert store.judgements() == [said]


def test_facts_cannot_be_changed_by_any_program(store: Store, make: Any) -> None:
    questions, segments = make.pairs(1)
    store.ask(questions, segments)
    store.answer([make.judgement(questions[0])])
    columns = {"segments": "data", "questions": "wording", "question_items": "position", "judgements": "value"}
    with store.database.write() as connection:
        connection.execute(insert(AUDIT), {"at": 0.0, "who": "ann", "action": "look", "subject": "all"})
    for table, column in (columns | {"audit": "who"}).items():
        statements = [f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"]
        if connection.dialect.name == "postgresql":  # SQLite has no such statement
            statements.append(f"TRUNCATE {table} CASCADE")
        for statement in statements:
            with pytest.raises(DBAPIError, match="is append-only"), store.database.write() as connection:
                connection.execute(text(statement))


def test_pragmas(path: Path) -> None:
    names = ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
    with Store.open(path) as store:
        with store.database.write() as connection:
            read = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}
        assert read == {"journal_mode": "wal", "busy_timeout": 5000, "foreign_keys": 1, "synchronous": 2}  # 2: FULL
        with store.database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1


def test_one_statement_is_one_call_of_sqlite(path: Path) -> None:
    """A transaction around a single statement costs two further calls, in which the thread gives up the interpreter."""
    with Store.open(path) as store:
        calls: list[str] = []
        for transaction in (store.database.look, store.database.read):
            with transaction() as connection:
                raw: Any = connection.connection.driver_connection
                raw.set_trace_callback(calls.append)
                assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1
                assert connection.exec_driver_sql("SELECT count(*) FROM judgements").scalar() == 0
            raw.set_trace_callback(None)
        single = ["PRAGMA query_only", "SELECT count(*) FROM judgements"]
        assert calls == [*single, *single, "COMMIT"]


def test_settings_of_a_postgresql_session(postgres: Any, postgres_url: str) -> None:
    database = make_url(postgres_url).database
    postgres.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
    postgres.sql(f"ALTER DATABASE {database} SET default_transaction_isolation = serializable")
    with Store.open(postgres_url) as store:
        with store.database.write() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
            assert connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
        with store.database.read() as connection:
            assert connection.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"
            assert connection.execute(text("SHOW transaction_read_only")).scalar() == "on"


def test_threads_share_a_store(store: Store, make: Any) -> None:
    questions, segments = make.pairs(40)
    store.ask(questions, segments)

    def drain(name: str) -> None:
        while leases := store.claim(name, limit=2):
            store.answer([make.judgement(lease.question, name) for lease in leases])
            store.judgements()

    threads = [threading.Thread(target=drain, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [judgement.question for judgement in store.judgements()] == [question.id for question in questions]
    assert store.counts().surplus == 0


def test_fast_enough_for_an_oracle_and_for_every_fit(store: Store, make: Any) -> None:
    """300 questions in well under a second; judgements() after each fit in milliseconds (bounds ten times loose).

    The processor's time and the best of ten, because on a busy machine a clock measures what others do.
    """
    segments = make.segments(600)
    ids = [segment.id for segment in segments]
    questions = [Question("comparison", pair, "Which?") for pair in zip(ids[::2], ids[1::2], strict=True)]
    started = time.process_time()
    store.ask(questions, segments)
    while leases := store.claim("oracle", limit=64):
        store.segments([item for lease in leases for item in lease.question.items])
        store.answer([make.judgement(lease.question, "oracle") for lease in leases])
    asked = time.process_time() - started
    assert len(store.judgements()) == 300
    again = []
    for _ in range(10):
        started = time.perf_counter()
        store.judgements()
        again.append(time.perf_counter() - started)
    assert asked < 4.0 and min(again) < 0.1, f"{asked:.3f} s to ask and answer, {min(again):.4f} s for judgements()"
