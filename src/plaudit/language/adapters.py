"""Adapters of PEFT, such as LoRA: their base, their tokenizer, and the model with their additions in its weights."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import safetensors
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from plaudit.language.hub import FaultyModel
from plaudit.language.model_files import ADAPTER, list_names, read_object

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
REASON = 250  # characters of peft's message
HEAD = "score.weight"  # of a classifier that was trained with an adapter


def find_file(name: str, file: str) -> Path | None:
    """The path of a file of a model, or None if the model has none of that name."""
    path = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    return None if path is None else Path(path)


def find_base(name: str) -> str | None:
    """The model that an adapter changes; None if ``name`` is a model of its own.

    Raises:
        FaultyModel: the adapter names no base, or itself.
    """
    path = find_file(name, ADAPTER)
    if path is None:
        return None
    base = _base_in(path)
    folders, link = [os.path.realpath(path.parent)], base
    while link is not None and os.path.isdir(link):
        if os.path.realpath(link) in folders:
            raise FaultyModel(f"{ADAPTER} names {base} as its base, which is the adapter itself: name the model.")
        folders.append(os.path.realpath(link))
        link = _base_in(Path(link) / ADAPTER) if (Path(link) / ADAPTER).is_file() else None
    return base


def _base_in(path: Path) -> str:
    """The base that the settings of an adapter name."""
    base = read_object(path).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise FaultyModel(f"{ADAPTER} does not name the adapter's base (base_model_name_or_path).")
    neighbour = path.parent / base
    return str(neighbour) if not os.path.isdir(base) and neighbour.is_dir() else base


def count_labels(name: str) -> int | None:
    """The number of labels of a classifier that an adapter brings with it; None if it brings none."""
    path = find_file(name, WEIGHTS[0])
    if path is None:
        return None
    with safetensors.safe_open(path, "pt") as file:
        heads = [key for key in file.keys() if key.endswith(f".{HEAD}")]  # noqa: SIM118
        return file.get_slice(heads[0]).get_shape()[0] if heads else None


def merge_adapter(model: Any, name: str) -> PreTrainedModel:
    """The model with the adapter's additions in its weights.

    Raises:
        FaultyModel: the adapter's files are missing, damaged or of another model, or it cannot be merged.
    """
    try:
        from peft import PeftConfig, get_peft_model
    except ImportError as error:
        raise FaultyModel("it is an adapter, which needs peft: pip install -e '.[language]'") from error
    if not any(find_file(name, file) for file in WEIGHTS):
        raise FaultyModel(f"it is an adapter, and its {WEIGHTS[0]} is missing: copy that file, too.")
    try:
        settings = PeftConfig.from_pretrained(name)
    except KeyError as error:
        raise FaultyModel(f"{ADAPTER}: peft knows no adapter of the type {error.args[0]!r:.60}.") from error
    if settings.is_prompt_learning:
        raise FaultyModel(
            f"it is an adapter of type {settings.peft_type}, which has no additions to weights and cannot be merged: "
            "name an adapter such as LoRA, or the base."
        )
    before = set(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about names that peft uses
        try:
            adapted: Any = get_peft_model(model, settings)
            info = adapted.load_adapter(name, "default", torch_device="cpu")
        except (RuntimeError, ValueError) as error:  # other shapes; no module of the names that it changes
            reason = next((line.strip() for line in str(error).splitlines() if "mismatch" in line), str(error))
            raise FaultyModel(
                f"the adapter does not fit its base, {settings.base_model_name_or_path} ({reason[:REASON]}): check "
                f"base_model_name_or_path and r in {ADAPTER}"
            ) from error
    for keys, fault in ((info.missing_keys, "lacks"), (info.unexpected_keys, "has, and its base has no place for,")):
        if keys:
            raise FaultyModel(
                f"the adapter's file {fault} {list_names(keys)}: check base_model_name_or_path in {ADAPTER}"
            )
    merged = adapted.merge_and_unload(safe_merge=True)
    if set(merged.state_dict()) != before:
        raise FaultyModel("the adapter changes the architecture of its base, so it cannot be merged: save it merged")
    return merged
