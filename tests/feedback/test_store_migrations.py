"""The tables can be made, unmade and made again, and are what the schema says."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from plaudit.feedback import migrate
from plaudit.feedback.schema import METADATA, REVISION
from plaudit.feedback.sqlite import Database
from plaudit.feedback.store import Store

TABLES = {"segments", "questions", "question_items", "judgements", "open_questions", "leases"}


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_up_down_and_up_again(path: Path, make: Any) -> None:
    database = Database(path)
    for _ in range(2):
        with database.write() as connection:
            migrate.upgrade(connection)
        assert tables(database) == TABLES
        with database.write() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
            migrate.downgrade(connection, "base")
        assert tables(database) == set()
    database.close()
    with Store.open(path) as store:  # an emptied store is brought up again when it is opened
        questions, segments = make.pairs(1)
        store.ask(questions, segments)
        assert tables(store._database) == TABLES and store.open_count() == 1


def test_a_migration_that_fails_leaves_the_store_as_it_was(path: Path) -> None:
    database = Database(path)
    with pytest.raises(KeyboardInterrupt), database.write() as connection:
        migrate.upgrade(connection)
        raise KeyboardInterrupt
    assert tables(database) == set()
    database.close()


def test_the_schema_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_many_open_a_new_store_at_once(path: Path) -> None:
    opened: list[int] = []

    def first() -> None:
        with Store.open(path) as store:
            opened.append(store.open_count())

    threads = [threading.Thread(target=first) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [0] * 6
