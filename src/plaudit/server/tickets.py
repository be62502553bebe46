"""Tickets that pages hold and cannot forge: keyed hashes over what the server told one person.

With them a server remembers nothing about a page: not the leases that have ended, nor what a model answered.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass

from plaudit.server.faults import Forbidden
from plaudit.server.keyed_ids import hide_id, reveal_id


def sign(secret: bytes, purpose: str, *parts: object) -> str:
    """A hash over ``parts`` that only this server can make; ``purpose`` keeps one use apart from another."""
    text = json.dumps([purpose, *parts], ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), key=secret, person=b"plaudit-ticket", digest_size=16).hexdigest()


def verify(secret: bytes, signature: str, purpose: str, *parts: object) -> bool:
    """Whether ``signature`` is what :func:`sign` makes of the rest."""
    return hmac.compare_digest(signature.encode("utf-8", "replace"), sign(secret, purpose, *parts).encode())


@dataclass(frozen=True)
class Ticket:
    """A lease in the hands of a page: it also shows, when the lease has ended, whose it was and since when."""

    token: str  # Lease.token
    question: str  # Question.id
    claimed_at: float

    def write(self, secret: bytes, annotator: str) -> str:
        """As the page holds it."""
        token, claimed = self.disguise(secret), f"{self.claimed_at:.3f}"
        question = hide_id(secret, annotator, "question", self.question)
        signature = sign(secret, "lease", annotator, token, question, claimed)
        return "~".join((token, question, claimed, signature))

    def disguise(self, secret: bytes) -> str:
        """The token without what would tell checks from questions: it ends in the question's number, and these stand
        out by being asked before or after the others."""
        batch, dot, number = self.token.partition(".")
        return f"{batch}.{int(number) ^ _mask(secret, batch, self.question):016x}" if dot else batch

    @classmethod
    def read(cls, secret: bytes, annotator: str, text: str) -> Ticket:
        """The ticket that was written for ``annotator``; raises :class:`Forbidden` for any other."""
        parts = text.split("~")
        if len(parts) != 4 or not verify(secret, parts[3], "lease", annotator, *parts[:3]):
            raise Forbidden("this question was not given to you: load the page again")
        question = reveal_id(secret, annotator, "question", parts[1])
        batch, dot, hidden = parts[0].partition(".")
        token = f"{batch}.{int(hidden, 16) ^ _mask(secret, batch, question)}" if dot else batch
        return cls(token, question, float(parts[2]))


def _mask(secret: bytes, batch: str, question: str) -> int:
    return int(sign(secret, "number", batch, question)[:16], 16)
