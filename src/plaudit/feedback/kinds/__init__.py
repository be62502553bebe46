"""What a person can say: one file a kind. A new file here with a ``KIND`` is a new kind; nothing else changes.

:data:`KINDS` is the registry, by name: iterate over it to list the kinds. :func:`register` adds a program's own.
Nothing converts one kind into another silently: a judgement is read by the kind of its question.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from plaudit.feedback.kinds._kind import Kind, Score
from plaudit.types import PlauditError

__all__ = ["KINDS", "Kind", "Score", "kind", "register"]

_kinds: dict[str, Kind] = {}
KINDS: Mapping[str, Kind] = MappingProxyType(_kinds)


def register(new: Kind) -> Kind:
    """Add ``new`` to :data:`KINDS`; raises :class:`PlauditError` when another has its name."""
    if _kinds.setdefault(new.name, new) != new:
        raise PlauditError(f"there is a kind of feedback called {new.name!r} already: choose another name")
    return new


def kind(name: str) -> Kind:
    """The kind called ``name``; raises :class:`PlauditError` when there is none."""
    if name not in KINDS:
        raise PlauditError(f"there is no kind of feedback called {name!r}: choose from {', '.join(sorted(KINDS))}")
    return KINDS[name]


for _file in iter_modules(__path__):
    if not _file.name.startswith("_"):  # what kinds share
        register(import_module(f"{__name__}.{_file.name}").KIND)
