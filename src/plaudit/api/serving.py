"""The web app next to a run or an audit in which people judge."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from plaudit import layout
from plaudit.api.console import optional, say
from plaudit.run.disk import disk_errors


@contextlib.contextmanager
def web_app(folder: Path, host: str, port: int, people: bool, scene: Path | None = None) -> Iterator[None]:
    """The web app on the store in a folder, in a process of its own, where people judge; it ends with the run.

    scene: the run that is audited, whose environment draws the clips; None: ``folder`` holds the run itself.
    """
    if not people:
        yield
        return
    serving, settings = optional("plaudit.server.serve", "serve"), optional("plaudit.server.settings", "serve")
    web = folder / "web"
    with disk_errors(web):
        web.mkdir(exist_ok=True)
    store = str(folder / layout.FEEDBACK)
    config = settings.ServerConfig(
        store=store, folder=web, host=host, port=port, run=None if scene else folder, scene=scene
    )
    with serving.serve_beside(config, web / "log.txt") as server:
        if server.links.admin:
            say(f"judge here (the link makes you its admin, once): {server.links.admin}")
        say(f"{'later' if server.links.admin else 'judge'} at {server.links.url}")
        yield
