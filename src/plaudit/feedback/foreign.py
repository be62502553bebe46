"""What a store from elsewhere may hold besides judgements: SQLite runs triggers, views and expressions that it finds.

A trigger in a stranger's file could let a sign-in run for ever or change judgements, so a store may hold only what
Plaudit's own migrations make. Plain indexes are harmless.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlalchemy import CheckConstraint, Connection, text

from plaudit.feedback import schema_people
from plaudit.types import PlauditError

OBJECTS = text("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
PLAIN_INDEX = re.compile(r'CREATE (UNIQUE )?INDEX "?\w+"? ON "?\w+"? ?\([\w", ]+\)', re.I)
TABLES = schema_people.METADATA.tables  # of both modules of the schema
VERSION_TABLE = "alembic_version"
OWN_TABLES = {VERSION_TABLE, "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"}
EXPRESSION = re.compile(r"\bCHECK\b|\bDEFAULT ?\(|\bGENERATED\b|\bAS ?\(|^CREATE VIRTUAL", re.I)
OWN_CHECKS = tuple(  # expressions of the schema, as SQLite stores them behind CHECK
    {
        f"({constraint.sqltext})".lower()
        for table in TABLES.values()
        for column in table.columns
        for constraint in column.constraints
        if isinstance(constraint, CheckConstraint)
    }
)
COMMENT = re.compile(r"/\*|--")  # may stand within an expression, so that EXPRESSION misses it


def check_objects(connection: Connection, name: str, tables: Collection[str] | None = None) -> None:
    """Raise :class:`PlauditError` if the SQLite store called ``name`` holds what no store of Plaudit's holds.

    With ``tables``, only these and what belongs to them are checked.
    """
    for row in connection.execute(OBJECTS):
        if tables is not None and row.tbl_name not in tables:
            continue
        if not _is_own(row.type, row.name, row.tbl_name, " ".join(row.sql.split())):
            raise PlauditError(
                f"{name} holds the {row.type} {row.name[:80]!r}, which Plaudit does not make and which would run in "
                f"the store: get another copy, or look at it and remove it (DROP {row.type.upper()} ...)"
            )


def _is_own(type: str, name: str, table: str, sql: str) -> bool:
    if type == "trigger":
        return any(
            sql == f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for verb in ("UPDATE", "DELETE")
        )
    if type == "index":
        return PLAIN_INDEX.fullmatch(sql) is not None
    return type == "table" and (name in TABLES or name in OWN_TABLES) and _has_own_expressions(sql)


def _has_own_expressions(sql: str) -> bool:
    if COMMENT.search(sql):
        return False
    for match in EXPRESSION.finditer(sql):
        following = sql[match.end() :].lower().lstrip()
        if match.group().upper() != "CHECK" or not following.startswith(OWN_CHECKS):
            return False
    return True
