"""``plaudit.load_reward``: a learned reward of texts, also as the reward function of TRL's trainers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from plaudit import layout
from plaudit.api.paths import check_path
from plaudit.language.classifiers import read_labels
from plaudit.language.heads import HEADS
from plaudit.language.models import ModelConfig, device_of
from plaudit.language.reward import TextReward
from plaudit.language.scoring import TextScore
from plaudit.language.template import TemplateConfig
from plaudit.run.language.saved import find_model
from plaudit.run.record import RunFolder, kind_of
from plaudit.types import PlauditError

Device = Literal["auto", "cpu", "cuda"]


def load_reward(
    run: RunFolder[Any] | str | os.PathLike[str],
    *,
    device: Device = "auto",
    template_kwargs: str | Sequence[str] = (),
    special_tokens: Literal["text", "learn"] = "text",
    trust_remote_code: bool = False,
) -> TextScore:
    """Load the reward model of a run on a language model.

    Args:
        run: the folder of a run of ``plaudit train chat`` or ``plaudit tune reward``, the run that
            `plaudit.train` returned, or a reward model: the folder of a saved one, or the folder or hub id of a
            sequence classifier.
        device: ``"auto"`` is the GPU if there is one.
        template_kwargs: one variable for the chat template, such as ``"enable_thinking=false"``, or several; those
            that the model was fitted with are in its saved template.
        special_tokens: what a special token becomes that a text spells out, such as ``<|im_end|>``: plain text, or
            (``"learn"``) the token. A model that was trained with ``--special-tokens learn`` needs no setting.
        trust_remote_code: run Python code that the model's author put next to the weights, with this process's rights.

    Returns:
        A function of prompts and completions. A reward of passages (``passages``) that the run added is not part of it.

    Raises:
        PlauditError: the folder holds no reward model of texts, or a damaged one; its chat template does not read a
            variable.
    """
    if device not in get_args(Device):
        raise PlauditError(f"device must be one of {', '.join(get_args(Device))}, got {device!r}")
    folder = run.folder if isinstance(run, RunFolder) else check_path(run, "run")
    settings = ModelConfig(method="frozen", trust_remote_code=trust_remote_code)
    reward = TextReward.load(_find_reward(folder, trust_remote_code), settings, device=device_of(device))
    variables = (template_kwargs,) if isinstance(template_kwargs, str) else tuple(template_kwargs)
    TemplateConfig(variables, special_tokens=special_tokens).apply(reward.model.tokenizer, "own")
    return TextScore(reward.eval(), f"{folder.resolve().name}_reward")


def _find_reward(folder: Path, trust: bool) -> Path:
    """The folder of a reward model: the folder itself, or the one in a run's folder."""
    if _is_reward(folder, trust):
        return folder
    if not folder.is_dir():
        raise PlauditError(f"there is no folder {folder}: name a run or a saved reward model")
    model = find_model(folder, layout.REWARD)
    if not _is_reward(model, trust):
        raise PlauditError(f"{folder} is a run of {kind_of(folder)}, and {model} holds no reward model")
    return model


def _is_reward(folder: Path, trust: bool) -> bool:
    return (folder / f"{HEADS}.json").exists() or read_labels(str(folder), trust) is not None
