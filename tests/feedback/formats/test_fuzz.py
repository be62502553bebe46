"""Some 180 damaged or strange files and folders: each is read, or refused in one line; none raises, and none hangs."""

from __future__ import annotations

import functools
import gzip
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plaudit.feedback.formats.command import ExportArguments, ImportArguments, run_export, run_import
from plaudit.types import PlauditError

GOLDEN = Path(__file__).parent / "golden"
SECONDS = 20.0  # a file of a few bytes is read in milliseconds, also on a busy machine
JUNK: tuple[Any, ...] = (None, True, -1, 10**400, "9" * 400, "", "\ud83d", [], {}, [None], {"role": "user"}, [[["x"]]])
GOOD = {
    "prompt": "Q", "chosen": "A", "rejected": "B", "messages": [{"role": "user", "content": "Q"}], "response": "A",
    "completion": "A", "label": True, "rating": 3, "responses": ["A", "B"], "text": "T", "scores": [1, 2],
}  # fmt: skip
PAIR = {"prompt": "Q", "chosen": "A", "rejected": "B"}
LAYOUTS = (
    ("prompt", "chosen", "rejected"),
    ("prompt", "completion", "label"),
    ("prompt", "response", "rating"),
    ("prompt", "responses", "scores"),
    ("messages",),
    ("text",),
)


def rows() -> Iterator[tuple[str, bytes]]:
    """Each layout with each of its columns spoiled."""
    for layout in LAYOUTS:
        for column in layout:
            for number, junk in enumerate(JUNK):
                row = {name: GOOD[name] for name in layout} | {column: junk}
                yield f"{'-'.join(layout)}, {column} {number}.jsonl", (json.dumps(row) + "\n").encode()


def damaged() -> Iterator[tuple[str, bytes]]:
    """Files that are cut, of another kind than their name says, or no files of rows at all."""
    whole = (GOLDEN / "preference.jsonl").read_bytes()
    packed = gzip.compress(whole)
    kinds = {
        "cut": whole[:-30], "empty": b"", "space": b" \n\t\n", "nul": b"\0" * 99, "noise": bytes(range(256)) * 9,
        "deep": b"[" * 9_000, "deep objects": b'{"a":' * 9_000, "open": b'[{"prompt": "Q"', "number": b"3",
        "text": b'"prompt"', "null": b"null", "arrays": b"[1, [2], null]", "cut gzip": packed[:40],
        "zstd": b"\x28\xb5\x2f\xfd1234",
        "xz": b"\xfd7zXZ\x00junk", "bzip2": b"BZh9junk", "utf16": b"\xff\xfe{",
        "utf16 cut": whole.decode().encode("utf-16")[:-1],
        "latin1": b'{"prompt": "\xe4"}', "web page": b"<html></html>", "zip": b"PK\x03\x04", "parquet": b"PAR1PAR1",
        "arrow": b"ARROW1\0\0", "hdf5": b"\x89HDF\r\n\x1a\n", "sqlite": b"SQLite format 3\0",
        "infinity": b'{"prompt": Infinity}',
        "twice": b'{"a": 1}{"a": 2}', "bom": b"\xef\xbb\xbf", "quotes": b'a,b\n"x\ny', "wide": b",".join([b"a"] * 5000),
        "sep": b"sep=;\n", "ragged": b"prompt,chosen,rejected\nQ,A\nQ,A,B,C\n", "json lines": whole,
        "utf16 without a mark": whole.decode().encode("utf-16-le"), "null rows": b"null\n[]\n3\n" + whole,
        "mixed": whole + b'{"messages": []}\n{"text": "T"}\n', "prompts": b"Hello.\nAnd you?\n",
        "columns": json.dumps(PAIR | dict.fromkeys(map(str, range(900)))).encode(),
        "long row": json.dumps(PAIR | {"chosen": "A" * 10_000_000}).encode(),
        "same": b"a,a\n1,2\n", "huge number": b'{"rating": ' + b"9" * 5000 + b"}",
    }  # fmt: skip
    for name, contents in kinds.items():
        for suffix in (".jsonl", ".csv"):
            yield name + suffix, contents
        if name in ("noise", "empty", "parquet", "arrow", "hdf5", "cut"):
            for suffix in (".parquet", ".arrow", ".h5", ".jsonl.gz", ".tsv"):
                yield name + suffix, contents


def outcome(command: Callable[[], int]) -> str | None:
    """What is wrong with the way a command ends; None if nothing is."""
    start, reason = time.monotonic(), ""
    try:
        command()
    except PlauditError as error:
        reason = str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    if time.monotonic() - start > SECONDS:
        return f"took {time.monotonic() - start:.1f} seconds"
    return f"is no short line: {reason[:200]!r}" if "\n" in reason or len(reason) > 2000 else None


def look(path: Path) -> str | None:
    """As :func:`outcome` of a preview."""
    return outcome(lambda: run_import(ImportArguments(path, preview=True)))


def test_no_file_ends_in_a_traceback(tmp_path: Path) -> None:
    cases = [*rows(), *damaged()]
    assert len(cases) > 200
    failures = []
    for name, contents in cases:
        path = tmp_path / name
        path.write_bytes(contents)
        reason = look(path)
        if reason is not None:
            failures.append(f"{name}: {reason}")
        path.unlink()
    assert not failures, "\n".join(failures)


def folders(folder: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Folders that are no data sets, or damaged ones."""

    def make(name: str, **files: bytes) -> Callable[[], Path]:
        def write() -> Path:
            (folder / name).mkdir()
            for file, contents in files.items():
                path = folder / name / file.replace("__", "/").replace("_dot_", ".")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(contents)
            return folder / name

        return write

    yield "empty", make("empty")
    for number, contents in enumerate(
        (b"", b"{", b"[]", b"3", b'{"splits": 3}', b'{"splits": ["a"]}', b'{"_data_files": [3]}')
    ):
        yield f"dict {number}", make(f"dict{number}", dataset_dict_dot_json=contents)
        yield f"state {number}", make(f"state{number}", state_dot_json=contents)
        yield f"metadata {number}", make(f"meta{number}", metadata_dot_json=contents, data__metadata_dot_json=contents)
        yield f"lerobot {number}", make(f"lerobot{number}", meta__info_dot_json=contents)
    for up in (b'{"_data_files": [{"filename": "../x.arrow"}]}', b'{"_data_files": [{"filename": "gone.arrow"}]}'):
        yield up.decode(), make(f"up{len(list(folder.iterdir()))}", state_dot_json=up)
    for number, contents in enumerate((b"", b"junk", b"\x89HDF\r\n\x1a\n")):
        yield f"hdf5 {number}", make(f"hdf{number}", data__main_data_dot_hdf5=contents)
        yield (
            f"mixed {number}",
            make(f"mixed{number}", a_dot_jsonl=contents, b_dot_csv=contents, c_dot_parquet=contents),
        )


def test_no_folder_ends_in_a_traceback(tmp_path: Path) -> None:
    failures = []
    for name, write in folders(tmp_path):
        reason = look(write())
        if reason is not None:
            failures.append(f"{name}: {reason}")
    assert not failures, "\n".join(failures)


def test_no_store_ends_in_a_traceback(tmp_path: Path) -> None:
    contents = (
        b"",
        b"junk" * 99,
        b"SQLite format 3\0",
        b"SQLite format 3\0" + b"\xff" * 4096,
        GOLDEN.joinpath("kto.jsonl").read_bytes(),
    )
    failures = []
    for number, data in enumerate(contents):
        path = tmp_path / f"{number}.sqlite"
        path.write_bytes(data)
        reason = outcome(functools.partial(run_export, ExportArguments(str(path), tmp_path / "x.jsonl")))
        failures += [f"store {number}: {reason}"] if reason else []
    connection = sqlite3.connect(tmp_path / "other.sqlite")
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    reason = outcome(lambda: run_export(ExportArguments(str(tmp_path / "other.sqlite"))))
    assert not [*failures, *([reason] if reason else [])], "\n".join(failures)
