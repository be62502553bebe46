"""Model cards: the README.md next to what a run leaves, with numbers from the run's own files and settings.

A card says "not stated" or "not measured" where the run holds no such fact.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from plaudit import __version__, layout
from plaudit.feedback.cards import (
    NOT_STATED,
    PROGRAM,
    SIMULATION,
    Summary,
    describe_annotators,
    describe_judgements,
    render,
    summarise,
)
from plaudit.feedback.store import Store
from plaudit.files import replace_text
from plaudit.run.disk import disk_errors
from plaudit.types import PlauditError

CARD = "README.md"
AUDIT = ["- None was run"]
PACKAGES = ("torch", "transformers", "tokenizers", "gymnasium", "numpy")
FIELD = re.compile(r"^(license|base_model):[ \t]*[\"']?([^\"'#\[\n]+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Base:
    """The model that training started from; ``id`` and ``license`` are None if its own card does not state them."""

    name: str  # as the settings name it
    id: str | None = None  # of a hub
    license: str | None = None

    @property
    def lines(self) -> list[str]:
        """The section of a card on it."""
        name = f"`{self.name}`" if self.id in (None, self.name) else f"`{self.name}` ({self.id})"
        return [f"- Model: {name}", f"- Licence: {self.license or NOT_STATED}"]


def read_base(name: str, folder: Path | None, id: str | None = None, license: str | None = None) -> Base:
    """The base model by name, with what the README.md or the config.json in its ``folder`` states.

    id, license: used if the folder states none.
    """
    fields: dict[str, str] = {}
    if folder is not None:
        text = _read_text(folder / CARD)
        front = text[3:].partition("\n---")[0] if text.startswith("---") else ""
        fields = {key: value.strip() for key, value in FIELD.findall(front) if value.strip()}
        try:
            config = json.loads(_read_text(folder / "config.json") or "{}")
        except ValueError:
            config = {}
        if isinstance(config, dict) and isinstance(config.get("license"), str):
            fields.setdefault("license", config["license"])
    stated = fields.get("license")
    return Base(name, fields.get("base_model") or id, license if stated in (None, "unknown") else stated)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def describe_files(names: Sequence[str]) -> list[str]:
    """A line for each file of data: its name, size and SHA-256. A store that grows has no hash."""
    return [_describe_file(name) for name in names]


def _describe_file(name: str) -> str:
    path = Path(name)
    if "://" in name:
        return f"- Store {name.rpartition('@')[2] if '@' in name else name}: a database, without a hash"
    if not path.is_file():
        return f"- `{path.name}`: a folder, or out of reach when the card was written"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return f"- `{path.name}`: out of reach when the card was written"
    return f"- `{path.name}`: {path.stat().st_size:,} bytes, SHA-256 {digest}"


def describe_numbers(numbers: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A line for each number, text, truth value or list of them, by its path, such as fit.learning_rate."""
    return [f"- {name}: {value}" for name, value in _flatten(numbers, prefix)]


def _flatten(numbers: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield prefix + name, f"{value:.6g}"
        elif isinstance(value, int | str):
            text = str(value)
            yield prefix + name, Path(text).name if os.path.isabs(text) else text  # a card is published
        elif isinstance(value, list | tuple) and value:
            yield prefix + name, ", ".join(map(str, value))


def versions() -> list[str]:
    """A line with the versions of the programs that the numbers depend on."""
    numbers = {"plaudit": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            continue
    return ["- Versions: " + ", ".join(f"{name} {number}" for name, number in numbers.items())]


def limits(summary: Summary | None) -> list[str]:
    """What the model must not be taken for."""
    lines = ["- A learned reward can be wrong where no judgement was given; a policy finds such places"]
    if summary is not None and {SIMULATION, PROGRAM} & set(summary.annotators):
        lines.append("- Programs or simulated annotators judged, so the model follows their rule and not people")
    return [*lines, "- Safety, bias and factual correctness were not measured"]


def read_summary(folder: Path) -> Summary | None:
    """The judgements in a run's own store; None if it has no readable store."""
    path = folder / layout.FEEDBACK
    if not path.exists():
        return None
    try:
        with Store.open(path, create=False) as store:
            return summarise(store)
    except PlauditError:
        return None


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """The facts of a card."""

    title: str
    base: Base | None  # None: trained from nothing
    method: str
    data: Sequence[str]
    judgements: Summary | Sequence[str]
    training: Mapping[str, Any]  # settings
    evaluation: Sequence[str]
    library: str = "transformers"
    tags: Sequence[str] = ()
    datasets: Sequence[str] = ()

    def text(self) -> str:
        """The card as Markdown."""
        base = self.base
        summary = self.judgements if isinstance(self.judgements, Summary) else None
        front = {
            "base_model": None if base is None else base.id or base.name,
            "license": (base.license if base else None) or "unknown",
            "library_name": self.library,
            "tags": ["plaudit", self.method, *self.tags],
            "datasets": list(self.datasets),
        }
        judged = (
            list(self.judgements) if not isinstance(self.judgements, Summary) else describe_judgements(self.judgements)
        )
        sections = [
            ("Base model", base.lines if base else ["- None: training began with random weights"]),
            ("Data", self.data),
            ("Judgements", judged),
            ("Annotators", describe_annotators(summary) if summary is not None else []),
            ("Training", [f"- Method: {self.method}", *describe_numbers(self.training), *versions()]),
            ("Evaluation", list(self.evaluation) or ["- Nothing was measured"]),
            ("Audit", AUDIT),
            ("Limits", limits(summary)),
        ]
        if self.base is None and self.library == "plaudit":  # a policy of an environment has no base model
            sections = sections[1:]
        return render(front, self.title, sections)

    def write(self, folder: Path) -> None:
        """Write README.md into ``folder``, unless it says the same already."""
        path, text = folder / CARD, self.text()
        if _read_text(path) != text:
            with disk_errors(path):
                replace_text(path, text)
