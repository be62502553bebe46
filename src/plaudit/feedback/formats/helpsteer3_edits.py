"""HelpSteer3's other parts: edits of responses, edits of two qualities, and feedback in words. Wang et al. 2025."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import messages, reply
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Record, Setting, make

EDIT = {"context", "original_response", "edited_response"}
QUALITY = {"context", "good_edited_response", "bad_edited_response"}
FEEDBACK = {"context", "response1", "feedback1", "response2", "feedback2"}


class HelpSteer3Edits(Format):
    """One object: a correction, a comparison of two edits, or critiques of two responses."""

    name = "helpsteer3-edits"
    title = "HelpSteer3, edits and feedback"
    suffixes = (".jsonl.gz", ".jsonl")
    lossy: ClassVar[Mapping[str, str]] = {
        "edited_response": "kept as a correction of original_response; change_summary is its rationale",
        "good_edited_response, bad_edited_response": "a comparison of strength 4; original_response is not kept",
        "feedback1, feedback2": "kept as critiques, by helpsteer3-edits/1, helpsteer3-edits/2, ...",
        "feedback": "what the edit follows: not kept",
        "domain, language": "about the prompt, not kept",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A context with responses and their edits, or with words about them."""
        names = set(first)
        return (names >= EDIT or names >= QUALITY or names >= FEEDBACK) and "overall_preference" not in names

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """A correction, a comparison, or two questions with critiques."""
        prompt = messages(row, "context")
        if set(row.value) >= EDIT:
            answer = Answer(setting.annotator, {"text": row.text("edited_response")}, row.text("change_summary", None))
            yield make("correction", [reply(prompt, row.text("original_response"))], [answer], setting)
        elif set(row.value) >= QUALITY:
            items = [reply(prompt, row.text(f"{side}_edited_response")) for side in ("good", "bad")]
            yield make("comparison", items, [Answer(setting.annotator, {"strength": 4})], setting)
        else:
            for side in ("1", "2"):
                answers = [
                    Answer(f"{setting.annotator}/{number}", {"text": text})
                    for number, text in enumerate(row.texts(f"feedback{side}"), 1)
                    if text.strip()
                ]
                yield make("critique", [reply(prompt, row.text(f"response{side}"))], answers, setting)


FORMAT = HelpSteer3Edits()
