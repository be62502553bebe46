"""MultiPref: two responses compared by several people, each with an annotation of their own. Miranda et al. 2024."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply, user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting, make

ANNOTATIONS = ("normal_worker_annotations", "expert_worker_annotations")
STRENGTHS = {
    "A-is-clearly-better": 4,
    "A-is-slightly-better": 1,
    "Tie": 0,
    "B-is-slightly-better": -1,
    "B-is-clearly-better": -4,
}


class MultiPref(Format):
    """One question an object, a judgement for each annotator."""

    name = "multipref"
    title = "MultiPref"
    lossy: ClassVar[Mapping[str, str]] = {
        "overall_pref": "clearly is a strength of 4, slightly of 1",
        "helpful_pref, truthful_pref, harmless_pref, their reasons, confidence, timestamp": "not read",
        "annotator": "those without a name are numbered",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two completions and annotations of people."""
        return {"text", "completion_a", "completion_b"} <= set(first) and bool(set(ANNOTATIONS) & set(first))

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        items = [
            reply(user(row.text("text")), row.text(f"completion_{side}"), row.text(f"model_{side}", None))
            for side in ("a", "b")
        ]
        annotations = [annotation for name in ANNOTATIONS for annotation in row.objects(name, ())]
        answers = []
        for number, annotation in enumerate(annotations, 1):
            preference = annotation.text("overall_pref", None)
            if preference is None:
                row.note("an annotation without overall_pref is left out")
                continue
            if preference not in STRENGTHS:
                raise annotation.fault("overall_pref", f"must be one of {', '.join(STRENGTHS)}, got {preference!r:.60}")
            annotator = annotation.text("annotator", None) or f"{setting.annotator}/{number}"
            answers.append(Answer(annotator, {"strength": STRENGTHS[preference]}))
        if not answers:
            raise Empty("none of its annotations has an overall_pref")
        yield make("comparison", items, answers, setting)


FORMAT = MultiPref()
