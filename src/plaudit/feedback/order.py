"""The order in which an annotator sees the items of a question: pseudo-random, and the same at each look."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from plaudit.types import Question

Order = Callable[[Question, str], tuple[int, ...]]  # from a question and an annotator


def order_by_id(question: Question, annotator: str) -> tuple[int, ...]:
    """The order by the stored id. The web app uses a keyed id instead, which tells nothing about the items."""
    return shown_order(question.id, annotator, len(question.items))


def shown_order(question: str, annotator: str, count: int) -> tuple[int, ...]:
    """A permutation of ``range(count)`` that looks random and follows from the question and the annotator.

    Position ``p`` on the page shows item ``order[p]``. The order need not be stored: a page that is loaded again, and
    an answer after the end of its lease, have the same one.
    """
    texts = (f"{question}\x1f{annotator}\x1f{position}" for position in range(count))
    digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]
    return tuple(sorted(range(count), key=digests.__getitem__))
