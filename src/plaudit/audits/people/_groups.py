"""The group of each annotator."""

from __future__ import annotations

import numpy as np

from plaudit.audits.people._answers import Pairs
from plaudit.audits.subject import Subject
from plaudit.reward.groups import read_groups
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
