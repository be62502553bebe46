"""``plaudit import`` and ``plaudit export``, once their arguments are parsed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.feedback.cards import card_path, dataset_card, write_card
from plaudit.feedback.formats import Setting, find_format
from plaudit.feedback.formats._columns import parse_columns
from plaudit.feedback.formats._files import output
from plaudit.feedback.formats._hub import describe_missing, exists
from plaudit.feedback.formats._labeling import read_labeling
from plaudit.feedback.formats._record import Labeling
from plaudit.feedback.formats.incoming import ImportSummary, Reader, Reading, import_file
from plaudit.feedback.formats.outgoing import Choice, ExportSummary, check_output, check_project, export
from plaudit.feedback.formats.preview import describe_reading, preview
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Store
from plaudit.types import PlauditError, printable

IMPORT_HELP = """Read a file of feedback that was collected somewhere else into a store. Importing again adds nothing.

The file may be .jsonl, .json, .csv or .tsv (each also .gz, .zst, .bz2 or .xz), .parquet, .arrow, a folder of such
files, a folder that the datasets library saved, or one of a Minari or LeRobot dataset. A name such as owner/name, which
is no path, is a data set of the Hugging Face hub (extra `datasets`). Plaudit detects the format from the first rows.

examples:
  plaudit import pairs.jsonl.gz feedback.sqlite
  plaudit import pairs.csv --preview
  plaudit import pairs.csv feedback.sqlite --columns prompt=question chosen=answer_a rejected=answer_b
  plaudit import tasks.json feedback.sqlite --label-config project.xml --project summaries
  plaudit import pairs.jsonl.gz collect/feedback.sqlite --project pairs --ask 1"""
EXPORT_HELP = """Write a store's feedback to a file, or to the standard output.

examples:
  plaudit export feedback.sqlite everything.jsonl.gz
  plaudit export feedback.sqlite pairs.jsonl --format preference --project summaries
  plaudit export feedback.sqlite pairs.jsonl --format preference --card --license cc-by-4.0"""
REDRAW_SECONDS = 0.2  # seconds between two looks at the bar
SILENT = 3.0  # seconds without a bar


@dataclass(frozen=True)
class ImportArguments:
    """`plaudit import FILE STORE`."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """File or folder to read, or a data set of the hub: owner/name, or owner/name:configuration."""
    store: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")] = None
    """Store to write into: a file, which is created if necessary, or postgresql://...; not needed with --preview."""
    format: str | None = None
    """Format of the file; default: detected from its first rows."""
    columns: tuple[str, ...] = ()
    """Columns of the file for fields of the format, such as prompt=question or chosen=data.answers[0]."""
    label_config: Path | None = None
    """File of a Label Studio project's labeling configuration (XML): tells which fields of a task its tags show."""
    split: str | None = None
    """Split to read of a file, folder or data set that has several; default: train."""
    preview: bool = False
    """Print three records as they would be stored and the columns that are left out; store nothing."""
    project: str = "default"
    """Project that the questions belong to."""
    annotator: str | None = None
    """Name of the annotator, if the file has no names; default: the name of the format."""
    length: int = 25
    """Steps in a segment, if the file holds whole episodes."""
    ask: int = 0
    """Number of judgements to ask people for on each question; the answers in the file are left out. 0: keep them."""
    strict: bool = False
    """Stop at the first object that cannot be read or says nothing; default: count it and pass over it."""

    def __post_init__(self) -> None:
        if self.store is None and not self.preview:
            raise ValueError("name a STORE to write into, such as feedback.sqlite, or add --preview to store nothing")
        if self.length < 1:
            raise ValueError(f"--length must be at least 1, got {self.length}")
        if self.ask < 0:
            raise ValueError(f"--ask is a number of judgements from 1 (0: ask nothing), got {self.ask}")
        for name in ("project", "annotator"):
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise ValueError(f"--{name} is empty: leave it out or name one")


@dataclass(frozen=True)
class ExportArguments:
    """`plaudit export STORE [FILE]`."""

    store: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]
    """Store to read: a file, or postgresql://..."""
    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = None
    """File to write, gzipped if its name ends in .gz; default: the standard output."""
    format: str = "plaudit"
    """Format to write; "plaudit" loses nothing."""
    project: str | None = None
    """Export only the questions of this project."""
    kind: tuple[str, ...] = ()
    """Export only questions of these kinds."""
    card: bool = False
    """Also write a data set card (counts, annotators, agreement, limits) next to the file: pairs.README.md for
    pairs.jsonl."""
    license: str | None = None
    """Licence that the card names, as an id of Hugging Face's list, such as cc-by-4.0; default: not stated."""

    def __post_init__(self) -> None:
        if self.license is not None and not self.card:
            raise ValueError("--license is for the card: add --card")
        if self.card and self.file is None:
            raise ValueError("--card needs a FILE: the card stands next to it")


def run_import(arguments: ImportArguments) -> int:
    """Import a file, with a bar where it takes long; prints a summary. Returns the exit code."""
    form = arguments.format and find_format(arguments.format).name
    if not exists(arguments.file):
        raise PlauditError(f"there is no {arguments.file}: {describe_missing(arguments.file)}")
    reading = Reading(form, parse_columns(arguments.columns), arguments.split, arguments.strict)
    labeling = Labeling() if arguments.label_config is None else read_labeling(arguments.label_config)
    setting = Setting(arguments.project, arguments.annotator or "", arguments.length, labeling=labeling)
    if arguments.preview or arguments.store is None:
        for line in preview(Reader(arguments.file, reading, setting)):
            Console().print(printable(line), highlight=False, markup=False, soft_wrap=True)
        return 0
    total = arguments.file.stat().st_size if arguments.file.is_file() else None
    with Store.open(arguments.store) as store, _bar("importing", "objects") as progress:
        result = import_file(
            store, arguments.file, reading, setting, lambda done, count: progress(done, total, count), arguments.ask
        )
    _summarise_import(result, arguments.file.name, arguments.ask)
    result.check_whole()
    if arguments.ask:  # asked again, nothing is new
        return 0
    stored = result.items or result.known_items
    if result.read and not (stored or result.accepted or result.surplus or result.duplicates or result.questions):
        raise PlauditError(f"nothing in {arguments.file.name} could be stored: is it {result.format}? See --format")
    return 0


def run_export(arguments: ExportArguments) -> int:
    """Export a store, with a bar where it takes long; prints a summary. Returns the exit code."""
    form = find_format(arguments.format)
    for name in arguments.kind:
        kind(name)
    path = arguments.file
    if path is not None:
        check_output(path)
    array = False if path is not None and ".jsonl" in path.suffixes else None
    choice = Choice(arguments.project, arguments.kind)
    with Store.open(arguments.store, create=False) as store:
        check_project(store, arguments.project)
    try:
        with (
            Store.open(arguments.store, create=False) as store,
            output(path) as stream,
            _bar("exporting", "questions") as progress,
        ):
            result = export(store, form, stream, choice, array, lambda done, total: progress(done, total, done))
        if path is not None and arguments.card:
            with Store.open(arguments.store, create=False) as store:
                card = dataset_card(store, path, form.name, result, choice, arguments.license)
            write_card(card_path(path), card)
    except BrokenPipeError:  # `plaudit export ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    _summarise_export(result, form.name, path)
    if path is not None and arguments.card:
        _say(f"card: {card_path(path)}")
    return 0


def _summarise_import(result: ImportSummary, name: str, ask: int) -> None:
    parts = [f"{result.accepted:,} judgements on {result.questions:,} new questions stored"]
    clips = result.items + result.known_items
    if clips and not (result.questions or result.accepted or result.duplicates):
        parts = [f"{result.items:,} clips stored, which nobody has been asked about"]
        if result.known_items:
            parts.append(f"{result.known_items:,} were there already")
    elif ask:
        parts = [f"{result.questions:,} new questions asked, for {ask:,} judgements each"]
    for count, outcome in (
        (result.duplicates, "were there already"),
        (result.surplus, "kept as surplus"),
        (result.repeats, "exact repeats left out"),
        (result.problems.empty.total(), "objects that say nothing"),
    ):
        if count:
            parts.append(f"{count:,} {outcome}")
    parts.append(f"{result.problems.count:,} problems")
    _say(f"{name} ({result.format}): {result.read:,} objects read; {', '.join(parts)}")
    for line in describe_reading(result):
        _say(line)
    if ask and clips and not result.questions:
        _say("  this file holds clips and no questions: --ask asks nothing about them")
    elif ask and result.read > result.problems.count + result.problems.empty.total() and not result.questions:
        _say("  these questions are in the store already, open or answered: --project asks them in another project")
    for line in result.problems.first:
        _say(f"  {line}")
    if result.problems.count > len(result.problems.first):
        _say(f"  and {result.problems.count - len(result.problems.first):,} more")


def _summarise_export(result: ExportSummary, name: str, path: Path | None) -> None:
    _say(f"{path or 'standard output'} ({name}): {result.objects:,} objects written")
    if result.not_in_force:
        _say(f"  {result.not_in_force:,} judgements left out: superseded, withdrawn or surplus")
    if result.checks:
        _say(f"  {result.checks:,} judgements left out: they check annotators (gold items and repeats)")
    for reason, count in result.left.reasons.most_common():
        _say(f"  {count:,} judgements left out: {reason}")


def _say(line: str) -> None:
    Console(stderr=True).print(printable(line), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Callable[[int, int | None, int], None]]:
    """Told what is done, of how much, and how many objects that were; shows a bar with a rate after some seconds."""
    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(bar_width=24), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=True) as progress:
        task = progress.add_task(label, total=None, rate="")
        start = last = time.monotonic()

        def update(done: int, total: int | None, count: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < REDRAW_SECONDS or now - start < SILENT:
                return
            last = now
            if progress.disable and console.is_terminal:
                progress.disable = False
                progress.start()
            progress.update(task, completed=done, total=total, rate=f"{count / (now - start):,.0f} {unit}/s")

        yield update
