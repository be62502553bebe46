"""Tables: CSV and TSV, Parquet, Arrow, folders that the datasets library saved, and what splits such files have."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.feedback.formats import _episodes
from plaudit.feedback.formats._record import Row
from plaudit.types import PlauditError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
SPLITS = ("train", "train_prefs", "train_sft", "train_gen", "default")  # read if no split is named, the first there is
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
    try:
        raw = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise PlauditError(f"{path} cannot be read ({error.strerror}): check the path") from error
    with raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:  # type: ignore[arg-type]
        reader = csv.reader(text, delimiter=SEPARATORS[_suffix(path)], strict=True)
        line = 1
        try:
            header = next(reader, [])
            yield from _check_header(header, path)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield _row(f"line {line}", header, cells)
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            yield Row(f"line {line}", fault=f"is not UTF-8 ({error.reason}): save the file as UTF-8")
        except csv.Error as error:
            yield Row(f"line {line}", fault=f"is no row of a table ({error}); nothing from here on was read")
        except (EOFError, OSError) as error:
            yield Row(f"line {line}", fault=f"the file breaks off here ({error}): fetch it again")


def _check_header(header: Sequence[str], path: Path) -> Iterator[Row]:
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise PlauditError(f"{path} names the column {min(doubled)!r} twice in its first line: rename one")
    return iter(())


def _row(location: str, header: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(header):
        return Row(location, fault=f"has {len(cells)} cells, and the first line names {len(header)} columns")
    return Row(location, {name: cell or None for name, cell in zip(header, cells, strict=True)})


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
        return saved_dataset(folder / choose_split(splits, split, folder), None)
    if not (folder / "state.json").is_file():
        return None
    names = [str(entry["filename"]) for entry in _episodes.read_metadata(folder / "state.json").get("_data_files", [])]
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


def splits_of(value: Any) -> list[str]:
    """The splits of one JSON object that holds a list of objects for each split; [] for any other value."""
    if not isinstance(value, Mapping) or not value:
        return []
    whole = all(isinstance(part, list) and part and isinstance(part[0], Mapping) for part in value.values())
    usual = set(value) & {*SPLITS, "test", "validation", "data", "rows"}
    return list(value) if whole and usual else []


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()
