"""Label Studio's JSON: tasks with data, and annotations with results.

A result's ``to_name`` must be the name of a field of ``data``, as in Label Studio's own templates; ``from_name`` says
what a rating or a text is about. Plaudit writes ``prompt`` and ``response``, or ``answer1`` and ``answer2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import plain, prompt_of, reply, shared_prompt, texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make, parse_number
from plaudit.types import Dialogue, Judgement, Message, Question

PROMPTS = ("prompt", "instruction", "question")
TEXT_KINDS = ("correction", "critique", "demonstration")
SCALE = [0, 10]  # Label Studio does not write where a scale ends
THUMBS = {"up": "up", "down": "down"}
UNSURE = {"tie": 0, "can't tell": None}


class LabelStudio(Format):
    """One task a question, one annotation a judgement."""

    name = "label-studio"
    title = "Label Studio JSON"
    suffixes = (".json",)
    kinds = ("comparison", "rating", "spans", "correction", "critique", "demonstration", "thumbs")
    array = True
    lossy: ClassVar[Mapping[str, str]] = {
        "id, meta, predictions, project, file_upload, ...": "not kept; id is written as a number from 1",
        "was_cancelled": "cancelled annotations are left out",
        "result[].type": "pairwise, number, choices, rating, labels and textarea are read",
        "rating": "the ends of a scale are not in the file: read as 0 to 10, and null is not written",
        "labels": "categories are those that occur in the task",
        "spans[].note": "not written",
        "times": "created_at and lead_time; when the first input came is not in the file",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A task."""
        return {"data", "annotations"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The records of each annotation; those about the same thing are the same question."""
        data = row.object("data")
        annotations = [
            annotation for annotation in row.objects("annotations") if not annotation.get("was_cancelled", False)
        ]
        results = [result for annotation in annotations for result in annotation.objects("result")]
        categories = {
            label
            for result in results
            if result.text("type") == "labels"
            for label in result.object("value").texts("labels")
        }
        scales = {result.text("from_name"): SCALE for result in results if result.text("type") == "rating"}
        for annotation in annotations:
            yield from _Annotation(data, annotation, setting).records(sorted(categories), scales)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One task a question."""
        number = 0
        for record in records:
            items = texts(record, left)
            if items is None or record.question is None:
                continue
            data = _data(record.question, items)
            if data is None:
                left.add("their items are not two responses to one prompt", len(record.judgements))
                continue
            number += 1
            annotations = [
                {"id": index, **_annotation(record.question, judgement, items)}
                for index, judgement in enumerate(record.judgements, 1)
            ]
            yield {"id": number, "data": data, "annotations": annotations}


class _Annotation:
    """One person's results on one task."""

    def __init__(self, data: Fields, annotation: Fields, setting: Setting) -> None:
        self._data, self._setting = data, setting
        self._results = annotation.objects("result")
        self._submitted = _moment(annotation)
        self._shown_at = self._submitted - (annotation.number("lead_time", 0.0) if self._submitted else 0.0)
        self._annotator = _annotator(annotation, setting)
        reasons = [_text(result) for result in self._results if result.text("from_name") == "rationale"]
        self._rationale = "\n".join(reasons) or None

    def records(self, categories: Sequence[str], scales: Mapping[str, Any]) -> Iterator[Record]:
        """Everything in it that has a place."""
        ratings: dict[str, dict[str, int]] = {}
        spans: dict[str, list[dict[str, Any]]] = {}
        thumbs: dict[str, Any] = {}
        pair = strength = None
        for result in self._results:
            target, value, control = result.text("to_name"), result.object("value"), result.text("from_name")
            kind = result.text("type")
            if kind == "pairwise":
                pair, strength = target, strength or {"left": 4, "right": -4}.get(value.text("selected"))
                if strength is None:
                    raise value.fault("selected", f"must be left or right, got {value.get('selected')!r}")
            elif kind == "number" and control == "strength":
                pair, strength = pair or target, value.whole("number")
            elif kind == "choices" and control == "preference":
                yield self._comparison(target, _choice(value, UNSURE))
            elif kind == "choices" and control == "thumb":
                thumbs[target] = {**thumbs.get(target, {}), "thumb": _choice(value, THUMBS)}
            elif kind == "choices" and control == "tags":
                thumbs[target] = {**thumbs.get(target, {}), "tags": value.texts("choices")}
            elif kind == "rating":
                ratings.setdefault(target, {})[control] = value.whole("rating")
            elif kind == "labels":
                spans.setdefault(target, []).extend(_spans(value))
            elif kind == "textarea" and control == "comment":
                thumbs[target] = {**thumbs.get(target, {}), "text": _text(result)}
            elif kind == "textarea" and control != "rationale":
                name = control if control in TEXT_KINDS else "critique"
                item = Dialogue(self._prompt()) if name == "demonstration" else self._item(result, target)
                yield self._record(name, [item], {"text": _text(result)})
            elif kind != "textarea":
                raise result.fault("type", f"is {kind!r} with from_name {control!r}, which has no place here")
        if pair is not None:
            yield self._comparison(pair, strength)
        for target, points in ratings.items():
            yield self._record("rating", [self._find_response(target)], {"ratings": points}, {"scales": dict(scales)})
        for target, marked in spans.items():
            options = {"categories": list(categories)} if categories else None
            yield self._record("spans", [self._find_response(target)], {"spans": marked}, options)
        for target, thumb in thumbs.items():
            options = {"tags": thumb["tags"]} if "tags" in thumb else None
            yield self._record("thumbs", [self._find_response(target)], thumb, options)

    def _comparison(self, target: str, strength: int | None) -> Record:
        names = [name.strip() for name in target.split(",")]
        if len(names) != 2:
            raise self._data.fault(target, "is not a pair: a comparison is between two fields of data")
        return self._record("comparison", [self._find_response(name) for name in names], {"strength": strength})

    def _record(self, kind: str, items: list[Dialogue], value: Any, options: dict[str, Any] | None = None) -> Record:
        answer = Answer(self._annotator, value, self._rationale, self._shown_at, self._submitted)
        return make(kind, items, [answer], self._setting, options)

    def _prompt(self) -> tuple[Message, ...]:
        name = next((column for column in PROMPTS if self._data.has(column)), None)
        return () if name is None else prompt_of(self._data, name)

    def _find_response(self, target: str) -> Dialogue:
        return Dialogue(self._prompt()) if target in PROMPTS else reply(self._prompt(), self._data.text(target))

    def _item(self, result: Fields, target: str) -> Dialogue:
        if not self._data.has(target):
            raise result.fault("to_name", f"is {target!r}, which is not a field of data")
        return self._find_response(target)


def _annotator(annotation: Fields, setting: Setting) -> str:
    annotator = annotation.get("completed_by", setting.annotator)
    if isinstance(annotator, Mapping):
        annotator = annotator.get("email") or annotator.get("id") or setting.annotator
    return str(annotator)


def _moment(annotation: Fields) -> float:
    text = annotation.text("created_at", "")
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise annotation.fault("created_at", f"is not a time: {text!r}") from error
    if moment is None:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _text(result: Fields) -> str:
    value = result.object("value")
    return value.text("text") if isinstance(value.get("text"), str) else "\n".join(value.texts("text"))


def _choice(value: Fields, choices: Mapping[str, Any]) -> Any:
    chosen = value.texts("choices")
    if len(chosen) != 1 or chosen[0] not in choices:
        raise value.fault("choices", f"must be one of {', '.join(choices)}, got {chosen}")
    return choices[chosen[0]]


def _spans(value: Fields) -> Iterator[dict[str, Any]]:
    for label in value.texts("labels"):
        yield {"start": value.whole("start"), "end": value.whole("end"), "category": label}


def _data(question: Question, items: Sequence[Dialogue]) -> dict[str, Any] | None:
    if len(items) == 1:
        item = items[0]
        body = {} if item.response is None else {"response": item.response}
        return {"prompt": plain(item.prompt), **body} if item.prompt else body
    prompt = shared_prompt(items[0], items[1])
    if prompt is None:
        return None
    return {"prompt": plain(prompt), "answer1": items[0].response, "answer2": items[1].response}


def _annotation(question: Question, judgement: Judgement, items: Sequence[Dialogue]) -> dict[str, Any]:
    target = "response" if items[0].response is not None else "prompt"
    results = list(_results(question.kind, judgement.value, target, items[0].response or ""))
    if judgement.rationale:
        results.append(_result("rationale", results[0]["to_name"], "textarea", {"text": [judgement.rationale]}))
    user = parse_number(judgement.annotator)
    annotation: dict[str, Any] = {
        "completed_by": user if isinstance(user, int) else {"email": user},
        "result": results,
    }
    if judgement.submitted_at:
        annotation["created_at"] = datetime.fromtimestamp(judgement.submitted_at, UTC).isoformat()
        annotation["lead_time"] = round(judgement.submitted_at - judgement.shown_at, 6)
    return annotation


def _results(kind: str, value: Mapping[str, Any], target: str, response: str) -> Iterator[dict[str, Any]]:
    if kind == "comparison":
        strength, pair = value["strength"], "answer1,answer2"
        if not strength:
            yield _result("preference", pair, "choices", {"choices": ["can't tell" if strength is None else "tie"]})
        else:
            yield _result("preference", pair, "pairwise", {"selected": "left" if strength > 0 else "right"})
            yield _result("strength", pair, "number", {"number": strength})
    elif kind == "rating":
        for name, rating in value["ratings"].items():
            if rating is not None:
                yield _result(name, target, "rating", {"rating": rating})
    elif kind == "spans":
        for mark in value["spans"]:
            body = {"start": mark["start"], "end": mark["end"], "text": response[mark["start"] : mark["end"]]}
            yield _result("spans", target, "labels", {**body, "labels": [mark["category"]]})
        if not value["spans"]:
            yield _result("spans", target, "labels", {"labels": []})
    elif kind == "thumbs":
        yield _result("thumb", target, "choices", {"choices": [value["thumb"]]})
        if value["tags"]:
            yield _result("tags", target, "choices", {"choices": value["tags"]})
        if value["text"]:
            yield _result("comment", target, "textarea", {"text": [value["text"]]})
    else:
        yield _result(kind, "prompt" if kind == "demonstration" else target, "textarea", {"text": [value["text"]]})


def _result(control: str, target: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": control, "to_name": target, "type": kind, "value": value}


FORMAT = LabelStudio()
