r"""HH-RLHF: ``chosen`` and ``rejected`` transcripts. Bai et al. 2022.

A turn begins at "\n\nHuman: " or "\n\nAssistant: ". The two share a prompt, which ends at the last "\n\nAssistant: " of
what is common to both; everything behind it is the response, even where it looks like further turns. Joining what was
split gives the file back, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import by_identity, reply
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._pairs import pairs
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make
from plaudit.feedback.formats._transcripts import ASSISTANT, TURN, join, split
from plaudit.types import Dialogue, Message


def _common(first: str, second: str) -> str:
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return first[:length]
    return first[: next(position for position in range(length) if first[position] != second[position])]


def dialogues(row: Fields) -> tuple[Dialogue, Dialogue]:
    """The chosen and the rejected one, with the same prompt where they begin alike."""
    transcripts = row.text("chosen"), row.text("rejected")
    for name, transcript in zip(("chosen", "rejected"), transcripts, strict=True):
        if not TURN.search(transcript):
            raise row.fault(name, r"has no turn: none begins with '\n\nHuman: ' or '\n\nAssistant: '")
    common = _common(*transcripts)
    cut = common.rfind(ASSISTANT)
    if cut < 0:  # nothing to share
        return Dialogue(split(transcripts[0])), Dialogue(split(transcripts[1]))
    prompt = split(common[:cut]) if cut else ()
    if cut and not prompt:  # text without a turn before the first answer
        prompt = (Message("system", common[:cut]),)
    chosen, rejected = (reply(prompt, transcript[cut + len(ASSISTANT) :]) for transcript in transcripts)
    return chosen, rejected


class HhRlhf(Format):
    """Pairs of transcripts."""

    name = "hh-rlhf"
    title = "HH-RLHF"
    suffixes = (".jsonl.gz", ".jsonl")
    kinds = ("comparison",)
    lossy: ClassVar[Mapping[str, str]] = {
        "strength": "written as chosen and rejected; read as 4, the clearest",
        "ties, can't tell": "left out: there is only a better and a worse one",
        "annotator": "not in the file",
        "which was shown first": "not in the file: the two are put in the order of their ids",
        "a system message": "written as text before the first turn",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Two transcripts."""
        transcripts = first.get("chosen"), first.get("rejected")
        return (
            all(isinstance(transcript, str) and TURN.search(transcript) for transcript in transcripts)
            and "prompt" not in first
        )

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        items, strength = by_identity(*dialogues(row))
        yield make("comparison", items, [Answer(setting.annotator, {"strength": strength})], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a judgement."""
        for record in records:
            for pair in pairs(record, left):
                if any(message.role == "system" for message in pair.chosen.messages[1:]):
                    left.add("a system message comes after the beginning, which a transcript cannot express")
                else:
                    yield {"chosen": join(pair.chosen.messages), "rejected": join(pair.rejected.messages)}


FORMAT = HhRlhf()
