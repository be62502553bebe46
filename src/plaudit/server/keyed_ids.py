"""Keyed ids: the ids of questions and items as one person sees them.

A stored id is a hash over texts and the model's name. A script that sees it could try names of models until the hash
fits. So pages and the API show each person an encrypted id, which only this server can turn back. The encryption is a
Feistel network of four rounds over the 128 bits of an id; the key depends on the person and on the purpose.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Literal

from plaudit.feedback.kinds import kind
from plaudit.feedback.order import shown_order
from plaudit.feedback.store import Store, StoreFault
from plaudit.types import PlauditError, Question

Purpose = Literal["question", "item"]
STORED_ID = re.compile(r"[0-9a-f]{32}")
ROUNDS = 4
HALF = 8  # bytes


def hide_id(secret: bytes, person: str, purpose: Purpose, identity: str) -> str:
    """The id that ``person`` sees in place of the stored ``identity``."""
    return _encrypt(secret, person, purpose, identity, range(ROUNDS))


def reveal_id(secret: bytes, person: str, purpose: Purpose, public_id: str) -> str:
    """The stored id behind :func:`hide_id`. A text of another form stays as it is, and is no id."""
    return _encrypt(secret, person, purpose, public_id, range(ROUNDS)[::-1])


def find_question(store: Store, secret: bytes, person: str, public_id: str) -> Question:
    """The question that ``person`` sees under this id. The fault does not tell what the id stands for otherwise."""
    try:
        return store.questions([reveal_id(secret, person, "question", public_id)])[0]
    except StoreFault:
        raise
    except PlauditError:
        raise PlauditError(f"the store has no question {public_id[:64]!r} for you: load the page again") from None


def order_of(secret: bytes, question: Question, annotator: str) -> tuple[int, ...]:
    """The item at each position on the page, drawn for this annotator unless the kind fixes the order.

    It follows from the id that the annotator sees, so that it tells nothing about the stored one.
    """
    return _order(question, annotator, hide_id(secret, annotator, "question", question.id))


def earlier_order(question: Question, annotator: str) -> tuple[int, ...]:
    """The order in which versions before keyed ids showed the items."""
    return _order(question, annotator, question.id)


def _order(question: Question, annotator: str, identity: str) -> tuple[int, ...]:
    count = len(question.items)
    return shown_order(identity, annotator, count) if kind(question.kind).shuffled else tuple(range(count))


def _encrypt(secret: bytes, person: str, purpose: Purpose, identity: str, rounds: range) -> str:
    if not STORED_ID.fullmatch(identity):
        return identity
    key = _key(secret, person, purpose)
    block = bytes.fromhex(identity)
    left, right = block[:HALF], block[HALF:]
    for number in rounds:
        mask = hashlib.blake2b(right, key=key, salt=bytes([number]), digest_size=HALF).digest()
        left, right = right, bytes(a ^ b for a, b in zip(left, mask, strict=True))
    return (right + left).hex()  # the halves change places, so that the reversed rounds undo the network


@lru_cache(maxsize=1000)
def _key(secret: bytes, person: str, purpose: Purpose) -> bytes:
    text = f"{purpose} {person}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=secret, person=b"plaudit-id", digest_size=32).digest()
