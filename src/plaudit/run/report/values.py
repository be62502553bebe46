"""Rows of numbers as training wrote them.

Anything may be missing, as it is in a run that has just begun: ``None``, NaN and empty arrays are shown as
"not measured yet", never as zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.types import Array

Number = float | int | None
Record = Mapping[str, Any]


def column(records: Sequence[Record] | None, key: str) -> Array:
    """One metric over the records, (len(records),) float64, NaN where it is missing, null or no finite number."""
    values = np.full(len(records or ()), np.nan)
    for index, record in enumerate(records or ()):
        value = record.get(key)
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            values[index] = value
    values[~np.isfinite(values)] = np.nan
    return values


def is_known(value: Number) -> bool:
    """Whether a number was measured: neither ``None`` nor NaN nor infinite."""
    return value is not None and math.isfinite(value)
