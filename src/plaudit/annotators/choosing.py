"""What of a store a program can judge: the rest stays open, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from plaudit.annotators import ai_judge, rules
from plaudit.feedback.queue import Claim
from plaudit.feedback.store import Lease, Store
from plaudit.types import Dialogue, Item, Question


def can_judge(name: str, question: Question, items: Sequence[Item]) -> bool:
    """Whether the annotator of texts called ``name`` answers such a question: a rule, or a model with principles."""
    responses = [each for each in items if isinstance(each, Dialogue) and each.response is not None]
    if len(responses) < len(items):
        return False
    if name.startswith(rules.PREFIX):
        return question.kind in rules.ANSWERED
    alike = len({each.prompt for each in responses}) == 1
    return question.kind in ai_judge.ANSWERED and alike and not question.options.get("ratings")


class Choosing(Store):
    """A store as somebody sees it who is asked only what ``wanted`` says.

    What is not wanted goes back to the queue at once, so that it is kept from nobody. It is met once, and once more
    whenever the end of the queue was reached: what lies before may have come back.
    """

    def __init__(self, store: Store, wanted: Callable[[Question, Sequence[Item]], bool]) -> None:
        super().__init__(store.database)
        self.wanted = wanted
        self.left: set[str] = set()  # ids of questions that were not wanted
        self._after = 0  # the number of the question up to which all were seen

    def claim(
        self,
        annotator: str | Claim,
        limit: int = 1,
        lease_seconds: float = 120.0,
        now: float | None = None,
    ) -> list[Lease]:
        """As :meth:`Store.claim`; where something was not wanted, there may be more than ``limit``."""
        wanted = annotator if isinstance(annotator, Claim) else Claim(annotator, limit)
        found = self._behind(wanted, lease_seconds, now)
        if not found and self._after:
            self._after = 0
            found = self._behind(wanted, lease_seconds, now)
        return found

    def _behind(self, wanted: Claim, lease_seconds: float, now: float | None) -> list[Lease]:
        """What is wanted behind what was seen: as much as the limit, or else all of it."""
        found: list[Lease] = []
        while len(found) < wanted.limit:
            leases = super().claim(replace(wanted, after=self._after), lease_seconds=lease_seconds, now=now)
            mine = [each for each in leases if self._wants(each.question)]
            others = [each.token for each in leases if each.question.id in self.left]
            if others:
                self.answer([], others)
            found += mine
            if leases:
                self._after = leases[-1].number
            if len(leases) < wanted.limit:  # that was the end
                break
        return found

    def _wants(self, question: Question) -> bool:
        if question.id in self.left:
            return False
        if self.wanted(question, self.items(list(question.items))):
            return True
        self.left.add(question.id)
        return False
