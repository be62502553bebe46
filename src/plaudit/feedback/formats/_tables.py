"""Tables: CSV and TSV, Parquet, Arrow, folders that the datasets library saved, and what splits such files have."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from plaudit.feedback.formats import _episodes
from plaudit.feedback.formats._bytes import BROKEN, open_bytes
from plaudit.feedback.formats._record import Row
from plaudit.types import PlauditError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
SPLITS = ("train", "train_prefs", "train_sft", "train_gen", "default")  # read if no split is named, the first there is
LARGEST = 1 << 28  # characters of a line, or of one element of an array; more is a fault of the file
MARKS = (";", "\t", "|", ",")  # that separate cells in files of any name
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?")
NULLS = frozenset(("", "NaN", "nan", "NULL", "<NA>", "#N/A"))  # as pandas and spreadsheets write an empty cell
COMPRESSED = re.compile(r"\.(gz|zst|bz2|xz)$", re.IGNORECASE)
CELL = min(sys.maxsize, (1 << 31) - 1)  # characters of a cell; 131,072 by default, which is less than a long chat


def is_table(path: Path) -> bool:
    """Whether a file is CSV or TSV, gzipped or not."""
    return _suffix(path) in SEPARATORS


def read_separated(path: Path) -> Iterator[Row]:
    """The rows of a CSV or TSV file, whose first line names its columns. An empty cell is null.

    Raises:
        PlauditError: the file cannot be opened.
    """
    csv.field_size_limit(CELL)
    with open_bytes(path) as (stream, _), io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        line = 1
        try:
            reader, header = _open_table(text, path)
            line = reader.line_num + 1
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield _row(f"line {line}", header, cells)
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            yield Row(f"line {line}", fault=f"is not UTF-8 ({error.reason}): save the file as UTF-8")
        except csv.Error as error:
            yield Row(f"line {line}", fault=f"is no row of a table ({error}); nothing from here on was read")
        except BROKEN as error:
            yield cut_row(f"line {line}", error)


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(LARGEST + 1):
        if len(line) > LARGEST:
            raise csv.Error(f"it is longer than {LARGEST:,} characters")
        yield line


def cut_row(location: str, error: Exception) -> Row:
    """The place at which a packed file ends before its end."""
    return Row(location, fault=f"the file breaks off here ({error}): fetch it again", cut=True)


def _open_table(text: TextIO, path: Path) -> tuple[Any, list[str]]:
    """A reader of the rows behind the header, and the header; lines without any cell before it are passed over.

    The first line tells what separates cells: Excel writes semicolons where a comma is in numbers, and may say "sep=;".
    """
    lines, separator = _lines(text), None
    line = next(lines, "")
    while (line and not line.strip(" \t\r\n,;|")) or (separator is None and SEPARATOR_LINE.fullmatch(line)):
        match = SEPARATOR_LINE.fullmatch(line)
        separator = match[1] if match else separator
        line = next(lines, "")
    if line.lstrip().startswith(('{"', '[{"')):
        raise PlauditError(f"{path} holds JSON and no table: end its name in .jsonl or .json")
    usual = separator or SEPARATORS[_suffix(path)]
    counts = {mark: len(next(csv.reader([line], delimiter=mark), [])) for mark in (usual, *MARKS)}
    separator = usual if counts[usual] > 1 else max(counts, key=lambda mark: counts[mark])
    reader = csv.reader(chain([line], lines), delimiter=separator, strict=True)
    header = next(reader, [])
    while header and not header[-1].strip():  # columns without a name at the end, which spreadsheets leave
        header.pop()
    header = [name if name.strip() else f"column {number}" for number, name in enumerate(header, 1)]
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise PlauditError(f"{path} names the column {min(doubled)!r} twice in its first line: rename one")
    return reader, header


def _row(location: str, header: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
        return Row(location, fault=f"has {len(cells)} cells, and the first line names {len(header)} columns")
    return Row(location, {name: None if cell in NULLS else cell for name, cell in zip(header, cells, strict=False)})


def columnar(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file.

    Raises:
        PlauditError: the file cannot be read, or pyarrow is not installed.
    """
    parquet = _episodes.pyarrow("parquet", path)
    number = 0
    with _episodes.explain_faults(path), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=500):
            for value in batch.to_pylist():
                number += 1
                yield Row(f"row {number}", value)


def arrow(path: Path, start: int = 0) -> Iterator[Row]:
    """The rows of an Arrow file or stream; ``start``: rows of the files before it."""
    ipc = _episodes.pyarrow("ipc", path)
    number = start
    with _episodes.explain_faults(path), path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        with ipc.open_file(file) if magic == b"ARROW1" else ipc.open_stream(file) as reader:
            batches = (
                (reader.get_batch(index) for index in range(reader.num_record_batches))
                if magic == b"ARROW1"
                else iter(reader)
            )
            for batch in batches:
                for value in batch.to_pylist():
                    number += 1
                    yield Row(f"row {number}", value)


def saved_dataset(folder: Path, split: str | None) -> Iterator[Row] | None:
    """The rows of a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote; None if it is none.

    Raises:
        PlauditError: it has several splits and none of the name, or a file of it is missing.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _episodes.read_metadata(folder / "dataset_dict.json").get("splits", [])
        if not isinstance(splits, list) or not splits or not all(isinstance(name, str) for name in splits):
            raise PlauditError(f"{folder / 'dataset_dict.json'} names no splits: fetch the folder again")
        return saved_dataset(folder / choose_split(splits, split, folder), None)
    if not (folder / "state.json").is_file():
        return None
    entries = _episodes.read_metadata(folder / "state.json").get("_data_files", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "filename" in entry for entry in entries):
        raise PlauditError(f"{folder / 'state.json'} names no data files: fetch the folder again")
    names = [str(entry["filename"]) for entry in entries]
    missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if missing or not names:
        raise PlauditError(f"{folder} has no {missing[0] if missing else 'data files'}: fetch it again")
    return _arrow_files([folder / name for name in names])


def _arrow_files(paths: Sequence[Path]) -> Iterator[Row]:
    number = 0
    for path in paths:
        for row in arrow(path, number):
            number += 1
            yield row


def choose_split(splits: Sequence[str], split: str | None, source: Path | str) -> str:
    """The split of that name; without a name the one to train on.

    Raises:
        PlauditError: there is no such split, or none of the usual names.
    """
    names = ", ".join(splits)
    if split is not None:
        if split not in splits:
            raise PlauditError(f"{source} has no split {split!r}: choose from {names}")
        return split
    usual = next((name for name in SPLITS if name in splits), splits[0] if len(splits) == 1 else None)
    if usual is None:
        raise PlauditError(f"{source} has the splits {names}: choose one with --split")
    return usual


def _suffix(path: Path) -> str:
    return Path(COMPRESSED.sub("", path.name)).suffix.lower()
