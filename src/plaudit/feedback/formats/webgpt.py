"""WebGPT comparisons: two answers to a question, and how clearly one is preferred. Nakano et al. 2021."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply, user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting, make


class WebGpt(Format):
    """Comparisons of two answers."""

    name = "webgpt"
    title = "WebGPT comparisons"
    suffixes = (".parquet", ".json", ".jsonl")
    lossy: ClassVar[Mapping[str, str]] = {
        "score_0, score_1": "-1 to 1, how clearly an answer is preferred: kept in quarters, at least 1 unless it is 0",
        "quotes_0, quotes_1": "not read: the answers refer to them by number",
        "tokens_0, tokens_1": "not read: the answer is read as text",
        "question.dataset, question.id": "not read",
        "annotator": "not in the file",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two numbered answers with scores."""
        return {"question", "answer_0", "answer_1", "score_0", "score_1"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison. The scores of the two sum to 0."""
        question = row.get("question")
        prompt = user(question if isinstance(question, str) else row.object("question").text("full_text"))
        items = [reply(prompt, row.text(f"answer_{side}")) for side in (0, 1)]
        score, opposite = row.number("score_0"), row.number("score_1")
        if not -1 <= score <= 1 or abs(score + opposite) > 0.01:
            raise row.fault("score_0", f"and score_1 must lie in -1..1 and sum to 0, got {score} and {opposite}")
        size = max(1, round(4 * abs(score))) if score else 0
        yield make(
            "comparison", items, [Answer(setting.annotator, {"strength": size if score > 0 else -size})], setting
        )


FORMAT = WebGpt()
