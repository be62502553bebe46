"""New stores in files get their tables from the first one, and not from the migrations, which take a tenth of a second.

The statements are those that SQLite itself gives for the first new store of a process, which is migrated. The tests of
migrations (``feedback/test_store_migrations.py``) migrate every store.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection, inspect

from plaudit.feedback import migrate
from plaudit.feedback.schema import REVISION

MIGRATE = migrate.upgrade
STATEMENTS: list[str] = []


def upgrade(connection: Connection, revision: str = REVISION) -> None:
    """As ``migrate.upgrade``."""
    if connection.dialect.name != "sqlite" or revision != REVISION or inspect(connection).get_table_names():
        MIGRATE(connection, revision)
        return
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    if STATEMENTS:
        for statement in STATEMENTS:
            driver.execute(statement)
        return
    MIGRATE(connection)
    STATEMENTS[:] = [line for line in driver.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
