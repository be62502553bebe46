"""Connections that say little or nothing: they end in time, and keep nobody out."""

from __future__ import annotations

import http.client
import logging
import resource
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from plaudit.server import connections, serve
from plaudit.server.connections import ConnectionLimits, Guard, OncePerSecond, fit_limits, raise_descriptors
from plaudit.server.settings import ServerConfig

from ..serving import serving

HEAD = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: ConnectionLimits) -> Any:
    monkeypatch.setattr(serve, "LIMITS", limits)
    return serving(ServerConfig(str(tmp_path / "feedback.sqlite"), tmp_path / "server", port=0))


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def is_served(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request("GET", "/sign-in")
    status = connection.getresponse().status
    connection.close()
    return status == 200


def is_closed(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        while connection.recv(2**16):
            continue  # of an answer, such as 408
        return True
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_more_idle_connections_than_the_server_holds_keep_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New ones, half a head, and those that had an answer and say no more."""
    with start(tmp_path, monkeypatch, ConnectionLimits(total=24, per_address=24)) as url, ExitStack() as stack:
        for number in range(72):
            connection = stack.enter_context(connect(url))
            if number % 3:
                connection.sendall(HEAD if number % 3 == 1 else HEAD + b"\r\n")
        assert all(is_served(url) for _ in range(3))


def test_slow_heads_and_bodies_end_and_slow_answers_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = ConnectionLimits(head=0.6, silent=0.6, body=60)
    with start(tmp_path, monkeypatch, limits) as url, ExitStack() as stack:
        silent, half, body, patient = (stack.enter_context(connect(url)) for _ in range(4))
        half.sendall(HEAD)
        body.sendall(
            HEAD.replace(b"GET /sign-in", b"POST /api/session")
            + b"Origin: http://127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        patient.sendall(HEAD + b"\r\n")
        assert patient.recv(2**16).startswith(b"HTTP/1.1 200")
        for _ in range(4):  # a byte now and then does not help
            time.sleep(0.25)
            try:
                half.sendall(b"X-Slow: 1\r\n")
            except OSError:
                break
        assert all(is_closed(connection, 5.0) for connection in (silent, half, body))
        patient.sendall(HEAD + b"\r\n")  # idle between two requests for longer than a head may take
        while not (page := patient.recv(2**16)).startswith(b"HTTP/1.1 200"):
            assert page
        assert is_served(url)


class Fake:
    """A connection of the guard's."""

    def __init__(self, address: str) -> None:
        self.address, self.aborted, self.transport = address, False, self

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Guard]:
    def make(total: int, per_address: int, proxied: bool = False) -> Guard:
        made = Guard(ConnectionLimits(total, per_address), proxied)
        monkeypatch.setattr(made, "_sweeping", object())  # no event loop runs here
        return made

    return make


def test_the_longest_idle_connection_of_the_greediest_address_closes(guard: Callable[..., Guard]) -> None:
    """A worked case: six connections at most, four of one address."""
    watch = guard(6, 4)
    greedy, modest = [Fake("1.1.1.1") for _ in range(5)], [Fake("2.2.2.2") for _ in range(3)]
    for connection in greedy[:2]:
        watch.admit(connection.address, connection)
    watch.set_idle("1.1.1.1", greedy[0], False)  # at work
    for connection in greedy[2:]:
        watch.admit(connection.address, connection)
    assert [one.aborted for one in greedy] == [False, True, False, False, False]
    for connection in modest:
        watch.admit(connection.address, connection)
    assert [one.aborted for one in greedy] == [False, True, True, False, False]
    assert not any(one.aborted for one in modest) and watch.count == 6
    watch.forget("1.1.1.1", greedy[3])
    watch.forget("1.1.1.1", greedy[3])
    assert watch.count == 5


def test_behind_a_proxy_one_address_may_have_all_connections(guard: Callable[..., Guard]) -> None:
    watch = guard(6, 2, proxied=True)
    fakes = [Fake("127.0.0.1") for _ in range(6)]
    for connection in fakes:
        watch.admit(connection.address, connection)
        watch.set_idle(connection.address, connection, False)
    assert watch.count == 6
    late = Fake("127.0.0.1")
    watch.admit(late.address, late)  # all others are at work
    assert late.aborted and not any(one.aborted for one in fakes)


def test_the_limit_of_open_files_is_raised_and_kept_to() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        most = raise_descriptors()
        assert most is None or most == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512 or before[1] <= 512
        fitted = fit_limits(ConnectionLimits(total=10**6, per_address=10**6))
        assert most is None or (fitted.total <= most - 256 and fitted.per_address <= fitted.total // 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_log_has_at_most_one_line_a_second_from_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.Logger("flood")
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    moments = [100.0]
    monkeypatch.setattr(connections.time, "monotonic", lambda: moments[0])
    logger.addFilter(OncePerSecond())
    for moment in (100.0, 100.5, 100.9, 101.1):
        moments[0] = moment
        for _ in range(10):
            logger.error("cannot accept")
        if moment == 100.0:
            logger.error("something else")
    assert lines == ["cannot accept", "something else", "cannot accept (and 29 like it before)"]


@pytest.mark.thorough
def test_300_browsers_of_six_connections_each_work_without_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection gets an answer, stays open, and gets another one."""
    most = raise_descriptors()
    if most is not None and most < 4500:
        pytest.skip(f"this process may open {most} files only")
    with start(tmp_path, monkeypatch, ConnectionLimits()) as url, ExitStack() as stack:
        browsers = [stack.enter_context(connect(url)) for _ in range(1800)]
        for _ in range(2):
            answers: list[bytes] = []
            for group in range(0, 1800, 300):
                for connection in browsers[group : group + 300]:
                    connection.sendall(HEAD + b"\r\n")
                answers += [connection.recv(2**16) for connection in browsers[group : group + 300]]
            assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
            for connection in browsers:
                connection.setblocking(False)
                drain(connection)
                connection.settimeout(20)


def drain(connection: socket.socket) -> None:
    with suppress(BlockingIOError):
        while connection.recv(2**16):
            continue
