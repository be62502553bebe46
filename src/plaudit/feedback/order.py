"""The order in which an annotator sees the items of a question: pseudo-random, and the same at each look."""

from __future__ import annotations

import hashlib


def shown_order(question: str, annotator: str, count: int) -> tuple[int, ...]:
    """A permutation of ``range(count)`` that looks random and follows from the question and the annotator.

    Position ``p`` on the page shows item ``order[p]``. The order need not be stored: a page that is loaded again, and
    an answer after the end of its lease, have the same one.
    """
    texts = (f"{question}\x1f{annotator}\x1f{position}" for position in range(count))
    digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]
    return tuple(sorted(range(count), key=digests.__getitem__))
