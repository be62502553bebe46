"""Prompts for a policy: those that come with Plaudit, or those of a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from importlib.resources import files
from itertools import chain, islice, product
from pathlib import Path

import numpy as np

from plaudit.feedback.files import is_spelled, read_lines
from plaudit.feedback.formats import (
    FORMATS,
    Fields,
    Format,
    Problems,
    Row,
    Setting,
    find_format,
    merge_columns,
    recognise,
)
from plaudit.feedback.formats._columns import Path as Column
from plaudit.feedback.formats._columns import normalise_names, rename
from plaudit.feedback.formats._dialogues import read_prompt
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats._hub import exists
from plaudit.feedback.formats._recognition import recognise_rows
from plaudit.feedback.formats.incoming import SAMPLE, Reading, records
from plaudit.language.text import Chat
from plaudit.types import Dialogue, Message, PlauditError

EXPLANATIONS = "explanations"
BUILTIN = "builtin"
_PACKAGE = files("plaudit.language")
Prompt = tuple[Message, ...]

FORMS = (
    "What is {}?",
    "Explain {} to a child.",
    "Why do people care about {}?",
    "Give me one piece of advice about {}.",
    "What is a common mistake with {}?",
    "I know nothing about {}. Where do I start?",
    "Tell me something surprising about {}.",
    "How has {} changed over time?",
)
SUBJECTS = (
    *("baking bread", "riding a bicycle", "growing tomatoes", "learning the piano", "a good night's sleep"),
    *("keeping a diary", "the water cycle", "photosynthesis", "a budget for one month", "running a first race"),
    *("chess openings", "planting a tree", "a job interview", "learning a language", "the solar system"),
    *("making soup", "a fear of flying", "repairing a shirt", "volcanoes", "writing a letter"),
    *("a small apartment", "drinking tea", "bird watching", "the history of maps", "saving electricity"),
    *("public speaking", "a healthy breakfast", "camping in the rain", "drawing faces", "the printing press"),
    *("swimming", "caring for a dog", "reading faster", "the moon", "working from home"),
    *("a birthday party", "recycling paper", "bees and honey", "telling a story", "patience"),
)


def builtin_prompts() -> list[Prompt]:
    """320 short everyday questions: 40 subjects in 8 forms."""
    return [(Message("user", form.format(subject)),) for subject, form in product(SUBJECTS, FORMS)]


def explanation_prompts() -> list[Prompt]:
    """132 requests to explain a thing to a child of six years, without those of :func:`explanations`."""
    lines = (_PACKAGE / "explanations.txt").read_text("utf-8").splitlines()
    return [(Message("user", line),) for line in lines]


def explanations() -> Path:
    """The file of 84 other such requests, each with an explanation that was written for this package."""
    return Path(str(_PACKAGE / "explanations.jsonl"))


def load_prompts(name: str, system: str | None = None, reading: Reading | None = None) -> list[Prompt]:
    """Load the prompts of ``name``: explanations, builtin, a .txt with one per line, or a file for `plaudit import`.

    From a file of feedback the prompts are taken, each once, without the feedback. JSON objects that hold only a
    ``prompt`` (a text, or messages) are read too. reading: format, columns and split of the file.

    Raises:
        PlauditError: the file is missing, cannot be read, or holds no prompt.
    """
    lists = {EXPLANATIONS: explanation_prompts, BUILTIN: builtin_prompts}
    texts = lists[name]() if name in lists else _read_file(Path(name), reading or Reading())
    prompts = list(dict.fromkeys(texts))
    if not prompts:
        raise PlauditError(f"{name} holds no prompt: write one per line (.txt), or objects with a prompt (.jsonl)")
    if system:
        prompts = [prompt if prompt[0].role == "system" else (Message("system", system), *prompt) for prompt in prompts]
    return prompts


def _read_file(path: Path, reading: Reading) -> Iterable[Prompt]:
    if not exists(path):
        raise PlauditError(f"there is no {path}: name a file of prompts, {EXPLANATIONS} or {BUILTIN}")
    if path.suffix == ".txt":
        return [(Message("user", line.strip()),) for line in read_lines(path) if line.strip()]
    return _read_records(path, reading)


def _read_records(path: Path, reading: Reading) -> Iterator[Prompt]:
    """Prompts of JSON objects that hold only a prompt, and of the format that the first other object has."""
    problems = Problems(path.name, strict=True)
    form = None if reading.format is None else find_format(reading.format)
    with closing(rows(path, split=reading.split)) as opened:
        source = rename(opened, reading.columns)
        begin = list(islice(source, SAMPLE))
        names = _renamed_columns([row for row in begin if row.fault is None], path.name, form)
        source = rename(chain(begin, source), names) if names else chain(begin, source)
        for row in source:
            if row.fault is not None:
                problems.add(row.location, row.fault)
            elif _holds_prompt(row.value):
                yield _parse_prompt(row.value["prompt"], f"{path.name}, {row.location}")
            else:
                prompt = _prompt_alone(row.value) if form is None else ()
                if prompt:
                    yield prompt
                    continue
                form = form or recognise(row.value, path.name)
                joins = type(form).gather is not Format.gather  # one object may span all rows that follow
                gathered = form.gather(chain([row], source)) if joins else [row]
                for _, record in records(form, gathered, problems, Setting("prompts", "file", 1)):
                    yield from (item.prompt for item in record.items if isinstance(item, Dialogue))


def _renamed_columns(rows: Sequence[Row], file: str, form: Format | None) -> dict[str, Column]:
    """Columns such as ``Prompt`` or ``User Prompt``, by the names that are known."""
    try:
        return recognise_rows(rows, file, form)[1] if rows else {}
    except PlauditError:  # no format: prompts alone
        return normalise_names(merge_columns(rows))


def _holds_prompt(value: object) -> bool:
    """Whether an object has a column ``prompt`` that is read as it is: no data set writes prompts in its own way."""
    if not isinstance(value, dict) or "prompt" not in value or "chosen" in value:
        return False
    return not any(form.scope == "dataset" and form.sniff(value) for form in FORMATS.values())


def _prompt_alone(value: object) -> Prompt:
    """The prompt of an object that holds nothing else that a format knows, such as a question; () otherwise."""
    if not isinstance(value, dict) or any(form.sniff(value) for form in FORMATS.values()):
        return ()
    return read_prompt(Fields(value))


def _parse_prompt(value: object, position: str) -> Prompt:
    messages: Prompt = ()
    if isinstance(value, str) and value.strip():
        messages = (Message("user", value),)
    elif isinstance(value, list) and all(isinstance(message, dict) for message in value):
        try:
            messages = tuple(Message(message["role"], message["content"]) for message in value)
        except (KeyError, ValueError, TypeError) as error:
            raise PlauditError(f"{position}: prompt: {error}") from error
    for message in messages:
        if not isinstance(message.content, str):
            raise PlauditError(f"{position}: prompt: content must be a text, got {json.dumps(message.content)[:60]}")
        if not is_spelled(message.content):
            raise PlauditError(f"{position}: prompt: half of a surrogate pair, which UTF-8 cannot encode")
    if messages:
        return messages
    raise PlauditError(f"{position}: prompt must be a text or a list of messages, got {json.dumps(value)[:60]}")


def split_prompts(prompts: Sequence[Prompt], held_out: int, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """Split prompts into those for training, and those held out for measuring the policy."""
    if held_out >= len(prompts):
        raise PlauditError(f"{len(prompts)} prompts are too few to hold out {held_out}: give more, or hold out fewer")
    order = np.random.default_rng((seed, 1)).permutation(len(prompts))
    return [prompts[i] for i in order[held_out:]], [prompts[i] for i in order[:held_out]]


def expand_held_out(prompts: Sequence[Prompt], system: str | None) -> frozenset[Prompt]:
    """Held-out prompts as a file of feedback may hold them: with the run's system message, and without it."""
    added = Message("system", system) if system else None
    return frozenset(prompts) | {prompt[1:] for prompt in prompts if prompt[0] == added and len(prompt) > 1}


def tokenise_prompts(prompts: Sequence[Prompt], chat: Chat, longest: int) -> list[tuple[Prompt, np.ndarray]]:
    """Prompts with their tokens; prompts of more than ``longest`` tokens are left out."""
    tokenised = [(prompt, chat.prompt(prompt)) for prompt in prompts]
    short_enough = [(prompt, tokens) for prompt, tokens in tokenised if len(tokens) <= longest]
    if not short_enough:
        raise PlauditError(f"every prompt is longer than {longest} tokens: raise --prompt-tokens")
    return short_enough
