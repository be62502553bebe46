"""`plaudit score`: the rewards that a reward model gives to the responses in a file."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from plaudit.api.console import say
from plaudit.api.progress import bar
from plaudit.api.reward import Text, TextScore, load_reward
from plaudit.cli.arguments import parse
from plaudit.feedback.formats import read_rows
from plaudit.files import replace_text
from plaudit.functional.calibration import share_interval
from plaudit.run.disk import disk_errors
from plaudit.types import PlauditError

ROWS = 64  # rows that are scored together
RESPONSES = {"response": "reward", "completion": "reward", "chosen": "reward_chosen", "rejected": "reward_rejected"}
HELP = """Score the responses in a file with a learned reward.

A row has a prompt (a text, or messages with role and content) and a response or completion, or chosen and rejected; or
it has messages of which the last one is the response. Every row is written with its reward, or reward_chosen and
reward_rejected. For pairs, the share in which the chosen response has the higher reward is printed, too.

examples:
  plaudit score runs/chat responses.jsonl --out scores.jsonl
  plaudit score runs/reward pairs.parquet > scores.jsonl"""


@dataclass(frozen=True)
class ScoreArguments:
    """`plaudit score MODEL FILE`."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The folder of a run of plaudit train chat or plaudit tune reward, or of a saved reward model."""
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """File of responses: .jsonl or .json (also .gz), or .parquet."""
    out: Path | None = None
    """File to write (.jsonl); None: standard output."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; auto: the GPU if there is one."""


@dataclass
class Summary:
    """Counts of what was scored."""

    responses: int = 0
    total: float = 0.0
    pairs: int = 0
    agreements: int = 0

    def __str__(self) -> str:
        mean = f"{self.responses} responses, mean reward {self.total / self.responses:.3f}"
        if not self.pairs:
            return mean
        share = self.agreements / self.pairs
        low, high = share_interval(share, self.pairs)
        return (
            f"{mean}; the chosen response has the higher reward in {100 * share:.1f} % of {self.pairs} pairs (95 % "
            f"interval {100 * low:.1f} to {100 * high:.1f} %)"
        )


@dataclass(frozen=True)
class Row:
    """One row of the file: prompts and responses by the field of their reward."""

    values: Mapping[str, Any]
    texts: dict[str, tuple[Text, Text]] = field(default_factory=dict)


def score(arguments: list[str]) -> int:
    """`plaudit score MODEL FILE`."""
    parsed = parse(ScoreArguments, arguments, "score", HELP)
    rows = [_row(row.value, f"{parsed.file}, {row.location}", row.fault) for row in read_rows(parsed.file)]
    if not rows:
        raise PlauditError(f"{parsed.file} holds no rows")
    reward, summary, lines = load_reward(parsed.model, device=parsed.device), Summary(), []
    with bar("scoring") as on_progress:
        for index in range(0, len(rows), ROWS):
            lines += _score(reward, rows[index : index + ROWS], summary)
            on_progress("scoring", len(lines), len(rows), "rows")
    text = "".join(f"{line}\n" for line in lines)
    if parsed.out is None:
        sys.stdout.write(text)
    else:
        with disk_errors(parsed.out):
            replace_text(parsed.out, text)
    say(str(summary))
    return 0


def _score(reward: TextScore, rows: Sequence[Row], summary: Summary) -> Iterator[str]:
    """Rows with their rewards, as JSON."""
    pairs = list(itertools.chain.from_iterable(row.texts.values() for row in rows))
    scores = iter(reward.score([prompt for prompt, _ in pairs], [response for _, response in pairs]).tolist())
    for row in rows:
        rewards = {name: next(scores) for name in row.texts}
        summary.responses += len(rewards)
        summary.total += sum(rewards.values())
        if {"reward_chosen", "reward_rejected"} <= rewards.keys():
            summary.pairs += 1
            summary.agreements += rewards["reward_chosen"] > rewards["reward_rejected"]
        yield json.dumps({**row.values, **rewards}, ensure_ascii=False)


def _row(value: Any, location: str, fault: str | None) -> Row:
    """
    Raises:
        PlauditError: the row is no object, or holds no response or no prompt to it.
    """
    if fault is not None:
        raise PlauditError(f"{location}: {fault}")
    if not isinstance(value, Mapping):
        raise PlauditError(f"{location}: a row must be an object with a prompt and a response")
    row = Row(value)
    for name, reward in RESPONSES.items():
        if value.get(name) is not None:
            row.texts[reward] = _split(value.get("prompt"), value[name], f"{location}, {name}")
    if not row.texts and value.get("messages") is not None:
        row.texts["reward"] = _split(None, value["messages"], f"{location}, messages")
    if not row.texts:
        raise PlauditError(f"{location}: there is no response: name it {', '.join(RESPONSES)} or messages")
    return row


def _split(prompt: Any, response: Any, location: str) -> tuple[Any, Any]:
    """A prompt and a response, as a reward model takes them; of several messages the last one is the response."""
    if isinstance(response, str):
        if prompt is None:
            raise PlauditError(f"{location}: the row has no prompt")
        return prompt, response
    if not isinstance(response, Sequence) or not response:
        raise PlauditError(f"{location}: a response is a text or a list of messages")
    *before, last = response
    if before and prompt is not None and prompt not in (before, _content(before[-1])):
        raise PlauditError(f"{location}: the messages before the response differ from the prompt: leave out one")
    if not before and prompt is None:
        raise PlauditError(f"{location}: the row has no prompt")
    return before or prompt, [last]


def _content(message: Any) -> Any:
    return message.get("content") if isinstance(message, Mapping) else None
