"""``plaudit collect``: the web app on its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro
from filelock import Timeout

from plaudit import layout
from plaudit.server import backup
from plaudit.server.serve import Links, absolute_store, admin_link, find_server, lock_file, serve
from plaudit.server.services import build_services
from plaudit.server.settings import Caps, ServerConfig, check_links
from plaudit.types import PlauditError, printable

DESCRIPTION = """Serve the web app in which people judge. The first start prints a link that makes the first admin.

examples:
  plaudit collect
  plaudit collect --host 0.0.0.0 --public-url https://judge.example.org
  plaudit collect --store runs/Duel/feedback.sqlite
  plaudit collect --store postgresql://plaudit@localhost/judgements
  plaudit collect --endpoint http://localhost:8000/v1 --endpoint-model my-model
  plaudit collect --backup
  plaudit collect --restore collect/backups/feedback-2026-03-14T09-26-53Z.sqlite --force"""


@dataclass(frozen=True)
class CollectArguments:
    """Settings of a server, and actions on its store."""

    store: str | None = None
    """Feedback store: a file, or postgresql://USER@HOST/NAME; default: feedback.sqlite in the folder."""
    folder: Path = Path("collect")
    """Folder for the store, the server's secret and backups."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 admits other machines (put an https proxy in front of it)."""
    port: int = 8777
    """Port to listen at; 0 takes a free one."""
    public_url: str | None = None
    """Address in links, behind a reverse proxy: https://HOST."""
    endpoint: str | None = None
    """An OpenAI-compatible URL, for conversations and chats; its key is read from PLAUDIT_ENDPOINT_KEY."""
    endpoint_model: str = ""
    """Name of the model at the endpoint."""
    session_days: int = 30
    """Days after which people must sign in again."""
    caps: Caps = field(default_factory=Caps)
    """Caps for each person."""
    admin_link: bool = False
    """Print a new link that creates an admin, with the address of the server that runs from the folder, and end."""
    backup: bool = False
    """Copy the store to FOLDER/backups, check the copy, and end. The server may be running."""
    restore: Path | None = None
    """Replace the store by this backup, and end. The server must not be running."""
    force: bool = False
    """Replace a store that is not empty, with --restore; the old store is kept under another name."""

    def config(self) -> ServerConfig:
        """The settings of the server."""
        return ServerConfig(
            store=self.store or str(self.folder / layout.FEEDBACK),
            folder=self.folder,
            host=self.host,
            port=self.port,
            public_url=self.public_url,
            endpoint=self.endpoint,
            endpoint_model=self.endpoint_model,
            session_days=self.session_days,
            caps=self.caps,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run; returns the exit code. Raises :class:`PlauditError`."""
    parsed = tyro.cli(CollectArguments, prog="plaudit collect", description=DESCRIPTION, args=argv)
    return collect(parsed)


def collect(parsed: CollectArguments) -> int:
    """Do what was asked; returns the exit code. Raises :class:`PlauditError`."""
    config = parsed.config()
    if sum((parsed.admin_link, parsed.backup, parsed.restore is not None)) > 1:
        raise PlauditError("--admin-link, --backup and --restore exclude each other: give one at a time")
    if parsed.force and parsed.restore is None:
        raise PlauditError("--force needs --restore FILE")
    if parsed.restore is not None:
        return _restore(config, parsed.restore, parsed.force)
    if parsed.admin_link or parsed.backup:
        _run_once(parsed, config)
        return 0
    serve(config, _announce)
    return 0


def _run_once(parsed: CollectArguments, config: ServerConfig) -> None:
    """Make a link, or a backup; of the server that runs, where one does."""
    check_links(config.folder)
    running = find_server(config.folder)
    if running is not None:
        if parsed.store is not None and absolute_store(parsed.store) != running.store:
            raise PlauditError(
                f"the server that runs from {config.folder} has another store than {parsed.store}: "
                "leave out --store, or name the other server's --folder"
            )
        config = replace(config, store=running.store)
    services = build_services(config)
    try:
        if parsed.admin_link:
            url = None if running is None or parsed.public_url is not None else running.url
            print(admin_link(services, url))
        else:
            copy = backup.make(config.store, config.folder, time.time())
            backup.log_backup(services.store, time.time(), "(command line)", copy)
            print(printable(str(config.folder / backup.FOLDER / copy.name)))
    finally:
        services.store.close()


def _announce(links: Links) -> None:
    print(f"collecting at {links.url}", flush=True)
    if links.admin is not None:
        print(f"make the first admin (once, within a day): {links.admin}", flush=True)


def _restore(config: ServerConfig, file: Path, force: bool) -> int:
    lock = lock_file(config.folder)
    try:
        with lock:
            previous = backup.restore(config.store, file, force, time.time())
    except Timeout as error:
        raise PlauditError(f"a server serves from {config.folder}: stop it, then restore") from error
    note = f"; the replaced store is kept in {previous}" if previous else ""
    print(printable(f"restored {backup.sqlite_path(config.store)}{note}"))
    return 0
