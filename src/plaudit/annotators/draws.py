"""Random draws that depend on names alone: the same in any process, in any order, after any crash."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*names: object) -> np.random.Generator:
    """A generator seeded by the BLAKE2b hash of ``names``; Python's own ``hash`` differs between processes."""
    text = "\x1f".join(str(name) for name in names)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def sides(question: str, items: int, seed: int = 0) -> tuple[int, ...]:
    """The order in which a question's items are shown: a uniform permutation that depends on the names alone."""
    return tuple(int(item) for item in generator("sides", seed, question).permutation(items))
