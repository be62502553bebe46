"""Serving: one process that listens, in the foreground or beside a training run.

Beside a run the server is a child process. It gets its settings as one argument, says on its first line of output where
it can be reached, and stops when its standard input ends: however the parent dies, the operating system closes that.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import IO, cast

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout

from plaudit.extensions import search_path
from plaudit.files import open_to_append, replace_file
from plaudit.resource import Resource
from plaudit.server.app import create_app
from plaudit.server.connections import ConnectionLimits, calm_logs, fit_limits, limit_connections
from plaudit.server.credentials import FIRST
from plaudit.server.services import Services, build_services
from plaudit.server.settings import ServerConfig, check_links, make_private
from plaudit.signals import list_stopping, stop_as_ctrl_c
from plaudit.types import PlauditError

GRACE = 5  # seconds that requests under way have when the server stops
KEEP_ALIVE = 75  # seconds that an idle connection stays open: people think for longer than uvicorn's 5
LIMITS = ConnectionLimits()
ADDRESS = "serving.json"  # in the folder, while it is served
HOST_ADVICE = ", and an address of this machine by --host"
READY = 60.0  # seconds that a child may take to start
log = logging.getLogger("plaudit.server")


@dataclass(frozen=True)
class Links:
    """Where a server can be reached; ``admin`` makes the first admin, and is None once there is an account."""

    url: str
    admin: str | None


Ready = Callable[[Links], None]


class _Server(uvicorn.Server):
    """uvicorn's server, which also reports when it listens, when it begins to shut down and when it has."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self.before_shutdown: Callable[[], None] = lambda: None
        self.on_shutdown: Callable[[], None] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.before_shutdown()
        await super().shutdown(sockets)
        self.on_shutdown()


def serve(config: ServerConfig, ready: Ready | None = None, stop: threading.Event | None = None) -> None:
    """Serve until SIGINT or SIGTERM, or until ``stop`` is set. ``ready`` is called once requests are answered.

    Raises :class:`PlauditError` when the port is taken, the folder is served already, or the store cannot be opened.
    """
    lock = _only_one(config.folder)
    try:
        with listen(config.host, config.port, HOST_ADVICE) as listener:
            config = replace(config, port=listener.getsockname()[1])
            services = build_services(config)
            links = Links(f"{config.url}/", admin_link(services) if not services.accounts.any() else None)
            uvicorn_config = _uvicorn(create_app(config, services), proxied=config.public_url is not None)
            server = _Server(uvicorn_config, lambda: ready(links) if ready is not None else None)
            try:
                with _note(config) as server.on_shutdown:
                    _run(server, listener, stop)
            finally:
                services.store.close()
    finally:
        lock.release()


def serve_app(
    app: FastAPI,
    listener: socket.socket,
    ready: Callable[[], None],
    before_shutdown: Callable[[], None],
    stop: threading.Event | None = None,
) -> None:
    """Serve ``app`` on ``listener``, until SIGINT or SIGTERM, or until ``stop`` is set.

    ready: called once requests are answered. before_shutdown: called when the server begins to stop, so that streams
    can end.
    """
    server = _Server(_uvicorn(app, proxied=False), ready)
    server.before_shutdown = before_shutdown
    _run(server, listener, stop)


def _run(server: uvicorn.Server, listener: socket.socket, stop: threading.Event | None) -> None:
    if stop is not None:
        threading.Thread(target=_stop_when, args=(server, stop), daemon=True).start()
    _calm_collector()
    calm_logs()
    with suppress(asyncio.CancelledError), _hang_up(server):
        server.run(sockets=[listener])


@contextmanager
def _hang_up(server: uvicorn.Server) -> Iterator[None]:
    """Let a terminal that closes (SIGHUP) stop the server as SIGTERM does: requests under way are answered first."""
    number = getattr(signal, "SIGHUP", None)
    if number not in list_stopping():
        yield
        return
    received = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = server.should_exit = True

    before = signal.signal(cast(int, number), stop)
    try:
        yield
    finally:
        signal.signal(cast(int, number), before)
    if received:
        signal.raise_signal(cast(int, number))


def _calm_collector() -> None:
    """Search for cyclic garbage less often, and not among the objects that exist at the start.

    After some minutes a full search stops every thread for up to a quarter of a second. It finds almost nothing,
    because the server's caches hold no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(gc.get_threshold()[0], 10, 200)


def _uvicorn(app: FastAPI, proxied: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=limit_connections(fit_limits(LIMITS), proxied),
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        # The client's address is in a proxy's header only if there is a proxy; otherwise any client could write it.
        proxy_headers=proxied,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
    )


def _stop_when(server: uvicorn.Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


def admin_link(services: Services, url: str | None = None) -> str:
    """A link that makes one admin within a day, and revokes the link before. ``url`` is what it begins with."""
    token = services.accounts.invites.make(FIRST, "admin", uses=1, days=1.0)
    return f"{url or services.config.url}/join/{token}"


@contextmanager
def _note(config: ServerConfig) -> Iterator[Callable[[], None]]:
    """Note address and store in the folder, readable by its owner only; yields the function that removes the note."""
    path = config.folder / ADDRESS
    note = json.dumps({"url": config.url, "store": absolute_store(config.store)})
    try:
        with replace_file(path, mode=0o600, shared=True) as partial:  # a store's URL may hold a password
            partial.write_text(note, encoding="utf-8")
    except OSError as error:
        raise PlauditError(f"cannot write to {config.folder} ({error.strerror}): make the folder writable") from error
    try:
        yield lambda: path.unlink(missing_ok=True)
    finally:
        path.unlink(missing_ok=True)


def absolute_store(store: str) -> str:
    """A store's URL, or its absolute path."""
    return store if "://" in store else os.path.abspath(store)


@dataclass(frozen=True)
class ServerAddress:
    """A server that runs: its address and its store."""

    url: str
    store: str


def find_server(folder: Path) -> ServerAddress | None:
    """The server that serves from ``folder`` now; None where none does, even if a killed server left its note."""
    path = folder / ADDRESS
    if not path.exists():
        return None
    lock = lock_file(folder)
    try:
        lock.acquire()
    except Timeout:  # so it is served
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            return ServerAddress(str(note["url"]), str(note["store"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None  # it has just ended
    lock.release()
    return None


def lock_file(folder: Path) -> FileLock:
    """The lock that a server holds while it serves from ``folder``; raises as :func:`check_links`."""
    check_links(folder)
    make_private(folder)
    return FileLock(folder / "serving.lock", timeout=0)


def _only_one(folder: Path) -> FileLock:
    lock = lock_file(folder)
    try:
        lock.acquire()
    except Timeout as error:
        raise PlauditError(f"another server serves from {folder}: stop it, or name another --folder") from error
    except OSError as error:
        raise PlauditError(f"cannot write to {folder} ({error.strerror}): make the folder writable") from error
    return lock


def listen(host: str, port: int, advice: str) -> socket.socket:
    """A socket that listens at the address; port 0 is a free one. ``advice`` ends the message if it cannot.

    Raises :class:`PlauditError` when the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: asyncio sends small packets at once only if it knows the protocol; else an answer may wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PlauditError(
            f"cannot listen at {host} port {port} ({error.strerror}): name a free one by --port (0 takes any){advice}"
        ) from error
    return listener


# Beside a training run


@dataclass
class ServerProcess(Resource):
    """A server in a child process; a context that stops it."""

    links: Links
    process: subprocess.Popen[str]

    @property
    def running(self) -> bool:
        """Whether the server still runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """Stop it: requests under way are answered first."""
        _end(self.process)


def _end(process: subprocess.Popen[str], at_once: bool = False) -> None:
    """Close the child's input, which stops it; where that takes too long, kill it."""
    if process.stdin is not None and not process.stdin.closed:
        with suppress(BrokenPipeError):
            process.stdin.close()
    if at_once:
        process.kill()
    try:
        process.wait(GRACE + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def serve_beside(config: ServerConfig, log_path: Path) -> ServerProcess:
    """Start a server in a child process and return when it answers. What it logs goes to ``log_path``.

    Raises :class:`PlauditError` with the child's own line when it cannot start.
    """
    command, pipe = [sys.executable, "-m", "plaudit.server", config.to_json()], subprocess.PIPE
    environment = os.environ | search_path()  # it draws the run's environment, which may be one of a user's module
    try:
        with open(log_path, "a", encoding="utf-8", opener=open_to_append) as output:
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=output, text=True, start_new_session=True, env=environment
            )
    except OSError as error:
        raise PlauditError(f"cannot start the web app ({error.strerror}): see {log_path}") from error
    line = _first_line(process)
    if not line.startswith("{"):
        _end(process, at_once=True)
        raise PlauditError(line.removeprefix("plaudit: ").strip() or f"the web app did not start: see {log_path}")
    return ServerProcess(Links(**json.loads(line)), process)


def _first_line(process: subprocess.Popen[str]) -> str:
    """The child's first line; "" if it ends or is silent for a minute."""
    timer = threading.Timer(READY, process.kill)
    timer.start()
    try:
        return process.stdout.readline() if process.stdout is not None else ""
    finally:
        timer.cancel()


def child(settings: str, parent: IO[str]) -> int:
    """The child's part: serve, tell the parent when ready, stop when ``parent``, its standard input, ends."""
    stop = threading.Event()

    def watch() -> None:
        while parent.readline():
            continue
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    try:
        with stop_as_ctrl_c():
            serve(ServerConfig.from_json(settings), lambda links: print(json.dumps(vars(links)), flush=True), stop)
    except PlauditError as error:
        print(f"plaudit: {' '.join(str(error).split())}", flush=True)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
