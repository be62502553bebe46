"""Measures of text alone: its words, how varied they are, and how often they repeat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

UNSPACED = r"\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Japanese and Chinese characters
# two of those are a word, as they are on average; "don't" is one, with either apostrophe; "state-of-the-art" is four
WORD = re.compile(rf"[{UNSPACED}]{{1,2}}|[^\W{UNSPACED}]+(?:['\u2019][^\W{UNSPACED}]+)*")
REPEATED = 4  # words of the n-grams by which repetition is counted


def words(text: str) -> list[str]:
    """Its words in lower case, without punctuation."""
    return [word.lower() for word in WORD.findall(text)]  # not before: "\u0130" becomes two characters


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of n neighbouring tokens."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams over all n-grams of all texts: distinct-n of Li et al. 2016, section 4.3. NaN without any.

    It falls as text grows longer, so hold it only against that of as many texts of about the same length.
    """
    grams = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def repetition(text: Sequence[str], n: int = REPEATED) -> float:
    """Share of a text's n-grams that occurred earlier in it: seq-rep-n of Welleck et al. 2020, eq. 10. NaN if empty."""
    grams = ngrams(text, n)
    return 1 - len(set(grams)) / len(grams) if grams else float("nan")


def unrelated_texts() -> list[str]:
    """Ten short texts that no run trains on, written for this package: what a model should still be able to read."""
    return (files("plaudit.language") / "unrelated.txt").read_text("utf-8").strip().split("\n\n")
