"""What a demonstration is, how demonstrations are found, and their page in the style of the report."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol

import plaudit.demos.gallery as gallery
from plaudit import __version__, layout
from plaudit.files import replace_text
from plaudit.run.disk import disk_errors
from plaudit.run.report.page import write_report
from plaudit.run.report.sections import Block, Report, Section, Tile, command
from plaudit.run.report.words import duration, interval, number
from plaudit.types import PlauditError

RESULT = "demo.json"  # a folder with this file was made by a demonstration
ReportProgress = Callable[[str], None]


@dataclass(frozen=True)
class Measurement:
    """A number with its name, and its 95 % interval where it has one."""

    name: str
    value: float
    interval: tuple[float, float] | None = None

    @property
    def tile(self) -> Tile:
        """The number as a tile of the page."""
        return Tile(self.name[:1].upper() + self.name[1:], number(self.value), interval(self.interval))


@dataclass(frozen=True)
class Demonstration:
    """The result of a demonstration: three sentences, the number, its null control, and what there is to look at.

    Attributes:
        observation: what was seen.
        reason: why.
        remedy: what helps, and at what cost.
        value: the number.
        null: the same number where the fault is not there.
        blocks: plots, tables and clips.
        details: further numbers.
    """

    observation: str
    reason: str
    remedy: str
    value: Measurement
    null: Measurement
    blocks: Sequence[Block]
    details: Sequence[Measurement] = ()


class Demo(Protocol):
    """A file of ``gallery``: ``TITLE``, ``SOURCE`` (paper and section), and what it does."""

    TITLE: str
    SOURCE: str

    def demonstrate(self, folder: Path, seed: int, report_progress: ReportProgress, /) -> Demonstration:
        """Run it; files go into ``folder``. Raises PlauditError if something that it needs is missing."""
        ...


def list_demos() -> list[str]:
    """Names of the demonstrations, as on the command line."""
    files = (file.name for file in iter_modules(gallery.__path__))
    return sorted(name.replace("_", "-") for name in files if not name.startswith("_"))


def load_demo(name: str) -> Demo:
    """The demonstration called ``name``.

    Raises:
        PlauditError: there is none of that name.
    """
    if name not in list_demos():
        raise PlauditError(f"there is no demonstration {name!r}: choose one of {', '.join(list_demos())}")
    demo: Demo = import_module(f"{gallery.__name__}.{name.replace('-', '_')}")  # type: ignore[assignment]
    return demo


def run_demo(name: str, folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Run a demonstration, and write ``report.html`` and ``demo.json`` into ``folder``, which must be new.

    Raises:
        PlauditError: there is no such demonstration, ``folder`` exists or cannot be written, or as the demonstration.
    """
    demo = load_demo(name)
    if folder.exists():
        raise PlauditError(f"{folder} exists already: remove it, or choose another folder with --out")
    with disk_errors(folder):
        folder.mkdir(parents=True)
    started = time.monotonic()
    result = demo.demonstrate(folder, seed, report_progress)
    seconds = time.monotonic() - started
    measurements = {"value": result.value, "null": result.null}
    record = {"name": name, "seed": seed, "seconds": seconds, "plaudit": __version__}
    record |= {key: asdict(measurement) for key, measurement in measurements.items()}
    record |= {"details": [asdict(measurement) for measurement in result.details]}
    with disk_errors(folder):
        replace_text(folder / RESULT, json.dumps(record, indent=1) + "\n")
    write_report(_page(name, demo, result, seed, seconds), folder / layout.REPORT)
    return result


def describe(result: Demonstration) -> str:
    """The three sentences and the numbers, for a terminal."""
    measurements = (result.value, result.null, *result.details)
    width = max(len(measurement.name) for measurement in measurements)
    lines = [
        f"  {measurement.name:<{width}}  {number(measurement.value)}  {interval(measurement.interval)}".rstrip()
        for measurement in measurements
    ]
    return "\n\n".join([result.observation, "\n".join(lines), f"Why: {result.reason}", f"What helps: {result.remedy}"])


def _page(name: str, demo: Demo, result: Demonstration, seed: int, seconds: float) -> Report:
    null = Tile(f"Null control: {result.null.name}", result.null.tile.value, result.null.tile.note)
    tiles = [result.value.tile, null, *(measurement.tile for measurement in result.details)]
    line = f"plaudit demo {name}" + (f" --seed {seed}" if seed else "")
    versions = {"plaudit": __version__, "python": platform.python_version(), "torch": version("torch")}
    origin = f"Source: {demo.SOURCE}. It took {duration(seconds)} here."
    sections = [
        Section("seen", "What was seen", "", result.blocks),
        Section("why", "Why", result.reason, []),
        Section("helps", "What helps", result.remedy, []),
        Section("reproduce", "Reproduce", origin, [command(line, versions)]),
    ]
    return Report(demo.TITLE, f"demonstration: {name}", result.observation, tiles, sections, script=True)
