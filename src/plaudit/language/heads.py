"""Heads on a trunk, on disk: their configuration in ``heads.json`` and their tensors in ``heads.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plaudit.types import PlauditError

Config = TypeVar("Config")
HEADS = "heads"  # .json and .safetensors, next to the trunk's files


def has_heads(folder: Path) -> bool:
    """Whether heads are saved in the folder."""
    return _heads(folder)[0].exists()


def write_heads(folder: Path, kind: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write heads next to a saved trunk: their configuration to ``heads.json``, them to ``heads.safetensors``."""
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, _heads(folder)[1])
        _heads(folder)[0].write_text(json.dumps({"kind": kind, **config}, indent=2) + "\n", encoding="utf-8")
    except (OSError, safetensors.SafetensorError) as error:
        raise PlauditError(f"cannot write {folder}: {error}: check the folder and the disk") from error


def read_heads(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what :func:`write_heads` wrote.

    Raises:
        PlauditError: the heads are missing, of another kind, or damaged.
    """
    config, weights = _heads(folder)
    if not config.exists():
        raise PlauditError(
            f"{folder} holds no reward model: {config.name} is missing (plaudit tune reward writes it), and "
            "config.json names no architecture ...ForSequenceClassification"
        )
    try:
        stored = json.loads(config.read_bytes())
        stored_kind = stored.pop("kind")
        tensors = load_file(weights)
    except (
        OSError,
        ValueError,
        AttributeError,
        KeyError,
        TypeError,
        RecursionError,
        safetensors.SafetensorError,
    ) as error:
        raise PlauditError(f"the heads in {folder} are damaged ({error}): restore them from a copy") from error
    if stored_kind != kind:
        raise PlauditError(f"{folder} holds a {stored_kind}, but a {kind} is needed")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}, tensors


def read_heads_as(
    folder: Path, kind: str, config_class: type[Config], ignored: Collection[str] = ()
) -> tuple[Config, dict[str, Tensor]]:
    """As :func:`read_heads`, with the configuration, except for the settings ``ignored``, as a ``config_class``."""
    stored, tensors = read_heads(folder, kind)
    stored = {name: value for name, value in stored.items() if name not in ignored}
    try:
        return config_class(**stored), tensors
    except TypeError as error:
        raise PlauditError(f"{folder / HEADS}.json: {error}: it was written by another version") from error


def copy_heads(folder: Path, tensors: Mapping[str, Tensor], own_tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors that were read into a model's own tensors.

    Raises:
        PlauditError: names or shapes differ.
    """
    if {name: tensor.shape for name, tensor in tensors.items()} != {
        name: tensor.shape for name, tensor in own_tensors.items()
    }:
        raise PlauditError(f"the heads in {folder} do not fit the model beside them: restore both from one copy")
    with torch.no_grad():
        for name, tensor in own_tensors.items():
            tensor.copy_(tensors[name])


def _heads(folder: Path) -> tuple[Path, Path]:
    return folder / f"{HEADS}.json", folder / f"{HEADS}.safetensors"
