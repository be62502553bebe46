"""What a policy is asked: the prompts that come with Plaudit, or those of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path

import numpy as np

from plaudit.feedback.files import is_spelled, read_text
from plaudit.feedback.formats import Format, Problems, Setting, recognised
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats.incoming import records
from plaudit.language.text import Chat
from plaudit.types import Dialogue, Message, PlauditError

BUILTIN = "builtin"
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


def builtin() -> list[Prompt]:
    """320 short everyday questions: 40 subjects in 8 forms."""
    return [(Message("user", form.format(subject)),) for subject, form in product(SUBJECTS, FORMS)]


def prompts_of(name: str, system: str | None = None) -> list[Prompt]:
    """The prompts that ``name`` names: builtin, a .txt with one a line, or any file that `plaudit import` reads.

    Of a file of feedback the prompts are taken, each once, and what was said about them is not. JSON objects with no
    more than ``prompt`` (a text, or messages) are read, too.

    Raises:
        PlauditError: the file is not there, cannot be read, or holds no prompt.
    """
    found = builtin() if name == BUILTIN else list(dict.fromkeys(_from(Path(name))))
    if not found:
        raise PlauditError(f"{name} holds no prompt: one a line (.txt), or objects with a prompt (.jsonl)")
    if system:
        found = [each if each[0].role == "system" else (Message("system", system), *each) for each in found]
    return found


def _from(path: Path) -> Iterable[Prompt]:
    if not path.exists():
        raise PlauditError(f"there is no {path}: name a file of prompts, or {BUILTIN}")
    if path.suffix == ".txt":
        return [(Message("user", line.strip()),) for line in read_text(path).splitlines() if line.strip()]
    return _read(path)


def _read(path: Path) -> Iterator[Prompt]:
    """Prompts of objects that have nothing else, and of any format that the first object is of."""
    problems = Problems(path.name, strict=True)
    form: Format | None = None
    with closing(rows(path, lambda position: None)) as opened:
        for row in opened:
            if row.fault is not None:
                problems.add(row.place, row.fault)
            elif isinstance(row.value, dict) and "prompt" in row.value and "chosen" not in row.value:
                yield _plain(row.value["prompt"], f"{path.name}, {row.place}")
            else:
                form = form or recognised(row.value, path.name)
                for _, record in records(form, [row], problems, Setting("prompts", "file", 1)):
                    yield from (each.prompt for each in record.items if isinstance(each, Dialogue))


def _plain(value: object, where: str) -> Prompt:
    found: Prompt = ()
    if isinstance(value, str) and value.strip():
        found = (Message("user", value),)
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        try:
            found = tuple(Message(each["role"], each["content"]) for each in value)
        except (KeyError, ValueError, TypeError) as error:
            raise PlauditError(f"{where}: prompt: {error}") from error
    for each in found:
        if not isinstance(each.content, str):
            raise PlauditError(f"{where}: prompt: content must be a text, got {json.dumps(each.content)[:60]}")
        if not is_spelled(each.content):
            raise PlauditError(f"{where}: prompt: half of a surrogate pair, which UTF-8 has no spelling for")
    if found:
        return found
    raise PlauditError(f"{where}: prompt must be a text or a list of messages, got {json.dumps(value)[:60]}")


def parted(prompts: Sequence[Prompt], held_out: int, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to learn on, and prompts on which a policy is measured that no training sees."""
    if held_out >= len(prompts):
        raise PlauditError(f"{len(prompts)} prompts are too few to hold out {held_out}: give more, or hold out fewer")
    order = np.random.default_rng((seed, 1)).permutation(len(prompts))
    return [prompts[i] for i in order[held_out:]], [prompts[i] for i in order[:held_out]]


def unseen(prompts: Sequence[Prompt], system: str | None) -> frozenset[Prompt]:
    """Held-out prompts as a file of feedback may hold them: with the system message of the run, and without it."""
    added = Message("system", system) if system else None
    return frozenset(prompts) | {each[1:] for each in prompts if each[0] == added and len(each) > 1}


def fitting(
    prompts: Sequence[Prompt], chat: Chat, longest: int, told: Callable[[int], None] = lambda count: None
) -> list[tuple[Prompt, np.ndarray]]:
    """Prompts with their tokens; those above ``longest`` tokens are left out, and ``told`` how many that were."""
    every = [(each, chat.prompt(each)) for each in prompts]
    kept = [(each, tokens) for each, tokens in every if len(tokens) <= longest]
    told(len(every) - len(kept))
    if not kept:
        raise PlauditError(f"every prompt is longer than {longest} tokens: raise --prompt-tokens")
    return kept
