"""Files in and out of a store, for the tests of the formats."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.formats import Setting, find_format
from plaudit.feedback.formats.incoming import ImportSummary, Reading, import_file
from plaudit.feedback.formats.outgoing import Choice, ExportSummary, export
from plaudit.feedback.store import Store

GOLDEN = Path(__file__).parent / "golden"


class Exchange:
    """A store, and files that go into it and come out of it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder

    def write(self, name: str, *rows: Any) -> Path:
        """A file of JSON lines; bytes and text are written as they are."""
        path = self.folder / name
        path.write_bytes(b"".join(_line(row) for row in rows))
        return path

    def load(self, path: Path, form: str | None = None, strict: bool = False, **setting: Any) -> ImportSummary:
        """Import a file."""
        return import_file(self.store, path, Reading(form, strict=strict), Setting(**setting))

    def dump(self, form: str, choice: Choice | None = None, array: bool | None = None) -> tuple[bytes, ExportSummary]:
        """Export to bytes."""
        stream = io.BytesIO()
        exported = export(self.store, find_format(form), stream, choice, array)
        return stream.getvalue(), exported

    def rows(self, form: str) -> list[Any]:
        """Export, a line an object."""
        return [json.loads(line) for line in self.dump(form, array=False)[0].splitlines()]


def _line(row: Any) -> bytes:
    if isinstance(row, bytes):
        return row
    return (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)).encode() + b"\n"


@pytest.fixture
def exchange(path: Path, tmp_path: Path, empty_file: Path) -> Iterator[Exchange]:
    with Store.open(shutil.copyfile(empty_file, path)) as opened:
        yield Exchange(opened, tmp_path)


@pytest.fixture
def exchange_on_each(store: Store, tmp_path: Path) -> Exchange:
    """The same on each database."""
    return Exchange(store, tmp_path)


@pytest.fixture
def second(tmp_path: Path, empty_file: Path) -> Iterator[Callable[[], Exchange]]:
    """Makes a further, empty store."""
    made: list[Store] = []

    def make() -> Exchange:
        made.append(Store.open(shutil.copyfile(empty_file, tmp_path / f"further-{len(made)}.sqlite")))
        return Exchange(made[-1], tmp_path)

    yield make
    for each in made:
        each.close()
