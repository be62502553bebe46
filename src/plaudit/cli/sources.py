"""The model that a name on the command line means."""

from __future__ import annotations

from pathlib import Path

from plaudit import layout
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, CONTROL
from plaudit.types import PlauditError


def model_of(name: str, before: bool = False) -> str:
    """The model that ``name`` means: a run's policy (its fine-tuned model if ``before``), or the name itself.

    Raises:
        PlauditError: the run holds an agent, or has no model yet; ``before`` without a run of a chat.
    """
    folder = Path(name)
    if not (folder / layout.CONFIG).exists() or not is_run(folder):
        if before:
            raise PlauditError(f"--before needs a run of plaudit train chat, and {name} is not one")
        return name
    kind = kind_of(folder)
    if kind == CONTROL:
        raise PlauditError(f"{folder} holds an agent, not a language model: see what it does with plaudit watch")
    if before and kind != CHAT:
        raise PlauditError(f"--before needs a run of plaudit train chat, and {name} is one of {kind}")
    part = (layout.SFT if before else layout.POLICY) if kind == CHAT else layout.MODEL
    if not (folder / part).is_dir():
        raise PlauditError(f"{folder} has no {part}/ yet: finish it with plaudit resume {folder}")
    return str(folder / part)


def is_run(folder: Path) -> bool:
    """Whether a folder with a config.json holds a run, and not a model, whose settings have that name, too."""
    return (folder / layout.CHECKPOINTS).is_dir()
