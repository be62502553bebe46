"""Limits on connections, so that a stranger who opens many and says little shuts nobody out.

uvicorn's protocol answers requests; :func:`limit_connections` adds deadlines and numbers to it. When there are too many
connections, the one that has been idle for longest closes, first of the address that has most of them. A browser whose
idle connection closes opens another one, so people do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from plaudit.server.throttle import network

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

SPARE = 256  # descriptors for files, databases and threads
MOST_DESCRIPTORS = 65_536
SWEEP = 0.5  # seconds between two looks at the deadlines
LOGGERS = ("asyncio", "uvicorn.error", "plaudit.server")


@dataclass(frozen=True)
class ConnectionLimits:
    """Numbers of connections, and seconds."""

    total: int = 8192
    """Connections at once."""
    per_address: int = 4096
    """Connections of one IPv4 address or IPv6 /64 network; an office may share one."""
    head: float = 15.0
    """Seconds until the headers of a request have come."""
    silent: float = 30.0
    """Seconds without a byte of a body, or without a client that reads its answer."""
    body: float = 600.0
    """Seconds until a whole body has come."""


@dataclass
class _Address:
    """The connections of one address; ``idle`` are those without a request, the one that waits longest first."""

    connections: set[Any] = field(default_factory=set)
    idle: OrderedDict[Any, None] = field(default_factory=OrderedDict)


class Guard:
    """The connections of one server."""

    def __init__(self, limits: ConnectionLimits, proxied: bool) -> None:
        self.limits = limits
        self.per_address = limits.total if proxied else limits.per_address  # a proxy is one address for all people
        self.count = 0
        self._addresses: dict[str, _Address] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def admit(self, address: str, connection: Any) -> None:
        """Count a new connection; close the longest idle one if there are too many, which may be the new one."""
        entry = self._addresses.setdefault(address, _Address())
        entry.connections.add(connection)
        entry.idle[connection] = None
        self.count += 1
        if len(entry.connections) > self.per_address:
            self._close_idle(entry)
        elif self.count > self.limits.total:
            self._close_idle(max(self._addresses.values(), key=lambda entry: len(entry.connections)))
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def forget(self, address: str, connection: Any) -> None:
        """Stop counting a connection that has ended."""
        entry = self._addresses.get(address)
        if entry is None or connection not in entry.connections:
            return
        entry.connections.discard(connection)
        entry.idle.pop(connection, None)
        self.count -= 1
        if not entry.connections:
            del self._addresses[address]

    def set_idle(self, address: str, connection: Any, idle: bool) -> None:
        """Note whether a connection waits for its next request."""
        entry = self._addresses.get(address)
        if entry is None or connection not in entry.connections:
            return
        entry.idle.pop(connection, None)
        if idle:
            entry.idle[connection] = None

    def _close_idle(self, entry: _Address) -> None:
        if not entry.idle:  # all of them are at work: the server is full
            entry = max(self._addresses.values(), key=lambda entry: len(entry.idle))
        if entry.idle:
            connection = next(iter(entry.idle))
            self.forget(connection.address, connection)
            connection.transport.abort()

    def _sweep(self) -> None:
        self._sweeping = None
        now = time.monotonic()
        for entry in list(self._addresses.values()):
            for connection in list(entry.connections):
                if connection.is_late(now, self.limits):
                    self.forget(connection.address, connection)
                    connection.transport.abort()
        if self.count:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)


if TYPE_CHECKING:
    Protocol = Any
else:
    Protocol = object


class _GuardProtocol(Protocol):
    """uvicorn's protocol under a :class:`Guard`; ``guard`` is set by :func:`limit_connections`."""

    guard: Guard
    address = ""
    head_began: float | None = None  # when an incomplete head began, or the connection
    request_began = 0.0
    last_byte_at = 0.0  # when the last byte came
    unread = 0  # bytes that the client has not read
    unread_since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.head_began = self.last_byte_at = time.monotonic()
        self.address = network(self.client[0]) if self.client else ""
        self.guard.admit(self.address, self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.forget(self.address, self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_busy = self.is_busy
        self.last_byte_at = time.monotonic()
        super().data_received(data)
        if not self.is_busy:
            self.head_began = self.head_began or self.last_byte_at
        elif not was_busy:
            self.head_began, self.request_began = None, self.last_byte_at
            self.guard.set_idle(self.address, self, False)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.is_busy:  # with the next request, which had come already
            self.request_began = time.monotonic()
        else:
            self.guard.set_idle(self.address, self, True)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being read or answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def is_late(self, now: float, limits: ConnectionLimits) -> bool:
        """Whether the client has taken too long; an answer may take as long as it needs."""
        unread = self.transport.get_write_buffer_size()
        if unread == 0 or unread < self.unread or not self.unread:
            self.unread_since = now
        self.unread = unread
        if unread and now - self.unread_since > limits.silent:
            return True
        if not self.is_busy:
            return self.head_began is not None and now - self.head_began > limits.head
        if not self.cycle.more_body or self.flow.read_paused:
            return False
        return now - self.last_byte_at > limits.silent or now - self.request_began > limits.body


def limit_connections(limits: ConnectionLimits, proxied: bool) -> type[asyncio.Protocol]:
    """uvicorn's protocol with ``limits``. ``proxied``: all connections may come from one address."""
    guard = Guard(limits, proxied)
    return type("LimitedProtocol", (_GuardProtocol, AutoHTTPProtocol), {"guard": guard})


def fit_limits(limits: ConnectionLimits) -> ConnectionLimits:
    """``limits`` for this process, whose limit of open files is raised as far as the system allows."""
    available = raise_descriptors()
    total = limits.total if available is None else max(16, min(limits.total, available - SPARE))
    return ConnectionLimits(total, min(limits.per_address, max(8, total // 2)), limits.head, limits.silent, limits.body)


def raise_descriptors() -> int | None:
    """Raise the number of files that this process may open; the number, or None if the system has no such limit."""
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return None if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS has a lower limit than it tells
        return soft
    return most


class OncePerSecond(logging.Filter):
    """Lets one record a second through for each line of code that logs; the next one tells how many were left out."""

    def __init__(self, seconds: float = 1.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._latest: dict[tuple[str, int], tuple[float, int]] = {}  # when the last one passed, and how many did not

    def filter(self, record: logging.LogRecord) -> bool:
        now, line = time.monotonic(), (record.pathname, record.lineno)
        moment, omitted = self._latest.get(line, (-self.seconds, 0))
        if now - moment < self.seconds:
            self._latest[line] = moment, omitted + 1
            return False
        self._latest[line] = now, 0
        if omitted:
            record.msg, record.args = f"{record.getMessage()} (and {omitted} like it before)", ()
        return True


def calm_logs() -> None:
    """Let strangers not fill the disk by the log: each place in the code logs at most once a second."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(entry, OncePerSecond) for entry in logger.filters):
            logger.addFilter(OncePerSecond())
