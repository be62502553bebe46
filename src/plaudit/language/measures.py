"""What can be measured on text alone: words, how varied they are, how often they repeat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

WORD = re.compile(r"\w+(?:['\u2019]\w+)*")  # don't is one word, with either apostrophe
REPEATED = 4  # words of the n-grams by which repetition is counted


def words(text: str) -> list[str]:
    """Its words in lower case, without punctuation. A script without spaces has few, long ones."""
    return WORD.findall(text.lower())


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every n neighbours."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams over all n-grams of all texts: distinct-n of Li et al. 2016, section 4.3. NaN without any.

    It falls as text grows longer, so hold it only against that of as many texts of about the same length.
    """
    every = [each for text in texts for each in ngrams(text, n)]
    return len(set(every)) / len(every) if every else float("nan")


def repetition(text: Sequence[str], n: int = REPEATED) -> float:
    """Share of a text's n-grams that stood in it before: seq-rep-n of Welleck et al. 2020, eq. 10. NaN without any."""
    every = ngrams(text, n)
    return 1 - len(set(every)) / len(every) if every else float("nan")


def unrelated() -> list[str]:
    """Ten short texts that no run trains on, written for this package: what a model should still be able to read."""
    return (files("plaudit.language") / "unrelated.txt").read_text("utf-8").strip().split("\n\n")
