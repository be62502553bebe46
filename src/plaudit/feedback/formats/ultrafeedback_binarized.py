"""UltraFeedback binarized, as Zephyr was trained on it: a chosen and a rejected conversation, and a score of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import by_identity, chat, conversation
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._pairs import pairs
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make
from plaudit.feedback.formats.ultrafeedback import OVERALL, overall, tenths
from plaudit.types import Dialogue


class UltraFeedbackBinarized(Format):
    """Comparisons with two ratings."""

    name = "ultrafeedback-binarized"
    title = "UltraFeedback binarized"
    suffixes = (".parquet", ".jsonl")
    kinds = ("comparison", "rating")
    lossy: ClassVar[Mapping[str, str]] = {
        "prompt_id": "written as the SHA-256 of the prompt",
        "messages": "not read; written as the chosen conversation",
        "score_chosen, score_rejected": "kept in tenths; null where the responses were not rated beside it",
        "strength": "written as chosen and rejected; read as 4, the clearest",
        "ties, can't tell": "left out: there is only a better and a worse one",
        "annotator": "not in the file",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A pair with scores."""
        return {"chosen", "rejected"} <= set(first) and bool({"score_chosen", "prompt_id"} & set(first))

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """Two ratings where there are scores, and a comparison."""
        chosen, rejected = conversation(row, "chosen"), conversation(row, "rejected")
        items, strength = by_identity(chosen, rejected)
        for name, item in (("score_chosen", chosen), ("score_rejected", rejected)):
            if row.has(name):
                value = {"ratings": {"overall score in tenths": tenths(row, name)}}
                yield make("rating", [item], [Answer(setting.annotator, value)], setting, OVERALL)
        yield make("comparison", items, [Answer(setting.annotator, {"strength": strength})], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a comparison's judgement, with the scores that came just before it."""
        scores: dict[tuple[str, str], float] = {}  # (item, annotator); never more than one prompt's
        prompt: Any = None
        for record in records:
            first = record.items[0]
            if isinstance(first, Dialogue) and first.prompt != prompt:
                prompt = first.prompt
                left.add("they rate a response that no comparison follows", len(scores))
                scores = {}
            if record.question and record.question.kind == "rating":
                for judgement in record.judgements:
                    score = overall(judgement.value)
                    if score is None:
                        left.add("they rate on scales other than an overall score")
                    else:
                        scores[first.id, judgement.annotator] = score
                continue
            for pair in pairs(record, left):
                scores_of_pair = [
                    scores.pop((dialogue.id, pair.judgement.annotator), None)
                    for dialogue in (pair.chosen, pair.rejected)
                ]
                start = next((message.content for message in pair.chosen.messages if message.role == "user"), "")
                yield {
                    "prompt": start,
                    "prompt_id": hashlib.sha256(start.encode("utf-8", "surrogatepass")).hexdigest(),
                    "chosen": chat(pair.chosen.messages),
                    "rejected": chat(pair.rejected.messages),
                    "messages": chat(pair.chosen.messages),
                    "score_chosen": scores_of_pair[0],
                    "score_rejected": scores_of_pair[1],
                }
        left.add("they rate a response that no comparison follows", len(scores))


FORMAT = UltraFeedbackBinarized()
