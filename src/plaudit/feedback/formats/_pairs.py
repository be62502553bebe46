"""Judgements that say which of two responses is better, for the formats that hold nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plaudit.feedback.formats._dialogues import texts
from plaudit.feedback.formats._record import Omissions, Record
from plaudit.types import Dialogue, Judgement

NO_CHOICE = "they are ties or 'can't tell', and the format holds only a better and a worse one"


@dataclass(frozen=True)
class Pair:
    """One judgement with the better response and the worse one."""

    chosen: Dialogue
    rejected: Dialogue
    judgement: Judgement


def pairs(record: Record, left: Omissions) -> Iterator[Pair]:
    """The preferences in a comparison; ties and "can't tell" are left out, and counted."""
    items = texts(record, left)
    if items is None:
        return
    for judgement in record.judgements:
        strength = judgement.value["strength"]
        if not strength:
            left.add(NO_CHOICE)
            continue
        first, second = items
        yield Pair(first, second, judgement) if strength > 0 else Pair(second, first, judgement)
