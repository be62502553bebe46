"""Reading a pretrained model: its configuration, its tokenizer and its weights, each checked before it is used.

transformers fills weights that are missing with random numbers and drops those that it has no place for. Here both end
in one line that names the tensors, and so does every other fault of a model's files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from plaudit.language.adapters import HEAD, count_labels, find_base, find_file, merge_adapter
from plaudit.language.hub import FaultyModel, resolve_name
from plaudit.language.model_files import (
    ADAPTER,
    SINGLE,
    check_files,
    check_weights,
    find_integers,
    list_names,
    report,
)
from plaudit.types import PlauditError

WRAPPERS = r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."  # within names, too
OUTER = (  # what names begin with when the model was a part of another module
    "module|base_model|model|transformer|language_model|pretrained_model|policy|actor|student|llm|lm|net|network|"
    "state_dict"
)
BEGINNING = rf"^(?:{WRAPPERS}|module\.|base_model\.model\.|language_model\.|pretrained_model\.)+"
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.\d+\.")
SCALES = re.compile(r"(?:scale|scale_inv|scales|SCB|qweight|qzeros|g_idx|absmax|quant_map|quant_state\S*)$")
SCORES = re.compile(r"^(?:score|classifier|classification_head)\b")  # what a reward model has on its trunk
TASKS = ("ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering", "ForPreTraining")  # of other models
CLASSIFIER = "ForSequenceClassification"
FLOATS = ("fp8", "mxfp4")  # quantised weights that transformers reads as floats
MAX_LAYERS = 10_000
COUNTS = ("num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size")
TRIAL = "a" * 2000 + " b"  # a tokenizer whose expressions backtrack without end fails on it


def describe_pretrained(model: str, trust: bool = False) -> tuple[PreTrainedTokenizerBase, PretrainedConfig]:
    """The tokenizer and the configuration of the model of that name; an adapter's are those of its base.

    trust: run Python code that the model's author put next to the weights.

    Raises:
        PlauditError: they cannot be read, or describe a model that is larger than this machine's memory.
    """
    with resolve_name(model) as name:
        check_files(Path(name))
        base = find_base(name)
        if base is not None:
            tokenizer, config = _read_base(model, base, lambda: describe_pretrained(base, trust))
            return _tokenizer_of_adapter(name, trust) or tokenizer, config
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust)
        _check_size(config)
        return read_tokenizer(name, trust), config


def read_pretrained(
    model: str,
    trust: bool = False,
    reward: bool = False,
    auto: Any = AutoModelForCausalLM,
    labels: int | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of that name in float32, every weight of it from its files, with its tokenizer.

    An adapter (LoRA) is merged into its base.

    reward: the model is the trunk of a reward model, so scores on top of it are expected. auto: the class of
    transformers that reads the model. labels: number of labels of a classifier whose head an adapter brings.

    Raises:
        PlauditError: weights are missing, left over, of another shape or not finite; the tokenizer has tokens without
            an embedding; as :func:`describe_pretrained`.
    """
    with resolve_name(model) as name:
        check_files(Path(name))
        base = find_base(name)
        if base is not None:
            labels = labels if auto is AutoModelForCausalLM else count_labels(name)
            pretrained, tokenizer = _read_base(model, base, lambda: read_pretrained(base, trust, reward, auto, labels))
            pretrained = merge_adapter(pretrained, name)
            tokenizer = _tokenizer_of_adapter(name, trust) or tokenizer
            unread = ", and the weights next to it are not read" if find_file(name, SINGLE) else ""
            report(f"model {model}: the adapter is merged into its base, {base}{unread}")
        else:
            config = AutoConfig.from_pretrained(name, trust_remote_code=trust)
            check_weights(Path(name))
            _check_size(config)
            _check_task(config)
            _check_quantisation(config)
            tokenizer = read_tokenizer(name, trust)
            pretrained = _read_weights(name, _configure(config, labels), trust, reward, auto, labels is not None)
        _check_finite(pretrained)
        _check_vocabulary_size(pretrained, tokenizer)
    return pretrained, tokenizer


def read_tokenizer(name: str, trust: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or of a hub's model, after a trial on a text."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust)
    except ValueError as error:
        if "backend tokenizer" not in str(error):
            raise
        raise FaultyModel(
            "it has no tokenizer that can be read: put the tokenizer.json of the model that it was made from next to "
            "it, with its tokenizer_config.json."
        ) from error
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


def _check_size(config: PretrainedConfig) -> None:
    """Raise :class:`FaultyModel` if the model cannot fit in memory: even its modules would take hours to make."""
    text: Any = config.get_text_config()
    layers, width = (getattr(text, name, None) for name in ("num_hidden_layers", "hidden_size"))
    for name, count in (("num_hidden_layers", layers), ("hidden_size", width)):
        if not isinstance(count, int) or count < 1:
            raise FaultyModel(f"config.json: {name} must be a whole number from 1, got {count!r}.")
    assert isinstance(layers, int) and isinstance(width, int)
    for name in COUNTS:
        count = getattr(text, name, None)
        if isinstance(count, int) and count < 1:
            raise FaultyModel(f"config.json: {name} must be a whole number from 1, got {count}.")
    limit = getattr(text, "max_position_embeddings", None)
    if isinstance(limit, int) and limit < 0:
        raise FaultyModel(f"config.json: max_position_embeddings must be a whole number from 1, got {limit}.")
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


def _configure(config: PretrainedConfig, labels: int | None) -> PretrainedConfig:
    """The configuration with which a model is read."""
    if not getattr(config, "return_dict", True):
        config.return_dict = True  # results are read by name
    if labels is not None:
        config.num_labels = labels
    return config


def _check_task(config: PretrainedConfig) -> None:
    """Raise :class:`FaultyModel` if the model is no causal language model, and no classifier on one."""
    architecture = next(iter(config.architectures or ()), type(config).__name__)
    supported = AutoModelForCausalLM._model_mapping.keys()  # pyright: ignore[reportAttributeAccessIssue]
    is_causal = type(config) in supported or "auto_map" in config.to_dict()
    if not is_causal or config.is_encoder_decoder or architecture.endswith(TASKS):
        raise FaultyModel(
            f"{architecture} (model_type {config.model_type}) is no causal language model, which writes text token by "
            "token: name one; its architecture in config.json ends in ForCausalLM."
        )


def _check_quantisation(config: PretrainedConfig) -> None:
    """Raise :class:`FaultyModel` if the weights are quantised in a way that transformers does not read as floats."""
    names = [name for name in ("quantization_config", "quantization") if getattr(config, name, None) is not None]
    if not names:
        return
    settings: Any = getattr(config, names[0])
    method = settings.get("quant_method") if isinstance(settings, dict) else getattr(settings, "quant_method", None)
    if str(method) not in FLOATS:
        source = f"{names[0]} in config.json" + (f", {method!s:.40}" if method is not None else "")
        raise FaultyModel(
            f"its weights are quantised ({source}), and Plaudit computes in float32: name the model that was "
            "quantised, or save this one dequantised."
        )


def _read_weights(
    name: str, config: PretrainedConfig, trust: bool, reward: bool, auto: Any, headless: bool
) -> PreTrainedModel:
    """The model with weights from its files; prefixes that wrappers leave on names are taken off.

    headless: a classifier whose head comes from an adapter.
    """

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
    patterns = find_prefixes(info["missing_keys"], info["unexpected_keys"])
    if patterns:
        prefixes = {match[0] for key in info["unexpected_keys"] for p in patterns for match in re.finditer(p, key)}
        conversions: Any = getattr(pretrained, "_weight_conversions", None)
        pretrained, info = read(dict.fromkeys(patterns, ""))
        pretrained._weight_conversions = conversions  # or saving the model would undo the renaming, with wrong names
        report(f"model {name}: the prefix {' and '.join(sorted(prefixes))} was taken off the names of its weights")
    if headless:
        info["missing_keys"] -= {HEAD}
    _check_weights(config, info, reward)
    integers = find_integers(Path(name), {key for key, _ in pretrained.named_parameters()})
    if integers:
        raise FaultyModel(
            f"{list_names(integers)} in its files are whole numbers, not weights: it is quantised. Name the model that "
            "was quantised."
        )
    return pretrained


def find_prefixes(missing: Collection[str], left: Collection[str]) -> list[str]:
    """Patterns for what wrappers put before and into the names of weights, each to be taken off once.

    missing: names that the model has and its files lack. left: names in the files that the model lacks.
    """
    if not missing:
        return []
    plain = {re.sub(WRAPPERS, "", key) for key in left}
    first, beginning = min(missing), BEGINNING
    for key in plain:
        outer = key.removesuffix(first)
        matches_outer = re.fullmatch(rf"(?:(?:{OUTER})\.)+", outer)
        if outer != key and matches_outer and all(f"{outer}{name}" in plain for name in missing):
            parts = "".join(f"{re.escape(part)}\\.(?:{WRAPPERS})*" for part in outer.split(".")[:-1])
            beginning = rf"^(?:{WRAPPERS})*{parts}"
    remainders = [re.sub(beginning, "", key) for key in left]
    count = max((len(re.findall(WRAPPERS, key)) for key in remainders), default=0)
    patterns = [WRAPPERS + "(?:)" * index for index in range(count)]  # transformers takes a pattern off once
    return [beginning, *patterns] if set(remainders) != set(left) else patterns


def _check_weights(config: PretrainedConfig, info: dict[str, Any], reward: bool) -> None:
    """Raise :class:`FaultyModel` if weights are missing, of another shape, or left over."""
    left = info["unexpected_keys"]
    scores = {key for key in left if SCORES.match(key)}
    architecture = next(iter(config.architectures or ()), "a model with scores")
    if not reward and (scores or architecture.endswith(CLASSIFIER)):
        remainder = f": {list_names(scores)} is left over" if scores else ""
        raise FaultyModel(
            f"{architecture} is a reward model or a classifier, not a language model{remainder}. "
            + ("Name it as --reward-model." if architecture.endswith(CLASSIFIER) else "Name the model below it.")
        )
    if info["mismatched_keys"]:
        key, shape, expected = min(info["mismatched_keys"])
        raise FaultyModel(
            f"{len(info['mismatched_keys'])} of its weights have another shape than config.json says, the first: {key} "
            f"is {tuple(shape)} in the file and {tuple(expected)} by config.json."
        )
    scales = {key for key in left if SCALES.search(key)}
    if scales:
        raise FaultyModel(
            f"its weights are quantised: its files hold {list_names(scales)}. Name the model that was quantised."
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


# Adapters


def _tokenizer_of_adapter(name: str, trust: bool) -> PreTrainedTokenizerBase | None:
    return read_tokenizer(name, trust) if find_file(name, "tokenizer_config.json") else None


def _read_base(model: str, base: str | None, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except PlauditError as error:
        raise PlauditError(
            f"model {model} is an adapter, and its base cannot be read: {error} (named in {ADAPTER} as {base})"
        ) from error
