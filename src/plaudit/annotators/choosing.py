"""The questions of a store that a program can judge; the others stay open for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from plaudit.annotators import ai_judge, rules
from plaudit.feedback.queue import Claim
from plaudit.feedback.store import Lease, Store
from plaudit.types import Dialogue, Item, Question


def can_judge(name: str, question: Question, items: Sequence[Item]) -> bool:
    """Whether the annotator of texts called ``name`` (rules, or a model with principles) answers such a question."""
    responses = [item for item in items if isinstance(item, Dialogue) and item.response is not None]
    if len(responses) < len(items):
        return False
    if name.startswith(rules.PREFIX):
        return question.kind in rules.ANSWERED
    same_prompt = len({response.prompt for response in responses}) == 1
    return question.kind in ai_judge.ANSWERED and same_prompt and not question.options.get("ratings")


class SelectiveStore(Store):
    """A store that offers an annotator only the questions that ``accepts`` is true for.

    A rejected question returns to the queue at once, so that other annotators can claim it. The store is read from
    the start again after each time that the queue ended, because earlier questions may have returned.
    """

    def __init__(self, store: Store, accepts: Callable[[Question, Sequence[Item]], bool]) -> None:
        super().__init__(store.database)
        self.accepts = accepts
        self.rejected: set[str] = set()  # ids of questions
        self._after = 0  # all questions up to this number were seen

    def claim(
        self,
        annotator: str | Claim,
        limit: int = 1,
        lease_seconds: float = 120.0,
        now: float | None = None,
    ) -> list[Lease]:
        """As :meth:`Store.claim`; after a rejected question, it may return more than ``limit`` leases."""
        claim = annotator if isinstance(annotator, Claim) else Claim(annotator, limit)
        leases = self._claim_after(claim, lease_seconds, now)
        if not leases and self._after:
            self._after = 0
            leases = self._claim_after(claim, lease_seconds, now)
        return leases

    def _claim_after(self, claim: Claim, lease_seconds: float, now: float | None) -> list[Lease]:
        """Accepted questions after the last one seen: at least ``limit`` of them, or all."""
        accepted: list[Lease] = []
        while len(accepted) < claim.limit:
            leases = super().claim(replace(claim, after=self._after), lease_seconds=lease_seconds, now=now)
            accepted_now = [lease for lease in leases if self._check(lease.question)]
            tokens = [lease.token for lease in leases if lease.question.id in self.rejected]
            if tokens:
                self.answer([], tokens)
            accepted += accepted_now
            if leases:
                self._after = leases[-1].number
            if len(leases) < claim.limit:  # the end of the queue
                break
        return accepted

    def _check(self, question: Question) -> bool:
        if question.id in self.rejected:
            return False
        if self.accepts(question, self.items(list(question.items))):
            return True
        self.rejected.add(question.id)
        return False
