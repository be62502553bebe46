"""Backups made while the store is in use, and put back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from plaudit.feedback.store import Store
from plaudit.server import backup
from plaudit.server.command import CollectArguments, collect
from plaudit.server.serve import lock_file
from plaudit.types import PlauditError

from .conftest import Site, pair, told


def filled(site: Site) -> None:
    site.project()
    site.say(site.ask([pair(0), pair(1)])[0], "Ada", {"strength": 4})


def test_a_backup_is_made_while_others_write_and_holds_everything(site: Site) -> None:
    boss = site.join("Boss", "admin")
    filled(site)
    with site.services.store.database.read() as reading:  # a long read, and the log not yet folded in
        assert reading is not None
        made = boss.post("/api/admin/backup")
    assert made.status_code == 201
    (listed,) = boss.get("/api/admin/backup").json()
    assert listed == made.json()
    path = site.folder / "backups" / listed["name"]
    assert path.stat().st_size == listed["bytes"] > 0
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0  # it holds names and hashes
    with Store.open(path) as copy:
        assert copy.counts().judgements == 1 and copy.counts().questions == 2
    told(site.join("Ada2").post("/api/admin/backup"), 403)
    assert boss.get("/api/admin/audit").json()["entries"][1]["action"] != ""


def test_two_backups_in_one_second_are_two_files(site: Site) -> None:
    names = [backup.make(site.services.config.store, site.folder, site.clock()).name for _ in range(3)]
    assert len(set(names)) == 3
    assert {each.name for each in backup.list_backups(site.folder)} == set(names)


def test_what_a_killed_backup_left_is_taken_away_in_time(site: Site) -> None:
    place = site.folder / "backups"
    place.mkdir()
    for name, age in (("old", backup.ABANDONED + 60), ("young", 60)):
        left = place / f"{name}.partial"
        left.write_bytes(b"half")
        then = left.stat().st_mtime - age
        os.utime(left, (then, then))
    made = backup.make(site.services.config.store, site.folder, site.clock())
    assert {each.name for each in place.iterdir()} == {"young.partial", made.name}


def test_there_is_no_backup_without_a_folder(tmp_path: Path) -> None:
    assert backup.list_backups(tmp_path) == []


def test_a_store_that_is_gone_gives_no_backup(site: Site, tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match="cannot copy"):
        backup.make(str(tmp_path / "nothing.sqlite"), site.folder, 0.0)
    assert backup.list_backups(site.folder) == []


def restored(folder: Path, file: Path, force: bool = False) -> int:
    return collect(CollectArguments(folder=folder, restore=file, force=force))


def test_restoring_keeps_what_was_there(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(site)
    made = backup.make(site.services.config.store, site.folder, site.clock())
    site.say(site.ask([pair(7)])[0], "Ada", {"strength": 4})
    copy = site.folder / "backups" / made.name
    with pytest.raises(PlauditError, match="in use"):
        restored(site.folder, copy, force=True)
    site.services.store.close()
    with pytest.raises(PlauditError, match="not empty: --force"):
        restored(site.folder, copy)
    assert restored(site.folder, copy, force=True) == 0
    assert "kept in" in capsys.readouterr().out
    (kept,) = site.folder.glob("feedback-before-*.sqlite")
    for path, judgements in ((site.folder / "feedback.sqlite", 1), (kept, 2)):
        with Store.open(path) as store:
            assert store.counts().judgements == judgements


def test_restoring_to_nothing_and_to_an_empty_store_needs_no_force(site: Site, tmp_path: Path) -> None:
    filled(site)
    made = site.folder / "backups" / backup.make(site.services.config.store, site.folder, 0.0).name
    assert restored(tmp_path / "new", made) == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    Store.open(empty / "feedback.sqlite").close()
    assert restored(empty, made) == 0
    with Store.open(empty / "feedback.sqlite") as store:
        assert store.counts().judgements == 1


def test_what_is_no_sound_store_is_not_restored(site: Site, tmp_path: Path) -> None:
    filled(site)
    site.services.store.close()
    store = site.folder / "feedback.sqlite"
    text, strange, cut = tmp_path / "text.sqlite", tmp_path / "strange.sqlite", tmp_path / "cut.sqlite"
    text.write_text("this is no database, " * 100)
    with closing(sqlite3.connect(strange)) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
        connection.commit()
    shutil.copyfile(store, cut)
    with cut.open("r+b") as file:
        file.truncate(40_000)
    before = store.read_bytes()
    for wrong in (text, strange, cut, tmp_path / "none.sqlite", store):
        with pytest.raises(PlauditError):
            restored(site.folder, wrong, force=True)
    assert store.read_bytes() == before and not list(site.folder.glob("*.partial"))


def test_nothing_is_restored_while_a_server_serves(site: Site) -> None:
    made = site.folder / "backups" / backup.make(site.services.config.store, site.folder, 0.0).name
    site.services.store.close()
    with lock_file(site.folder), pytest.raises(PlauditError, match="server serves"):
        restored(site.folder, made, force=True)


def test_postgresql_is_dumped_by_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://plaudit:hunter2@localhost:1/judgements"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlauditError, match=r"pg_dump is not on the path.*pg_dump --format=custom") as missing:
        backup.make(url, tmp_path, 0.0)
    with pytest.raises(PlauditError, match="pg_restore --no-owner") as manual:
        backup.restore(url, tmp_path / "x.dump", True, 0.0)
    assert not any("hunter2" in str(each.value) for each in (missing, manual))
    assert backup.list_backups(tmp_path) == []


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="no pg_dump on the path")
def test_a_postgresql_store_is_dumped_while_it_is_in_use(make_site: Callable[..., Site], postgres_url: str) -> None:
    site = make_site(store=postgres_url)
    filled(site)
    made = backup.make(postgres_url, site.folder, site.clock())
    path = site.folder / "backups" / made.name
    assert path.read_bytes().startswith(b"PGDMP") and path.stat().st_mode & 0o077 == 0
    restored = subprocess.run(
        ["pg_restore", "--data-only", "-t", "judgements", "-f", "-", path], capture_output=True, check=True
    )
    assert b'{"strength":4}' in restored.stdout


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_the_password_goes_to_pg_dump_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@ $PGPASSWORD" > "$(dirname "$0")/seen"\nexit ${FAIL:-0}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    url = "postgresql://plaudit:hunter2@localhost:1/judgements"
    made = backup.make(url, tmp_path, 0.0)
    arguments, _, password = (tmp_path / "seen").read_text().strip().rpartition(" ")
    assert made.name.endswith(".dump") and password == "hunter2" and "hunter2" not in arguments
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(PlauditError, match="pg_dump failed"):
        backup.make(url, tmp_path, 0.0)
    assert len(backup.list_backups(tmp_path)) == 1


def test_the_command_line_makes_backups_and_links(
    site: Site, capsys: pytest.CaptureFixture[str], make_site: Callable[..., Site]
) -> None:
    assert collect(CollectArguments(folder=site.folder, backup=True)) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
    assert collect(CollectArguments(folder=site.folder, admin_link=True)) == 0
    link = capsys.readouterr().out.strip()
    assert site.services.accounts.invites.role(link.rsplit("/", 1)[1]) == "admin"
    with pytest.raises(PlauditError, match="exclude each other"):
        collect(CollectArguments(folder=site.folder, admin_link=True, backup=True))
    with pytest.raises(PlauditError, match="--force needs --restore"):
        collect(CollectArguments(folder=site.folder, force=True))
