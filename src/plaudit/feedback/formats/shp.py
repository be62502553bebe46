"""Stanford Human Preferences: two comments on a post, and which of them more readers preferred.

Ethayarajh et al. 2022. The votes are those of all readers together, so the one annotator is the crowd.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply, user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting, make


class Shp(Format):
    """Comparisons of two comments."""

    name = "shp"
    title = "Stanford Human Preferences (SHP)"
    suffixes = (".json", ".jsonl", ".parquet")
    lossy: ClassVar[Mapping[str, str]] = {
        "labels": "1: A is preferred, 0: B; read as 4 and -4, the clearest",
        "score_A, score_B, score_ratio": "not read: votes on one page, not on a scale",
        "annotator": "not in the file",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two references of people and a label."""
        return {"history", "human_ref_A", "human_ref_B", "labels"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        prompt = user(row.text("history"))
        items = [reply(prompt, row.text(f"human_ref_{side}")) for side in "AB"]
        label = row.whole("labels")
        if label not in (0, 1):
            raise row.fault("labels", f"must be 1 (A is preferred) or 0 (B is), got {label}")
        yield make("comparison", items, [Answer(setting.annotator, {"strength": 4 if label else -4})], setting)


FORMAT = Shp()
