"""Which database a store lies in: a SQLite file by default, a PostgreSQL server by URL. Both behave alike.

A store has one writer at a time. SQLite cannot do otherwise; on PostgreSQL it keeps the order of events the order of
commits, so that "everything after event n" misses nothing, and makes finding and taking a question one step.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from sqlalchemy import Connection, inspect, make_url
from sqlalchemy.exc import ArgumentError

from plaudit.feedback import foreign, migrate
from plaudit.feedback.faults import StoreFault, StoreUnavailable
from plaudit.feedback.postgres import PostgresDatabase
from plaudit.feedback.sqlite import SqliteDatabase
from plaudit.types import PlauditError

__all__ = ["Database", "StoreFault", "StoreUnavailable", "open_database"]


@runtime_checkable
class Database(Protocol):
    """The connections of one process to one store. Every known fault is raised as :class:`PlauditError`."""

    @property
    def name(self) -> str:
        """The file, or the address without its password."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction that is on disk when the block ends, and rolled back when it raises; one at a time."""
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot: what other connections commit meanwhile is not seen."""
        ...

    def look(self) -> AbstractContextManager[Connection]:
        """As :meth:`read`, for one statement only, or for what never changes."""
        ...

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        ...


def open_database(path_or_url: str | os.PathLike[str], create: bool = True, busy_seconds: float = 5.0) -> Database:
    """A file (a path, or ``sqlite:///PATH``) or ``postgresql://USER:PASSWORD@HOST/NAME``, with its tables up to date.

    Raises:
        PlauditError: no such folder, file or database; it is damaged, locked, another program's or a newer version's.
    """
    if isinstance(path_or_url, str) and path_or_url.startswith(("postgresql://", "postgresql+psycopg://")):
        database: Database = PostgresDatabase(path_or_url)
        fresh = False
    else:
        path = _path(path_or_url)
        if path.is_dir():
            raise PlauditError(f"{path} is a folder: name a file in it, such as {path / 'feedback.sqlite'}")
        if not path.parent.is_dir():
            raise PlauditError(f"there is no folder {path.parent} to hold {path.name}: create it first")
        if not path.exists() and not create:
            raise PlauditError(f"there is no feedback store at {path}: check the path, or start a run to make one")
        database = SqliteDatabase(path, busy_seconds)
        fresh = not path.exists() or path.stat().st_size == 0
    try:
        # Looked at by a reader first, so that what is not ours is left as it was.
        current = False
        if not fresh:
            with database.read() as connection:
                current = _check_tables(database, connection)
                if not (create or current or inspect(connection).get_table_names()):
                    raise PlauditError(
                        f"there is no feedback store in {database.name}: check the address, or start a run to make one"
                    )
        if not current:
            with database.write() as connection:
                migrate.bring_up_to_date(connection, database.name)
    except BaseException:
        database.close()
        raise
    return database


def _check_tables(database: Database, connection: Connection) -> bool:
    """:func:`migrate.is_current`; raises as that does, and for a file that would run what Plaudit does not make."""
    if not isinstance(database, SqliteDatabase):  # a server's database is made by who runs it, a file by anybody
        return migrate.is_current(connection, database.name)
    foreign.check_objects(connection, database.name, (foreign.VERSION_TABLE,))  # before the version is read from it
    current = migrate.is_current(connection, database.name)  # other programs and other versions have their own fault
    foreign.check_objects(connection, database.name)
    return current


def _path(path_or_url: str | os.PathLike[str]) -> Path:
    """The file that a path or a ``sqlite:///`` address names."""
    if not (isinstance(path_or_url, str) and "://" in path_or_url):
        return Path(path_or_url)
    try:
        url = make_url(path_or_url)
    except ArgumentError as error:
        raise PlauditError(f"{path_or_url!r} is not the address of a store: give a path, or sqlite:///PATH") from error
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise PlauditError(
            f"stores are SQLite files or PostgreSQL databases, got {url.render_as_string()}: "
            "give a path, sqlite:///PATH or postgresql://USER@HOST/NAME"
        )
    return Path(str(url.database))
