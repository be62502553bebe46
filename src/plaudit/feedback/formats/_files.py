"""Files of objects: JSON lines, JSON arrays, tables, plain or gzipped, and folders of them, in flat memory."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from plaudit.feedback.formats import _episodes, _tables
from plaudit.feedback.formats._bytes import BROKEN, CHUNK, open_bytes
from plaudit.feedback.formats._hub import is_hub_id, read_dataset
from plaudit.feedback.formats._record import Row
from plaudit.feedback.formats._wholes import rows_of, splits_of
from plaudit.files import replace_file
from plaudit.types import PlauditError

READ = ".jsonl, .json, .csv or .tsv (each also .gz, .zst, .bz2 or .xz), .parquet, .arrow, or a folder of them"
PATTERNS = (
    *("*.jsonl", "*.jsonl.gz", "*.jsonl.zst", "*.ndjson", "*.json", "*.json.gz", "*.csv", "*.csv.gz", "*.tsv"),
    *("*.parquet", "*.arrow"),
)
SPLIT_NAME = re.compile(r"(train|test|validation|valid|val|dev|eval)(?![a-z])")
LARGEST = _tables.LARGEST
DECODER = json.JSONDecoder(
    parse_constant=lambda name: None if name == "NaN" else float(name.replace("Infinity", "inf"))
)
STRANGERS = {  # what files that are no JSON begin with
    b"<": "it is a web page: fetch the file itself",
    b"version https://git-lfs": "it is a pointer of Git LFS: fetch the file itself with git lfs pull",
    b"{'": "it has Python's quotes: write it with json.dumps",
    b"PAR1": "it is Parquet: end its name in .parquet",
    b"SQLite format 3": "it is a store: plaudit export writes it to a file",
    b"PK\x03\x04": "it is a zip archive or a spreadsheet: unpack it, or save it as CSV",
}
Position = Callable[[int], None]  # told how many bytes of the file have been read


@runtime_checkable
class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> Any:
        """Take ``data``."""
        ...


def rows(
    path: Path,
    on_position: Position = lambda _: None,
    split: str | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Generator[Row]:
    """Every object of a file, every row of a table or of a data set of the hub, or every episode of a folder.

    split: the part to read of a file or folder that has several; default: the one to train on, which ``on_note`` tells.

    Raises:
        PlauditError: it cannot be opened, is of a kind that is not read, or has no such split.
    """
    path = _episodes.find_minari(path) or path
    if is_hub_id(path):
        yield from read_dataset(path, split, on_note)
        return
    source = _folder(path, on_position, split, on_note) if path.is_dir() else _file(path, on_position)
    for row in _unfold(source) if path.suffix == ".json" else source:
        names = splits_of(row.value)
        if not names:
            yield row
            continue
        name = _tables.choose_split(names, split, path)
        if len(names) > 1:
            on_note(f"the split {name} was read, of {', '.join(names)}: --split chooses another")
        for index, value in enumerate(row.value[name], 1):
            yield Row(f"{name}[{index}]", value)


def _unfold(source: Iterator[Row]) -> Iterator[Row]:
    """The rows of a table that is one object by itself; an object in an array, or one of several lines, is a row."""
    first = next(source, None)
    if first is None:
        return
    in_array = first.location.startswith("element")
    table = None if in_array or splits_of(first.value) else rows_of(first.value)
    second = next(source, None) if table is not None else None
    if table is not None and second is None:
        yield from (Row(f"row {number}", value) for number, value in enumerate(table, 1))
        return
    yield first
    if second is not None:
        yield second
    yield from source


def _file(path: Path, on_position: Position) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle", ".pt", ".xlsx", ".xls", ".zip"):
        raise PlauditError(f"{path} is of a kind that is not read: give {READ}")
    if suffix in (".h5", ".hdf5"):
        yield from _episodes.read_hdf5(path)
    elif suffix == ".parquet":
        yield from _tables.columnar(path)
    elif suffix in (".arrow", ".feather"):
        yield from _tables.arrow(path)
    elif _tables.is_table(path):
        yield from _tables.read_separated(path)
    else:
        yield from _json_text(path, on_position)


def _json_text(path: Path, on_position: Position) -> Iterator[Row]:
    with open_bytes(path) as (stream, raw):
        yield from _text(stream, raw, on_position)


def _folder(folder: Path, on_position: Position, split: str | None, on_note: Callable[[str], None]) -> Iterator[Row]:
    """Episodes, a saved dataset, or the files of a folder in the order of their names."""
    saved = _tables.saved_dataset(folder, split)
    if saved is not None:
        return saved
    files = sorted(path for pattern in PATTERNS for path in folder.glob(pattern))
    if not files or _episodes.is_dataset(folder):
        return _episodes.rows(folder)
    splits = list(dict.fromkeys(match[1] for path in files if (match := SPLIT_NAME.match(path.name))))
    if split is not None or "train" in splits:
        name = _tables.choose_split(splits, split, folder)
        files = [path for path in files if (match := SPLIT_NAME.match(path.name)) and match[1] == name]
        if len(splits) > 1:
            on_note(f"the split {name} was read, of {', '.join(splits)}: --split chooses another")
    return (replace(row, location=f"{path.name}, {row.location}") for path in files for row in _file(path, on_position))


def _text(stream: BufferedIOBase, raw: BufferedIOBase, on_position: Position) -> Iterator[Row]:
    """Lines, unless the file begins as an array, or as an object that goes on in the next line."""
    number = 0
    try:
        head = stream.readline(CHUNK)
        while head and not head.strip(b"\xef\xbb\xbf \t\r\n"):
            number += 1
            head = stream.readline(CHUNK)
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith(b"[") or start.strip() == b"{":
            yield from _elements(head, stream, lambda: on_position(raw.tell()))
            return
        if not head.endswith(b"\n"):
            head += stream.readline(LARGEST)
        while head:
            number += 1
            if len(head) > LARGEST:
                yield Row(f"line {number}", fault=f"is longer than {LARGEST:,} bytes; nothing from here on was read")
                return
            if head.strip():
                yield _row(f"line {number}", head.removeprefix(codecs.BOM_UTF8))
                if number % 100 == 0:
                    on_position(raw.tell())
            head = stream.readline(LARGEST + 1)
    except BROKEN as error:
        yield _tables.cut_row(f"line {number + 1}", error)
    on_position(raw.tell())


def _row(location: str, line: bytes) -> Row:
    try:
        text = line.decode().strip().removesuffix(",")  # of an array without its brackets
        return Row(location, DECODER.decode(text))
    except UnicodeDecodeError as error:
        return Row(location, fault=f"is not UTF-8 (byte {error.start + 1}): save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        reason = next((reason for begin, reason in STRANGERS.items() if line.lstrip().startswith(begin)), None)
        if reason is None and line.lstrip()[:1] not in (b"{", b"["):
            reason = "each line must be a JSON object; a table must have a name that ends in .csv or .tsv"
        return Row(location, fault=f"is not JSON: {_first(error)}" + (f" ({reason})" if reason else ""))


def _elements(head: bytes, stream: BufferedIOBase, on_position: Callable[[], None]) -> Iterator[Row]:
    """The elements of an array, or objects one after another, through a buffer that holds one or a few of them."""
    reader, count = _Buffer(head, stream), 0
    array: bool | None = None
    while True:
        location = f"element {count + 1}"
        try:
            if array is None:
                array = reader.take("[")
            elif count:
                reader.take(",")
            following = reader.peek()
            if following == "]" or not (following or array):
                return
            if not following:
                raise EOFError("the array is not closed")
            value = reader.value()
        except BROKEN as error:
            yield _tables.cut_row(location, error)
            return
        except UnicodeDecodeError:
            yield Row(location, fault="is not UTF-8: save the file as UTF-8; nothing from here on was read")
            return
        except (ValueError, RecursionError) as error:
            yield Row(location, fault=f"is not JSON: {_first(error)}; nothing from here on was read")
            return
        count += 1
        on_position()
        yield Row(location, value)


class _Buffer:
    """Text of which the part that has been decoded is dropped."""

    def __init__(self, head: bytes, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = self._utf8.decode(head)
        self._position = 0
        self._decoder = DECODER

    def _more(self) -> bool:
        data = self._stream.read(max(CHUNK, len(self._text) - self._position))
        self._text = self._text[self._position :] + self._utf8.decode(data, final=not data)
        self._position = 0
        return bool(data)

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in " \t\r\n":
                self._position += 1
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._more():
                return ""

    def take(self, mark: str) -> bool:
        """Whether ``mark`` comes next; if so, go on behind it."""
        present = self.peek() == mark
        self._position += present
        return present

    def value(self) -> Any:
        """The JSON value that begins here; more is read until it is whole."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
                cut = end == len(self._text) and not isinstance(value, dict | list | str)
                if not cut or not self._more():
                    break
            except json.JSONDecodeError as error:
                truncated = error.msg.startswith("Unterminated string")
                length = len(self._text) - self._position
                if (not truncated and error.pos < len(self._text) - 16) or length > LARGEST or not self._more():
                    raise
        self._position = end
        return value


def _first(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextmanager
def output(path: Path | None) -> Iterator[Sink]:
    """Where a file goes, gzipped by its suffix; None is the standard output. A file is there whole, or not at all."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with replace_file(path, shared=True) as partial, partial.open("wb") as raw:
            if path.suffix == ".gz":  # without a name and a time in it: the same contents, the same bytes
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=5, mtime=0) as packed:
                    yield packed
            else:
                yield raw
    except OSError as error:
        raise PlauditError(f"{path} cannot be written ({error.strerror}): check the folder and the disk") from error


def encode(objects: Iterable[Any], array: bool) -> Iterator[bytes]:
    """Each object as a line, or all of them as one indented array."""
    if not array:
        yield from ((_dumps(value) + "\n").encode() for value in objects)
        return
    before = "[\n"
    for value in objects:
        body = "\n".join("  " + line for line in _dumps(value, indent=2).split("\n"))
        yield (before + body).encode()
        before = ",\n"
    yield b"[]\n" if before == "[\n" else b"\n]\n"


def _dumps(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which only an escape can spell
        return json.dumps(value, ensure_ascii=True, indent=indent, allow_nan=False)
    return text
