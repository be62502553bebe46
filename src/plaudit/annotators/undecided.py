"""Questions that a judge cannot decide although it works: they are answered with can't tell, and the run goes on."""

from __future__ import annotations

from typing import Any

from plaudit.feedback.kinds import kind
from plaudit.types import PlauditError, Question

LOST = 10  # questions in a row; a judge that decides none of so many is the fault, and not the questions


class UndecidedQuestion(PlauditError):
    """There is no answer to this question. To others there may be."""


class Streak:
    """How many questions in a row a judge could not decide."""

    def __init__(self) -> None:
        self._lost = 0

    def reset(self) -> None:
        """Begin to count anew."""
        self._lost = 0

    def count_undecided(self, annotator: str, reason: str) -> None:
        """Count one more; PlauditError where there are too many."""
        self._lost += 1
        if self._lost >= LOST:
            raise PlauditError(
                f"{annotator} could not decide {self._lost} questions in a row, the last because {reason}: "
                "try the model by hand, or name another one; what was judged is kept"
            )


def cannot_tell(question: Question, reason: str) -> dict[str, Any]:
    """The value that says so.

    Raises:
        UndecidedQuestion: the question's kind has no such answer, so that it has to stay open.
    """
    value = kind(question.kind).cannot_tell(question)
    if value is None:
        raise UndecidedQuestion(f"question {question.id} stays open: {reason}")
    return value
