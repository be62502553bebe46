"""Bring a store's tables to the version this package knows, in one transaction."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from plaudit.feedback.schema import REVISION
from plaudit.types import PlauditError

_ALEMBIC = threading.Lock()  # alembic's `context` and `op` are one per process, so two stores must not migrate at once


def upgrade(connection: Connection, revision: str = REVISION) -> None:
    """Run the migrations up to ``revision`` in the transaction that ``connection`` is in."""
    with _ALEMBIC:
        command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Undo migrations down to ``revision`` ("base": none are left, and no data either)."""
    with _ALEMBIC:
        command.downgrade(_config(connection), revision)


def is_current(connection: Connection, name: str) -> bool:
    """Whether the store called ``name`` has this version's tables; False for an empty file or an older store.

    Raises :class:`PlauditError` when the database belongs to another program, or to a newer Plaudit.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return False
    if "alembic_version" not in tables:
        raise PlauditError(f"{name} is a database, but not a Plaudit store: give another path")
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is None or revision == REVISION:
        return revision == REVISION
    try:
        ScriptDirectory.from_config(_config(connection)).get_revision(revision)
    except CommandError as error:
        raise PlauditError(
            f"{name} was written by another version of Plaudit (schema {revision}, this one knows up to {REVISION}): "
            "upgrade Plaudit, or start a new run folder"
        ) from error
    return False


def bring_up_to_date(connection: Connection, name: str) -> None:
    """Create or upgrade the tables of the store called ``name``; raises as :func:`is_current` does."""
    if not is_current(connection, name):
        upgrade(connection)


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))  # Config interpolates "%"
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
