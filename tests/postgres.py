"""A real PostgreSQL server for the tests: one in each test process that wants it, and an empty store for each test.

It listens on a socket in a folder of its own, and flushes to disk as a server in use does unless told not to. The
fixtures are in ``tests/conftest.py``, so that any test may ask for ``postgres_url``, a database with an empty store in
it, or for ``postgres``, the server. A database is emptied and used again, because that takes a tenth of the time that
PostgreSQL needs to copy one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

PROGRAMS = ("initdb", "pg_ctl", "postgres")
ACCESS = "local all postgres trust\nlocal all all scram-sha-256\n"  # all but the superuser need a password
SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "fsync": "on",
    "autovacuum": "off",
    "lc_messages": "C",
}


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs: on the path, or where Debian keeps them; None where they are missing."""
    found = shutil.which("pg_ctl")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4))
    folders = ([Path(found).resolve().parent] if found else []) + debian[::-1]
    return next((folder for folder in folders if all((folder / each).exists() for each in PROGRAMS)), None)


# Everything in a database that is no row of a store and no row count, as one text: a test may have changed it.
SHAPE = """
    SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
        SELECT concat_ws(' ', 'class', relname, relkind, relacl) AS line FROM pg_class
            WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname, atttypid, attnotnull, attacl)
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL SELECT concat_ws(' ', 'trigger', tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT concat_ws(' ', 'constraint', conname, contype, convalidated) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', 'function', proname, prosrc, proacl) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_'
        UNION ALL SELECT concat_ws(' ', 'setting', setrole, setconfig) FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL SELECT concat_ws(' ', 'database', datdba, datacl, datallowconn, datconnlimit, dattablespace)
            FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT concat_ws(' ', 'version', version_num) FROM alembic_version
    ) AS lines
"""
ROWS = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')"
LARGE = 4 * 2**20  # bytes more than an empty store takes: a database that large is not worth emptying


class Server:
    """One server. Its superuser ``postgres`` needs no password."""

    def __init__(self, programs: Path, **settings: str) -> None:
        self.programs = programs
        # Not pytest's folder: that is closed to others, and a socket's path may have 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="plaudit-pg-"))
        self.data = self.folder / "data"
        self.user = _other_user(self.folder)
        self._names = count()
        try:
            as_wanted = ["--username=postgres", "--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync"]
            self._run("initdb", f"--pgdata={self.data}", *as_wanted)
            (self.data / "pg_hba.conf").write_text(ACCESS)
            with (self.data / "postgresql.conf").open("a") as file:
                place = {"unix_socket_directories": f"'{self.folder}'"}
                file.writelines(f"{name} = {value}\n" for name, value in (SETTINGS | place | settings).items())
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("pg_ctl", f"--pgdata={self.data}", f"--log={self.folder / 'log'}", "--wait", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "immediate" is a crash, after which it recovers from its log; "fast" tells those connected."""
        self._run("pg_ctl", f"--pgdata={self.data}", f"--mode={mode}", "--wait", "stop")

    def close(self) -> None:
        """Stop it, and remove everything."""
        self.stop()
        shutil.rmtree(self.folder)

    def address(self, database: str, user: str = "postgres", password: str | None = None) -> str:
        """The URL of a database, whether or not it exists."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, in no transaction; its rows."""
        with self.session(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, template: str = "template0", more: str = "") -> str:
        """Make a database, and say its name."""
        name = f"test_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} {more}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def session(self, database: str) -> Any:
        """A connection of the superuser, in no transaction."""
        import psycopg  # an optional extra

        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    def _run(self, program: str, *arguments: str) -> None:
        said = self.folder / "said"
        with said.open("w") as file:  # no pipe: the server would keep it open
            done = subprocess.run(
                [str(self.programs / program), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                user=self.user,
                check=False,
            )
        if done.returncode:
            told = "\n".join(each.read_text()[-2000:] for each in (said, self.folder / "log") if each.exists())
            raise RuntimeError(f"{program} {' '.join(arguments)} ended with {done.returncode}:\n{told}")


class EmptyStores:
    """Databases of a server that each hold an empty store, lent to one test after another."""

    def __init__(self, server: Server, template: str) -> None:
        self.server, self.template = server, template
        self._idle: list[str] = []
        self._shape, self._size = self._look(template)

    def take(self) -> str:
        """The name of a database in which nothing is stored."""
        return self._idle.pop() if self._idle else self.server.create(self.template)

    def give_back(self, name: str) -> None:
        """Empty a database, or remove it if a test changed more than the rows of its store."""
        others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        self.server.sql(others)
        shape, size = self._look(name)
        if shape != self._shape or size > self._size + LARGE:
            self.server.drop(name)
            return
        with self.server.session(name) as connection:
            names = connection.execute(ROWS).fetchall()
            emptied = [f'DELETE FROM "{table}";' for table, kind in names if kind == "r" and table != "alembic_version"]
            counted = [f'ALTER SEQUENCE "{sequence}" RESTART;' for sequence, kind in names if kind == "S"]
            # Rows that the store keeps for ever are held by triggers, which a replica does not run.
            connection.execute("SET session_replication_role = replica;" + "".join(emptied + counted))
        self._idle.append(name)

    def _look(self, name: str) -> tuple[str, int]:
        """The shape of a database, which is "" where no store is in it, and its size."""
        from psycopg.errors import UndefinedTable  # an optional extra

        with self.server.session(name) as connection:
            size = connection.execute("SELECT pg_database_size(current_database())").fetchone()[0]
            try:
                return connection.execute(SHAPE).fetchone()[0], size
            except UndefinedTable:
                return "", size


def _other_user(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: somebody else, whose ``folder`` then is; None where we are not root."""
    if getattr(os, "geteuid", lambda: 1)() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            shutil.chown(folder, name)
        except LookupError:
            continue
        return name
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
