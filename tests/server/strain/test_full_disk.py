"""A disk that is full under a real server: 503 and one clear line, reading goes on, nothing acknowledged is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from plaudit.feedback.store import Store
from plaudit.server import backup

from .real import PASSWORD, Real, answer_to, claimed, put_off

if sys.platform != "linux":
    pytest.skip("limits on a running process, and small disks in memory, are Linux's", allow_module_level=True)
import resource

SMALL = 6  # MB
READ = (
    "/",
    "/history/critique",
    "/work/critique",
    "/account",
    "/admin",
    "/admin/projects/critique",
    "/api/me",
    "/api/work/history?project=critique",
    "/api/work/progress?project=critique",
    "/api/export/critique",
)


class Disk(Protocol):
    """One that can be filled under a server that runs, and emptied again."""

    folder: Path

    @property
    def words(self) -> tuple[str, ...]:
        """What a person is told."""
        ...

    def fill(self, real: Real) -> None:
        """Nothing more can be written."""

    def empty(self, real: Real) -> None:
        """There is space again."""


class Limit:
    """No space at all, as a limit on how long the files of the process may be: everybody may set that."""

    words = ("the store", "check the disk and its space", "everything acknowledged is kept")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, real: Real) -> None:
        _, most = resource.prlimit(real.process, resource.RLIMIT_FSIZE)
        resource.prlimit(real.process, resource.RLIMIT_FSIZE, (4096, most))

    def empty(self, real: Real) -> None:
        _, most = resource.prlimit(real.process, resource.RLIMIT_FSIZE)
        resource.prlimit(real.process, resource.RLIMIT_FSIZE, (most, most))


class Mounted:
    """A small disk in memory, with a file that takes what is left."""

    words = ("no room to write", "the store", "free some disk space", "everything acknowledged is kept")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self, real: Real) -> None:
        with self.ballast.open("ab", buffering=0) as file:
            while _write(file.write, 65536) or _write(file.write, 512):
                continue

    def empty(self, real: Real) -> None:
        self.ballast.unlink()


def _write(write: Callable[[bytes], int | None], size: int) -> bool:
    try:
        return write(bytes(size)) == size
    except OSError:
        return False


@pytest.fixture(params=["limit", "mounted"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "limit":
        yield Limit(tmp_path)
        return
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount"):
        pytest.skip("there is no mount here")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}m", "tmpfs", str(place)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield Mounted(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.usefixtures("forked_servers")
def test_a_full_disk_under_the_server(disk: Disk, real: Callable[..., Real]) -> None:
    site = real(folder=disk.folder)
    site.start(process=isinstance(disk, Limit))
    ada, boss = site.browser("Ada"), site.browser("Boss")
    first, second, third = (answer_to(each) for each in claimed(ada))
    assert ada.post("/api/work/answer", json=first).json()["receipt"]["status"] == "accepted"
    disk.fill(site)

    put_off(ada.post("/api/work/answer", json=second), *disk.words)
    put_off(ada.post("/api/work/answer", json=second), *disk.words)
    put_off(boss.post("/api/work/claim", json={"project": "critique", "count": 1}), *disk.words)
    put_off(ada.post("/api/work/renew", json={"lease": third["lease"]}), *disk.words)
    draft = {"question": third["question"], "body": {"text": "half a thought"}}
    put_off(ada.put("/api/work/draft", json=draft), *disk.words)
    undo = {"judgement": first["judgement"], "id": third["judgement"]}
    put_off(ada.post("/api/work/undo", json=undo), *disk.words)
    put_off(ada.post("/api/session", json={"name": "Ada", "password": PASSWORD}), *disk.words)
    put_off(boss.post("/api/admin/backup"), "space")
    assert list((site.config.folder / "backups").iterdir()) == []  # half a copy is none, and takes space
    for path in READ:
        assert boss.get(path).status_code == 200, path
    (seen,) = ada.get("/api/work/history?project=critique").json()
    assert seen["judgement"] == first["judgement"]
    # Sent again, it was there already, but its lease would have to be written: what is stored says so all the same.
    assert ada.post("/api/work/answer", json=first).status_code in (200, 503)

    disk.empty(site)
    given = [ada.post("/api/work/answer", json=each).json()["receipt"] for each in (second, second, first)]
    assert [each["id"] for each in given] == [second["judgement"], second["judgement"], first["judgement"]]
    assert {each["status"] for each in given} == {"accepted"}
    assert ada.put("/api/work/draft", json=draft).status_code == 204
    assert ada.post("/api/work/answer", json=third).status_code == 200
    made = boss.post("/api/admin/backup").json()
    backup.check(site.config.folder / "backups" / made["name"])
    with Store.open(site.config.folder / "backups" / made["name"]) as copy:
        assert copy.counts().judgements == 3
    site.close()
    assert site.judgements() == [each["judgement"] for each in (first, second, third)]
    assert whole(disk.folder / "feedback.sqlite")


@pytest.mark.usefixtures("forked_servers")
def test_killed_while_the_disk_is_full(disk: Disk, real: Callable[..., Real]) -> None:
    site = real(folder=disk.folder)
    site.start(process=True)
    ada = site.browser("Ada")
    first, second = (answer_to(each) for each in claimed(ada, 2))
    assert ada.post("/api/work/answer", json=first).status_code == 200
    disk.fill(site)
    put_off(ada.post("/api/work/answer", json=second), *disk.words)
    if isinstance(disk, Limit):
        disk.empty(site)  # it would end with the process
    site.kill()
    if isinstance(disk, Mounted):
        disk.empty(site)
    site.start()
    ada = site.browser("Ada")
    assert [each["judgement"] for each in ada.get("/api/work/history?project=critique").json()] == [first["judgement"]]
    assert ada.post("/api/work/answer", json=second).json()["receipt"]["status"] == "accepted"
    site.close()
    assert site.judgements() == [first["judgement"], second["judgement"]] and whole(disk.folder / "feedback.sqlite")
