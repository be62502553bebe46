"""Responses that were called good or bad one by one, as KTO trains on them: ``prompt, completion, label``.

Also read: conversations in place of prompt and completion, and other names and values of the label: ``kto_tag``, a
thumb, a like or a dislike, a vote of 1 or -1. Ethayarajh et al. 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import CONVERSATIONS, PROMPTS, chat, messages, texts, with_system
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Omissions, Record, Row, Setting, make
from plaudit.feedback.formats._verdicts import find_praise, find_verdicts, is_judged, is_named_so, parse_verdict
from plaudit.feedback.formats.prompt_completion import COMPLETIONS, read_exchange
from plaudit.types import Dialogue, Message

SAMPLE = 100  # rows in which votes of -1 are looked for


class Kto(Format):
    """One thumb an object."""

    name = "kto"
    title = "Good and bad responses (KTO)"
    kinds = ("thumbs",)
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "label": "true, 1, a like or a thumb up is a thumb up; false, 0, -1, a dislike or a thumb down is a thumb down",
        "label 0": "where a file has -1 too: neither, counted and left out",
        "tags, text": "not in the file; not written",
        "text or messages": "text is read as one user turn and one response, and written as messages",
        "annotator": "not in the file",
        "model": "not written",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A response, and a column that calls it good or bad."""
        names = set(first)
        exchange = bool(names & set(PROMPTS) and names & set(COMPLETIONS)) or bool(names & set(CONVERSATIONS))
        return exchange and "rejected" not in names and is_judged(first)

    def gather(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The same rows; where votes are 1, 0 and -1, a 0 is no vote."""
        begin = list(islice(rows, SAMPLE))
        signed = {
            name
            for row in begin
            if isinstance(row.value, Mapping)
            for name, value in row.value.items()
            if not isinstance(value, bool) and str(value) in ("-1", "-1.0")
        }
        for row in chain(begin, rows):
            if isinstance(row.value, Mapping):
                zeros = {name: "none" for name in signed if str(row.value.get(name)) in ("0", "0.0")}
                yield Row(row.location, {**row.value, **zeros}, row.fault)
            else:
                yield row

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One thumb, up or down."""
        conversation = None if row.find(COMPLETIONS) else row.find(CONVERSATIONS)
        turns = read_exchange(row) if conversation is None else with_system(row, messages(row, conversation))
        if not turns or turns[-1].role != "assistant" or not turns[-1].content.strip():
            raise Empty("it does not end with a response")
        thumb = "up" if _read_label(row) else "down"
        yield make("thumbs", [Dialogue(turns)], [Answer(setting.annotator, {"thumb": thumb})], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a thumb."""
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            for judgement in record.judgements:
                if items[0].response is None:
                    left.add("they are about conversations that do not end with a response")
                    continue
                completion = chat([Message("assistant", items[0].response)])
                yield {
                    "prompt": chat(items[0].prompt),
                    "completion": completion,
                    "label": judgement.value["thumb"] == "up",
                }


def _read_label(row: Fields) -> bool:
    """Whether the label, or else every column that calls the response good or bad, calls it good.

    Raises:
        Fault: there is none, two contradict each other, or a value is none of good and bad.
        Empty: all of them call it neither.
    """
    names = find_verdicts(row.value)
    if "label" in names:
        names = ["label"]
    names = names or [name for name in row.value if is_named_so(str(name)) and row.value[name] is not None]
    names = names or find_praise(row.value)
    if not names and "label" not in row.value:
        raise Empty("none of its fields calls the response good or bad")
    verdicts: dict[str, bool] = {}
    for name in names or ["label"]:
        row.mark(name, "label")
        value = row.get(name)
        try:
            verdict = parse_verdict(name, value)
        except ValueError as error:
            raise row.fault(name, f"{error}, got {value!r:.60}") from error
        if verdict is not None:
            verdicts[name] = verdict
    if not verdicts:
        raise Empty(f"field '{names[0]}' calls the response neither good nor bad")
    name, verdict = next(iter(verdicts.items()))
    contrary = next((column for column in verdicts if verdicts[column] != verdict), None)
    if contrary is not None:
        raise row.fault(name, f"contradicts {contrary!r}: name the one in which true is good: --columns label=...")
    return verdict


FORMAT = Kto()
