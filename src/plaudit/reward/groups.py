"""The group of each annotator, as settings or a file name it.

It imports no torch, so that files alone can be audited.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from plaudit.types import PlauditError

FORM = 'a file of groups is {"annotator": "group"} in JSON, or a CSV with the columns annotator and group'


def read_groups(path: Path) -> dict[str, str]:
    """The group of each annotator: a JSON object, or a table (.csv) with the columns annotator and group.

    Raises:
        PlauditError: the file is neither, or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise PlauditError(f"cannot read {path} ({error.strerror or error}): {FORM}") from error
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PlauditError(f"{path}: {FORM}") from error
        return {str(name): str(group) for name, group in content.items()}
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or not {"annotator", "group"} <= set(rows[0]):
        raise PlauditError(f"{path}: {FORM}")
    return {row["annotator"]: row["group"] for row in rows if row["annotator"] and row["group"]}


def is_file(entry: str) -> bool:
    """Whether an entry of a setting names a file, and not a group as ANNOTATOR=GROUP."""
    return "=" not in entry


def resolve_groups(entries: Sequence[str]) -> dict[str, str]:
    """The group of each annotator, by entries such as ``"ada=experts"`` and ``"groups.csv"``; later ones count.

    Raises:
        PlauditError: a file cannot be read.
    """
    groups: dict[str, str] = {}
    for entry in entries:
        if is_file(entry):
            groups |= read_groups(Path(entry))
        else:
            name, _, group = entry.rpartition("=")
            groups[name] = group
    return groups


def check_entries(entries: Sequence[str]) -> None:
    """Raise :class:`PlauditError` if an entry is neither ANNOTATOR=GROUP nor the name of a file."""
    for entry in entries:
        looks_right = entry.endswith((".csv", ".json")) if is_file(entry) else all(entry.rpartition("=")[::2])
        if not looks_right:
            raise PlauditError(
                "reward.groups must be ANNOTATOR=GROUP, such as ada=experts, or a file (.csv, .json) of groups, got "
                f"{entry!r}"
            )
