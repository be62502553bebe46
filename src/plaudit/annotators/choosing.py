"""What of a store a program can judge: the rest stays open, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plaudit.annotators import ai_judge, rules
from plaudit.feedback.queue import Wanted
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

    What is not wanted goes back to the queue at once, so that it is kept from nobody.
    """

    def __init__(self, store: Store, wanted: Callable[[Question, Sequence[Item]], bool]) -> None:
        super().__init__(store.database)
        self.wanted = wanted
        self.left: set[str] = set()  # ids of questions that were not wanted

    def claim(
        self,
        annotator: str | Wanted,
        limit: int = 1,
        lease_seconds: float = 120.0,
        now: float | None = None,
    ) -> list[Lease]:
        """As :meth:`Store.claim`; there may be more than ``limit``, where others hold what was not wanted before."""
        while True:
            before = len(self.left)
            leases = super().claim(annotator, limit + before, lease_seconds, now)
            mine = [each for each in leases if self._wants(each.question)]
            others = [each.token for each in leases if each.question.id in self.left]
            if others:
                self.answer([], others)
            if mine or len(self.left) == before:  # else all that was new is for somebody else: look further
                return mine

    def _wants(self, question: Question) -> bool:
        if question.id in self.left:
            return False
        if self.wanted(question, self.items(list(question.items))):
            return True
        self.left.add(question.id)
        return False
