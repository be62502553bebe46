"""Where the models of a run folder stand."""

from __future__ import annotations

from pathlib import Path

from plaudit import layout
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, CONTROL
from plaudit.types import PlauditError


def find_model(folder: Path, part: str) -> Path:
    """The folder of a language model that a run has trained.

    Args:
        part: which of the three models of ``plaudit train chat``: `layout.SFT`, `layout.REWARD` or `layout.POLICY`.
            Other runs have one model, which is the answer to any of them.

    Raises:
        PlauditError: the folder holds no run, an agent, or no such model yet.
    """
    kind = kind_of(folder)
    if kind == CONTROL:
        raise PlauditError(
            f"{folder} holds an agent, not a language model: see what it does with plaudit watch, "
            "or wrap its environment in plaudit.LearnedReward"
        )
    model = folder / (part if kind == CHAT else layout.MODEL)
    if not model.is_dir():
        raise PlauditError(f"{folder} has no {model.name}/ yet: finish it with plaudit resume {folder}")
    return model
