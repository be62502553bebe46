"""Backups of a store: made while it is in use, checked by opening them, and restored while it is not in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import make_url

from plaudit.feedback.audit import add_entry
from plaudit.feedback.store import Store, StoreUnavailable
from plaudit.files import replace_file
from plaudit.types import PlauditError

FOLDER = "backups"
SUFFIXES = (".sqlite", ".dump")
ABANDONED = 6 * 3600  # seconds after which an unfinished copy is taken for abandoned


@dataclass(frozen=True)
class Backup:
    """One copy."""

    name: str
    bytes: int
    created_at: float


def is_postgres(store: str) -> bool:
    """Whether ``store`` names a PostgreSQL database."""
    return store.startswith(("postgresql://", "postgresql+psycopg://"))


def list_backups(folder: Path) -> list[Backup]:
    """The copies in ``folder/backups``, newest first."""
    try:
        paths = [path for path in (folder / FOLDER).iterdir() if path.suffix in SUFFIXES]
    except FileNotFoundError:
        return []
    backups = [Backup(path.name, path.stat().st_size, path.stat().st_mtime) for path in paths]
    return sorted(backups, key=lambda backup: (backup.created_at, backup.name), reverse=True)


def make(store: str, folder: Path, now: float) -> Backup:
    """Copy ``store`` into ``folder/backups`` while it is in use; the copy is checked before it has its name.

    Raises :class:`PlauditError` when the copy cannot be made, or pg_dump is needed and not there.
    """
    suffix = ".dump" if is_postgres(store) else ".sqlite"
    backups = folder / FOLDER
    try:
        backups.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = _free(backups, f"feedback-{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H-%M-%SZ}", suffix)
        with replace_file(path, mode=0o600) as partial:  # it holds people's names
            _sweep(partial)
            (_dump if is_postgres(store) else _vacuum)(store, partial)
    except OSError as error:
        raise StoreUnavailable(f"cannot write a backup to {backups} ({error.strerror}): check its space") from error
    return Backup(path.name, path.stat().st_size, path.stat().st_mtime)


def _sweep(partial: Path) -> None:
    """Delete abandoned copies next to ``partial``; a copy that is being made is younger than that."""
    now = partial.stat().st_mtime  # by the clock of the disk
    for leftover in partial.parent.glob("*.partial"):
        if now - leftover.stat().st_mtime > ABANDONED:
            leftover.unlink(missing_ok=True)


def log_backup(store: Store, now: float, actor: str, backup: Backup) -> None:
    """Note a backup in the audit log."""
    add_entry(store, now, actor, "made a backup", backup.name, {"bytes": backup.bytes})


def _free(folder: Path, stem: str, suffix: str) -> Path:
    path, number = folder / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path


def sqlite_path(store: str) -> Path:
    """The file that ``store`` names."""
    return Path(str(make_url(store).database)) if "://" in store else Path(store)


def _vacuum(store: str, partial: Path) -> None:
    source = sqlite_path(store)
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.execute("VACUUM INTO ?", (str(partial),))
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot copy {source} ({error}): check the disk's space and try again") from error
    check(partial)


def check(path: Path) -> None:
    """Raise :class:`PlauditError` unless ``path`` is a sound Plaudit store; nothing is written to it."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise PlauditError(f"{path} cannot be read as a store ({error}): choose another backup") from error
    if verdict != "ok":
        raise PlauditError(f"{path} is damaged ({verdict}): choose another backup")
    if not {"questions", "judgements"} <= tables:
        raise PlauditError(f"{path} is a database, but not a Plaudit store: choose another file")


def _dump(store: str, partial: Path) -> None:
    url = make_url(store)
    address = url.set(drivername="postgresql", password=None).render_as_string()
    program = shutil.which("pg_dump")
    if program is None:
        raise PlauditError(
            f"pg_dump is not on the path: install PostgreSQL's client programs, or run on another machine: "
            f"pg_dump --format=custom --file=feedback.dump {address}"
        )
    # The password goes by the environment: other users can read command lines.
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    command = [program, "--format=custom", "--no-owner", f"--file={partial}", address]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[:300]
        raise StoreUnavailable(
            f"pg_dump failed ({reason}): see that the database can be reached, that there is space for the backup, "
            "and that pg_dump is not older than the server"
        )


def restore(store: str, file: Path, force: bool, now: float) -> Path | None:
    """Replace ``store`` by ``file``; the old store is renamed, and its path returned.

    Raises :class:`PlauditError` when the store is in use, holds anything and ``force`` is not given, or ``file`` is no
    sound store.
    """
    if is_postgres(store):
        address = make_url(store).set(drivername="postgresql").render_as_string(hide_password=True)
        raise PlauditError(
            f"a PostgreSQL store is restored by PostgreSQL: stop the server, make an empty database, then "
            f"pg_restore --no-owner --dbname={address} {file}"
        )
    path = sqlite_path(store)
    if not file.is_file():
        raise PlauditError(f"there is no backup at {file}: the ones made by the server lie in backups/ of its folder")
    if path.exists() and path.samefile(file):
        raise PlauditError(f"{file} is the store itself: name a backup")
    check(file)
    previous = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as partial:
            shutil.copyfile(file, partial)
            check(partial)
            if path.exists() and path.stat().st_size > 0:
                _check_unused(path, force)
                previous = _free(
                    path.parent, f"{path.stem}-before-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}", path.suffix
                )
                os.replace(path, previous)
    except OSError as error:
        raise PlauditError(f"cannot restore to {path} ({error.strerror}): check the folder and its space") from error
    return previous


def _check_unused(path: Path, force: bool) -> None:
    """Raise if the store is open elsewhere, or holds data and ``force`` is False. Folds its log into the file."""
    busy = PlauditError(f"{path} is in use: stop the server or the run that has it open, then restore")
    try:
        with closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as connection:
            # Leaving write-ahead logging needs exclusive access; afterwards the file alone is the store.
            if connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
                raise busy
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            n_rows = sum(
                connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("questions", "judgements", "users")
                if table in tables
            )
    except sqlite3.OperationalError as error:
        raise busy from error
    except sqlite3.DatabaseError as error:
        if not force:
            raise PlauditError(
                f"{path} is damaged ({error}): --force replaces it and keeps it under another name"
            ) from error
        return
    if n_rows and not force:
        raise PlauditError(f"{path} is not empty: --force replaces it and keeps it under another name")
