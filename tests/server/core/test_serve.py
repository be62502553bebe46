"""Serving on a real port, in the foreground and beside a run."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from plaudit.server.command import CollectArguments, collect
from plaudit.server.serve import ADDRESS, Links, find_server, serve, serve_beside
from plaudit.server.settings import ServerConfig
from plaudit.signals import stop_as_ctrl_c
from plaudit.types import PlauditError

from ...processes import Forked


def config_in(folder: Path, port: int = 0) -> ServerConfig:
    return ServerConfig(str(folder / "feedback.sqlite"), folder, port=port)


def wait_until_gone(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            return
        time.sleep(0.05)
    raise AssertionError(f"{url} still answers")


@contextmanager
def in_a_thread(config: ServerConfig) -> Iterator[Links]:
    """The links of a server that answers, in a thread of this process; it is told to stop in the end."""
    said: list[Links] = []
    ready, stop = threading.Event(), threading.Event()

    def on_ready(links: Links) -> None:
        said.append(links)
        ready.set()

    server = threading.Thread(target=serve, args=(config, on_ready, stop))
    server.start()
    try:
        assert ready.wait(60)
        (links,) = said
        yield links
    finally:
        stop.set()
        server.join(30)
    assert not server.is_alive()


def test_it_says_where_it_is_and_answers_until_told_to_stop(tmp_path: Path) -> None:
    with in_a_thread(config_in(tmp_path)) as links:
        answer = httpx.get(f"{links.url}api/openapi.json")
        assert answer.status_code == 200 and "server" not in answer.headers
        assert links.admin is not None and links.admin.startswith(f"{links.url}join/")
        port = int(links.url.rstrip("/").rsplit(":", 1)[1])
        with pytest.raises(PlauditError, match=f"cannot listen at 127.0.0.1 port {port} .*--port"):
            serve(config_in(tmp_path / "another", port))
        with pytest.raises(PlauditError, match="another server serves from"):
            serve(config_in(tmp_path))


def test_an_address_of_another_machine_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match=r"cannot listen at 203.0.113.1 port \d+"):
        serve(ServerConfig(str(tmp_path / "f.sqlite"), tmp_path, host="203.0.113.1"))


@pytest.mark.usefixtures("forked_servers")
def test_the_admin_link_is_printed_as_long_as_there_is_nobody(tmp_path: Path) -> None:
    with serve_beside(config_in(tmp_path), tmp_path / "log.txt") as first:
        assert first.running and first.links.admin is not None
        body = {"token": first.links.admin.rsplit("/", 1)[1], "name": "Ada", "password": "correct horse"}
        with httpx.Client(base_url=first.links.url) as browser:
            assert browser.post("/api/join", json=body).status_code == 204
            assert browser.get("/api/me").json()["role"] == "admin"
    assert not first.running and first.process.returncode == 0
    wait_until_gone(first.links.url)
    assert not (tmp_path / ADDRESS).exists()
    with in_a_thread(config_in(tmp_path)) as second:
        assert second.admin is None


@pytest.mark.usefixtures("forked_servers")
def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PlauditError, match="cannot listen at"):
            serve_beside(config_in(tmp_path, taken.getsockname()[1]), tmp_path / "log.txt")
    (tmp_path / "feedback.sqlite").write_text("no database " * 100)
    with pytest.raises(PlauditError, match="damaged or not a Plaudit store"):
        serve(config_in(tmp_path))  # what a child does, and prints as one line


def serve_beside_and_wait(folder: Path) -> None:
    beside = serve_beside(config_in(folder), folder / "log.txt")
    print(beside.links.url, flush=True)
    time.sleep(600)


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = Forked(serve_beside_and_wait, tmp_path)
    while "\n" not in parent.output and parent.running():
        time.sleep(0.02)
    url = parent.output.strip()
    assert httpx.get(f"{url}api/openapi.json").status_code == 200
    parent.kill()
    assert parent.wait().status == -signal.SIGKILL
    wait_until_gone(url)


@pytest.mark.usefixtures("forked_servers")
def test_a_link_and_a_backup_beside_a_running_server_until_sigterm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They find its address and its store; who else is on the machine does not. SIGTERM takes the address away."""
    folder, note = tmp_path / "web", tmp_path / "web" / ADDRESS
    config = ServerConfig(str(tmp_path / "elsewhere.sqlite"), folder, port=0)
    with serve_beside(config, tmp_path / "log.txt") as beside:
        if os.name == "posix":
            assert note.stat().st_mode & 0o777 == 0o600
        assert collect(CollectArguments(folder=folder, admin_link=True)) == 0
        link = capsys.readouterr().out.strip()
        assert link.startswith(f"{beside.links.url}join/")
        assert httpx.get(link).status_code == 200
        assert collect(CollectArguments(folder=folder, backup=True)) == 0
        assert Path(capsys.readouterr().out.strip()).exists() and not (folder / "feedback.sqlite").exists()
        with pytest.raises(PlauditError, match="has another store than other"):
            collect(CollectArguments(store="other.sqlite", folder=folder, admin_link=True))
        if os.name == "posix":
            beside.process.send_signal(signal.SIGTERM)
            assert beside.process.wait(30) in (0, -signal.SIGTERM)
    wait_until_gone(beside.links.url)
    assert not note.exists()
    note.write_text('{"url": "http://127.0.0.1:1", "store": "gone"}')  # as a server that was killed leaves it
    assert find_server(folder) is None
    assert collect(CollectArguments(folder=folder, admin_link=True, port=9)) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:9/join/")


def collect_until_stopped(folder: Path) -> None:
    with stop_as_ctrl_c():
        serve(config_in(folder), lambda links: print(links.admin, flush=True))


@pytest.mark.skipif(os.name != "posix", reason="has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_supervisor_and_a_closed_terminal_leave_a_whole_store(tmp_path: Path, number: signal.Signals) -> None:
    """The admin's link was written to the log, which is folded into the file; the status is that of the signal."""
    process = Forked(collect_until_stopped, tmp_path)
    deadline = time.monotonic() + 60
    while "/join/" not in process.output and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "feedback.sqlite-wal").stat().st_size > 0
    process.signal(number)
    assert process.wait().status == -number
    assert not (tmp_path / "feedback.sqlite-wal").exists() and not (tmp_path / ADDRESS).exists()
    assert (tmp_path / "feedback.sqlite").stat().st_size > 50_000
