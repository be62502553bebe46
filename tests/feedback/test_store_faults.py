"""Whatever is wrong with the file or the disk is one clear line, and nothing acknowledged is lost by it."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from plaudit.feedback.store import Store, StoreUnavailable

from .refusals import assert_refused

FILL = Path(__file__).with_name("store_fill.py")


def filled(path: Path, make: Any, questions: int = 60) -> None:
    with Store.open(path) as store:
        asked, segments = make.pairs(questions)
        store.ask(asked, [*segments, *make.segments(questions)])
        store.answer([make.judgement(question) for question in asked])


def test_there_is_nothing_to_open(tmp_path: Path) -> None:
    with assert_refused("no feedback store at", "feedback.sqlite", "start a run"):
        Store.open(tmp_path / "feedback.sqlite", create=False)
    with assert_refused("no folder", "missing", "create it first"):
        Store.open(tmp_path / "missing" / "feedback.sqlite")
    with assert_refused("is a folder", "name a file in it"):
        Store.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mysql://host/db", "stores are SQLite files or PostgreSQL databases"),
        ("sqlite://", "stores are SQLite files"),
        ("sqlite:///:memory:", "stores are SQLite files"),
        ("no such://thing", "not the address of a store"),
    ],
)
def test_other_addresses_are_refused(address: str, words: str) -> None:
    with assert_refused(words, "sqlite:///PATH"):
        Store.open(address)


def test_an_address_and_odd_characters_in_a_path(tmp_path: Path, make: Any) -> None:
    folder = tmp_path / "a b%20c#d?e'ü"
    folder.mkdir()
    filled(folder / "feed back.sqlite", make, 1)
    shutil.copy(folder / "feed back.sqlite", tmp_path / "plain.sqlite")
    with Store.open(f"sqlite:///{tmp_path}/plain.sqlite", create=False) as store:
        assert len(store.judgements()) == 1
    assert sorted(each.name for each in folder.iterdir()) == ["feed back.sqlite", "feed back.sqlite.lock"]


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"holiday photograph" * 1000)
    with assert_refused(str(path), "damaged or not a Plaudit store", "give another path"):
        Store.open(path)
    assert path.read_bytes() == b"holiday photograph" * 1000
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_another_programs_database_is_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    before = path.read_bytes()
    with assert_refused(str(path), "not a Plaudit store"):
        Store.open(path)
    assert path.read_bytes() == before  # not even switched to write-ahead logging
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_store_from_a_newer_version(path: Path) -> None:
    Store.open(path).close()
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with assert_refused(str(path), "another version of Plaudit", "9999", "upgrade Plaudit"):
        Store.open(path)


@pytest.mark.parametrize("harm", ["cut short", "overwritten"])
def test_a_damaged_store(path: Path, make: Any, harm: str) -> None:
    filled(path, make)
    content = path.read_bytes()
    middle = b"\xa5" * (len(content) - 8192)  # all but the first pages, so that it still opens as a database
    path.write_bytes(content[:8192] + (middle if harm == "overwritten" else b""))
    with assert_refused(str(path), "damaged", "restore it from a copy"), Store.open(path) as store:
        store.judgements()
        list(store.events())
        store.claim("bob")


def test_a_segment_changed_on_disk_is_not_handed_out(path: Path, make: Any) -> None:
    segments = make.segments(2)
    with Store.open(path) as store:
        store.add_items(segments)
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("DROP TRIGGER segments_no_update")
        raw.execute("UPDATE segments SET data = (SELECT data FROM segments WHERE id = ?)", [segments[0].id])
    raw.close()
    with Store.open(path) as store:
        assert store.segments([segments[0].id])[0].id == segments[0].id
        with assert_refused(segments[1].id, "changed on disk", "restore"):
            store.segments([segments[1].id])


def test_a_segment_whose_bytes_make_no_sense(path: Path, make: Any) -> None:
    segment = make.segments(1)[0]
    with Store.open(path) as store:
        store.add_items([segment])
        raw = sqlite3.connect(path)
        with raw:
            raw.execute("DROP TRIGGER segments_no_update")
            raw.execute("UPDATE segments SET data = x'00ff'")
        with assert_refused(segment.id, "cannot be read", "restore"):
            store.segments([segment.id])
        with raw:
            raw.execute("UPDATE segments SET encoding = 'parquet'")
        raw.close()
        with assert_refused(segment.id, "'parquet'", "upgrade"):
            store.segments([segment.id])


def test_a_database_locked_by_another_program(path: Path, make: Any) -> None:
    questions, segments = make.pairs(1)
    with Store.open(path, busy_seconds=0.05) as store:
        store.ask(questions, segments)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with assert_refused(str(path), "locked by another program", "close"):
            store.answer([make.judgement(questions[0])])
        assert store.judgements() == []  # readers go on
        other.execute("ROLLBACK")
        other.close()
        store.answer([make.judgement(questions[0])])
        assert len(store.judgements()) == 1


def test_too_many_readers_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(path) as store, ExitStack() as readers:
        for _ in range(4):
            readers.enter_context(store.database.read())
        monkeypatch.setattr(store.database._readers.pool, "_timeout", 0.05)  # type: ignore[attr-defined]
        with assert_refused(str(path), "too many readers at once", "try again", by=StoreUnavailable):
            store.open_count()


def test_waiting_for_ones_turn_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaudit.feedback.sqlite.QUEUE_SECONDS", 0.05)
    with Store.open(path) as store, Store.open(path) as other, store.database.write():
        with assert_refused(str(path), "held by another process"):
            other.release("token")
        with assert_refused(str(path), "busy", "in this process"):
            store.release("token")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_store_is_not_carried_through_a_fork(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with assert_refused("opened before a fork", "open it in each process"):
        store.open_count()
    with assert_refused("opened before a fork"):
        store.claim("ann")
    monkeypatch.undo()


def test_a_closed_store_says_so(address: str) -> None:
    store = Store.open(address)
    store.close()
    store.close()
    for use in (store.judgements, store.open_count, lambda: store.claim("ann")):
        with assert_refused(store.database.name, "closed", "open it again"):
            use()


def test_what_no_database_can_hold(store: Store, make: Any) -> None:
    questions, segments = make.pairs(1)
    for odd in (replace(questions[0], wording="\ud800"), replace(questions[0], round=2**70)):
        with assert_refused("cannot store this"):
            store.ask([odd], segments)
    with assert_refused("cannot store this", "surrogates"):
        store.claim("\ud800")
    with assert_refused("cannot store this", "surrogates"):
        store.renew("\ud800")
    assert store.counts().questions == 0


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with assert_refused(str(path), "may be written", "folder"):
            Store.open(path)
    finally:
        path.parent.chmod(0o700)


def test_a_lock_file_that_cannot_be_made(path: Path) -> None:
    Path(f"{path}.lock").mkdir()
    with assert_refused("cannot write beside", str(path)):
        Store.open(path)


@pytest.fixture
def few_pages() -> Iterator[Callable[[int], None]]:
    """Lets connections that are made from now on use only so many pages of 4 KiB."""
    listeners: list[Any] = []

    def limit(pages: int) -> None:
        def connected(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}")

        event.listen(Engine, "connect", connected)
        listeners.append(connected)

    yield limit
    for each in listeners:
        event.remove(Engine, "connect", each)


def test_a_full_database_keeps_what_it_acknowledged(path: Path, make: Any, few_pages: Callable[[int], None]) -> None:
    few_pages(60)
    acknowledged: list[str] = []
    with Store.open(path) as store, assert_refused(str(path), "no room to write", "free some disk space"):
        while True:
            questions, segments = make.pairs(5)
            store.ask(questions, segments)
            judgements = [make.judgement(question) for question in questions]
            acknowledged += [receipt.id for receipt in store.answer(judgements)]
    assert acknowledged
    with Store.open(path) as store:
        assert [event.judgement.id for event in store.events()] == acknowledged


@pytest.mark.skipif(sys.platform == "win32", reason="limits on a file's size are POSIX")
def test_a_full_disk_keeps_what_it_acknowledged(path: Path) -> None:
    """A process whose files may not grow past 2 MB gets one line, and the next process finds every judgement."""
    run = subprocess.run([sys.executable, str(FILL), str(path), "2000000"], capture_output=True, text=True, check=False)
    acknowledged = run.stdout.split()
    assert run.returncode == 2 and len(acknowledged) > 20, run.stderr
    assert re.fullmatch(r".*feedback\.sqlite.*(space).*everything acknowledged is kept\n", run.stderr), run.stderr
    with Store.open(path) as store:
        assert [event.judgement.id for event in store.events()] == acknowledged
        assert store.open_count() == 0 or store.claim("next")  # and the queue goes on
