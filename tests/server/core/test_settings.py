"""What a server is told, and the secret that it keeps."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from plaudit.server.settings import SECRET_BYTES, ServerConfig, secret
from plaudit.types import PlauditError


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    made = secret(folder)
    assert len(made) == SECRET_BYTES and secret(folder) == made
    assert [each.name for each in folder.iterdir()] == ["secret"]
    if os.name == "posix":
        assert (folder / "secret").stat().st_mode & 0o777 == 0o600


def test_of_many_who_make_the_secret_at_once_all_get_the_same(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(secret(tmp_path))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8 and len(set(found)) == 1


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    secret(tmp_path)
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(PlauditError, match=r"others may read .*secret.*chmod 600"):
        secret(tmp_path)


def test_a_secret_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    secret(tmp_path)
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(PlauditError, match="delete it to get a new one"):
        secret(tmp_path)


def test_settings_survive_the_way_to_a_child() -> None:
    config = ServerConfig("sqlite:///x", Path("somewhere"), port=0, public_url="https://a.example", run=Path("runs/a"))
    assert ServerConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("text", ["", "[]", '{"store": "x"}', '{"store": "x", "folder": "y", "colour": "red"}'])
def test_settings_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(PlauditError, match="settings"):
        ServerConfig.from_json(text)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"port": 70000}, "port"),
        ({"session_days": 0}, "session_days"),
        ({"public_url": "judge.example.org"}, "http://"),
        ({"public_url": "https://a.example/plaudit"}, "root"),
        ({"endpoint": "ftp://a.example"}, "endpoint"),
        ({"public_url": "http://a.example:notaport"}, "public_url"),
    ],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(PlauditError, match=match):
        ServerConfig("x", Path("y"), **fields)


@pytest.mark.parametrize(
    ("fields", "url", "secure"),
    [
        ({}, "http://127.0.0.1:8777", False),
        ({"host": "::1"}, "http://[::1]:8777", False),
        ({"host": "0.0.0.0", "port": 80}, "http://localhost:80", False),
        ({"public_url": "https://a.example/"}, "https://a.example", True),
    ],
)
def test_links_begin_with_what_people_can_reach(fields: dict[str, Any], url: str, secure: bool) -> None:
    config = ServerConfig("x", Path("y"), **fields)
    assert (config.url, config.secure) == (url, secure)
