"""The status of each judgement on one question: pure arithmetic, no database.

A judgement is *standing* while no later event supersedes it, and *effective* while it is standing and accepted.
A question wants a number of effective judgements; later ones are kept as surplus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plaudit.types import Judgement, PlauditError

Status = Literal["accepted", "surplus", "withdrawal"]

ANY = 1_000_000_000  # wanted by a question that came with its answers: it is never asked, and every answer counts


class Conflict(PlauditError):
    """A request is well formed but contradicts what is stored."""


def is_withdrawal(value: Mapping[str, Any]) -> bool:
    """Whether ``value`` withdraws, which every kind of feedback can do in the same way."""
    return dict(value) == {"withdrawn": True} and value["withdrawn"] is True


@dataclass
class Ledger:
    """The judgements on one question. ``judgements_wanted`` effective ones settle it."""

    judgements_wanted: int
    standing: dict[str, tuple[str, Status]] = field(default_factory=dict)  # id -> annotator, status
    superseded: set[str] = field(default_factory=set)

    @property
    def seats(self) -> int:
        """Effective judgements still wanted, >= 0."""
        return self.judgements_wanted - sum(status == "accepted" for _, status in self.standing.values())

    def replay(self, identity: str, annotator: str, status: Status, supersedes: str | None) -> None:
        """Enter an event with the status that the store has for it."""
        if supersedes is not None:
            self.standing.pop(supersedes)
            self.superseded.add(supersedes)
        self.standing[identity] = (annotator, status)

    def enter(self, judgement: Judgement) -> Status:
        """Enter a new event and return its status.

        An edit takes the seat of the judgement that it supersedes. A second standing answer of one annotator, and any
        answer to a settled question, is surplus. Raises :class:`Conflict` for an event that supersedes a judgement
        that it may not.
        """
        if judgement.supersedes is not None:
            self._check_superseded(judgement, judgement.supersedes)
        elif is_withdrawal(judgement.value):
            raise PlauditError(f"judgement {judgement.id} withdraws nothing: name what it supersedes")
        status: Status = "withdrawal"
        if not is_withdrawal(judgement.value):
            entries = [entry for identity, entry in self.standing.items() if identity != judgement.supersedes]
            effective = sum(status == "accepted" for _, status in entries)
            answered = any(name == judgement.annotator and status != "withdrawal" for name, status in entries)
            status = "surplus" if answered or effective >= self.judgements_wanted else "accepted"
        self.replay(judgement.id, judgement.annotator, status, judgement.supersedes)
        return status

    def _check_superseded(self, judgement: Judgement, superseded: str) -> None:
        if superseded in self.superseded:
            raise Conflict(
                f"judgement {judgement.id} supersedes {superseded}, which a later one supersedes: name the latest"
            )
        if superseded not in self.standing:
            raise Conflict(
                f"judgement {judgement.id} supersedes {superseded}, "
                "which is not a judgement on the same question: look up its id"
            )
        annotator, status = self.standing[superseded]
        if annotator != judgement.annotator:
            raise Conflict(
                f"judgement {judgement.id} by {judgement.annotator} supersedes {superseded} by {annotator}: "
                "only its author can change a judgement"
            )
        if status == "withdrawal" and is_withdrawal(judgement.value):
            raise Conflict(f"judgement {judgement.id} withdraws {superseded}, which is a withdrawal already")
