r"""HelpSteer2: a response rated on five attributes, 0 to 4. Wang et al. 2024.

A prompt of several turns is one text, with "\n<extra_id_1>Assistant\n" and "\n<extra_id_1>User\n" between the turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply, texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make, parse_cell
from plaudit.types import Message

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
SCALES: dict[str, Any] = {"scales": {name: [0, 4] for name in ATTRIBUTES}}
TURN = re.compile(r"\n<extra_id_1>(User|Assistant)\n")


def split(prompt: str) -> tuple[Message, ...]:
    """The turns of a prompt, the first the user's."""
    first, *rest = TURN.split(prompt)
    turns = zip(rest[::2], rest[1::2], strict=True)
    return (
        Message("user", first),
        *(Message("user" if speaker == "User" else "assistant", text) for speaker, text in turns),
    )


def join(prompt: Sequence[Message]) -> str | None:
    """The prompt that :func:`split` has split; None where it cannot be written so."""
    if not prompt or prompt[0].role != "user" or any(message.role == "system" for message in prompt):
        return None
    names = {"user": "User", "assistant": "Assistant"}
    return prompt[0].content + "".join(
        f"\n<extra_id_1>{names[message.role]}\n{message.content}" for message in prompt[1:]
    )


class HelpSteer2(Format):
    """Ratings on five scales."""

    name = "helpsteer2"
    title = "HelpSteer2"
    suffixes = (".jsonl.gz", ".jsonl")
    kinds = ("rating",)
    lossy: ClassVar[Mapping[str, str]] = {
        "annotator": "not in the file; where an attribute is a list, a rating by each: helpsteer2/1, helpsteer2/2, ...",
        "scales": "only these five from 0 to 4; other ratings are left out",
        "a system message": "left out: a prompt has none",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A response with the attributes."""
        return {"prompt", "response", *ATTRIBUTES} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One rating."""
        item = reply(split(row.text("prompt")), row.text("response"))
        columns = {name: parse_cell(row.get(name)) for name in ATTRIBUTES}
        if not all(isinstance(ratings, list) for ratings in columns.values()):
            value = {"ratings": {name: row.whole(name) for name in ATTRIBUTES}}
            yield make("rating", [item], [Answer(setting.annotator, value)], setting, SCALES)
            return
        lists = [row.list(name) for name in ATTRIBUTES]
        if len({len(ratings) for ratings in lists}) > 1:
            raise row.fault(ATTRIBUTES[0], "and the other attributes must have one rating by each annotator")
        answers = []
        for number, ratings in enumerate(zip(*lists, strict=True), 1):
            attributes = Fields(dict(zip(ATTRIBUTES, ratings, strict=True)))
            value = {"ratings": {name: attributes.whole(name) for name in ATTRIBUTES}}
            answers.append(Answer(f"{setting.annotator}/{number}", value))
        yield make("rating", [item], answers, setting, SCALES)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a judgement."""
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            prompt = None if items[0].response is None else join(items[0].prompt)
            for judgement in record.judgements:
                ratings = judgement.value["ratings"]
                if prompt is None:
                    left.add("their prompt does not begin with a user, or has a system message")
                elif set(ratings) != set(ATTRIBUTES) or None in ratings.values():
                    left.add("they are ratings on other scales, or not on all five")
                else:
                    yield {
                        "prompt": prompt,
                        "response": items[0].response,
                        **{name: ratings[name] for name in ATTRIBUTES},
                    }


FORMAT = HelpSteer2()
