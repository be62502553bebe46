"""The group of each annotator."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from plaudit.audits.people._answers import Pairs
from plaudit.audits.subject import Subject
from plaudit.run.disk import disk_errors
from plaudit.types import Array, PlauditError, shorten

MOST_GROUPS = 50


def group_of_each(subject: Subject, pairs: Pairs) -> tuple[Array, tuple[str, ...]]:
    """The group of each pair's annotator (N,) int, -1 for none, and the groups' names.

    Raises:
        PlauditError: there are not two groups; a file of groups cannot be read.
    """
    files = subject.config.groups
    if not files:
        if len(pairs.annotators) < 2:
            raise PlauditError(
                f"all answers are by {', '.join(pairs.annotators)}: a group needs others to compare with"
            )
        if len(pairs.annotators) > MOST_GROUPS:
            raise PlauditError(f"there are {len(pairs.annotators)} annotators: name their groups with --groups FILE")
        return pairs.annotator, pairs.annotators
    groups: dict[str, str] = {}
    for path in files:
        groups |= read_groups(path)
    names = tuple(sorted({groups[name] for name in pairs.annotators if name in groups}))
    if len(names) < 2:
        listed = shorten(", ".join(pairs.annotators), 120)
        raise PlauditError(f"{files[0]} names {len(names)} groups of those who answered ({listed}): it needs two")
    index = np.array([names.index(groups[name]) if name in groups else -1 for name in pairs.annotators])
    return index[pairs.annotator], names


def read_groups(path: Path) -> dict[str, str]:
    """The group of each annotator: a JSON object, or a table (.csv) with the columns annotator and group.

    Raises:
        PlauditError: the file is neither.
    """
    with disk_errors(path):
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    form = (
        f'{path}: a file of groups is {{"annotator": "group"}} in JSON, or a CSV with the columns annotator and group'
    )
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PlauditError(form) from error
        return {str(name): str(group) for name, group in content.items()}
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or not {"annotator", "group"} <= set(rows[0]):
        raise PlauditError(form)
    return {row["annotator"]: row["group"] for row in rows if row["annotator"] and row["group"]}
