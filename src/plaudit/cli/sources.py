"""The model that a name on the command line means."""

from __future__ import annotations

from pathlib import Path

from plaudit import layout
from plaudit.run.language.saved import find_model
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, CONTROL
from plaudit.types import PlauditError


def model_of(name: str, before: bool = False) -> str:
    """The model that ``name`` means: a run's policy (its fine-tuned model if ``before``), or the name itself.

    Raises:
        PlauditError: the run holds an agent, or has no model yet; ``before`` without a run of a chat.
    """
    folder = Path(name)
    from_run = (folder / layout.CONFIG).exists() and is_run(folder)
    if before and not (from_run and kind_of(folder) in (CHAT, CONTROL)):
        kind = f"one of {kind_of(folder)}" if from_run else "not one"
        raise PlauditError(f"--before needs a run of plaudit train chat, and {name} is {kind}")
    return str(find_model(folder, layout.SFT if before else layout.POLICY)) if from_run else name


def is_run(folder: Path) -> bool:
    """Whether a folder with a config.json holds a run, and not a model, whose settings have that name, too."""
    return (folder / layout.CHECKPOINTS).is_dir()
