"""Rules for the names of people and projects."""

from __future__ import annotations

import re
import unicodedata

from plaudit.types import PlauditError

LONGEST = 64
SCRIPTS = {"LATIN", "CYRILLIC", "GREEK"}  # the alphabets whose letters pass for one another's
PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def clean_name(text: str) -> str:
    """A person's name in the form that is kept (NFC, no space around it); raises :class:`PlauditError`.

    1 to 64 characters, none of them a control or format character: two names that look alike must be one.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= LONGEST:
        raise PlauditError(f"a name has 1 to {LONGEST} characters, this one has {len(name)}")
    if any(
        unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp")
        for character in name
    ):
        raise PlauditError("a name has no control characters: type it again")
    if len(SCRIPTS & {unicodedata.name(character, "").split(" ")[0] for character in name}) > 1:
        raise PlauditError("a name mixes letters of alphabets that look alike: type it in one alphabet")
    if any(character in name for character in "/\\?#%") or name in (".", ".."):
        raise PlauditError("a name must not contain / \\ ? # %: it is part of addresses")
    return name


def check_project_name(name: str) -> str:
    """``name``, if a project may be called so; raises :class:`PlauditError`."""
    if not isinstance(name, str) or not PROJECT.fullmatch(name):
        raise PlauditError(
            f"a project's name has 1 to {LONGEST} letters, digits, dots, dashes and underscores, got {name!r:.82}"
        )
    return name
