"""Reading a pretrained model: its configuration, its tokenizer and its weights, each checked before it is used.

transformers fills weights that are missing with random numbers and drops those that it has no place for. Here both end
in one line that names the tensors, and so does every other fault of a model's files.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import safetensors
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file

from plaudit.language.hub import FaultyModel, resolve_name
from plaudit.types import PlauditError

PREFIXES = re.compile(r"^(?:_orig_mod\.|module\.|base_model\.model\.|language_model\.)+|(?<=\.)_orig_mod\.")
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.\d+\.")
SCORES = re.compile(r"^(?:score|classifier|classification_head|v_head)\b")  # what a reward model has on its trunk
MAX_LAYERS = 10_000
LFS = b"version https://git-lfs"
ADAPTER = "adapter_config.json"
TRIAL = "a" * 2000 + " b"  # a tokenizer whose expressions backtrack without end fails on it
report = functools.cache(logging.getLogger("plaudit").warning)  # one line on standard error, each once per process


def describe_pretrained(model: str, trust: bool = False) -> tuple[PreTrainedTokenizerBase, PretrainedConfig]:
    """The tokenizer and the configuration of the model of that name; an adapter's are those of its base.

    trust: run Python code that the model's author put next to the weights.

    Raises:
        PlauditError: they cannot be read, or describe a model that is larger than this machine's memory.
    """
    with resolve_name(model) as name:
        check_files(Path(name))
        base = _base_of_adapter(name)
        if base is not None:
            tokenizer, config = _read_base(model, base, lambda: describe_pretrained(base, trust))
            return _tokenizer_of_adapter(name, trust) or tokenizer, config
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust)
        _check_size(config)
        return read_tokenizer(name, trust), config


def read_pretrained(
    model: str, trust: bool = False, reward: bool = False, auto: Any = AutoModelForCausalLM
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of that name in float32, every weight of it from its files, with its tokenizer.

    An adapter (LoRA) is merged into its base.

    reward: the model is the trunk of a reward model, so scores on top of it are expected. auto: the class of
    transformers that reads the model.

    Raises:
        PlauditError: weights are missing, left over, of another shape or not finite; the tokenizer has tokens without
            an embedding; as :func:`describe_pretrained`.
    """
    with resolve_name(model) as name:
        check_files(Path(name))
        base = _base_of_adapter(name)
        if base is not None:
            pretrained, tokenizer = _read_base(model, base, lambda: read_pretrained(base, trust, reward, auto))
            pretrained = _merge_adapter(pretrained, name)
            tokenizer = _tokenizer_of_adapter(name, trust) or tokenizer
            report(f"model {model}: the adapter is merged into its base, {base}")
        else:
            config = AutoConfig.from_pretrained(name, trust_remote_code=trust)
            _check_size(config)
            tokenizer = read_tokenizer(name, trust)
            pretrained = _read_weights(name, config, trust, reward, auto)
        _check_finite(pretrained)
        _check_vocabulary_size(pretrained, tokenizer)
    return pretrained, tokenizer


def read_tokenizer(name: str, trust: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or of a hub's model, after a trial on a text."""
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust)
    tokenizer(TRIAL)
    return tokenizer


def _check_vocabulary_size(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise :class:`FaultyModel` if the tokenizer writes tokens for which the model has no embedding.

    Tokens for padding and for unknown text are no such tokens: some tokenizers of transformers add them to any model.
    """
    embedding: Any = model.get_input_embeddings()
    tokens: Any = tokenizer
    unused = {tokens.pad_token, tokens.unk_token} - {tokens.eos_token, tokens.bos_token}
    vocabulary = [entry for entry in tokenizer.get_vocab().items() if entry[0] not in unused]
    token, index = max(vocabulary, key=lambda entry: entry[1], default=("", -1))
    if index >= len(embedding.weight):
        raise FaultyModel(
            f"its tokenizer has token {index} ({token[:40]!r}), and its embedding has {len(embedding.weight)} "
            "rows: take the tokenizer that belongs to it, or call resize_token_embeddings and save it again"
        )


def _check_finite(model: PreTrainedModel) -> None:
    """Raise :class:`FaultyModel` if a weight is NaN or infinite."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.sum().isfinite()) and not bool(tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            raise FaultyModel(f"tensor {name} has {count} of {tensor.numel()} weights that are NaN or infinite.")


def check_files(folder: Path) -> None:
    """Raise :class:`FaultyModel` if a file of a model's folder is damaged, as far as its first bytes tell."""
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
    for name in ("config.json", "tokenizer_config.json", ADAPTER):
        if (folder / name).is_file():
            _read_object(folder / name)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FaultyModel(f"{path.name} is not JSON that can be read ({error}).") from error
    if not isinstance(content, dict):
        raise FaultyModel(f"{path.name} must hold a JSON object, got {type(content).__name__}.")
    return content


def _check_size(config: PretrainedConfig) -> None:
    """Raise :class:`FaultyModel` if the model cannot fit in memory: even its modules would take hours to make."""
    text: Any = config.get_text_config()
    layers, width = (getattr(text, name, None) for name in ("num_hidden_layers", "hidden_size"))
    for name, count in (("num_hidden_layers", layers), ("hidden_size", width)):
        if not isinstance(count, int) or count < 1:
            raise FaultyModel(f"config.json: {name} must be a whole number from 1, got {count!r}.")
    assert isinstance(layers, int) and isinstance(width, int)
    inner = getattr(text, "intermediate_size", None)
    inner = inner if isinstance(inner, int) else width
    vocabulary = getattr(text, "vocab_size", 0)
    size = 4 * (layers * (width * width + 2 * width * inner) + width * vocabulary)  # a lower bound, in bytes
    memory = _memory()
    if layers > MAX_LAYERS or size > memory:
        raise FaultyModel(
            f"config.json describes {layers:,} layers of {width:,} numbers with {vocabulary:,} tokens, at least "
            f"{size / 1e9:,.1f} GB in float32; this machine has {memory / 1e9:,.1f} GB of memory, and more than "
            f"{MAX_LAYERS:,} layers are refused."
        )


def _memory() -> int:
    """Bytes of memory of this machine, its GPU included."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 62
    return pages + (torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0)


def _read_weights(name: str, config: PretrainedConfig, trust: bool, reward: bool, auto: Any) -> PreTrainedModel:
    """The model with weights from its files; prefixes that wrappers leave on names are taken off."""

    def read(mapping: dict[str, str] | None) -> tuple[PreTrainedModel, dict[str, Any]]:
        return auto.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            trust_remote_code=trust,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below
            key_mapping=mapping,
        )

    pretrained, info = read(None)
    prefixes = {match[0] for key in info["unexpected_keys"] if (match := PREFIXES.search(key))}
    if prefixes and info["missing_keys"]:
        pretrained, info = read({PREFIXES.pattern: ""})
        report(f"model {name}: the prefix {' and '.join(sorted(prefixes))} was taken off the names of its weights")
    _check_weights(config, info, reward)
    return pretrained


def _check_weights(config: PretrainedConfig, info: dict[str, Any], reward: bool) -> None:
    """Raise :class:`FaultyModel` if weights are missing, of another shape, or left over."""
    left = info["unexpected_keys"]
    scores = {key for key in left if SCORES.match(key)}
    if scores and not reward:
        architecture = next(iter(config.architectures or ()), "a model with scores")
        raise FaultyModel(
            f"{architecture} is a reward model or a classifier, not a language model: {list_names(scores)} is left "
            "over. Name it as --reward-model."
        )
    if info["mismatched_keys"]:
        key, shape, expected = min(info["mismatched_keys"])
        raise FaultyModel(
            f"{len(info['mismatched_keys'])} of its weights have another shape than config.json says, the first: {key} "
            f"is {tuple(shape)} in the file and {tuple(expected)} by config.json."
        )
    if info["missing_keys"]:
        rest = f", and left over {list_names(left)}" if left else ""
        raise FaultyModel(f"its files lack {list_names(info['missing_keys'])}{rest}. Check config.json and the files.")
    layers = {key for key in left if LAYER.search(key)}
    if layers:
        raise FaultyModel(
            f"its files have weights that config.json has no layer for: {list_names(layers)}. Check num_hidden_layers."
        )
    unused = left - scores - {"lm_head.weight"} if reward else left
    if unused:
        report(
            f"model {config.name_or_path}: {list_names(unused)} in its files is not part of the model and is left out"
        )


def list_names(keys: Collection[str]) -> str:
    """The first names of some tensors, and their number."""
    names = sorted(keys)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more tensors" if len(names) > 3 else "")


# Adapters


def _find(name: str, file: str) -> Path | None:
    """The path of a file of a model, or None if the model has none of that name."""
    path = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    return None if path is None else Path(path)


def _base_of_adapter(name: str) -> str | None:
    """The model that an adapter changes; None if ``name`` is a model of its own."""
    path = _find(name, ADAPTER)
    if path is None:
        return None
    base = _read_object(path).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise FaultyModel(f"{ADAPTER} does not name the adapter's base (base_model_name_or_path).")
    neighbour = path.parent / base
    return str(neighbour) if not os.path.isdir(base) and neighbour.is_dir() else base


def _tokenizer_of_adapter(name: str, trust: bool) -> PreTrainedTokenizerBase | None:
    return read_tokenizer(name, trust) if _find(name, "tokenizer_config.json") else None


def _read_base(model: str, base: str | None, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except PlauditError as error:
        raise PlauditError(
            f"model {model} is an adapter, and its base cannot be read: {error} (named in {ADAPTER} as {base})"
        ) from error


def _merge_adapter(model: Any, name: str) -> PreTrainedModel:
    """The model with the adapter's additions in its weights."""
    try:
        from peft import PeftConfig, get_peft_model
    except ImportError as error:
        raise FaultyModel("it is an adapter, which needs peft: pip install -e '.[language]'") from error
    before = set(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about names that peft uses
        adapted: Any = get_peft_model(model, PeftConfig.from_pretrained(name))
    info = adapted.load_adapter(name, "default", torch_device="cpu")
    for keys, fault in ((info.missing_keys, "lacks"), (info.unexpected_keys, "has, and its base has no place for,")):
        if keys:
            raise FaultyModel(
                f"the adapter's file {fault} {list_names(keys)}: check base_model_name_or_path in {ADAPTER}"
            )
    merged = adapted.merge_and_unload(safe_merge=True)
    if set(merged.state_dict()) != before:
        raise FaultyModel("the adapter changes the architecture of its base, so it cannot be merged: save it merged")
    return merged
