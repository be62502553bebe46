"""Questions with their judgements as Label Studio's tasks, for the configurations on the page about formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from plaudit.feedback.formats._dialogues import chat, plain, shared_prompt
from plaudit.types import Dialogue, Judgement, Message, Question


def data_of(items: Sequence[Dialogue], kind: str) -> dict[str, Any] | None:
    """A task's data: ``prompt``, with ``response``, or ``answer1`` and ``answer2``, or the list ``responses``.

    ``prompt`` is text, which a tag can show; ``messages`` has the turns of a prompt of several. Returns None if the
    items are not responses to one prompt, or more than two that are not ranked.
    """
    if kind == "ranking":
        prompts = [shared_prompt(items[0], item) for item in items]
        if None in prompts:
            return None
        entries = [
            {"id": str(number), "title": f"Response {number}", "body": item.response}
            for number, item in enumerate(items, 1)
        ]
        return _prompt(items[0].prompt) | {"responses": entries}
    if len(items) == 1:
        response = {} if items[0].response is None else {"response": items[0].response}
        return _prompt(items[0].prompt) | response
    prompt = shared_prompt(items[0], items[1]) if len(items) == 2 else None
    if prompt is None:
        return None
    return _prompt(prompt) | {"answer1": items[0].response, "answer2": items[1].response}


def _prompt(turns: Sequence[Message]) -> dict[str, Any]:
    text = plain(turns)
    if isinstance(text, str):
        return {"prompt": text}
    spelled = "\n\n".join(f"{message.role}: {message.content}" for message in turns)
    return {"prompt": spelled, "messages": chat(turns)} if turns else {"prompt": ""}


def annotation_of(question: Question, judgement: Judgement, items: Sequence[Dialogue]) -> dict[str, Any]:
    """A judgement as an annotation.

    Each result names the annotator. ``completed_by`` is left out, because Label Studio refuses a whole file for one
    annotator without an account; it enters the annotations as the importer's own.
    """
    target = "response" if items[0].response is not None else "prompt"
    results = list(_results(question.kind, judgement.value, target, items[0].response or ""))
    if judgement.rationale:
        tag = "prompt" if question.kind in ("comparison", "ranking") else target
        results.append(_result("rationale", tag, "textarea", {"text": [judgement.rationale]}))
    meta = {"meta": {"annotator": judgement.annotator}}
    annotation: dict[str, Any] = {
        "result": [{"id": f"r{number}", **result, **meta} for number, result in enumerate(results, 1)]
    }
    if judgement.submitted_at:
        annotation["created_at"] = datetime.fromtimestamp(judgement.submitted_at, UTC).isoformat()
        annotation["lead_time"] = round(judgement.submitted_at - judgement.shown_at, 6)
    return annotation


def _results(kind: str, value: Mapping[str, Any], target: str, response: str) -> Iterator[dict[str, Any]]:
    if kind == "ranking":
        order = sorted(range(len(value["ranks"])), key=value["ranks"].__getitem__)
        ranking = {"ranking": [str(index + 1) for index in order]}  # Label Studio's key is the name of the control
        yield _result("ranking", "responses", "ranker", {"ranker": ranking})
    elif kind == "comparison":
        strength = value["strength"]
        if not strength:
            choice = "can't tell" if strength is None else "tie"
            yield _result("undecided", "prompt", "choices", {"choices": [choice]})
        else:
            side = {"selected": "left" if strength > 0 else "right"}
            yield _result("comparison", "comparison", "pairwise", side)  # Label Studio names the control itself
            yield _result("strength", "prompt", "number", {"number": abs(strength)})
    elif kind == "rating":
        for name, rating in value["ratings"].items():
            if rating is not None:
                yield _result(name, target, "rating", {"rating": rating})
    elif kind == "spans":
        for mark in value["spans"]:
            body = {"start": mark["start"], "end": mark["end"], "text": response[mark["start"] : mark["end"]]}
            yield _result("spans", target, "labels", {**body, "labels": [mark["category"]]})
        if not value["spans"]:
            yield _result("unmarked", target, "choices", {"choices": ["nothing to mark"]})
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
