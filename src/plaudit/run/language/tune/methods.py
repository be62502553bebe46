"""The methods of `plaudit tune`. A new one is a file beside these and a row here."""

from __future__ import annotations

from typing import Any

from plaudit.run.language.tune.distill import DISTILL
from plaudit.run.language.tune.dpo import DPO
from plaudit.run.language.tune.method import Method
from plaudit.run.language.tune.reward import REWARD
from plaudit.run.language.tune.sft import SFT
from plaudit.run.language.tune.spans import SPANS

METHODS: dict[str, Method[Any]] = {method.name: method for method in (SFT, REWARD, SPANS, DPO, DISTILL)}
