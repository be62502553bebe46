"""The tables can be made, unmade and made again, and are what the schema says."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from plaudit.feedback import migrate
from plaudit.feedback.database import Database
from plaudit.feedback.postgres import PostgresDatabase
from plaudit.feedback.schema import REVISION
from plaudit.feedback.schema_people import METADATA
from plaudit.feedback.sqlite import SqliteDatabase
from plaudit.feedback.store import Store
from plaudit.types import Judgement, Question

from .. import stores

pytestmark = pytest.mark.usefixtures("migrated")
TABLES = set(METADATA.tables)
OLD_ID = "4d570fc33fab9dcd007305fba5c4afbc"  # what the release before projects called the question below


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


@pytest.fixture
def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every store of a test here is migrated."""
    monkeypatch.setattr(migrate, "upgrade", stores.MIGRATE)


def test_tables_of_new_stores_are_those_of_migrated_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests open is what the migrations make, to the letter."""
    monkeypatch.setattr(stores, "STATEMENTS", [])
    scripts = []
    for name, upgrade in (("a", stores.MIGRATE), ("b", stores.upgrade), ("c", stores.upgrade)):
        monkeypatch.setattr(migrate, "upgrade", upgrade)
        Store.open(tmp_path / name).close()
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as connection:
            scripts.append("\n".join(connection.iterdump()))
    assert stores.STATEMENTS and scripts[0] == scripts[1] == scripts[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a store that has no tables yet, on each database."""
    if request.param == "sqlite":
        yield str(request.getfixturevalue("path"))
        return
    server = request.getfixturevalue("postgres")
    name = server.create()
    yield server.address(name)
    server.drop(name)


def connect(address: str) -> Database:
    return PostgresDatabase(address) if address.startswith("postgresql:") else SqliteDatabase(Path(address))


def test_up_down_and_up_again(bare: str, make: Any) -> None:
    database = connect(bare)
    for _ in range(2):
        with database.write() as connection:
            migrate.upgrade(connection)
        assert tables(database) == TABLES
        with database.write() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
            migrate.downgrade(connection, "base")
        assert tables(database) == set()
    database.close()
    with Store.open(bare) as store:  # an emptied store is brought up again when it is opened
        questions, segments = make.pairs(1)
        store.ask(questions, segments)
        assert tables(store.database) == TABLES and store.open_count() == 1


def test_a_store_of_format_0001_keeps_what_it_holds(bare: str) -> None:
    """A question asked then has the id it had, stands in the default project's queue, and goes on."""
    database = connect(bare)
    old = Question("comparison", ("a" * 32, "b" * 32), "Which clip is better?", round=3)
    with database.write() as connection:
        migrate.upgrade(connection, "0001")
        for name in old.items:
            connection.execute(text("INSERT INTO segments (id, encoding, data) VALUES (:id, 'none', '')"), {"id": name})
        head = {"id": OLD_ID, "wording": old.wording}
        connection.execute(
            text(
                "INSERT INTO questions (id, kind, wording, guideline, round, wanted) "
                "VALUES (:id, 'comparison', :wording, '1', 3, 1)"
            ),
            head,
        )
        for position, name in enumerate(old.items):
            place = {"position": position, "name": name}
            connection.execute(text("INSERT INTO question_items VALUES (1, :position, :name)"), place)
        connection.execute(text("INSERT INTO open_questions (question, seats) VALUES (1, 1)"))
        connection.execute(text("INSERT INTO leases VALUES ('token', 1, 'ann', 5.0)"))
    database.close()
    with Store.open(bare, create=False) as store:
        assert store.questions([OLD_ID]) == [old]
        assert store.claim("bob", now=4.0) == []
        (lease,) = store.claim("bob", now=6.0)
        assert lease.question == old
        said = Judgement(old.id, "bob", {"strength": 4}, (0, 1), 0.0, 1.0, 2.0, "first")
        assert store.answer([said], [lease.token])[0].status == "accepted"
        assert store.judgements() == [said] and store.open_count() == 0
        with store.database.write() as connection:
            migrate.downgrade(connection, "0001")
        with store.database.write() as connection:
            assert connection.execute(text("SELECT id FROM judgements")).scalars().all() == ["first"]
            migrate.upgrade(connection)
        assert next(store.events()).judgement == said


def test_a_migration_that_fails_leaves_the_store_as_it_was(bare: str) -> None:
    database = connect(bare)
    with pytest.raises(KeyboardInterrupt), database.write() as connection:
        migrate.upgrade(connection)
        raise KeyboardInterrupt
    assert tables(database) == set()
    database.close()


def test_the_schema_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_many_open_a_new_store_at_once(bare: str) -> None:
    opened: list[int] = []

    def first() -> None:
        with Store.open(bare) as store:
            opened.append(store.open_count())

    threads = [threading.Thread(target=first) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [0] * 6
