"""HH red-team attempts: conversations in which somebody tries to make a model misbehave. Ganguli et al. 2022."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make, parse_number
from plaudit.feedback.formats._transcripts import join, split
from plaudit.types import Dialogue

SIZED = re.compile(r"(.*?) ?([\d.]+[BM])?")  # "plain lm 3B"


class HhRedTeam(Format):
    """Transcripts with a rating of how far the attempt succeeded, 0 to 4."""

    name = "hh-red-team"
    title = "HH red-team attempts"
    suffixes = (".jsonl.gz", ".json")
    kinds = ("conversation",)
    array = True
    lossy: ClassVar[Mapping[str, str]] = {
        "min_harmlessness_score_transcript": "a model's score, no judgement; written as null",
        "task_description_harmlessness_score": "the same",
        "is_upworker": "not kept; written as null",
        "comparisons": "the choices made at each turn: not in the file",
        "tags": "null and no tags are the same, written as null",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A transcript with a task."""
        return {"transcript", "rating", "task_description"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One conversation that was held elsewhere, rated by who held it; the task is its comment."""
        messages = split(row.text("transcript"))
        if not messages:
            raise row.fault("transcript", r"has no turn: none begins with '\n\nHuman: ' or '\n\nAssistant: '")
        model = " ".join(str(row.get(name)) for name in ("model_type", "num_params") if row.has(name)) or None
        tags = list(dict.fromkeys(row.texts("tags", ())))
        rating = row.whole("rating")
        if not 0 <= rating <= 4:
            raise row.fault("rating", f"must be in 0..4, got {rating}")
        value = {"comparisons": [], "comment": row.text("task_description", ""), "success": rating, "tags": tags}
        options = {"red_team": True, "held": True, "tags": tags}
        annotator = str(row.get("red_team_member_id", setting.annotator))
        yield make("conversation", [Dialogue(messages, model)], [Answer(annotator, value)], setting, options)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a judgement; of a live talk, the conversation as the chosen responses led it."""
        for record in records:
            options = record.question.options if record.question else {}
            talk = record.items[0] if options.get("held") else record.outcome
            for judgement in record.judgements:
                if not options.get("red_team"):
                    left.add("they are not red-teaming")
                elif not isinstance(talk, Dialogue):
                    left.add("their comparisons are withdrawn or in another project, so the transcript is not known")
                else:
                    sized = SIZED.fullmatch(talk.model or "")
                    value = judgement.value
                    yield {
                        "transcript": join(talk.messages),
                        "min_harmlessness_score_transcript": None,
                        "num_params": sized and sized[2],
                        "model_type": (sized[1] if sized else talk.model) or None,
                        "rating": float(value["success"]),
                        "task_description": value["comment"],
                        "task_description_harmlessness_score": None,
                        "red_team_member_id": parse_number(judgement.annotator),
                        "is_upworker": None,
                        "tags": value["tags"] or None,
                    }


FORMAT = HhRedTeam()
