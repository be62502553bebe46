"""Faults that both databases have in common, each said in one line."""

from __future__ import annotations

import json
from typing import TypeVar

from plaudit.types import PlauditError

Shape = TypeVar("Shape")

UNSTORABLE = (UnicodeEncodeError, OverflowError)  # what drivers raise for text and numbers they cannot hand over


class StoreFault(PlauditError):
    """The store is at fault, and not what was asked of it: it is damaged, may only be read, or refuses. 503.

    Somebody has to mend it; then the same request is right as it was.
    """


class StoreUnavailable(StoreFault):
    """The database cannot be reached or written just now, and trying again later may work: 503, with Retry-After.

    Nothing was entered; or, where the connection was lost in the very moment of the commit, all of it was. A judgement
    that is sent again with its id is safe either way.
    """


def stored_json(text: str, subject: str, shape: type[Shape]) -> Shape:
    """JSON that the store holds as ``subject``, as a ``shape``; raises :class:`StoreFault` if it is damaged."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError, TypeError) as error:
        raise StoreFault(f"{subject} in the store cannot be read ({first_line(error)}): restore a backup") from error
    if not isinstance(value, shape):
        raise StoreFault(f"{subject} in the store has another form than it was written in: restore a backup")
    return value


def unstorable(name: str, reason: object) -> PlauditError:
    """What was to be stored is no Unicode text, or a number too large for its column."""
    return PlauditError(
        f"{name} cannot store this ({first_line(reason)}): send Unicode text and numbers of ordinary size"
    )


def first_line(error: object) -> str:
    """What ``error`` says, without what follows after a line's end."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
