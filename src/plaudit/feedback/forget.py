"""Replace an annotator's name by a pseudonym: the only change that is ever made to facts.

Judgements, their times and every id stay. Triggers keep facts from being changed; they are lifted within one
transaction, and no other connection ever sees the store without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, delete, select, text, update

from plaudit.feedback import queue
from plaudit.feedback.schema import JUDGEMENTS, OPEN_QUESTIONS, QUESTIONS

UPDATES = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")


def rename(connection: Connection, old: str, new: str) -> int:
    """Sign the judgements of ``old`` with ``new``, in the caller's transaction; the number of judgements.

    Leases of ``old`` end, and questions for ``old`` only leave the queue. A store that has read judgements before must
    ``reread``.
    """
    queue.release_all(connection, old)
    connection.execute(delete(OPEN_QUESTIONS).where(OPEN_QUESTIONS.c.only_for == old))
    with changeable(connection, ("judgements", "questions")):
        connection.execute(update(QUESTIONS).where(QUESTIONS.c.only_for == old).values(only_for=new))
        renamed = update(JUDGEMENTS).where(JUDGEMENTS.c.annotator == old).values(annotator=new)
        return connection.execute(renamed).rowcount


def has_judged(connection: Connection, name: str) -> bool:
    """Whether any judgement is signed ``name``."""
    judgements = select(JUDGEMENTS.c.event).where(JUDGEMENTS.c.annotator == name).limit(1)
    return connection.execute(judgements).first() is not None


@contextmanager
def changeable(connection: Connection, tables: Sequence[str]) -> Iterator[None]:
    """Let the rows of append-only ``tables`` be updated within the block. Where it raises, the transaction must end.

    On SQLite the old values are zeroed too, so that they do not stay in the file's free space.
    """
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only")
        yield
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only")
        return
    before = connection.exec_driver_sql("PRAGMA secure_delete").scalar_one()
    connection.exec_driver_sql("PRAGMA secure_delete = 1").all()
    triggers = [connection.execute(UPDATES, {"name": f"{table}_no_update"}).one() for table in tables]
    for name, _ in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA secure_delete = {before}").all()
    for _, definition in triggers:
        connection.exec_driver_sql(definition)
