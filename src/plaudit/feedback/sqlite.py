"""What is particular to SQLite: pragmas, one writer at a time, and faults said in one line.

Each process has one writing connection; readers stand apart and never block it (write-ahead log). Writers of
different processes take turns by a lock on the file ``NAME.lock``. SQLite would sort them out by itself, but by
sleeping and retrying, which is unfair with many writers; and releases before 3.51.3 can damage the log when one
connection resets it while another writes. The operating system drops the lock when a process dies.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from plaudit.feedback.faults import UNSTORABLE, StoreFault, StoreUnavailable, unstorable
from plaudit.files import NO_FOLLOW
from plaudit.types import PlauditError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


SINGLE = "plaudit_single"  # the execution option of a connection for one statement
QUEUE_SECONDS = 30.0  # how long a writer waits behind other Plaudit writers; each holds the lock for milliseconds


class SqliteDatabase:
    """The connections of one process to one SQLite file. Raises :class:`PlauditError` for every known fault."""

    def __init__(self, path: Path, busy_seconds: float = 5.0) -> None:
        self.path = path
        self.name = str(path)
        self._process = os.getpid()
        self._threads = threading.Lock()
        self._closed = False
        self._lock: int | None = None  # descriptor of the lock file, made by the first writer
        self._writer = _engine(path, busy_seconds, writer=True)
        self._readers = _engine(path, busy_seconds, writer=False)
        self._lookers = self._readers.execution_options(**{SINGLE: True})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is on disk when the block ends, and rolled back when it raises."""
        with self._turn(), self._explain_faults(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: what other connections commit meanwhile is not seen."""
        self._same_process()
        with self._explain_faults(), self._readers.begin() as connection:
            yield connection

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """For one statement, which is a snapshot by itself: neither BEGIN nor ROLLBACK surround it."""
        self._same_process()
        with self._explain_faults(), self._lookers.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back. The last one of all processes folds the log into the file, hence the turn."""
        if self._closed:
            return
        with nullcontext() if self._lock is None else self._turn():
            self._readers.dispose()
            self._writer.dispose()
            self._closed = True
        if self._lock is not None:
            os.close(self._lock)

    def _same_process(self) -> None:
        if self._closed:
            raise PlauditError(f"the store {self.path} is closed: open it again")
        if self._process != os.getpid():
            raise PlauditError(f"the store {self.path} was opened before a fork: open it in each process")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer at a time: first among this process's threads, then among processes."""
        self._same_process()
        if not self._threads.acquire(timeout=QUEUE_SECONDS):
            raise StoreUnavailable(f"{self.path} has been busy for {QUEUE_SECONDS:.0f} s in this process: try again")
        try:
            descriptor = self._lock_file()
            self._wait(descriptor)
            try:
                yield
            finally:
                _unlock(descriptor)
        finally:
            self._threads.release()

    def _lock_file(self) -> int:
        if self._lock is None:
            try:
                self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
            except OSError as error:
                reason = error.strerror
                raise StoreFault(f"cannot write beside {self.path} ({reason}): make its folder writable") from error
        return self._lock

    def _wait(self, descriptor: int) -> None:
        deadline = time.monotonic() + QUEUE_SECONDS
        pause = 0.0002
        while True:
            try:
                return _try_lock(descriptor)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"{self.path} has been held by another process for {QUEUE_SECONDS:.0f} s: "
                        "see which program has it open, then try again"
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, 0.005)

    @contextmanager
    def _explain_faults(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            original = error.orig if isinstance(error, DBAPIError) else error
            explained = _explain(original, self.path)
            if explained is None:
                raise
            raise explained from error
        except PoolTimeout as error:
            raise StoreUnavailable(f"{self.path} has too many readers at once: try again") from error
        except UNSTORABLE as error:
            raise unstorable(self.name, error) from error


def _engine(path: Path, busy_seconds: float, writer: bool) -> Engine:
    # URL.create, not a formatted string: a path may hold backslashes, spaces, "?" or "%".
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=1 if writer else 4,
        max_overflow=0,
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # sqlite3 would commit before DDL and begin late; we say BEGIN ourselves
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * busy_seconds)}")
        connection.execute("PRAGMA foreign_keys = ON")
        if writer:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # an acknowledged judgement survives a power cut
        else:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(SINGLE):
            return
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _explain(error: BaseException | None, path: Path) -> PlauditError | None:
    """One line that names the file and the remedy, or None for a fault that is not the user's to mend."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; the high bits are details
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(
            f"{path} is locked by another program: close the program that has it open, then try again"
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailable(
            f"no room to write {path}: free some disk space and try again; everything acknowledged is kept"
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailable(
            f"cannot read or write {path} ({error}): check the disk and its space; everything acknowledged is kept"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreFault(
            f"{path} is damaged or not a Plaudit store ({error}): restore it from a copy, or give another path"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreFault(f"cannot open {path} for writing ({error}): check that it, and its folder, may be written to")
    return None
