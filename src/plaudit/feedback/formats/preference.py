"""Preference pairs as TRL, OpenRLHF and others train on them: ``prompt, chosen, rejected``.

Read: text or lists of messages, the prompt given under any of its usual names, within both conversations or texts, or
both ways; also pairs of ShareGPT's. Written: lists of messages, with the prompt given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import (
    CONVERSATIONS,
    by_identity,
    chat,
    check_prompt,
    continue_prompt,
    cut_prompt,
    is_list_of_texts,
    messages,
    read_prompt,
    shared_prompt,
    with_system,
)
from plaudit.feedback.formats._format import Format, sample
from plaudit.feedback.formats._pairs import pairs
from plaudit.feedback.formats._record import Answer, Empty, Fields, Omissions, Record, Setting, make, parse_cell
from plaudit.feedback.formats._verdicts import split_name
from plaudit.types import Dialogue

CHOICES = (  # names of the better and the worse response
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("chosen_response", "rejected_response"),
    ("preferred_response", "rejected_response"),
    ("preferred", "dispreferred"),
    ("response_j", "response_k"),  # Stack Exchange in pairs
    ("y_w", "y_l"),
)
BETTER = frozenset(  # words of other names, such as "correct_answer" beside "incorrect_answer"
    (
        "chosen",
        "preferred",
        "better",
        "best",
        "good",
        "accepted",
        "correct",
        "right",
        "winning",
        "winner",
        "win",
        "safe",
    )
)
WORSE = frozenset(
    (
        *("rejected", "dispreferred", "worse", "worst", "bad", "incorrect", "wrong", "losing", "loser", "lose"),
        *("unsafe", "hallucinated"),
    )
)
LISTED = "output"  # LLaMA-Factory's older pairs: a list of the better and the worse response


class Preference(Format):
    """Pairs with or without a prompt of their own."""

    name = "preference"
    title = "Preference pairs (TRL)"
    kinds = ("comparison",)
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "text or messages": "text is read as one user turn and one response, and written as messages",
        "strength": "written as chosen and rejected; read as 4, the clearest",
        "ties, can't tell": "left out: there is only a better and a worse one; columns `tie` and `status` are read",
        "annotator": "not in the file",
        "which was shown first": "not in the file: the two are put in the order of their ids",
        "model": "not written",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A better and a worse response, or two conversations."""
        return find_pair(first) is not None or is_listed_pair(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison, or one for each pair of several. What both conversations begin with is the prompt."""
        if is_listed_pair(row.value):
            chosen, rejected = row.texts(LISTED)
            row = Fields({**row.value, LISTED: None, "chosen": chosen, "rejected": rejected}, row.path, row.trace)
        better, worse = find_pair(row.value) or CHOICES[0]
        goods, bads = parse_cell(row.value.get(better)), parse_cell(row.value.get(worse))
        if is_list_of_texts(goods) or is_list_of_texts(bads):  # every good one beats every bad one
            for good, bad in product(_as_list(goods), _as_list(bads)):
                yield self._compare(Fields({**row.value, better: good, worse: bad}, row.path, row.trace), setting)
            return
        yield self._compare(row, setting)

    def _compare(self, row: Fields, setting: Setting) -> Record:
        better, worse = find_pair(row.value) or CHOICES[0]
        row = cut_prompt(row, (better, worse))
        prompt = read_prompt(row)
        for name, role in zip((better, worse), CHOICES[0], strict=True):
            row.mark(name, role)
        opening = row.find(CONVERSATIONS)
        if not prompt and opening is not None:  # ShareGPT's pairs: a conversation, and two ways to continue it
            turns = with_system(row, messages(row, opening))
            prompt = turns if turns and turns[-1].role == "user" else ()
        chosen, rejected = (with_system(row, continue_prompt(row, name, prompt)) for name in (better, worse))
        if opening is not None and not prompt and len(chosen) == len(rejected) == 1:
            raise row.fault(opening, "does not end with a turn of the user, so it is no prompt: name one by --columns")
        if not prompt and len(chosen) == len(rejected) == 1:
            check_prompt(row)
        for name, turns in ((better, chosen), (worse, rejected)):
            if turns[-1].role != "assistant":
                raise Empty(f"field '{name}' ends with a turn of the {turns[-1].role}: there is no response to compare")
        items, strength = by_identity(Dialogue(chosen), Dialogue(rejected))
        if row.get("tie", False) in (True, "true", "True", "1") or row.get("status", None) == "tie":
            strength = 0
        return make("comparison", items, [Answer(setting.annotator, {"strength": strength})], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a judgement."""
        for record in records:
            for pair in pairs(record, left):
                if None in (pair.chosen.response, pair.rejected.response):
                    left.add("they compare conversations that do not end with a response")
                    continue
                prompt = shared_prompt(pair.chosen, pair.rejected)
                if prompt:
                    last = [chat(dialogue.messages[len(prompt) :]) for dialogue in (pair.chosen, pair.rejected)]
                    yield {"prompt": chat(prompt), "chosen": last[0], "rejected": last[1]}
                else:  # the conversations part before the last response, or have no prompt
                    yield {"chosen": chat(pair.chosen.messages), "rejected": chat(pair.rejected.messages)}


def find_pair(columns: Mapping[str, Any]) -> tuple[str, str] | None:
    """The columns of the better and the worse response: by their usual names, or by words that say the same.

    Of other names, all but one word must be the same, and both must hold texts or conversations.
    """
    pair = next((pair for pair in CHOICES if set(pair) <= set(columns)), None)
    if pair is not None:
        return pair
    sides: list[dict[frozenset[str], str]] = []
    for words in (BETTER, WORSE):
        names = [name for name in columns if isinstance(name, str) and len(split_name(name) & words) == 1]
        responses = [name for name in names if isinstance(columns[name], str | list | Mapping) and columns[name]]
        sides.append({_stem(name, words): name for name in responses})
    stems = [stem for stem in sides[0] if stem in sides[1]]
    return (sides[0][stems[0]], sides[1][stems[0]]) if len(stems) == 1 else None


def _stem(name: str, words: frozenset[str]) -> frozenset[str]:
    """The words of a column's name that do not say which response it holds, without the "s" of the plural."""
    return frozenset(word.removesuffix("s") for word in split_name(name) - words)


def _as_list(value: Any) -> list[Any]:
    return value if is_list_of_texts(value) else [value]


def is_listed_pair(columns: Mapping[str, Any]) -> bool:
    """Whether each row's ``output`` is a list of two texts, the better one first."""
    outputs = [parse_cell(output) for output in sample(columns, LISTED)]
    return (
        "instruction" in columns
        and bool(outputs)
        and all(is_list_of_texts(output) and len(output) == 2 for output in outputs)
    )


FORMAT = Preference()
