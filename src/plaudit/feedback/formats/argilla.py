"""Argilla's records: flattened (fields beside ``<question>.responses``, ``.users``, ``.status``), nested, version 1.

The file does not say what a question is, so its values and its name do: whole numbers are ratings, lists of values with
ranks a ranking, lists of starts and ends spans; ``preference`` and the names of kinds are what they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.formats._argilla_layouts import flatten, is_record, split_rows
from plaudit.feedback.formats._dialogues import is_list_of_texts, messages, plain, prompt_of, reply, texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._labeling import parse_side
from plaudit.feedback.formats._record import Answer, Fault, Fields, Omissions, Record, Row, Setting, make
from plaudit.feedback.formats._verdicts import find_verdicts, parse_verdict
from plaudit.types import Dialogue, Judgement, Message, Question

PROMPTS = ("prompt", "instruction", "question", "input")
CHATS = ("chat", "messages", "conversation")  # fields that hold a conversation
RESPONSE = re.compile(r"(?:response|completion|answer|output|generation|text)(?:[-_ ]?(?:\d+|[abAB]))?")
TEXT_KINDS = ("correction", "critique", "demonstration")
UNSURE = {"tie": 0, "can't tell": None}
SCALE = [0, 10]  # Argilla's own limits


COMPANIONS = ("rationale", "margin", "tags", "comment")  # questions that go with the answer to another
Entry = tuple[str, list[Dialogue], dict[str, Any], dict[str, Any] | None]  # kind, items, value, options


class ForeignAnswer(Fault):
    """An answer that belongs to no kind of feedback."""


class Argilla(Format):
    """One object a question, the judgements of all annotators within."""

    name = "argilla"
    title = "Argilla"
    kinds = (
        "comparison",
        "ranking",
        "rating",
        "spans",
        "correction",
        "critique",
        "demonstration",
        "thumbs",
    )
    lossy: ClassVar[Mapping[str, str]] = {
        "id, _server_id, inserted_at, updated_at": "not kept; id is written as the question's id in the store",
        "nested and version 1": "read; the flattened layout is written",
        "status": "written as completed; drafts and discarded responses are not read",
        "suggestions, metadata, vectors": "not read",
        "ratings": "the ends of a scale are not in the file: read as 0 to 10; null is not written",
        "spans": "categories are those that occur in the object; notes are not written",
        "ratings, flags and ideal of a ranking": "not written",
        "times": "not in the file",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A record with responses."""
        return is_record(first)

    def gather(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Records, also of an object that holds all of them."""
        return split_rows(rows)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """What each annotator submitted; questions without a place here are counted by the trace."""
        row = flatten(row)
        name = next((column for column in PROMPTS if row.has(column)), None)
        prompt = () if name is None else prompt_of(row, name)
        names = [column for column in row.value if RESPONSE.fullmatch(column) and row.has(column)]
        items = {column: reply(prompt, row.text(column)) for column in names}
        chat = next((column for column in CHATS if not items and row.has(column)), None)
        if chat is not None:
            turns = messages(row, chat)
            if turns and turns[-1].role == "assistant":
                prompt, items = turns[:-1], {chat: Dialogue(turns)}
            else:
                prompt = prompt or turns
        answers = _answers(row, setting)
        reader = _Reader(row, prompt, items, setting)
        for annotator, columns in answers.items():
            yield from reader.records(
                annotator, columns, [value for columns_of_one in answers.values() for value in columns_of_one.items()]
            )

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a question."""
        for record in records:
            items = texts(record, left)
            if items is None or record.question is None:
                continue
            names = ["response"] if len(items) == 1 else [f"response{number}" for number in range(1, len(items) + 1)]
            if len({item.prompt for item in items}) > 1 or (
                len(items) > 1 and None in [item.response for item in items]
            ):
                left.add("their items are not responses to one prompt", len(record.judgements))
                continue
            row: dict[str, Any] = {"id": record.question.id, "status": "completed"}
            if items[0].prompt:
                row["prompt"] = plain(items[0].prompt)
            row |= {name: item.response for name, item in zip(names, items, strict=True) if item.response is not None}
            yield row | _columns(record.question, record.judgements, names)


def _answers(row: Fields, setting: Setting) -> dict[str, dict[str, Any]]:
    """Submitted values by annotator and question."""
    answers: dict[str, dict[str, Any]] = {}
    for column in row.value:
        name, mark, rest = column.rpartition(".responses")
        if not mark or rest or not row.has(column):
            continue
        values = row.list(column)
        users = row.list(f"{column}.users", [setting.annotator] * len(values))
        status = row.list(f"{column}.status", ["submitted"] * len(values))
        if not len(values) == len(users) == len(status):
            raise row.fault(column, f"has {len(values)} values, {len(users)} users and {len(status)} statuses")
        for value, user_id, state in zip(values, users, status, strict=True):
            if value is None or state != "submitted":
                continue
            answers.setdefault(str(user_id or setting.annotator), {})[name] = value
    return answers


def _labels(answers: Sequence[tuple[str, Any]]) -> list[str]:
    """Every label of a span that anybody used."""
    spans = [mark for _, value in answers if isinstance(value, list) for mark in value if isinstance(mark, Mapping)]
    return sorted({mark["label"] for mark in spans if isinstance(mark.get("label"), str)})


def _is_rating(name: str, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and name != "margin"


class _Reader:
    """One annotator's answers to one record."""

    def __init__(self, row: Fields, prompt: tuple[Message, ...], items: Mapping[str, Dialogue], setting: Setting):
        self._row, self._prompt, self._items, self._setting = row, prompt, items, setting

    def records(
        self, annotator: str, answers: Mapping[str, Any], everybodys: Sequence[tuple[str, Any]]
    ) -> Iterator[Record]:
        """Everything that has a place; the rest is counted, or raised as a fault if nothing has one."""
        rationale = answers.get("rationale")
        answer_to = [name for name, value in answers.items() if name not in COMPANIONS and not _is_rating(name, value)]
        omitted: list[str] = []
        entries: list[Entry] = []
        for name in answer_to:
            try:
                entries.append(self._classify(name, answers[name], answers, everybodys))
            except ForeignAnswer as fault:
                omitted.append(str(fault))
        ratings = {name: value for name, value in answers.items() if _is_rating(name, value)}
        if ratings:
            options = {"scales": {name: SCALE for name, value in everybodys if _is_rating(name, value)}}
            try:
                entries.append(("rating", self._single(f"{min(ratings)}.responses"), {"ratings": ratings}, options))
            except ForeignAnswer as fault:
                omitted.append(str(fault))
        if omitted and not entries:
            raise Fault(omitted[0])
        for message in omitted:
            self._row.note(f"{message}; it is left out")
        for kind, items, value, options in entries:
            answer = Answer(annotator, value, str(rationale) if rationale else None)
            yield make(kind, items, [answer], self._setting, options)

    def _classify(
        self, name: str, value: Any, answers: Mapping[str, Any], everybodys: Sequence[tuple[str, Any]]
    ) -> Entry:
        """The question that an answer belongs to; raises :class:`ForeignAnswer` if there is none."""
        column, items = f"{name}.responses", list(self._items.values())
        pair = tuple(self._items)
        side = parse_side(name, value, (pair[0], pair[1])) if isinstance(value, str) and len(pair) == 2 else None
        if name == "preference":
            return "comparison", items, self._preference(value, answers.get("margin", 4)), None
        if side is not None:
            return "comparison", items, {"strength": side}, None
        if name == "thumb":
            tags = answers.get("tags") or []
            body = {"thumb": value, "tags": tags, "text": answers.get("comment") or ""}
            return "thumbs", self._single(column), body, {"tags": tags} if tags else None
        if name == "demonstration" and isinstance(value, str):
            return name, [Dialogue(self._prompt)], {"text": value}, None
        if name in TEXT_KINDS and isinstance(value, str):
            return name, self._single(column), {"text": value}, None
        if isinstance(value, list) and value and all(isinstance(e, Mapping) and "rank" in e for e in value):
            return "ranking", items, self._ranking(column, value), None
        if len(items) > 1 and is_list_of_texts(value) and sorted(value) == sorted(self._items):  # the best first
            return "ranking", items, {"ranks": [value.index(response) + 1 for response in self._items]}, None
        if isinstance(value, str) and find_verdicts({name: value}):
            thumb = "up" if parse_verdict(name, value) else "down"
            return "thumbs", self._single(column), {"thumb": thumb, "tags": [], "text": ""}, None
        if isinstance(value, list) and all(isinstance(e, Mapping) and "start" in e for e in value):
            spans = [{"start": e["start"], "end": e.get("end"), "category": e.get("label")} for e in value]
            labels = _labels(everybodys)
            return "spans", self._single(column), {"spans": spans}, {"categories": labels} if labels else None
        raise ForeignAnswer(f"field '{column}' is a question whose answers have no place here")

    def _single(self, column: str) -> list[Dialogue]:
        if len(self._items) != 1:
            raise ForeignAnswer(f"field '{column}' is about one response, and the object has {len(self._items)}")
        return list(self._items.values())

    def _preference(self, value: Any, margin: Any) -> dict[str, Any]:
        if value in list(UNSURE):
            return {"strength": UNSURE[value]}
        names = list(self._items)
        if value not in names or len(names) != 2:
            raise self._row.fault("preference.responses", f"must name one of two responses, got {value!r}")
        if not isinstance(margin, int):
            raise self._row.fault("margin.responses", f"must be whole numbers, got {margin!r}")
        return {"strength": margin if value == names[0] else -margin}

    def _ranking(self, column: str, value: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        ranks = {entry.get("value"): entry["rank"] for entry in value if isinstance(entry.get("value"), str)}
        if set(ranks) != set(self._items) or not all(isinstance(rank, int) for rank in ranks.values()):
            raise self._row.fault(column, f"must rank {', '.join(self._items)}, got {sorted(map(str, ranks))}")
        numbers = sorted(set(ranks.values()))
        return {"ranks": [numbers.index(ranks[name]) + 1 for name in self._items]}


def _columns(question: Question, judgements: Sequence[Judgement], names: Sequence[str]) -> dict[str, Any]:
    """The judgements, a column for each thing they say."""
    values = [_answer(question.kind, judgement, names) for judgement in judgements]
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for answer in values for name in answer):
        responses = [
            (answer[name], judgement.annotator)
            for answer, judgement in zip(values, judgements, strict=True)
            if name in answer
        ]
        columns[f"{name}.responses"] = [value for value, _ in responses]
        columns[f"{name}.responses.users"] = [annotator for _, annotator in responses]
        columns[f"{name}.responses.status"] = ["submitted"] * len(responses)
    return columns


def _answer(kind: str, judgement: Judgement, names: Sequence[str]) -> dict[str, Any]:
    value = judgement.value
    rationale = {"rationale": judgement.rationale} if judgement.rationale else {}
    if kind == "comparison":
        strength = value["strength"]
        if not strength:
            return {"preference": "can't tell" if strength is None else "tie", **rationale}
        return {"preference": names[strength < 0], "margin": abs(strength), **rationale}
    if kind == "ranking":
        return {"ranking": [{"rank": r, "value": n} for r, n in zip(value["ranks"], names, strict=True)], **rationale}
    if kind == "rating":
        return {name: rating for name, rating in value["ratings"].items() if rating is not None} | rationale
    if kind == "spans":
        spans = [{"start": mark["start"], "end": mark["end"], "label": mark["category"]} for mark in value["spans"]]
        return {"spans": spans, **rationale}
    if kind == "thumbs":
        more = {"tags": value["tags"]} if value["tags"] else {}
        return {"thumb": value["thumb"], **more, **({"comment": value["text"]} if value["text"] else {}), **rationale}
    return {kind: value["text"], **rationale}


FORMAT = Argilla()
