"""Special tokens that a text spells out, such as ``<|im_end|>``. They stay text: only a chat template writes tokens.

If they became tokens, a text could close its own turn and open another.
"""

from __future__ import annotations

import re
from typing import Any

from plaudit.language.hub import PANIC
from plaudit.types import PlauditError

MARK = "\ufdd0\ufdef\ufdd0"  # noncharacters, which Unicode reserves for use inside programs: no text contains them


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer begins every text with a BOS token."""
    first = tokenizer("a")["input_ids"][0]
    return tokenizer.bos_token is not None and first == tokenizer.bos_token_id


class SpecialTokens:
    """Tells special tokens that a conversation spells out from those that its template writes."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {added_token.content: token for token, added_token in added.items() if added_token.special}
        special |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        # a name of one character cannot be split
        special = {name: token for name, token in special.items() if len(name) > 1}
        self._name = {token: name for name, token in special.items()}
        names = sorted(special, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def mark(self, content: str) -> str:
        """The content for a template, with a mark inside each special token that it spells out."""
        while self._names.search(content):  # repeated, because two names may overlap
            content = self._names.sub(lambda match: match[0][0] + MARK + match[0][1:], content)
        return content

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text that a template wrote; raises as :meth:`tokens_with_offsets`."""
        if MARK in text:
            return self.tokens_with_offsets(text)[0]
        return self._read(text)["input_ids"]

    def tokens_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """A text's tokens, and where each begins and ends in the text without marks, in characters.

        Raises:
            PlauditError: the text has marks, and this tokenizer cannot read special tokens as text.
        """
        whole = self._encode(text)
        if MARK not in text:
            return whole["input_ids"], whole["offset_mapping"]
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        begin = position = 0  # start of the stretch without special tokens, with and without marks
        for token, start, end in [*self._special(text, whole), (None, len(text), len(text))]:
            stretch = text[begin:start].replace(MARK, "")
            if stretch:
                read = self._encode(stretch, split_special_tokens=True)
                if self._special(stretch, read):
                    raise PlauditError(self._cannot())
                ids += read["input_ids"]
                offsets += [(position + first, position + last) for first, last in read["offset_mapping"]]
                position += len(stretch)
            if token is not None:
                ids.append(token)
                offsets.append((position, position + end - start))
            position += end - start
            begin = end
        return ids, offsets

    def _special(self, text: str, read: Any) -> list[tuple[int, int, int]]:
        """Special tokens that were read from their names, with begin and end; an unknown token has other characters."""
        tokens = zip(read["input_ids"], read["offset_mapping"], strict=True)
        return [(token, a, b) for token, (a, b) in tokens if self._name.get(token) == text[a:b].strip()]

    def _encode(self, text: str, **more: Any) -> Any:
        if MARK in text and not self._tokenizer.is_fast:
            raise PlauditError(self._cannot())
        return self._read(text, return_offsets_mapping=True, **more)

    def _read(self, text: str, **more: Any) -> Any:
        try:
            return self._tokenizer(text, add_special_tokens=False, **more)
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            raise PlauditError(
                f"the model's tokenizer fails on a text of {len(text)} characters ({error}): leave it out"
            ) from error

    def _cannot(self) -> str:
        return "a text contains a special token of the model, and the tokenizer cannot read it as text: remove it"
