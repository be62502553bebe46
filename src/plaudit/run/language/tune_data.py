"""What `plaudit tune` is fitted to: files and stores read, counted, and parted into what is fitted and held out.

Nothing is written before all of it was read: whatever is wrong with it is found first.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from plaudit import layout
from plaudit.feedback.formats import Setting
from plaudit.feedback.formats.incoming import import_file
from plaudit.feedback.store import Store
from plaudit.language.data import Counts, is_held_out
from plaudit.language.models import LanguageModel, load
from plaudit.language.reward import Judged
from plaudit.language.rows import Tree
from plaudit.language.spans import MarkedResponse
from plaudit.language.text import Chat
from plaudit.run.language.sft import device_of, read_template, set_template
from plaudit.run.language.tune_config import TuningConfig
from plaudit.types import PlauditError

STORES = (".sqlite", ".sqlite3", ".db")
Example = TypeVar("Example")


@dataclass(frozen=True)
class Data:
    """What became of what was read, as plain numbers; written to the run's folder."""

    counts: dict[str, Any]
    line: str  # the same, to be read
    fingerprint: str  # of every example, in order

    @classmethod
    def of(cls, counts: Counts, surplus: int, sides: tuple[Sequence[Any], Sequence[Any]]) -> Data:
        """sides: what is fitted, and what is held out."""
        numbers = {each.name: getattr(counts, each.name) for each in fields(counts)}
        numbers |= {"surplus": surplus, "to_fit": len(sides[0]), "to_measure": len(sides[1])}
        line = f"{counts}" + (f", {surplus} more that contradict what came before" if surplus else "")
        line += f": {len(sides[0])} to fit, {len(sides[1])} held out"
        if counts.refused:
            line += f"; the first refused: {counts.refused[0]}"
        return cls(numbers, line, fingerprint([*sides[0], *sides[1]]))


def check_settings(config: TuningConfig) -> None:
    """Raise :class:`PlauditError` unless files are named, and the device and the chat template are there."""
    if not config.data:
        raise PlauditError("name at least one file to learn from: plaudit tune METHOD FILE")
    device_of(config.device)
    if config.template != "own":
        read_template(config.template)


def check_files(config: TuningConfig) -> None:
    """As :func:`check_settings`, and every file is there."""
    check_settings(config)
    for name in config.data:
        if not _address(name) and not Path(name).exists():
            raise PlauditError(f"there is no {name}: check the path")


def loaded(config: TuningConfig) -> LanguageModel:
    """The model to start from, with its chat template.

    Raises:
        PlauditError: there is none, it cannot be trained so, or its tokenizer has no chat template.
    """
    torch.manual_seed(config.seed)  # of low-rank additions and heads
    return written_for(load(config.model, device_of(config.device)), config)


def written_for(model: LanguageModel, config: TuningConfig) -> LanguageModel:
    """The model with the chat template that was asked for; raises as :func:`loaded`."""
    set_template(model, config.template)
    Chat(model)  # which refuses a tokenizer without one
    return model


def read(
    config: TuningConfig,
    reader: Callable[[Store], tuple[list[Example], Counts]],
    why: Callable[[], str] = str,
) -> tuple[list[Example], Counts, int]:
    """What ``reader`` makes of every file and store, what became of it, and how many judgements were surplus.

    why: what more is known, once all was read, where nothing could be used.

    Raises:
        PlauditError: a file cannot be read or one of its lines, or nothing in them could be used.
    """
    examples: list[Example] = []
    total: Counts | None = None
    with _stores(config.data) as (stores, surplus):
        for store in stores:
            found, counts = reader(store)
            examples += found
            total = counts if total is None else _sum(total, counts)
    if total is None or not examples:
        refused = f"; the first refused: {total.refused[0]}" if total and total.refused else ""
        raise PlauditError(
            f"nothing in {', '.join(config.data)} can be learned from in this way ({total}){refused}{why()}"
        )
    return examples, total, surplus


def check_sides(config: TuningConfig, fitted: Sequence[object], held: Sequence[object]) -> None:
    """Raise :class:`PlauditError` where one side of the split is empty."""
    if not fitted or (config.held_out and not held):
        raise PlauditError(
            f"holding out {config.held_out:g} of {len(fitted) + len(held)} examples by prompt leaves {len(fitted)} to "
            f"fit and {len(held)} to measure on: give more, change --held-out, or measure nothing (--held-out 0)"
        )


def parted_trees(trees: Sequence[Tree], share: float, seed: int) -> tuple[list[Tree], list[Tree]]:
    """Demonstrations to fit and to hold out; conversations that open alike stand on one side, with all their turns."""
    sides: tuple[list[Tree], list[Tree]] = ([], [])
    for tree in trees:
        sides[is_held_out(tree, share, seed)].append(tree)
    return sides


def fingerprint(examples: Iterable[Tree | Judged | MarkedResponse]) -> str:
    """32 hex digits of every token and of what was said about them."""
    digest = hashlib.blake2b(digest_size=16)
    for each in examples:
        digest.update(each.contents)
    return digest.hexdigest()


def _address(name: str) -> bool:
    return name.startswith(("postgresql://", "postgresql+psycopg://", "sqlite://"))


@contextlib.contextmanager
def _stores(names: Sequence[str]) -> Iterator[tuple[list[Store], int]]:
    """The stores that are named, one into which every file is read, and how many judgements it took as surplus."""
    files = [each for each in names if not _address(each) and Path(each).suffix not in STORES]
    surplus = 0
    with contextlib.ExitStack() as closing:
        stores = [closing.enter_context(Store.open(each, create=False)) for each in names if each not in files]
        if files:
            folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="plaudit-"))
            own = closing.enter_context(Store.open(Path(folder) / layout.FEEDBACK))
            for each in files:
                surplus += import_file(own, Path(each), setting=Setting(), strict=True).surplus
            stores.insert(0, own)
        yield stores, surplus


def _sum(one: Counts, other: Counts) -> Counts:
    return type(one)(**{each.name: getattr(one, each.name) + getattr(other, each.name) for each in fields(one)})
