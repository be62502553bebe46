"""What is particular to PostgreSQL: connections that may be lost and come back, one writer at a time by a lock.

Needs psycopg (``pip install -e '.[postgres]'``).
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    InvalidatePoolError,
    InvalidRequestError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from plaudit.feedback.faults import UNSTORABLE, StoreFault, StoreUnavailable, first_line, unstorable
from plaudit.types import PlauditError

if TYPE_CHECKING:
    import psycopg

WRITER = 0x706C6175646974  # "plaudit": the advisory lock of whoever writes, dropped by the server when the holder goes
QUEUE_MS = 30_000  # how long a writer waits behind others; each holds the lock for milliseconds
CONNECTIONS = 16  # kept, and at most: to make one takes longer than to judge
UNSURE = 1.0  # seconds without use after which a connection is asked whether it still is one

# Classes of SQLSTATE, and states, by what there is to do about them.
LOST = ("08", "57P", "25P03")  # the connection, or the server
BUSY = ("40", "53", "55P03", "57014")  # passing: rolled back, short of something, waited too long
NO_ROOM = "53100"
READ_ONLY = ("25006", "0A000")  # a standby, which follows another server
REFUSED = ("28", "3D", "42501")  # who, where, and what they may do
DAMAGED = ("42P01", "42703", "58", "XX001", "XX002")  # tables, columns or files are missing
# A connection that is refused has no SQLSTATE, only words (English unless the server's `lc_messages` says otherwise).
REFUSALS = ("authentication failed", "does not exist", "not permitted", "no pg_hba.conf entry", "no password supplied")
LOCK = text(f"SELECT pg_advisory_xact_lock({WRITER})")
PIPELINE = "pipeline"  # where a connection notes that it is in one


class PostgresDatabase:
    """The connections of one process to one database. Raises :class:`PlauditError` for every known fault."""

    def __init__(self, url: str) -> None:
        try:
            address = make_url(url)
            self._engine = _engine(address.set(drivername="postgresql+psycopg"))
            self._lookers = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        except (ArgumentError, ValueError) as error:
            # not repeated: it may hold a password
            raise PlauditError("this is not an address: give postgresql://USER:PASSWORD@HOST:PORT/NAME") from error
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise PlauditError("PostgreSQL needs psycopg: pip install -e '.[postgres]'") from error
        self.name = address.difference_update_query(["password"]).render_as_string(hide_password=True)
        self._process = os.getpid()
        self._closed = False

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is on disk when the block ends, and rolled back when it raises."""
        self._same_process()
        with self._connect(self._engine) as connection, _pipeline(connection), connection.begin():
            # Read committed: each statement after this one sees all that earlier holders of the lock committed.
            try:
                connection.execute(LOCK)
                yield connection
            except BaseException:
                _drain(connection)
                raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: what other connections commit meanwhile is not seen."""
        self._same_process()
        with self._connect(self._engine) as connection:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """For one statement, which is a snapshot by itself: one round trip instead of three."""
        self._same_process()
        with self._connect(self._lookers) as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        self._engine.dispose()
        self._closed = True

    def _same_process(self) -> None:
        if self._closed:
            raise PlauditError(f"the store {self.name} is closed: open it again")
        if self._process != os.getpid():
            raise PlauditError(f"the store {self.name} was opened before a fork: open it in each process")

    @contextmanager
    def _connect(self, engine: Engine) -> Iterator[Connection]:
        """A connection of the pool. Faults, until it is given back, are those of :func:`_explain`."""
        with self._explain_faults():
            try:
                connection = engine.connect()
            except InvalidRequestError as error:  # the pool tried two connections, and both were cut before their use
                raise StoreUnavailable(
                    f"cannot reach {self.name} (its connections are cut): see that the server runs, then try again; "
                    "everything acknowledged is kept"
                ) from error
            with connection:
                yield connection

    @contextmanager
    def _explain_faults(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            explained = _explain(error, self.name)
            if explained is None:
                raise
            raise explained from error
        except PoolTimeout as error:
            raise StoreUnavailable(f"{self.name} has too many users at once: try again") from error
        except UNSTORABLE as error:
            raise unstorable(self.name, error) from error


def _explain(error: DBAPIError, name: str) -> PlauditError | None:
    """One line that names the database and the remedy, or None for a fault that is not the user's to mend."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    reason = first_line(error.orig)
    if state == NO_ROOM:
        return StoreUnavailable(
            f"no room to write {name}: free some disk space on the database's machine and try again; "
            "everything acknowledged is kept"
        )
    refused = isinstance(error, OperationalError) and any(words in reason for words in REFUSALS)
    if state.startswith(REFUSED) or (not state and (refused or isinstance(error, ProgrammingError))):
        return StoreFault(f"{name} refuses ({reason}): check the address, the user, the password and its rights")
    if state in READ_ONLY:
        return StoreFault(f"{name} may only be read ({reason}): give the address of the server that is written to")
    if isinstance(error, DataError):
        return unstorable(name, reason)
    if error.connection_invalidated or state.startswith(LOST) or (not state and isinstance(error, OperationalError)):
        return StoreUnavailable(
            f"cannot reach {name} ({reason}): see that the server runs, then try again; everything acknowledged is kept"
        )
    if state.startswith(BUSY):
        return StoreUnavailable(f"{name} is busy ({reason}): try again")
    if state.startswith(DAMAGED):
        return StoreFault(f"{name} is damaged or not a Plaudit store ({reason}): restore it from a copy")
    return None


@contextmanager
def _pipeline(connection: Connection) -> Iterator[None]:
    """Send statements that may wait (execution option ``plaudit_later``) with the next one, in one round trip.

    All other writers wait for this one, and at the end of each round trip it may have to wait for the interpreter.
    """
    dbapi: Any = connection.dialect.loaded_dbapi
    if not dbapi.Pipeline.is_supported():  # libpq is older than 14
        yield
        return
    wire: Any = connection.connection.driver_connection
    info = connection.info
    pipeline = wire.pipeline()
    info[PIPELINE] = pipeline.__enter__()
    try:
        yield
    finally:
        del info[PIPELINE]
        try:
            pipeline.__exit__(None, None, None)
        except dbapi.Error:  # lost; what was said about the commit before that stands
            connection.invalidate()


def _drain(connection: Connection) -> None:
    """After a fault: take in what else was on its way, whose faults would cover the one that there was."""
    pipeline = None if connection.invalidated else connection.info.get(PIPELINE)
    if pipeline is not None:
        dbapi: Any = connection.dialect.loaded_dbapi
        with suppress(dbapi.Error):
            pipeline.sync()


def _engine(address: URL) -> Engine:
    engine = create_engine(
        address,
        isolation_level="READ COMMITTED",  # whatever the server's default: see `write`
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=QUEUE_MS / 1000,
        connect_args={"connect_timeout": 5, "application_name": "plaudit"},
    )

    @event.listens_for(engine, "connect", insert=True)  # before SQLAlchemy looks at the server, which has to be UTF-8
    def _session(connection: psycopg.Connection, _record: object) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            name = connection.info.dbname
            connection.close()
            raise PlauditError(f"the database {name} holds text as {encoding}: make one with ENCODING 'UTF8'")
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {QUEUE_MS}".encode())
            cursor.execute("SET idle_in_transaction_session_timeout = 60000")
            cursor.execute("SET synchronous_commit = on")  # an acknowledged judgement survives a power cut
        connection.commit()

    @event.listens_for(engine, "checkin")
    def _reset_checked_in(_connection: object, record: Any) -> None:
        record.info["left"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _alive(connection: psycopg.Connection, record: Any, _proxy: object) -> None:
        # One that the server dropped while it was idle is replaced, not an error; the end has come by the wire then.
        if time.monotonic() - record.info.get("left", math.inf) > UNSURE or _has_news(connection):
            try:
                engine.dialect.do_ping(cast(Any, connection))  # which SQLAlchemy's own protocol does not describe
            except engine.dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error

    @event.listens_for(engine, "after_cursor_execute")
    def _wait(on: Connection, _cursor: object, _sql: str, _values: object, context: Any, _many: bool) -> None:
        pipeline = on.info.get(PIPELINE)
        if pipeline is not None and not context.execution_options.get("plaudit_later"):
            pipeline.sync()

    return engine


def _has_news(connection: psycopg.Connection) -> bool:
    """Whether the server has said something that nobody asked for, such as that it hangs up."""
    if not hasattr(select, "poll"):
        return True  # not to be had on Windows: ask
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
