"""Prompts with a completion to imitate: ``prompt, completion``, texts or lists of messages.

Also read: the same under other usual names (``query, response``; Alpaca's ``instruction, input, output``), with the
columns ``system`` and ``history``. Written: lists of messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import (
    PROMPTS,
    chat,
    continue_prompt,
    find_conversation,
    find_opening,
    is_list_of_texts,
    read_prompt,
    texts,
)
from plaudit.feedback.formats._format import Format, sample
from plaudit.feedback.formats._ratings import is_rated
from plaudit.feedback.formats._record import Answer, Empty, Fields, Omissions, Record, Setting, make, parse_cell
from plaudit.feedback.formats._verdicts import check_good, is_judged, split_name
from plaudit.feedback.formats.pairwise import PAIRS
from plaudit.types import Dialogue, Message

COMPLETIONS = (
    *("completion", "response", "output", "generation", "generated_solution", "solution"),  # before what it must match
    *("answer", "chosen", "ideal", "targets", "target", "demonstration", "model_response", "reply", "generated_text"),
)
EDITED = frozenset(("edited", "corrected", "revised", "improved", "rewritten", "fixed", "refined", "postedited"))
CORRECTIONS = ("revision", "correction", "rewrite", "edit", "human_edit", "edited", "corrected", "revised")  # columns
INSTANCES = "instances"  # Self-Instruct's: several inputs and outputs of one instruction
JUDGED = ("rejected", "label", "labels", "score", "rating", "reward", "preference", "winner")


class PromptCompletion(Format):
    """One demonstration an object."""

    name = "prompt-completion"
    title = "Prompts with completions (TRL)"
    kinds = ("demonstration",)
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "text or messages": "text is read as one user turn and one response, and written as messages",
        "annotator": "not in the file",
        "model": "not written",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A prompt and a completion that nobody judged."""
        prompts, completions = set(PROMPTS) & set(first), set(COMPLETIONS) & set(first)
        if any(is_list_of_texts(parse_cell(value)) for value in sample(first, "output")):
            return False  # a pair, or several responses
        instances = parse_cell(first.get(INSTANCES))
        if isinstance(instances, list) and instances and isinstance(instances[0], Mapping):
            completions |= set(COMPLETIONS) & set(instances[0])
        if not completions or set(JUDGED) & set(first) or is_judged(first) or is_rated(first):
            return False
        if any(set(pair) <= set(first) for pair in PAIRS) or any(map(is_correction, first)):
            return False  # which of the two is better stands in another column, or the other one is
        return find_opening(first) is not None or (bool(prompts) and find_conversation(first) is None)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One demonstration."""
        instances = row.objects(INSTANCES, ()) if "instruction" in row.value else []
        parts = [Fields({**row.value, **part.value}, row.path, row.trace) for part in instances] or [row]
        for part in parts:
            check_good(part)
            turns = read_exchange(part)
            answer = Answer(setting.annotator, {"text": turns[-1].content})
            yield make("demonstration", [Dialogue(turns[:-1])], [answer], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a demonstration."""
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            for judgement in record.judgements:
                completion = [Message("assistant", judgement.value["text"])]
                yield {"prompt": chat(items[0].messages), "completion": chat(completion)}


def is_correction(name: Any) -> bool:
    """Whether a column's name says that it holds a response after somebody mended it."""
    words = split_name(name) if isinstance(name, str) else frozenset()
    responses = {word for completion in COMPLETIONS for word in completion.split("_")} | {"text"}
    return name in CORRECTIONS or bool(words & EDITED and words - EDITED and words - EDITED <= responses)


def read_exchange(row: Fields) -> tuple[Message, ...]:
    """A prompt and its completion as one conversation, which ends with a turn of the assistant that is not empty."""
    prompt = read_prompt(row, required=True)
    column = row.find(COMPLETIONS, required=True)
    if column is None or not prompt:
        raise Empty("field 'prompt' is an empty conversation")
    turns = continue_prompt(row, column, prompt)
    if turns[-1].role != "assistant":
        raise row.fault(column, f"must end with a turn of the assistant, not of the {turns[-1].role}")
    if not turns[-1].content.strip():
        raise Empty(f"field '{column}' is an empty completion")
    return turns


FORMAT = PromptCompletion()
