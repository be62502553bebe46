"""Put a pseudonym in the place of an annotator's name: the one change that is ever made to facts.

What was judged, when, and every id stay. Triggers keep facts from being changed; they are lifted for this transaction
alone, and no other connection ever sees the store without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, delete, select, text, update

from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS

UPDATES = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")


def rename(connection: Connection, old: str, new: str) -> int:
    """Sign with ``new`` whatever ``old`` judged, in the caller's transaction; the number of judgements.

    Leases of ``old`` end, and what only ``old`` was to be asked leaves the queue. A store that has read judgements
    before must ``reread``.
    """
    connection.execute(delete(LEASES).where(LEASES.c.annotator == old))
    connection.execute(delete(OPEN_QUESTIONS).where(OPEN_QUESTIONS.c.only_for == old))
    with changeable(connection, ("judgements", "questions")):
        connection.execute(update(QUESTIONS).where(QUESTIONS.c.only_for == old).values(only_for=new))
        mine = update(JUDGEMENTS).where(JUDGEMENTS.c.annotator == old).values(annotator=new)
        return connection.execute(mine).rowcount


def signed(connection: Connection, name: str) -> bool:
    """Whether any judgement is signed ``name``."""
    mine = select(JUDGEMENTS.c.event).where(JUDGEMENTS.c.annotator == name).limit(1)
    return connection.execute(mine).first() is not None


@contextmanager
def changeable(connection: Connection, tables: Sequence[str]) -> Iterator[None]:
    """Let the rows of append-only ``tables`` be updated within the block. Where it raises, the transaction must end.

    On SQLite what is overwritten is zeroed as well, so that it does not stay in the file's free space.
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
    found = [connection.execute(UPDATES, {"name": f"{table}_no_update"}).one() for table in tables]
    for name, _ in found:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA secure_delete = {before}").all()
    for _, definition in found:
        connection.exec_driver_sql(definition)
