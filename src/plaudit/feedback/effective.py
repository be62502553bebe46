"""The judgements that count, kept in memory and brought up to date event by event."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from plaudit.feedback.rows import Event
from plaudit.types import Judgement


class EffectiveJudgements:
    """Accepted judgements for training that nothing supersedes, in the order (round, question asked, arrival)."""

    def __init__(self) -> None:
        self.last = 0  # number of the newest event taken in
        self._events: dict[str, Event] = {}
        self._ordered: list[Judgement] = []
        self._rounds: list[int] = []

    def take(self, events: Sequence[Event]) -> None:
        """Take in every event after ``last``, in order of arrival."""
        for event in events:
            if event.judgement.supersedes is not None:
                self._events.pop(event.judgement.supersedes, None)
            if event.status == "accepted" and event.purpose == "train":
                self._events[event.judgement.id] = event
            self.last = event.number
        if events:
            ordered = sorted(
                self._events.values(), key=lambda event: (event.round, event.question_number, event.number)
            )
            self._ordered = [event.judgement for event in ordered]
            self._rounds = [event.round for event in ordered]

    def list_arrived(self) -> list[Judgement]:
        """All of them, in order of arrival."""
        return [event.judgement for event in self._events.values()]

    def up_to(self, round_at_most: int | None) -> list[Judgement]:
        """The judgements of rounds up to ``round_at_most``, inclusive; None means all."""
        if round_at_most is None:
            return list(self._ordered)
        return self._ordered[: bisect_right(self._rounds, round_at_most)]
