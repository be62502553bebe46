"""`plaudit score`: the rewards that a reward model gives to the responses in a file."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from plaudit.api.console import say
from plaudit.api.progress import bar
from plaudit.api.reward import load_reward
from plaudit.cli.arguments import parse
from plaudit.cli.files import FileArguments
from plaudit.cli.models import ModelArguments
from plaudit.feedback.formats import (
    Fields,
    Format,
    Record,
    Row,
    Setting,
    find_format,
    merge_columns,
    read_rows,
)
from plaudit.feedback.formats._columns import normalise_names, rename
from plaudit.feedback.formats._dialogues import PROMPTS, chat, read_prompt
from plaudit.feedback.formats._recognition import recognise_rows
from plaudit.feedback.formats.incoming import Reading
from plaudit.files import replace_text
from plaudit.functional.calibration import share_interval
from plaudit.language.scoring import Text, TextScore
from plaudit.run.disk import disk_errors
from plaudit.types import Dialogue, PlauditError

ROWS = 64  # rows that are scored together
SAMPLE = 100  # rows whose columns tell a format
RESPONSES = {"response": "reward", "completion": "reward", "chosen": "reward_chosen", "rejected": "reward_rejected"}
FIELDS = {*RESPONSES, *PROMPTS, "messages"}  # columns that are read here, also as Prompt or User Prompt
HELP = """Score the responses in a file with a learned reward.

A row has a prompt (a text, or messages with role and content) and a response or completion, or chosen and rejected; or
it has messages of which the last one is the response. Rows with other columns are read as plaudit import reads them,
also with --format and --columns. Every row is written with its reward, or reward_chosen and reward_rejected; several
responses that are no such pair have a list of rewards. For pairs, the share in which the chosen response has the higher
reward is printed, too.

examples:
  plaudit score runs/chat responses.jsonl --out scores.jsonl
  plaudit score runs/reward pairs.parquet > scores.jsonl
  plaudit score runs/reward answers.csv --columns prompt=question response=answer"""


@dataclass(frozen=True)
class ScoreArguments(FileArguments, ModelArguments):
    """`plaudit score MODEL FILE`."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The folder of a run of plaudit train chat or plaudit tune reward, or of a saved reward model."""
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """File of responses, of any kind that plaudit import reads, such as .jsonl, .csv or .parquet."""
    out: Path | None = None
    """File to write (.jsonl); None: standard output."""
    template_kwargs: tuple[str, ...] = ()
    """Variables for the chat template, such as enable_thinking=false; those of the model's run are used without it."""
    special_tokens: Literal["text", "learn"] = "text"
    """Reading of special tokens that a text spells out. text: as plain text, and such texts are counted; learn: as the
    tokens."""
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
class ScoredRow:
    """One row of the file: prompts and responses by the field of their reward, or several for one field."""

    values: Mapping[str, Any]
    texts: dict[str, tuple[Text, Text]] = field(default_factory=dict)
    lists: dict[str, list[tuple[Text, Text]]] = field(default_factory=dict)


def score(arguments: list[str]) -> int:
    """`plaudit score MODEL FILE`."""
    parsed = parse(ScoreArguments, arguments, "score", HELP)
    rows = _read(parsed.file, parsed.reading)
    if not rows:
        raise PlauditError(f"{parsed.file} holds no rows")
    reward, summary, lines = _load(parsed), Summary(), []
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
    for remark in reward.remarks:
        say(remark)
    say(str(summary))
    return 0


def _load(parsed: ScoreArguments) -> TextScore:
    return load_reward(
        parsed.model,
        device=parsed.device,
        template_kwargs=parsed.template_kwargs,
        special_tokens=parsed.special_tokens,
        trust_remote_code=parsed.trust_remote_code,
    )


def _score(reward: TextScore, rows: Sequence[ScoredRow], summary: Summary) -> Iterator[str]:
    """Rows with their rewards, as JSON."""
    pairs = [pair for row in rows for pair in itertools.chain(row.texts.values(), *row.lists.values())]
    scores = iter(reward.score([prompt for prompt, _ in pairs], [response for _, response in pairs]).tolist())
    for row in rows:
        rewards: dict[str, Any] = {name: next(scores) for name in row.texts}
        numbers = list(rewards.values())
        for name, responses in row.lists.items():
            rewards[name] = list(itertools.islice(scores, len(responses)))
            numbers += rewards[name]
        summary.responses += len(numbers)
        summary.total += sum(numbers)
        if {"reward_chosen", "reward_rejected"} <= rewards.keys():
            summary.pairs += 1
            summary.agreements += rewards["reward_chosen"] > rewards["reward_rejected"]
        yield json.dumps({**row.values, **rewards}, ensure_ascii=False)


def _read(path: Path, reading: Reading) -> list[ScoredRow]:
    """The rows of a file. Rows without columns that are known here are read by a format, as their first rows tell.

    Raises:
        PlauditError: the file or one of its rows cannot be read, or holds no response.
    """
    name = reading.format
    form = None if name is None else find_format(name)
    with closing(read_rows(path, split=reading.split)) as opened:
        rows = list(rename(opened, reading.columns))
    begin = [row for row in rows[:SAMPLE] if row.fault is None]
    columns = merge_columns(begin)
    names = {name: column for name, column in normalise_names(columns).items() if name in FIELDS}
    if form is None and (not columns or _is_known(merge_columns(rename(begin, names)))):
        renamed = rename(rows, names) if names else rows
        return [_row(row, source, f"{path}, {row.location}") for row, source in zip(renamed, rows, strict=True)]
    form, names = recognise_rows(begin, path.name, form) if begin else (form, {})
    assert form is not None
    rows = list(form.gather(rename(rows, names) if names else iter(rows)))
    return [_records_row(row, form, f"{path}, {row.location}") for row in rows]


def _is_known(columns: Mapping[str, Any]) -> bool:
    """Whether rows hold a response and its prompt in columns that are known here, without a format."""
    if "messages" in columns:
        return True
    responses = [columns[name] for name in RESPONSES if columns.get(name) is not None]
    return bool(responses) and (any(name in columns for name in PROMPTS) or not isinstance(responses[0], str))


def _value(row: Row, location: str) -> Mapping[str, Any]:
    """
    Raises:
        PlauditError: the row cannot be read, or is no object.
    """
    if row.fault is not None:
        raise PlauditError(f"{location}: {row.fault}")
    if not isinstance(row.value, Mapping):
        raise PlauditError(f"{location}: a row must be an object with a prompt and a response")
    return row.value


def _row(renamed: Row, source: Row, location: str) -> ScoredRow:
    """A row of the file's own, and the same with its columns renamed to those that are known here.

    Raises:
        PlauditError: it is no object, or holds no response or no prompt to it.
    """
    value, row = _value(renamed, location), ScoredRow(_value(source, location))
    for name, reward in RESPONSES.items():
        if value.get(name) is not None:
            row.texts[reward] = _split(_prompt(value, name), value[name], f"{location}, {name}")
    if not row.texts and value.get("messages") is not None:
        row.texts["reward"] = _split(None, value["messages"], f"{location}, messages")
    if not row.texts:
        raise PlauditError(f"{location}: there is no response: name it {', '.join(RESPONSES)} or messages")
    return row


def _prompt(value: Mapping[str, Any], response: str) -> Any:
    """The prompt of a row, in the column ``prompt`` or under another usual name; None if there is none."""
    if value.get("prompt") is not None or not isinstance(value[response], str):
        return value.get("prompt")
    return chat(read_prompt(Fields(value))) or None


def _records_row(source: Row, form: Format, location: str) -> ScoredRow:
    """A row with the responses that a format finds in it: a pair as chosen and rejected, others in their order."""
    row = ScoredRow(_value(source, location))
    try:
        records = list(form.read(Fields(row.values), Setting(annotator=form.name)))
    except (PlauditError, ValueError) as error:
        raise PlauditError(f"{location}: {error}") from error
    if records and all(record.question is not None and record.question.kind == "demonstration" for record in records):
        records = records[-1:]  # the last turn of a conversation, which is scored after the others
    responses = [pair for record in records for pair in _responses(record)]
    if not responses:
        raise PlauditError(f"{location}: {form.name} finds no response in the row: say another --format, or --columns")
    strength = records[0].judgements[0].value.get("strength") if len(records) == 1 and records[0].judgements else None
    if len(responses) == 2 and strength:
        better, worse = responses if strength > 0 else reversed(responses)
        row.texts.update(reward_chosen=better, reward_rejected=worse)
    elif len(responses) == 1:
        row.texts["reward"] = responses[0]
    else:
        row.lists["rewards"] = responses
    return row


def _responses(record: Record) -> Iterator[tuple[Text, Text]]:
    """The prompts and responses of a record, as a reward model takes them."""
    for item in record.items:
        if not isinstance(item, Dialogue):
            continue
        if record.question is not None and record.question.kind == "demonstration":
            yield from ((chat(item.messages), judgement.value["text"]) for judgement in record.judgements)
        elif item.response is not None:
            yield chat(item.prompt), item.response


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
