"""Special tokens that somebody's text spells out. They stay text: only a chat template writes the tokens themselves.

Read as tokens they would cut a response where it says ``<|im_end|>``, and let it close its own turn and open another.
"""

from __future__ import annotations

import re
from typing import Any

from plaudit.types import PlauditError

MARK = "\ufdd0\ufdef\ufdd0"  # noncharacters, which Unicode keeps for use inside of programs: no text holds them


def begins(tokenizer: Any) -> bool:
    """Whether every text of a model's begins with a token for that, which its tokenizer writes by itself."""
    first = tokenizer("a")["input_ids"][0]
    return tokenizer.bos_token is not None and first == tokenizer.bos_token_id


class Spelled:
    """Keeps what a conversation spells out apart from what its template writes."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {})
        found = {each.content: token for token, each in added.items() if each.special}
        found |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        found = {name: token for name, token in found.items() if len(name) > 1}  # of one character nothing can be split
        self._name = {token: name for name, token in found.items()}
        names = sorted(found, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def kept(self, content: str) -> str:
        """The content for a template to write, with a mark inside of each special token that it spells out."""
        while self._names.search(content):  # again, because two names may overlap
            content = self._names.sub(lambda found: found[0][0] + MARK + found[0][1:], content)
        return content

    def tokens(self, text: str) -> list[int]:
        """The tokens of what a template wrote; PlauditError as :meth:`placed`."""
        if MARK in text:
            return self.placed(text)[0]
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def placed(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Its tokens, and where each begins and ends in the text without marks, in characters.

        Raises:
            PlauditError: there are marks, and this tokenizer cannot leave special tokens unread.
        """
        whole = self._encoded(text)
        if MARK not in text:
            return whole["input_ids"], whole["offset_mapping"]
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        begin = at = 0  # where a stretch without special tokens begins, with and without marks
        for token, start, end in [*self._special(text, whole), (None, len(text), len(text))]:
            stretch = text[begin:start].replace(MARK, "")
            if stretch:
                read = self._encoded(stretch, split_special_tokens=True)
                if self._special(stretch, read):
                    raise PlauditError(self._cannot())
                ids += read["input_ids"]
                places += [(at + first, at + last) for first, last in read["offset_mapping"]]
                at += len(stretch)
            if token is not None:
                ids.append(token)
                places.append((at, at + end - start))
            at += end - start
            begin = end
        return ids, places

    def _special(self, text: str, read: Any) -> list[tuple[int, int, int]]:
        """Special tokens that were read by their names, and where; an unknown token stands for other characters."""
        every = zip(read["input_ids"], read["offset_mapping"], strict=True)
        return [(token, a, b) for token, (a, b) in every if self._name.get(token) == text[a:b].strip()]

    def _encoded(self, text: str, **more: Any) -> Any:
        if MARK in text and not self._tokenizer.is_fast:
            raise PlauditError(self._cannot())
        return self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, **more)

    def _cannot(self) -> str:
        return (
            "a text spells out a special token of the model's, and its tokenizer cannot read that as text: leave it out"
        )
