"""Files that others read and write: one file a format. A new file here with a ``FORMAT`` is a new format.

:data:`FORMATS` is the registry, by name. :func:`register` adds a program's own format.

A format turns one object of a file into records, and records into objects. Lines, arrays, compression, problems and the
store are the same for all of them, and stand in ``incoming`` and ``outgoing``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, get_args

from plaudit.feedback.formats._files import rows as read_rows
from plaudit.feedback.formats._format import Columns, Format, Scope
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Problems, Record, Row, Setting, make
from plaudit.types import PlauditError

__all__ = [
    "FORMATS",
    "Answer",
    "Fields",
    "Format",
    "Omissions",
    "Problems",
    "Record",
    "Row",
    "Setting",
    "find_format",
    "make",
    "merge_columns",
    "read_rows",
    "recognise",
    "register",
]
SHARED = ("command", "incoming", "outgoing", "preview")  # modules that are no formats
PROMPT_WORDS = (
    "prompt",
    "question",
    "instruction",
    "query",
    "input",
    "ask",
    "user",
    "post",
    "context",
    "problem",
    "text",
)
RESPONSE_WORDS = ("completion", "response", "output", "answer", "reply", "generation", "summary", "ideal")
DOTS = "..."  # for a column that the user must name
COLUMNS = 12  # names of columns that a message quotes


_formats: dict[str, Format] = {}
FORMATS: Mapping[str, Format] = MappingProxyType(_formats)


def register(form: Format) -> Format:
    """Add ``form`` to :data:`FORMATS`; raises :class:`PlauditError` when another has its name."""
    if _formats.setdefault(form.name, form) != form:
        raise PlauditError(f"there is a format called {form.name!r} already: choose another name")
    return form


for _file in iter_modules(__path__):
    if not _file.name.startswith("_") and _file.name not in SHARED:
        register(import_module(f"{__name__}.{_file.name}").FORMAT)


GUESSES = {  # what a user may call a format
    **dict.fromkeys(("dpo", "trl", "reward", "preferences", "chosen-rejected"), "preference"),
    **dict.fromkeys(("sft", "chat", "openai", "chatml"), "messages"),
    **dict.fromkeys(("hh", "anthropic"), "hh-rlhf"),
}


def find_format(name: str) -> Format:
    """The format called ``name``; raises :class:`PlauditError` when there is none."""
    if name not in FORMATS:
        word = str(name).casefold()
        nearest = [GUESSES[word]] if word in GUESSES else difflib.get_close_matches(word, FORMATS, n=1, cutoff=0.7)
        hint = f"did you mean {nearest[0]}? Choose" if nearest else "choose"
        raise PlauditError(f"there is no format called {name!r}: {hint} from {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def merge_columns(rows: Iterable[Row]) -> Columns:
    """Every column of several rows, with its values that are not null: what :func:`recognise` looks at."""
    columns = Columns()
    for row in rows:
        if isinstance(row.value, Mapping):
            columns.add(row.value)
    return columns


def recognise(columns: Any, file: str) -> Format:
    """The format of a file's first objects. A dataset's own columns are preferred to a layout, that to a fallback.

    Raises:
        PlauditError: no format, or more than one of the same scope, has such columns.
    """
    matches = [form for form in FORMATS.values() if isinstance(columns, Mapping) and form.sniff(columns)]
    best = [form for form in matches if form.scope == min(matches, key=_order).scope]
    if len(best) == 1:
        return best[0]
    if best:
        names = " or ".join(form.name for form in best)
        raise PlauditError(f"{file} could be several formats: say --format {names}")
    if not isinstance(columns, Mapping) or not columns:
        raise PlauditError(f"{file} does not begin with an object that has columns: check that it is the right file")
    names = list(map(str, columns))
    prompt = _guess(PROMPT_WORDS, names, names[0])
    response = _guess(RESPONSE_WORDS, [name for name in names if name != prompt], DOTS)
    raise PlauditError(
        f"{file} has the columns {', '.join(names[:COLUMNS])}, which belong to no known format: name "
        f"those that matter, such as --columns prompt={prompt} chosen=... rejected=... "
        f"(or completion={response}), or say --format"
    )


def _guess(words: Iterable[str], columns: list[str], default: str) -> str:
    """The column whose name sounds like a prompt's, or a response's."""
    return next((name for word in words for name in columns if word in name.casefold()), default)


def _order(form: Format) -> int:
    return get_args(Scope).index(form.scope)
