"""The feedback store: what was asked, and everything anybody said about it, in one file that survives being killed.

Questions and judgements are facts and are never changed; undo and edit are further judgements. The queue hands
questions to annotators under leases, so any number of processes can drain it at once. When a method returns, what it
did is on disk. Any method may raise :class:`plaudit.types.PlauditError`, whose one line names the fault and the remedy.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sqlalchemy import ColumnElement, ScalarSelect, Table, func, make_url, select
from sqlalchemy.exc import ArgumentError

from plaudit.feedback import intake, migrate, queue, rows
from plaudit.feedback.effective import Effective
from plaudit.feedback.intake import Receipt
from plaudit.feedback.kinds import kind
from plaudit.feedback.rows import Event
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS, SEGMENTS
from plaudit.feedback.sqlite import Database
from plaudit.types import Judgement, PlauditError, Question, Segment

__all__ = ["Counts", "Event", "Lease", "Receipt", "Store"]

PAGE = 1000  # events read at a time by Store.events
REMEMBERED = 50_000  # questions kept in memory, some 50 MB


@dataclass(frozen=True)
class Lease:
    """One question, reserved for one annotator until ``expires_at`` (seconds since the epoch, UTC)."""

    question: Question
    token: str
    expires_at: float


@dataclass(frozen=True)
class Counts:
    """How full the store is."""

    segments: int
    questions: int
    open: int  # questions that want further judgements
    leased: int  # live leases
    judgements: int  # all events
    effective: int  # accepted, and superseded by none
    surplus: int  # kept, but not counted


class Store:
    """One process's access to a store. Threads may share it; a forked process must open its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._effective = Effective()
        self._questions: dict[str, Question] = {}
        self._cache = threading.Lock()

    @classmethod
    def open(cls, path_or_url: str | os.PathLike[str], create: bool = True, busy_seconds: float = 5.0) -> Store:
        """Open the store in a file (a path, or ``sqlite:///PATH``), migrating an older one; ``create`` makes a new one.

        ``busy_seconds`` is how long to wait for another program that has locked the file. Raises
        :class:`PlauditError` when there is no such folder or file, or when the file is damaged, locked, not a
        Plaudit store, or from a newer version.
        """
        path = _path(path_or_url)
        if path.is_dir():
            raise PlauditError(f"{path} is a folder: name a file in it, such as {path / 'feedback.sqlite'}")
        if not path.parent.is_dir():
            raise PlauditError(f"there is no folder {path.parent} to hold {path.name}: create it first")
        if not path.exists() and not create:
            raise PlauditError(f"there is no feedback store at {path}: check the path, or start a run to make one")
        database = Database(path, busy_seconds)
        try:
            # Looked at by a reader first, so that a file that is not ours is left as it was.
            if not path.exists() or path.stat().st_size == 0:
                current = False
            else:
                with database.read() as connection:
                    current = migrate.is_current(connection, str(path))
            if not current:
                with database.write() as connection:
                    migrate.bring_up_to_date(connection, str(path))
        except BaseException:
            database.close()
            raise
        return cls(database)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        self._database.close()

    # Asking

    def add_segments(self, segments: Sequence[Segment]) -> int:
        """Store segments; how many were new. A segment that is there already keeps the source it first came with."""
        with self._database.write() as connection:
            return rows.insert_segments(connection, segments)

    def segments(self, ids: Sequence[str]) -> list[Segment]:
        """The segments called ``ids``, in that order, each checked against its hash."""
        with self._database.read() as connection:
            found = rows.load_segments(connection, set(ids))
        return [found[each] for each in self._all_there(ids, found, "segment")]

    def ask(self, questions: Sequence[Question], segments: Sequence[Segment], judgements_wanted: int = 1) -> int:
        """Store ``segments``, then put ``questions`` on the queue, in one transaction; how many questions were new.

        A question asked before is left as it is, so asking again after a crash is safe. Raises
        :class:`PlauditError` when an item is neither in ``segments`` nor in the store, or a kind refuses its question.
        """
        if judgements_wanted < 1:
            raise PlauditError(f"judgements_wanted must be at least 1, got {judgements_wanted}")
        for question in questions:
            kind(question.kind).check(question)
        with self._database.write() as connection:
            rows.insert_segments(connection, segments)
            fresh = {question.id: question for question in questions}
            for identity in rows.known(connection, QUESTIONS.c.id, fresh):
                del fresh[identity]
            items = {item for question in fresh.values() for item in question.items}
            self._all_there(items, rows.known(connection, SEGMENTS.c.id, items), "segment")
            numbers = rows.insert_questions(connection, list(fresh.values()), judgements_wanted)
            queue.set_seats(connection, dict.fromkeys(numbers, judgements_wanted))
        return len(numbers)

    def questions(self, ids: Sequence[str]) -> list[Question]:
        """The questions called ``ids``, in that order. Each is read from disk once, for it never changes."""
        with self._cache:
            missing = {each for each in ids if each not in self._questions}
            if missing:
                if len(self._questions) > REMEMBERED:
                    self._questions.clear()
                    missing = set(ids)
                with self._database.read() as connection:
                    found = rows.load_questions(connection, QUESTIONS.c.id, missing)
                self._questions.update({each: stored.question for each, stored in found.items()})
            return [self._questions[each] for each in self._all_there(ids, self._questions, "question")]

    # The queue. `now` is in seconds since the epoch; None is the clock.

    def claim(
        self, annotator: str, limit: int = 1, lease_seconds: float = 120.0, now: float | None = None
    ) -> list[Lease]:
        """Lease up to ``limit`` questions, oldest first; none is left when the list is empty.

        A question can be claimed while it wants more effective judgements than there are live leases on it, by an
        annotator who has neither a standing judgement nor a live lease on it.
        """
        if not annotator.strip() or limit < 1 or not lease_seconds > 0:
            raise PlauditError(
                "claim needs an annotator's name, limit >= 1 and lease_seconds > 0, "
                f"got {annotator!r}, {limit} and {lease_seconds}"
            )
        moment = time.time() if now is None else now
        with self._database.write() as connection:
            taken = queue.claim(connection, annotator, limit, moment, moment + lease_seconds)
            stored = rows.load_questions(connection, QUESTIONS.c.number, [number for number, _ in taken])
        return [Lease(stored[number].question, token, moment + lease_seconds) for number, token in taken]

    def renew(self, token: str, lease_seconds: float = 120.0, now: float | None = None) -> float | None:
        """Let a live lease end ``lease_seconds`` from now; its new end, or None when it has ended already.

        An answer under a lease that has ended is still kept.
        """
        moment = time.time() if now is None else now
        with self._database.write() as connection:
            renewed = queue.renew(connection, token, moment, moment + lease_seconds)
        return moment + lease_seconds if renewed else None

    def release(self, token: str) -> bool:
        """End a lease unanswered, so that others can claim the question; False when it had ended."""
        with self._database.write() as connection:
            return queue.release(connection, [token]) > 0

    def release_all(self, annotator: str) -> int:
        """End every lease of ``annotator`` unanswered, as when it starts again after a kill; how many there were.

        Only for an annotator that no other process works as: theirs would end too.
        """
        with self._database.write() as connection:
            return queue.release_all(connection, annotator)

    # Judgements

    def answer(self, judgements: Sequence[Judgement], tokens: Sequence[str] | None = None) -> list[Receipt]:
        """Append judgements, on disk when this returns: all of them or, with :class:`PlauditError`, none.

        The same id with the same body is a "duplicate", with another body an error. What arrives when the question
        is settled, or is a second standing answer of one annotator, is kept as "surplus". An edit or a withdrawal
        (``{"withdrawn": True}``) names the author's own latest judgement in ``supersedes``; a withdrawal puts the
        question back on the queue. The annotator's leases on the questions end, and those called ``tokens``.
        """
        with self._database.write() as connection:
            receipts = intake.enter(connection, judgements)
            for chunk in rows.chunks(tokens or ()):
                queue.release(connection, chunk)
        return receipts

    def judgements(self, round_at_most: int | None = None) -> list[Judgement]:
        """The effective judgements in the order (round, question asked, arrival), of rounds up to ``round_at_most``.

        Effective: accepted (not surplus), not superseded, not withdrawn. Only events since the last call are read.
        """
        with self._cache:
            with self._database.read() as connection:
                fresh = rows.load_events(connection, JUDGEMENTS.c.event > self._effective.last)
            self._effective.take(fresh)
            return self._effective.until(round_at_most)

    def events(self, after: int = 0) -> Iterator[Event]:
        """Every judgement ever acknowledged, withdrawals and surplus too, in order of arrival, with flat memory."""
        while True:
            with self._database.read() as connection:
                page = rows.load_events(connection, JUDGEMENTS.c.event > after, PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number

    # Counting

    def open_count(self) -> int:
        """Questions that want further judgements, leased or not."""
        with self._database.read() as connection:
            return connection.execute(select(_count(OPEN_QUESTIONS))).scalar_one()

    def counts(self, now: float | None = None) -> Counts:
        """How full the store is, in one snapshot."""
        moment = time.time() if now is None else now
        later = JUDGEMENTS.alias()
        superseded = select(later.c.event).where(later.c.supersedes == JUDGEMENTS.c.id).exists()
        wanted = (
            _count(SEGMENTS),
            _count(QUESTIONS),
            _count(OPEN_QUESTIONS),
            _count(LEASES, LEASES.c.expires_at > moment),
            _count(JUDGEMENTS),
            _count(JUDGEMENTS, JUDGEMENTS.c.status == "accepted", ~superseded),
            _count(JUDGEMENTS, JUDGEMENTS.c.status == "surplus", ~superseded),
        )
        with self._database.read() as connection:
            return Counts(*connection.execute(select(*wanted)).one())

    def _all_there(self, ids: Collection[str], found: Collection[str], noun: str) -> Collection[str]:
        missing = [each for each in ids if each not in found]
        if missing:
            raise PlauditError(
                f"{self._database.path} has no {noun} {missing[0]}"
                + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
                + ": it was never stored there, or this is another run's store"
            )
        return ids


def _count(table: Table, *where: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(*where).scalar_subquery()


def _path(path_or_url: str | os.PathLike[str]) -> Path:
    """The file that a path or a ``sqlite:///`` address names."""
    if not (isinstance(path_or_url, str) and "://" in path_or_url):
        return Path(path_or_url)
    try:
        url = make_url(path_or_url)
    except ArgumentError as error:
        raise PlauditError(f"{path_or_url!r} is no address of a store: give a path, or sqlite:///PATH") from error
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise PlauditError(f"stores are SQLite files, got {url.render_as_string()}: give a path, or sqlite:///PATH")
    return Path(str(url.database))
