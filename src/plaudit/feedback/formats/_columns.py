"""``--columns FIELD=COLUMN``: the columns of any file, renamed to the fields of a format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from plaudit.feedback.formats._record import Row, parse_cell
from plaudit.types import PlauditError

STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
JOINTS = re.compile(r"[\s-]+|(?<=[a-z0-9])(?=[A-Z])")
Path = tuple[str | int, ...]  # such as ("data", "turns", 0) for data.turns[0]


def parse_columns(arguments: Sequence[str]) -> dict[str, Path]:
    """The path of each field of ``FIELD=COLUMN`` arguments; a column may be a path, such as ``data.turns[0].text``.

    Raises:
        PlauditError: an argument is not of this form, or names a field twice.
    """
    columns: dict[str, Path] = {}
    for argument in arguments:
        name, mark, column = argument.partition("=")
        steps = _parse_path(column)
        if not (mark and name.strip() and steps):
            raise PlauditError(f"--columns {argument} must be FIELD=COLUMN, such as prompt=question or prompt=turns[0]")
        if name in columns:
            raise PlauditError(f"--columns names the field {name!r} twice: name it once")
        columns[name] = steps
    return columns


def _parse_path(column: str) -> Path:
    steps: list[str | int] = []
    position = 0
    while position < len(column):
        match = STEP.match(column, position)
        if match is None:
            return ()
        steps.append(match[1] if match[1] is not None else int(match[2]))
        position = match.end()
    return tuple(steps)


def normalise_names(names: Iterable[Any]) -> dict[str, Path]:
    """Columns by their names in small letters, with "_" between words, where that is another name."""
    texts = [name for name in names if isinstance(name, str)]
    columns: dict[str, Path] = {}
    for name in texts:
        plain = JOINTS.sub("_", name.strip()).casefold()
        if plain not in texts:
            columns.setdefault(plain, (name,))
    return columns


def spell(path: Path) -> str:
    """A path as ``--columns`` takes it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def rename(rows: Iterable[Row], columns: Mapping[str, Path]) -> Iterator[Row]:
    """Rows with their columns renamed; a row that is no object stays as it is. A field without a value is null."""
    for row in rows:
        if not isinstance(row.value, Mapping):
            yield row
            continue
        fields = {name: _look_up(row.value, path) for name, path in columns.items()}
        sources = {path[0] for path in columns.values()}
        unmapped = {name: value for name, value in row.value.items() if name not in sources}
        yield replace(row, value=unmapped | fields)


def _look_up(value: Any, path: Path) -> Any:
    if value.get(".".join(map(str, path))) is not None:  # a column whose own name has a dot in it
        return value[".".join(map(str, path))]
    for step in path:
        value = parse_cell(value)
        if isinstance(step, int):
            value = value[step] if isinstance(value, list | tuple) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value
