"""Files of a model's folder: damage that their first bytes, their headers and their indices show."""

from __future__ import annotations

import functools
import json
import logging
import re
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors

from plaudit.language.hub import FaultyModel

LFS = b"version https://git-lfs"
ADAPTER = "adapter_config.json"
SETTINGS = ("config.json", "tokenizer_config.json", "generation_config.json", ADAPTER)  # files that hold a JSON object
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "adapter_model.bin")
PICKLE_INDEX = "pytorch_model.bin.index.json"
ORDER = (SINGLE, INDEX, "pytorch_model.bin", PICKLE_INDEX)  # transformers reads the first that is there
SHARD = re.compile(r"[^/\\]+\.(?:safetensors|bin)")
PART = re.compile(r"-\d+-of-\d+\.")
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf", ".ggml", ".pth", ".pt", ".ckpt", ".onnx", ".h5", ".msgpack", ".npz")
INTEGERS = re.compile(r"[IU]\d+|BOOL")  # types of safetensors
PICKLE = b"\x80"  # the first byte of files of torch before 1.6, which are no archives
report = functools.cache(logging.getLogger("plaudit").warning)  # one line on standard error, each once per process


def check_files(folder: Path) -> None:
    """Raise :class:`FaultyModel` if a file of a model's folder is damaged or missing, as far as the others tell."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin", ".model") and path.is_file():
            with path.open("rb") as file:
                if file.read(len(LFS)) == LFS:
                    raise FaultyModel(f"{path.name} is a Git-LFS pointer, not the file itself: run 'git lfs pull'.")
        if path.suffix == ".safetensors":
            try:
                with safetensors.safe_open(path, "pt"):
                    pass
            except safetensors.SafetensorError as error:
                raise FaultyModel(f"{path.name} is cut off or damaged ({error}): copy it again.") from error
    for name in SETTINGS:
        if (folder / name).is_file():
            read_object(folder / name)
    weights = [folder / name for name in ORDER if (folder / name).is_file()]
    if weights and weights[0].name in (INDEX, PICKLE_INDEX):
        _check_index(weights[0])
    for path in [*weights[:1], folder / PICKLES[1]]:
        if path.name in PICKLES and path.is_file():
            _check_pickle(path)
    if len(weights) > 1:
        unread = ", ".join(path.name for path in weights[1:])
        report(f"model {folder}: weights are read from {weights[0].name}; {unread} next to it is not read")


def check_weights(folder: Path) -> None:
    """Raise :class:`FaultyModel` if a folder has no weights that transformers reads; the message names what it has."""
    if not folder.is_dir() or any((folder / name).is_file() for name in ORDER):
        return
    weights = sorted(path.name for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES)
    if any(SHARD.fullmatch(name) and PART.search(name) for name in weights):
        raise FaultyModel(f"it has {weights[0]}, a part of its weights, and no {INDEX}: copy that file, too.")
    if weights:
        raise FaultyModel(
            f"its weights are in {list_files(weights)}, which is not read: a folder needs {SINGLE}, with the names and "
            "settings of transformers. Name one with those files."
        )
    raise FaultyModel(f"it has no weights: copy {SINGLE}, or {INDEX} and the files that it names.")


def list_files(names: Collection[str]) -> str:
    """The first names of some files."""
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FaultyModel: it holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FaultyModel(f"{path.name} is not JSON that can be read ({error}).") from error
    if not isinstance(content, dict):
        raise FaultyModel(f"{path.name} must hold a JSON object, got {type(content).__name__}.")
    return content


def _check_index(path: Path) -> None:
    """Raise :class:`FaultyModel` if an index does not name files next to it that hold its tensors."""
    files = read_object(path).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise FaultyModel(f'{path.name} has no "weight_map", which names the file of each tensor: copy it again.')
    for name in sorted(set(files.values())):
        if not SHARD.fullmatch(name):
            raise FaultyModel(f"{path.name} names {name!r:.60}, which is no file of weights next to it.")
        if not (path.parent / name).is_file():
            raise FaultyModel(f"{path.name} names {name}, which is missing: copy that file, too.")
        if name.endswith(".safetensors"):
            with safetensors.safe_open(path.parent / name, "pt") as file:
                absent = {tensor for tensor, shard in files.items() if shard == name} - set(file.keys())
            if absent:
                raise FaultyModel(
                    f"{path.name} names {list_names(absent)} in {name}, where it is missing: copy both again."
                )


def _check_pickle(path: Path) -> None:
    """Raise :class:`FaultyModel` if a file of torch is cut off."""
    with path.open("rb") as file:
        begin = file.read(1)
    if begin != PICKLE and not zipfile.is_zipfile(path):
        raise FaultyModel(f"{path.name} is cut off or damaged: copy it again.")


def find_integers(folder: Path, names: Collection[str]) -> list[str]:
    """The tensors of these names that a folder stores as whole numbers."""
    integers = []
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        with safetensors.safe_open(path, "pt") as file:
            keys = [key for key in file.keys() if key in names]  # noqa: SIM118
            integers += [key for key in keys if INTEGERS.fullmatch(file.get_slice(key).get_dtype())]
    return integers


def list_names(keys: Collection[str]) -> str:
    """The first names of some tensors, and their number."""
    names = sorted(keys)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more tensors" if len(names) > 3 else "")
