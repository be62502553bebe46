"""What a program's opinion of responses looks like as an answer to each kind of question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.annotators.draws import generator
from plaudit.feedback.kinds import KINDS, kind
from plaudit.types import Dialogue, Item, PlauditError, Question

MARGIN = 0.05 + 1e-9  # scores this close are a tie; the rest is rounding, so that 1 and 0.95 are one
PAIRS = tuple(name for name, rules in KINDS.items() if rules.compares)  # kinds that ask which of two is better


def responses(annotator: str, question: Question, items: Sequence[Item], kinds: Sequence[str]) -> list[Dialogue]:
    """The items, which are conversations that end with a response; PlauditError for anything else."""
    dialogues = [item for item in items if isinstance(item, Dialogue) and item.response is not None]
    if question.kind not in kinds or len(dialogues) < len(items):
        subject = "of responses" if len(dialogues) == len(items) else "of something that is no response"
        raise PlauditError(
            f"{annotator}: question {question.id} is a {question.kind} {subject}; "
            f"this annotator answers {', '.join(kinds)} about texts: have people answer the others"
        )
    return dialogues


def canonical(question: Question, value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as its kind stores it; PlauditError where it is no answer to the question."""
    return kind(question.kind).validate(value, question)


def ranks(scores: Sequence[float], margin: float = MARGIN) -> list[int]:
    """1 for the best score and for those within ``margin`` below it, 2 for the best that is left, and so on."""
    ranking = [0] * len(scores)
    rank, head = 0, float("inf")
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        if head - scores[index] > margin:
            rank, head = rank + 1, scores[index]
        ranking[index] = rank
    return ranking


def grade(score: float, least: int, most: int) -> int:
    """The point of a scale that a score in [0, 1] comes closest to; halves go up."""
    return least + int(score * (most - least) + 0.5)


def pair_value(question: Question, strength: int, lean: float = 0.0) -> dict[str, Any]:
    """A strength -4..4, positive where the first of two is better, as the question's kind says it.

    lean: what decides on a scale without a middle, where a tie cannot be said; at 0 a coin that the question's id
    tosses.
    """
    if strength == 0 and question.options.get("scale") == "eight":
        heads = lean > 0 if lean else generator("tie", question.id).random() < 0.5
        strength = 1 if heads else -1
    return kind(question.kind).from_strength(strength)
