"""Special tokens that a text spells out, such as ``<|im_end|>``.

By default they stay text, and only a chat template writes tokens: if they became tokens, a text could close its own
turn and open another. With ``--special-tokens learn`` texts spell tokens, which are learned and read back as written.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal

from plaudit.language.hub import PANIC
from plaudit.types import PlauditError

MARK = "\ufdd0\ufdef\ufdd0"  # noncharacters, which Unicode reserves for use inside programs: no text contains them
EXAMPLES = 4  # special tokens that a message names
Spelling = Literal["text", "learn"]


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer begins every text with a BOS token."""
    first = tokenizer("a")["input_ids"][0]
    return tokenizer.bos_token is not None and first == tokenizer.bos_token_id


def set_spelling(tokenizer: Any, spelling: Spelling) -> None:
    """Choose what a special token that a text spells out becomes: text, or the token."""
    tokenizer.spelling = spelling


def find_special(tokenizer: Any) -> dict[str, int]:
    """Special tokens by name; those that were added as special are among them."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {added_token.content: token for token, added_token in added.items() if added_token.special}
    return special | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))


class SpecialTokens:
    """Tells special tokens that a conversation spells out from those that its template writes.

    Attributes:
        learn: whether texts spell tokens.
        refused: texts in which a special token stayed text, each with the names of those tokens.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.learn = getattr(tokenizer, "spelling", "text") == "learn"
        self.refused: dict[str, tuple[str, ...]] = {}
        # a name of one character cannot be split
        special = {name: token for name, token in find_special(tokenizer).items() if len(name) > 1}
        self._name = {token: name for name, token in special.items()}
        names = sorted(special, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def mark(self, content: str) -> str:
        """The content for a template, with a mark inside each special token that it spells out and that stays text."""
        if self.learn or not self._names.search(content):
            return content
        self.refused[content] = tuple(dict.fromkeys(self._names.findall(content)))
        while self._names.search(content):  # repeated, because two names may overlap
            content = self._names.sub(lambda match: match[0][0] + MARK + match[0][1:], content)
        return content

    def count_refused(self) -> dict[str, int]:
        """The number of texts in which each special token stayed text."""
        return dict(Counter(name for names in self.refused.values() for name in names).most_common())

    def describe_refused(self, way_out: str = "--special-tokens learn reads them as tokens") -> list[str]:
        """One line about the texts in which special tokens stayed text; [] if there are none."""
        counts = self.count_refused()
        if not counts:
            return []
        examples = ", ".join(f"{name} in {count}" for name, count in list(counts.items())[:EXAMPLES])
        more = f" and {len(counts) - EXAMPLES} more" if len(counts) > EXAMPLES else ""
        texts = "1 text spells" if len(self.refused) == 1 else f"{len(self.refused)} texts spell"
        line = f"{texts} special tokens of the model ({examples}{more}), which are read as plain text"
        return [f"{line}: {way_out}" if way_out else line]

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
        return (
            "a text contains a special token of the model, and the tokenizer cannot read it as text: remove it, or "
            "read it as a token (--special-tokens learn)"
        )


def read_special(tokenizer: Any, texts: Iterable[str]) -> SpecialTokens:
    """The special tokens of a model, after these texts were searched for them."""
    special_tokens = SpecialTokens(tokenizer)
    for text in texts:
        special_tokens.mark(text)
    return special_tokens


def release_learned(tokenizer: Any, ends: Collection[int], template_text: str, folder: Path) -> None:
    """Make the special tokens that texts may spell ordinary tokens in a saved tokenizer, if texts spelled them.

    Plain transformers, and every command of Plaudit, then reads and writes them as the training did. Tokens that a
    template writes, that end a text, or that have a role (such as padding) stay special.

    ends: tokens that end a completion. template_text: the text that the chat template writes around messages.
    """
    roles = set(tokenizer.special_tokens_map.values()) if tokenizer.special_tokens_map else set()
    learned = {
        name
        for name, token in find_special(tokenizer).items()
        if token not in ends and name not in template_text and name not in map(str, roles)
    }
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        if learned and path.exists():
            stored = json.loads(path.read_bytes())
            path.write_text(json.dumps(_release(stored, learned), indent=2, ensure_ascii=False), encoding="utf-8")


def _release(stored: dict[str, Any], learned: Collection[str]) -> dict[str, Any]:
    """A file of a tokenizer in which these tokens are not special."""
    added = [*stored.get("added_tokens", ()), *stored.get("added_tokens_decoder", {}).values()]
    for entry in added:
        if entry["content"] in learned:
            entry["special"] = False
    for field in ("extra_special_tokens", "additional_special_tokens"):
        names = stored.get(field)
        if isinstance(names, list):
            stored[field] = [name for name in names if _content(name) not in learned]
        elif isinstance(names, dict):
            stored[field] = {role: name for role, name in names.items() if _content(name) not in learned}
    return stored


def _content(name: Any) -> str:
    return str(name["content"] if isinstance(name, dict) else name)
