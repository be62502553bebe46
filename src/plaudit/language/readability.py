"""How many years of school a reader needs for an English text, by two formulas that count different things.

Both are estimates from averages, made for passages of a hundred words; on two sentences they are rough. They say
nothing about whether a text is true or complete.
"""

from __future__ import annotations

import re

from plaudit.language.measures import words

END = re.compile(r"[.!?\u2026]+(?=\s|[\"'\u2019\u201d)\]]|\Z)")  # of a sentence; not the point of 3.5
VOWELS = re.compile(r"[aeiouy]+")
SILENT = re.compile(r"(?:[^laeiouy]es|[^aeiouy]ed|[^laeiouy]e)\Z")  # "makes", "pushed", "make"; not "little"
VOICED = re.compile(r"(?:[sxz]es|[cs]hes|[cg]es|[td]ed)\Z")  # "boxes", "washes", "places", "melted"


def count_sentences(text: str) -> int:
    """Sentences of a text, at least 1; what is left after the last end counts if it holds a word."""
    parts = END.split(text)
    return max(sum(bool(words(part)) for part in parts), 1)


def count_syllables(word: str) -> int:
    """Syllables of an English word in lower case, at least 1, by groups of vowels; right for about nine in ten."""
    syllables = len(VOWELS.findall(word))
    if syllables > 1 and SILENT.search(word) and not VOICED.search(word):
        syllables -= 1
    return max(syllables, 1)


def flesch_kincaid(text: str) -> float:
    """School grade by words per sentence and syllables per word; NaN without a word.

    0.39 W/S + 11.8 Y/W - 15.59 for W words, S sentences and Y syllables: Kincaid et al. 1975, table 8.
    """
    tokens = words(text)
    if not tokens:
        return float("nan")
    syllables = sum(map(count_syllables, tokens))
    return 0.39 * len(tokens) / count_sentences(text) + 11.8 * syllables / len(tokens) - 15.59


def coleman_liau(text: str) -> float:
    """School grade by letters per word and sentences per word, without syllables; NaN without a word.

    5.88 L/W - 29.6 S/W - 15.8 for L letters and digits, W words and S sentences: Coleman and Liau 1975.
    """
    tokens = words(text)
    if not tokens:
        return float("nan")
    letters = sum(character.isalnum() for token in tokens for character in token)
    return 5.88 * letters / len(tokens) - 29.6 * count_sentences(text) / len(tokens) - 15.8
