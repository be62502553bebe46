"""Tickets that pages hold and cannot forge: keyed hashes over what the server told one person.

With them a server remembers nothing about a page: not the leases that have ended, nor what a model answered.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Literal

from plaudit.feedback.store import Store, StoreFault
from plaudit.server.faults import Forbidden
from plaudit.server.keyed_ids import STORED_ID, find_question, hide_id, reveal_id
from plaudit.types import PlauditError, Question

Form = Literal["keyed", "again", "stored"]
PURPOSES: dict[Form, str] = {"keyed": "keyed lease", "again": "lease again", "stored": "lease"}  # of their signatures


def sign(secret: bytes, purpose: str, *parts: object) -> str:
    """A hash over ``parts`` that only this server can make; ``purpose`` keeps one use apart from another."""
    text = json.dumps([purpose, *parts], ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), key=secret, person=b"plaudit-ticket", digest_size=16).hexdigest()


def verify(secret: bytes, signature: str, purpose: str, *parts: object) -> bool:
    """Whether ``signature`` is what :func:`sign` makes of the rest."""
    return hmac.compare_digest(signature.encode("utf-8", "replace"), sign(secret, purpose, *parts).encode())


@dataclass(frozen=True)
class Ticket:
    """A lease in the hands of a page: it also shows, when the lease has ended, whose it was and since when.

    Versions before keyed ids wrote tickets of the form "stored", with the stored id of the question, and their pages
    may still send them. Such a page also gets a ticket "again" when it takes a judgement back, but goes on to name the
    question by its stored id. Answers under both are accepted, so that an upgrade loses none.
    """

    token: str  # Lease.token
    question: str  # Question.id
    claimed_at: float
    form: Form = "keyed"

    def write(self, secret: bytes, annotator: str) -> str:
        """As the page holds it."""
        token, claimed = self.disguise(secret), f"{self.claimed_at:.3f}"
        question = self.shown_id(secret, annotator)
        signature = sign(secret, PURPOSES[self.form], annotator, token, question, claimed)
        return "~".join((token, question, claimed, signature))

    def shown_id(self, secret: bytes, annotator: str) -> str:
        """The question's id as the page knows it."""
        return self.question if self.form == "stored" else hide_id(secret, annotator, "question", self.question)

    def disguise(self, secret: bytes) -> str:
        """The token without what would tell checks from questions: it ends in the question's number, and these stand
        out by being asked before or after the others."""
        batch, dot, number = self.token.partition(".")
        return f"{batch}.{int(number) ^ _mask(secret, batch, self.question):016x}" if dot else batch

    @classmethod
    def read(cls, secret: bytes, annotator: str, text: str) -> Ticket:
        """The ticket that was written for ``annotator``; raises :class:`Forbidden` for any other."""
        parts = text.split("~")
        forms: list[Form] = [form for form in PURPOSES if len(parts) == 4 and _is_of(form, secret, annotator, parts)]
        if not forms:
            raise Forbidden("this question was not given to you: load the page again")
        question = parts[1] if forms == ["stored"] else reveal_id(secret, annotator, "question", parts[1])
        batch, dot, hidden = parts[0].partition(".")
        token = f"{batch}.{int(hidden, 16) ^ _mask(secret, batch, question)}" if dot else batch
        return cls(token, question, float(parts[2]), forms[0])


def find_leased(store: Store, secret: bytes, annotator: str, ticket: Ticket, public_id: str) -> Question:
    """The question of the ticket, which the page calls ``public_id``; raises :class:`PlauditError` if it is another's.

    A guess at a stored id is answered as any other wrong id is.
    """
    if public_id != ticket.shown_id(secret, annotator) and not (
        ticket.form == "again" and _is_foreign(store, secret, annotator, public_id)
    ):
        raise PlauditError("the lease is another question's: load the page again")
    return store.questions([ticket.question])[0]


def _is_foreign(store: Store, secret: bytes, annotator: str, public_id: str) -> bool:
    """Whether the text has the form of an id, and is no keyed one of the annotator's."""
    try:
        find_question(store, secret, annotator, public_id)
    except StoreFault:
        raise
    except PlauditError:
        return STORED_ID.fullmatch(public_id) is not None
    return False


def _is_of(form: Form, secret: bytes, annotator: str, parts: list[str]) -> bool:
    return verify(secret, parts[3], PURPOSES[form], annotator, *parts[:3])


def _mask(secret: bytes, batch: str, question: str) -> int:
    return int(sign(secret, "number", batch, question)[:16], 16)
