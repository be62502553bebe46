"""Prodigy's choice interface: a text, options, and those that the annotator accepted.

The text is the prompt and the options are responses to it. The annotator's button stands in ``answer``: only tasks that
were accepted are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import prompt_of, reply
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._rankings import rank_responses
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting, make

PROMPTS = ("prompt", "question", "instruction", "text")
ANNOTATORS = ("_annotator_id", "_session_id")


class Prodigy(Format):
    """One task an object."""

    name = "prodigy"
    title = "Prodigy (choice)"
    suffixes = (".jsonl",)
    lossy: ClassVar[Mapping[str, str]] = {
        "accept": "of two options, one accepted is a comparison, both are a tie; of more, the accepted rank first",
        "answer": "tasks that were rejected or ignored are counted and left out",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Options, and which were accepted."""
        return {"options", "accept", "answer"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison or ranking."""
        if row.text("answer") != "accept":
            raise Empty(f"the annotator's answer is {row.text('answer')!r}")
        options, accepted = row.objects("options"), [str(option) for option in row.list("accept")]
        names = [str(option.get("id")) for option in options]
        unknown = next((option for option in accepted if option not in names), None)
        if unknown is not None:
            raise row.fault("accept", f"must name options ({', '.join(names)}), got {unknown!r}")
        if not accepted or len(options) < 2:
            raise Empty("no option was accepted, or there is no other one: there is nothing to compare")
        prompt = prompt_of(row, row.find(PROMPTS, required=True) or PROMPTS[0])
        items = [reply(prompt, option.text("text")) for option in options]
        annotator = next((row.text(name) for name in ANNOTATORS if row.has(name)), setting.annotator)
        moment = float(row.number("_timestamp", 0.0))
        if len(items) == 2:
            strength = 0 if len(accepted) == 2 else 4 if accepted[0] == names[0] else -4
            answer = Answer(annotator, {"strength": strength}, None, moment, moment)
            yield make("comparison", items, [answer], setting)
            return
        responses, ranks = rank_responses(
            (1 if name in accepted else 2, item) for name, item in zip(names, items, strict=True)
        )
        yield make("ranking", responses, [Answer(annotator, {"ranks": ranks}, None, moment, moment)], setting)


FORMAT = Prodigy()
