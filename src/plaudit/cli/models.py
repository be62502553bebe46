"""The argument of every command that loads a model and trains none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class ModelArguments:
    """Whether code that comes with a model may run."""

    trust_remote_code: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run Python code that a model's author put next to the weights, with the rights of this process."""
