"""AlpacaEval's annotations: two outputs for one instruction, and which is preferred. Li et al. 2023.

Also the human annotations of AlpacaFarm, which have an ``input`` and number their annotators (``annotator_index``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import read_prompt, reply
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting, make


class AlpacaEval(Format):
    """Comparisons by people and by models."""

    name = "alpaca-eval"
    title = "AlpacaEval annotations"
    suffixes = (".json", ".jsonl", ".csv", ".parquet")
    lossy: ClassVar[Mapping[str, str]] = {
        "preference": "1 to 2, the probability that the second is better: kept in eighths; 1.5 and 0 are ties",
        "preference null": "counted and left out: the annotator gave no answer",
        "annotator_index": "the annotator is alpaca-eval/1, alpaca-eval/2, ...",
        "raw_completion, price_per_example, time_per_example, ...": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two numbered outputs and a preference."""
        return {"instruction", "output_1", "output_2", "preference"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        prompt = read_prompt(row, required=True)
        items = [reply(prompt, row.text(f"output_{side}"), row.text(f"generator_{side}", None)) for side in (1, 2)]
        preference = row.number("preference")
        if preference != 0 and not 1 <= preference <= 2:
            raise row.fault("preference", f"must be 1 to 2, or 0 for a tie, got {preference}")
        strength = round(12 - 8 * preference) if preference else 0
        annotator = row.text("annotator", None) or setting.annotator
        if row.has("annotator_index"):
            annotator = f"{setting.annotator}/{row.whole('annotator_index')}"
        yield make("comparison", items, [Answer(annotator, {"strength": strength})], setting)


FORMAT = AlpacaEval()
