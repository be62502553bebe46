"""HelpSteer3: two responses compared from -3 to 3 by several annotators, with their reasons. Wang et al. 2025."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import chat, messages, reply, shared_prompt, texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make

STRENGTHS = {0: 0, 1: 1, 2: 2, 3: 4}  # "much better" is the clearest there is, here and there
PREFERENCES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3}


class HelpSteer3(Format):
    """Comparisons; negative means that the first response is better."""

    name = "helpsteer3"
    title = "HelpSteer3"
    suffixes = (".jsonl.gz", ".jsonl")
    kinds = ("comparison",)
    lossy: ClassVar[Mapping[str, str]] = {
        "domain, language": "about the prompt, not kept",
        "overall_preference": "read where there are no individual ones; written as their mean, rounded",
        "individual_preference[].feedback1, feedback2": "not kept; reasoning is",
        "strength 3": "written as 3, as 4 is; read as 4",
        "can't tell": "left out",
        "annotator": "numbered: helpsteer3/1, helpsteer3/2, ...; not written",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two responses with a preference."""
        return {"context", "response1", "response2", "overall_preference"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One question, a judgement for each annotator."""
        prompt = messages(row, "context")
        items = [reply(prompt, row.text(name)) for name in ("response1", "response2")]
        answers = [
            Answer(
                f"{setting.annotator}/{number}", _value(preference, "score"), preference.text("reasoning", "") or None
            )
            for number, preference in enumerate(row.objects("individual_preference", ()), 1)
        ]
        answers = answers or [Answer(setting.annotator, _value(row, "overall_preference"))]
        yield make("comparison", items, answers, setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a question, all its judgements within."""
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            prompt = shared_prompt(*items)
            if prompt is None:
                left.add("their items are not two responses to one prompt", len(record.judgements))
                continue
            decided = [judgement for judgement in record.judgements if judgement.value["strength"] is not None]
            left.add("they say 'can't tell'", len(record.judgements) - len(decided))
            if not decided:
                continue
            scores = [_preference(judgement.value["strength"]) for judgement in decided]
            mean = sum(scores) / len(scores)
            yield {
                "context": chat(prompt),
                "response1": items[0].response,
                "response2": items[1].response,
                "overall_preference": int(math.copysign(math.floor(abs(mean) + 0.5), mean)),
                "individual_preference": [
                    {"score": score, "reasoning": judgement.rationale or ""}
                    for score, judgement in zip(scores, decided, strict=True)
                ],
            }


def _value(row: Fields, name: str) -> dict[str, int]:
    score = row.whole(name)
    if abs(score) not in STRENGTHS:
        raise row.fault(name, f"must be in -3..3, got {score}")
    return {"strength": -STRENGTHS[abs(score)] if score > 0 else STRENGTHS[abs(score)]}


def _preference(strength: int) -> int:
    return -PREFERENCES[strength] if strength > 0 else PREFERENCES[-strength]


FORMAT = HelpSteer3()
