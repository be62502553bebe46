"""Words that a chat template adds to messages, such as an instruction before each; marks of turns are no such words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

TAGS = re.compile(r"<[^<>\s]{1,60}>|<<[^<>]{1,60}>>|\[/?[^\[\]\n]{1,40}\]|[#*=|]{2,}")  # marks of turns
LABEL = re.compile(r"^[^\W\d_]+(?: [^\W\d_]+)?:$")  # such as "Human:"
ROLES = frozenset(("user", "assistant", "system", "model", "human", "bot", "ai", "gpt"))
SENTENCE = re.compile(r"(?:[^\W\d_]{2,}[ ,.]+){2,}[^\W\d_]{2,}")  # three words in a row
WORD = re.compile(r"[^\W\d_]{2,}")
GAP = "\0"  # in place of a mark


def find_added(output: str, texts: Sequence[str], skips_opening: bool, special_tokens: Mapping[str, Any]) -> str:
    """The first words that a template adds; "" if it adds none.

    output: a conversation as the template writes it. texts: its messages. skips_opening: do not look before the first
    message, where a system message was found.
    """
    names = [name for name in special_tokens.values() if isinstance(name, str) and name]
    for name in sorted(names, key=len, reverse=True):
        output = output.replace(name, GAP)
    output = TAGS.sub(GAP, output)
    segments = re.split("|".join(map(re.escape, texts)), output)
    for index, segment in enumerate(segments):
        if skips_opening and index == 0:
            continue
        sentence = next((part for part in segment.split(GAP) if SENTENCE.search(part)), None)
        if sentence is not None:
            return sentence.strip()
        parts = re.split(rf"[{GAP}\n]", segment)
        neighbours = [*(parts[:1] if index else ()), *(parts[-1:] if index < len(segments) - 1 else ())]
        for neighbour in neighbours:  # what touches a message
            words = neighbour.strip()
            if WORD.search(words) and not LABEL.match(words) and words.lower() not in ROLES:
                return words
    return ""
