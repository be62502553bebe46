"""The base of every kind of feedback: all that the store, the pages and the annotators ask of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from plaudit.types import Question

Teaches = Literal["preference", "ranks", "ratings", "approval", "response", "critique", "spans"]
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
SUMMARY = 120  # characters of a free text in a summary


class Score(NamedTuple):
    """One number in an answer that can be compared with other people's."""

    aspect: str  # what of the item it is about, such as a scale; "" for all that the question asks
    part: str  # which part of the question it is about, such as a pair of items; "" for the whole
    value: float


class Kind(ABC):
    """What a person can say, in one class: the question's schema, the answer's, its words and its training target.

    A kind sets ``name``, ``title``, ``widget`` and ``wording``, and defines :meth:`check`, :meth:`validate` and
    :meth:`target`. Everything else has a default, for kinds that are neither compared nor right or wrong.
    """

    name: str  # what Question.kind holds
    title: str  # what the pages call it
    widget: str  # the template that asks it, in the web app's folder of widgets
    wording: str  # the words that people are shown by default
    text_wording: str | None = None  # those for texts, where they differ from those for clips
    import_wording: str | None = None  # those of an imported question, where they differ from ``wording``
    teaches: Teaches | None = None  # what the target is: "preference" is P[first better]; None: nothing is learned
    defaults: ClassVar[Mapping[str, Any]] = NO_OPTIONS  # options that hold where a question sets none
    shuffled: bool = True  # whether each person sees the items in an order drawn for them
    example_items: int = 1  # items of the question that the admin pages show as an example
    example_answer: ClassVar[Mapping[str, Any] | None] = None  # None: no answer is right or wrong
    prompts: bool = False  # whether items are prompts, without the response
    counted: bool = False  # whether answers of several people can be compared by :meth:`scores`
    own_words: bool = False  # whether :meth:`summary` is in Plaudit's words; False: in the annotator's, or in numbers
    # What a live model takes part in, turn by turn
    samples: int = 0  # responses of a live model to each turn; 0: no live model takes part
    parts: tuple[str, ...] = ()  # kinds of the judgements that are given in its course
    most_parts: int = 0  # judgements that an answer may name
    in_turns: bool = False  # whether each part chooses between two responses, and the next turn follows one of them

    @property
    def live(self) -> bool:
        """Whether the page talks to a live model while the question is being answered."""
        return self.samples > 0

    @property
    def compares(self) -> bool:
        """Whether an answer says by itself which of two items is better."""
        return self.teaches == "preference" and not self.live

    @abstractmethod
    def check(self, question: Question) -> None:
        """Raise :class:`PlauditError` when ``question`` is not one of this kind."""

    @abstractmethod
    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``value`` in its one canonical form, or :class:`PlauditError`. Withdrawals never get here."""

    @abstractmethod
    def target(self, value: Mapping[str, Any]) -> Any:
        """What is learned from ``value``; None when nothing is."""

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """One line that says what was answered, as the person saw it; ``order``: the items by place on the page."""
        return shorten(str(value.get("text", value)))

    def wording_for(self, clips: bool) -> str:
        """The words by default; ``clips``: whether people are shown clips, and not text."""
        return self.wording if clips or self.text_wording is None else self.text_wording

    def parts_for(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of ``parts`` that the page of a question with these options asks for."""
        return self.parts

    def advantage(self, value: Mapping[str, Any]) -> float | None:
        """1 when the first of two items is better, -1 when the second is, 0 for a tie, None for can't tell."""
        mu = self.target(value) if self.compares else None
        return None if mu is None else float((mu > 0.5) - (mu < 0.5))

    def scores(self, value: Mapping[str, Any]) -> Iterator[Score]:
        """The numbers that can be compared with those of other people's answers to the same question."""
        sign = self.advantage(value)
        if sign is not None:
            yield Score("", "", sign)

    def side(self, number: float) -> float | None:
        """1 or 0 for a :class:`Score`'s number that is one of two answers; None for a tie, and when there are more."""
        return float(number > 0) if self.compares and number != 0 else None

    def is_right(self, value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool | None:
        """Whether an answer is the known one; None when answers cannot be told right from wrong."""
        return None

    def from_strength(self, strength: int) -> dict[str, Any]:
        """The value that says a strength -4..4, positive when the first of two items is better."""
        return {"strength": strength}

    def cannot_tell(self, question: Question) -> dict[str, Any] | None:
        """The value that says can't tell; None when ``question`` has no such answer."""
        return None


def shorten(text: str, most: int = SUMMARY) -> str:
    """``text`` on one line of at most ``most`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
