"""UltraFeedback: completions of an instruction, each rated on four aspects, with a critique. Cui et al. 2023."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply, texts, user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make
from plaudit.types import Dialogue, Message

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
TENTHS = "overall score in tenths"
OVERALL = {"scales": {TENTHS: [0, 100]}}


def tenths(row: Fields, name: str) -> int:
    """A score of 0 to 10 as whole tenths."""
    score = row.number(name)
    if not 0 <= score <= 10 or abs(score * 10 - round(score * 10)) > 1e-6:
        raise row.fault(name, f"must be a score in 0..10 with at most one decimal, got {score}")
    return round(score * 10)


def overall(value: Mapping[str, Any]) -> float | None:
    """The score that :func:`tenths` has read, out of a rating's value."""
    rating = value["ratings"].get(TENTHS)
    return None if rating is None else rating / 10


class UltraFeedback(Format):
    """Each aspect, the overall score and the critique is a question of its own, as it was asked."""

    name = "ultrafeedback"
    title = "UltraFeedback"
    suffixes = (".jsonl", ".parquet")
    kinds = ("rating", "critique")
    lossy: ClassVar[Mapping[str, str]] = {
        "source, correct_answers, incorrect_answers": "about the prompt, not kept",
        "completions[].principle": "not kept; custom_system_prompt is",
        "annotations[].Type, Rationale For Rating": "not kept; Rating and Rationale are",
        "annotations[].Rating N/A": "not read as a judgement; its rationale is not kept",
        "fine-grained_score": "not read; written as the mean of the four ratings",
        "overall_score": "kept in tenths",
        "annotator": "not in the file; one object is written for each",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """An instruction with completions."""
        return {"instruction", "completions"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """Ratings on each aspect and overall, and critiques."""
        for completion in row.objects("completions"):
            system = completion.text("custom_system_prompt", None)
            before = (Message("system", system),) if system is not None else ()
            item = reply(
                (*before, *user(row.text("instruction"))), completion.text("response"), completion.text("model", None)
            )
            annotations = completion.object("annotations", {})
            for aspect in ASPECTS:
                if not annotations.has(aspect):
                    continue
                annotation = annotations.object(aspect)
                if annotation.get("Rating", "N/A") == "N/A":
                    continue
                value = {"ratings": {aspect: annotation.whole("Rating")}}
                answer = Answer(setting.annotator, value, annotation.text("Rationale", "") or None)
                yield make("rating", [item], [answer], setting, {"scales": {aspect: [1, 5]}})
            if completion.has("overall_score"):
                value = {"ratings": {TENTHS: tenths(completion, "overall_score")}}
                yield make("rating", [item], [Answer(setting.annotator, value)], setting, OVERALL)
            if completion.text("critique", "").strip():
                answer = Answer(setting.annotator, {"text": completion.text("critique")})
                yield make("critique", [item], [answer], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a prompt and annotator, out of the questions about it that follow each other."""
        for instruction, group in groupby(records, _instruction):
            related = list(group)
            if instruction is None:
                for record in related:
                    if texts(record, left) is not None:
                        left.add("their dialogue is not one instruction and a response", len(record.judgements))
                continue
            for annotator in dict.fromkeys(
                judgement.annotator for record in related for judgement in record.judgements
            ):
                completions = list(_completions(related, annotator, left))
                if completions:
                    models = [completion["model"] for completion in completions]
                    yield {
                        "source": None,
                        "instruction": instruction,
                        "models": models,
                        "completions": completions,
                    }


def _instruction(record: Record) -> str | None:
    item = record.items[0]
    if not isinstance(item, Dialogue) or item.response is None:
        return None
    roles = [message.role for message in item.prompt]
    return item.prompt[-1].content if roles in (["user"], ["system", "user"]) else None


def _completions(records: Sequence[Record], annotator: str, left: Omissions) -> Iterator[dict[str, Any]]:
    """What one annotator said about the responses to one prompt, response by response."""
    items = {item.id: item for record in records for item in record.items if isinstance(item, Dialogue)}
    for item in items.values():
        ratings: dict[str, Any] = {}
        critique, score = "", None
        for record in records:
            for judgement in record.judgements:
                if record.items[0].id != item.id or judgement.annotator != annotator:
                    continue
                if "text" in judgement.value:
                    critique = judgement.value["text"]
                    continue
                points = {name: rating for name, rating in judgement.value["ratings"].items() if rating is not None}
                score = overall(judgement.value) if TENTHS in points else score
                by_aspect = {name: rating for name, rating in points.items() if name in ASPECTS}
                if not by_aspect and TENTHS not in points:
                    left.add("they rate on other scales than UltraFeedback's")
                for name, rating in by_aspect.items():
                    ratings[name] = {"Rating": str(rating), "Rationale": judgement.rationale or ""}
        if not (ratings or critique or score is not None):
            continue
        numbers = [int(rating["Rating"]) for rating in ratings.values()]
        yield {
            "model": item.model,
            "custom_system_prompt": item.messages[0].content if item.messages[0].role == "system" else None,
            "response": item.response,
            "annotations": {name: ratings.get(name, {"Rating": "N/A", "Rationale": ""}) for name in ASPECTS},
            "fine-grained_score": sum(numbers) / len(numbers) if numbers else None,
            "critique": critique,
            "overall_score": score,
        }


FORMAT = UltraFeedback()
