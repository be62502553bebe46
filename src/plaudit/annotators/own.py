"""A user's own annotator: an object with a ``name`` and a ``judge`` method, or MODULE:FACTORY, which makes one.

The settings of a run hold a name. A run whose annotator is an object stores ``program:NAME``; only a program that has
the object can continue it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.annotators.biased import SIMULATED_ANNOTATORS, simulated_annotator
from plaudit.annotators.oracle import Truth
from plaudit.extensions import load_object, one_line
from plaudit.interfaces import Annotator
from plaudit.types import Answer, PlauditError, Question

PROGRAM = "program:"  # begins the stored name of an annotator that is an object of a program


@dataclass(frozen=True)
class OwnAnnotator:
    """A user's annotator; each of its answers is checked to be an :class:`Answer`."""

    annotator: Annotator
    name: str

    def judge(self, question: Question, items: Sequence[Any]) -> Answer:
        """As the annotator's; PlauditError if it returns anything but an Answer."""
        answer = self.annotator.judge(question, items)
        if not isinstance(answer, Answer):
            raise PlauditError(
                f"annotator {self.name!r} returned {answer!r} for question {question.id}: return a plaudit.Answer, "
                'such as Answer({"strength": 4})'
            )
        return answer


def check_annotator(annotator: object) -> OwnAnnotator:
    """The annotator, with its answers checked.

    Raises:
        PlauditError: it has no ``name`` of at least one letter, or no ``judge`` method; it is a class.
    """
    if isinstance(annotator, type):
        raise PlauditError(f"{annotator.__name__} is a class: give an object of it, {annotator.__name__}(...)")
    name = getattr(annotator, "name", None)
    if not isinstance(annotator, Annotator) or not isinstance(name, str) or not name.strip():
        raise PlauditError(
            f"{annotator!r} is not an annotator: it needs a name (text) and a method judge(question, items) that "
            "returns a plaudit.Answer"
        )
    return OwnAnnotator(annotator, name)


def load_annotator(name: str) -> OwnAnnotator:
    """Call the factory that MODULE:FACTORY names, without arguments; a class is a factory of its objects.

    Raises:
        PlauditError: there is no such factory, it fails, or what it makes is not an annotator; ``name`` is that of an
            object of a program.
    """
    if name.startswith(PROGRAM):
        raise PlauditError(
            f"the annotator {name.removeprefix(PROGRAM)!r} is an object of the program that started this run: continue "
            "it there, by plaudit.resume(folder, annotator=...)"
        )
    factory = load_object(name)
    if not callable(factory):
        raise PlauditError(f"{name} is not callable: name a function without parameters that returns an annotator")
    try:
        annotator = factory()
    except Exception as error:  # a user's code can raise anything
        raise PlauditError(f"{name} fails: {one_line(error)}") from error
    return check_annotator(annotator)


def control_annotator(name: str, truth: Truth, seed: int) -> Annotator:
    """The annotator of clips called ``name``: a simulated one, or MODULE:FACTORY.

    Raises:
        PlauditError: as :func:`load_annotator`; nothing of that name is known.
    """
    if ":" in name:
        return load_annotator(name)
    if name not in SIMULATED_ANNOTATORS:
        choices = (*SIMULATED_ANNOTATORS, "people")
        nearest = difflib.get_close_matches(name.casefold(), choices, n=1, cutoff=0.7)
        hint = f"did you mean {nearest[0]}? Choose" if nearest else "choose"
        raise PlauditError(
            f"unknown annotator {name!r}: {hint} one of {', '.join(choices)}, or name your own as MODULE:FACTORY"
        )
    return simulated_annotator(name, truth, seed)
