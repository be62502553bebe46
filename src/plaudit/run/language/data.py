"""The texts of a run on a language model: what it learns from, what it is measured on, and counts of both."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit import layout
from plaudit.feedback.files import read_text
from plaudit.files import replace_text
from plaudit.language.data import Counts
from plaudit.language.measures import unrelated_texts
from plaudit.language.prompts import EXPLANATIONS, Prompt, explanations, load_prompts, split_prompts, tokenise_prompts
from plaudit.language.rows import Tokens
from plaudit.language.text import Chat
from plaudit.run.disk import disk_errors
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.record import read_json
from plaudit.types import PlauditError

MEASURED = 65_536  # characters of a text, at most, on which the loss is measured: some 64 windows of 256 tokens
SHARE = 0.1  # of a text that PPO-ptx learns from, at most, that is kept for measuring


def prompts_in(config: ChatConfig) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts that the run learns on, and those on which it is measured."""
    data = config.data
    prompts = load_prompts(data.prompts, data.system, config.files.reading)
    training, held_out = split_prompts(prompts, data.held_out, config.seed)
    if data.prompts == EXPLANATIONS:
        training += load_prompts(str(explanations()), data.system)
    return training, held_out


def tokenise(run: ChatRun, prompts: Sequence[Prompt], chat: Chat) -> tuple[list[tuple[Prompt, Tokens]], dict[str, int]]:
    """Prompts with their tokens, and the number of prompts that are too long, for the report.

    Raises:
        PlauditError: every prompt is too long.
    """
    tokenised = tokenise_prompts(prompts, chat, run.config.data.prompt_tokens)
    return tokenised, {"left out as too long": len(prompts) - len(tokenised)}


def texts_in(config: ChatConfig) -> tuple[str, list[str]]:
    """The text that PPO-ptx learns from, and texts that it does not, on which the loss is measured.

    Those are the end of the text that ``data.text`` names, or our own where it names none.

    Raises:
        PlauditError: the text is not there, is no UTF-8, or too little; PPO-ptx is asked for without one.
    """
    name, learned = config.data.text, config.improve.ptx > 0
    if name is None:
        if learned:
            raise PlauditError("--improve.ptx needs other text: name a file with --data.text")
        return "", unrelated_texts()
    text = read_text(Path(name)).strip()
    length = min(round(SHARE * len(text)) if learned else len(text), MEASURED)
    space = re.compile(r"\s").search(text, len(text) - length)  # no word is cut, where words are told apart
    cut = space.start() if space and length < len(text) else len(text) - length
    begin, end = text[:cut].strip(), text[cut:].strip()
    if len(end) < 2 or (learned and len(begin) < 2):
        raise PlauditError(f"{name} holds too little text: name a longer one as --data.text")
    return begin if learned else "", [end]


def add_counts(run: ChatRun, name: str, counts: Counts | Mapping[str, int]) -> None:
    """Keep numbers for the report, under a name."""
    write_json_file(run, layout.COUNTS, read_counts(run) | {name: dict(plain_counts(counts))})


def read_counts(run: ChatRun) -> dict[str, dict[str, int]]:
    """The numbers that :func:`add_counts` kept."""
    return read_json_file(run, layout.COUNTS)


def plain_counts(counts: Counts | Mapping[str, int]) -> Mapping[str, int]:
    """Numbers by name."""
    if not isinstance(counts, Counts):
        return counts
    return {
        name.replace("_", " "): len(n) if isinstance(n, list) else n for name, n in dataclasses.asdict(counts).items()
    }


def write_json_file(run: ChatRun, name: str, values: Mapping[str, Any]) -> None:
    """Write a small JSON file of the run's folder, whole or not at all."""
    with disk_errors(run.folder / name):
        replace_text(run.folder / name, json.dumps(values) + "\n")


def read_json_file(run: ChatRun, name: str) -> dict[str, Any]:
    """The values that :func:`write_json_file` wrote; {} where there is no such file.

    Raises:
        PlauditError: it is damaged.
    """
    path = run.folder / name
    return read_json(path, "restore it from a copy, or remove it") if path.exists() else {}


def same_passages(run: ChatRun, folder: Path) -> None:
    """Remember the reward of passages that a run began with.

    Raises:
        PlauditError: it is another one now, or out of reach.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        for path in sorted([*folder.glob("*.safetensors"), folder / "heads.json"]):
            digest.update(path.read_bytes())
    except OSError as error:
        raise PlauditError(f"the reward of passages in {folder} cannot be read ({error}): restore it there") from error
    fingerprint, recorded = {"fingerprint": digest.hexdigest()}, read_json_file(run, layout.PASSAGES)
    if recorded and recorded != fingerprint:
        raise PlauditError(
            f"{run.folder} was started with another reward of passages than {folder} holds now: restore the former one"
        )
    write_json_file(run, layout.PASSAGES, fingerprint)


@contextlib.contextmanager
def mendable(run: ChatRun, part: str) -> Iterator[None]:
    """Name the setting to change if a loss is not a number."""
    try:
        yield
    except PlauditError as error:
        if "not a number" not in str(error):
            raise
        raise PlauditError(
            f"{error}; it is {part}.learning_rate in {run.folder / layout.CONFIG}: change it there, then "
            f"`plaudit resume {layout.shell_path(run.folder)}`"
        ) from error
