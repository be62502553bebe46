"""The web app beside a run that people judge."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from plaudit import layout
from plaudit.api.console import optional, say
from plaudit.run.disk import disk_errors


@contextlib.contextmanager
def web_app(run: Path, host: str, port: int, people: bool) -> Iterator[None]:
    """The web app on a run's store, in a process of its own, where people judge; it ends with the run."""
    if not people:
        yield
        return
    serving, settings = optional("plaudit.server.serve", "serve"), optional("plaudit.server.settings", "serve")
    folder = run / "web"
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    store = str(run / layout.FEEDBACK)
    config = settings.ServerConfig(store=store, folder=folder, host=host, port=port, run=run)
    with serving.serve_beside(config, folder / "log.txt") as server:
        if server.links.admin:
            say(f"judge here (the link makes you its admin, once): {server.links.admin}")
        say(f"{'later' if server.links.admin else 'judge'} at {server.links.url}")
        yield
