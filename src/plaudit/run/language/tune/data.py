"""The data of `plaudit tune`: files and stores are read, counted, and split into examples to fit and to hold out.

Everything is read before anything is written, so that a fault in the data leaves no folder behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from plaudit.feedback.cards import Summary, combine, summarise
from plaudit.feedback.formats._hub import exists
from plaudit.feedback.formats.incoming import import_file
from plaudit.feedback.store import Store
from plaudit.language.data import Counts, is_held_out
from plaudit.language.models import LanguageModel, describe_model, device_of, load
from plaudit.language.reward import JudgedCompletions
from plaudit.language.rows import Tree
from plaudit.language.spans import MarkedResponse
from plaudit.language.template import Template, read_template
from plaudit.language.template_check import Conversation, check_conversations, judged_conversations
from plaudit.language.text import Chat
from plaudit.run.language.files import FileCounts
from plaudit.run.language.tune.config import TuningConfig
from plaudit.types import PlauditError

STORES = (".sqlite", ".sqlite3", ".db")
Example = TypeVar("Example")


@dataclass(frozen=True, eq=False)
class Sides:
    """The two sides of a split: examples to fit, and examples held out."""

    train: Sequence[Any]
    held_out: Sequence[Any]


@dataclass(frozen=True)
class Data:
    """What became of the judgements that were read; written to the run's folder."""

    counts: dict[str, Any]
    line: str  # the same, for people
    fingerprint: str  # of every example, in order
    judgements: Summary | list[str]  # for the model's card

    @classmethod
    def count(cls, counts: Counts, files: FileCounts, sides: Sides) -> Data:
        """The numbers, with those of the examples on each side."""
        numbers = {field.name: getattr(counts, field.name) for field in fields(counts)}
        numbers |= {"surplus": files.surplus, "repeats": files.repeats, "empty": files.empty, "unread": files.unread}
        numbers |= {"template": files.changes, "special_tokens": files.special_tokens}
        numbers |= {"to_fit": len(sides.train), "to_measure": len(sides.held_out)}
        line = f"{counts}{files}"
        line += f": {len(sides.train)} to fit, {len(sides.held_out)} held out"
        if counts.refused:
            line += f"; the first refused: {counts.refused[0]}"
        line = "\n".join([*files.lines, line])
        return cls(numbers, line, fingerprint([*sides.train, *sides.held_out]), files.judgements)


def check_settings(config: TuningConfig) -> None:
    """Raise :class:`PlauditError` unless files are named, and the device and the chat template exist."""
    if not config.data:
        raise PlauditError("name at least one file to learn from: plaudit tune METHOD FILE")
    device_of(config.device)
    if config.template != "own" and config.chat_template.text is None:
        read_template(config.template)


def check_files(config: TuningConfig) -> None:
    """As :func:`check_settings`, and every file exists."""
    check_settings(config)
    for name in config.data:
        if not _address(name) and not exists(Path(name)):
            raise PlauditError(f"there is no {name}: check the path")


def load_model(config: TuningConfig) -> LanguageModel:
    """The model to start from, with its chat template.

    Raises:
        PlauditError: there is none, it cannot be trained in this way, or its tokenizer has no chat template.
    """
    torch.manual_seed(config.seed)  # of low-rank additions and heads
    return with_template(load(config.model, device_of(config.device)), config)


def with_template(model: LanguageModel, config: TuningConfig) -> LanguageModel:
    """The model with the chat template that the settings name; raises as :func:`load_model`."""
    config.chat_template.apply(model.tokenizer, config.template)
    Chat(model)  # which refuses a tokenizer without one
    return model


def pin_template(config: TuningConfig) -> TuningConfig:
    """The settings with the text and the date of the chat template: a run that resumes uses them on every day.

    Raises:
        PlauditError: as :func:`load_model`; a file is missing, or the template does not read a variable.
    """
    check_settings(config)
    name = getattr(config, "reward_model", None) or config.model.model
    tokenizer, _ = describe_model(replace(config.model, model=name))
    return replace(config, chat_template=config.chat_template.pin(tokenizer, config.template))


def read(
    config: TuningConfig,
    chat: Chat,
    reader: Callable[[Store], tuple[list[Example], Counts]],
    hint: Callable[[], str] = str,
) -> tuple[list[Example], Counts, FileCounts]:
    """The examples that ``reader`` finds in every file and store, their counts, and what was passed over in files.

    chat: its template writes the conversations, and what that changes is counted. hint: more about the reason, for
    the message if nothing could be used.

    Raises:
        PlauditError: a file cannot be read or one of its lines, or nothing in them could be used; the chat template
            loses or changes text, and the settings do not accept that.
    """
    examples: list[Example] = []
    total: Counts | None = None
    conversations: list[Conversation] = []
    summaries: list[Summary] = []
    kinds: Counter[str] = Counter()
    with _stores(config) as (stores, files):
        for store in stores:
            summaries.append(summarise(store))
            kinds.update(
                question.kind for question in store.questions([event.question for event in store.judgements()])
            )
            conversations += judged_conversations(store)
            read_examples, counts = reader(store)
            examples += read_examples
            total = counts if total is None else _sum(total, counts)
    files.judgements = combine(summaries)
    files.count_changes(
        check_conversations(Template.from_tokenizer(chat.tokenizer), conversations), config.chat_template
    )
    files.count_special_tokens(chat.special_tokens)
    if total is None or not examples:
        faults = [*(total.refused if total else ()), *files.faults]
        refused = f"; the first refused: {faults[0]}" if faults else ""
        raise PlauditError(
            f"this method can learn from nothing in {', '.join(config.data)} ({total}{files}){refused}"
            f"{_describe_kinds(kinds, files)}{hint()}"
        )
    return examples, total, files


def _describe_kinds(kinds: Counter[str], files: FileCounts) -> str:
    """The kinds of the judgements that a method cannot learn from, and how to read their files otherwise."""
    if not kinds:
        return ""
    counts = ", ".join(f"{name} ({count:,})" for name, count in kinds.most_common())
    formats = " and ".join(f"{name} was read as {form}" for name, form in files.formats.items())
    return f"; the kinds of their judgements: {counts}" + (
        f"; {formats}: --format reads it otherwise" if formats else ""
    )


def check_sides(config: TuningConfig, sides: Sides) -> None:
    """Raise :class:`PlauditError` if one side of the split is empty."""
    n_train, n_held_out = len(sides.train), len(sides.held_out)
    if not n_train or (config.held_out and not n_held_out):
        raise PlauditError(
            f"holding out {config.held_out:g} of {n_train + n_held_out} examples by prompt leaves "
            f"{n_train} to fit and {n_held_out} to measure on: "
            "give more, change --held-out, or measure nothing (--held-out 0)"
        )


def split_trees(trees: Sequence[Tree], share: float, seed: int) -> Sides:
    """Demonstrations to fit and to hold out; all turns of conversations with the same opening are on one side."""
    train: list[Tree] = []
    held_out: list[Tree] = []
    for tree in trees:
        (held_out if is_held_out(tree, share, seed) else train).append(tree)
    return Sides(train, held_out)


def fingerprint(examples: Iterable[Tree | JudgedCompletions | MarkedResponse]) -> str:
    """32 hex digits of every token and every judgement."""
    digest = hashlib.blake2b(digest_size=16)
    for example in examples:
        digest.update(example.contents)
    return digest.hexdigest()


def _address(name: str) -> bool:
    return name.startswith(("postgresql://", "postgresql+psycopg://", "sqlite://"))


@contextlib.contextmanager
def _stores(config: TuningConfig) -> Iterator[tuple[list[Store], FileCounts]]:
    """The named stores, a temporary store for each named file, and what was passed over in the files."""
    counts = FileCounts()
    with contextlib.ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="plaudit-")))
        stores = []
        for number, name in enumerate(config.data):
            stored = _address(name) or Path(name).suffix in STORES
            address = name if stored else folder / f"{number}.sqlite"
            store = closing.enter_context(Store.open(address, create=not stored))
            if not stored:
                result = import_file(store, Path(name), config.files.reading)
                result.check_whole()
                counts.add(Path(name).name, result)
            stores.append(store)
        yield stores, counts


def _sum(first: Counts, second: Counts) -> Counts:
    return type(first)(
        **{field.name: getattr(first, field.name) + getattr(second, field.name) for field in fields(first)}
    )
