"""A real server in a thread of the tests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from plaudit.server.serve import Links, serve
from plaudit.server.settings import ServerConfig
from plaudit.types import PlauditError


class Faults(logging.Handler):
    """Keeps what the server logs of an exception that nobody expected."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.lines.append(logging.Formatter().format(record))


@contextmanager
def serving(config: ServerConfig) -> Iterator[str]:
    """The address of a server of ``config`` that answers on a port of its own, in a thread of this process."""
    links: list[Links] = []
    problems: list[PlauditError] = []
    ready, stop, faults = threading.Event(), threading.Event(), Faults()

    def on_ready(found: Links) -> None:
        links.append(found)
        ready.set()

    def run() -> None:
        try:
            serve(config, on_ready, stop)
        except PlauditError as error:
            problems.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60), "the server did not start within a minute"
    if problems:
        raise problems[0]
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "plaudit.server")]
    for logger in loggers:
        logger.addHandler(faults)
    try:
        yield links[0].url.rstrip("/")
    finally:
        stop.set()
        thread.join(20)
        for logger in loggers:
            logger.removeHandler(faults)
    assert not thread.is_alive() and faults.lines == []
