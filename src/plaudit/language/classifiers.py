"""Reward models as sequence classifiers of transformers: one label per objective, its score at the last token.

Most published reward models have this form, so they are read as a trunk with heads, and a reward model of Plaudit is
written such that ``AutoModelForSequenceClassification`` gives its raw scores.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PretrainedConfig

from plaudit.language.adapters import count_labels
from plaudit.language.hub import quiet
from plaudit.language.loading import CLASSIFIER, describe_pretrained, read_pretrained
from plaudit.language.lora import merge_lora
from plaudit.language.model_files import ADAPTER
from plaudit.language.models import LanguageModel, ModelConfig, prepare
from plaudit.language.saving import find_ends, write_model
from plaudit.types import PlauditError

CLASSES = "single_label_classification"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def write_classifier(
    model: LanguageModel, labels: Sequence[str], weight: Tensor, folder: Path, padding: int | None = None
) -> None:
    """Write the trunk as a classifier with these heads (O, d); without heads if transformers has no such classifier.

    padding: the padding token, if the scores depend on it; None: one that ends no text, if there is such a token. The
    language model's own head stays in the file, so the folder is a language model's, too.
    """
    plain: Any = merge_lora(model.model)
    architecture = _classifier_of(plain.config)
    if architecture is None:
        write_model(plain, model.tokenizer, folder)
        return
    tokenizer, padding = _with_padding(model) if padding is None else (model.tokenizer, padding)
    score = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    score.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    plain.add_module("score", score)
    try:
        write_model(plain, tokenizer, folder)
    finally:
        del plain.score
    path = folder / "config.json"
    names = dict(enumerate(labels))
    changes = {
        "architectures": [architecture],
        "id2label": names,
        "label2id": {name: index for index, name in names.items()},
        "pad_token_id": padding,
    }
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes, indent=2) + "\n", encoding="utf-8")


def _classifier_of(config: PretrainedConfig) -> str | None:
    """The name of transformers' classifier on such a trunk, if its scores are products with one matrix ``score``."""
    try:
        with torch.device("meta"), quiet():
            classifier: Any = AutoModelForSequenceClassification.from_config(copy.deepcopy(config))
    except (ValueError, KeyError, AttributeError):  # there is none for this type of model
        return None
    score = getattr(classifier, "score", None)
    return type(classifier).__name__ if isinstance(score, nn.Linear) and score.bias is None else None


def _with_padding(model: LanguageModel) -> tuple[Any, int | None]:
    """A tokenizer whose padding is no token that ends a text, and that token's number; None: there is no such token.

    transformers reads the score at the last token that is not padding, which shall be the end.
    """
    tokenizer: Any = copy.deepcopy(model.tokenizer)
    ends = find_ends(model.model, tokenizer)
    for name in ("pad_token", "unk_token", "bos_token"):
        token = getattr(tokenizer, f"{name}_id", None)
        if token is not None and token not in ends and token < len(model.output):
            tokenizer.pad_token = getattr(tokenizer, name)
            return tokenizer, token
    return tokenizer, None


def read_labels(model: str, trust: bool = False) -> tuple[str, ...] | None:
    """Names of the labels of a classifier, in a folder or on the hub; None if the model is no classifier."""
    folder = Path(model)
    if (folder / ADAPTER).exists():
        count = count_labels(model)
        return None if count is None else _name_labels(dict(enumerate(f"LABEL_{index}" for index in range(count))))
    if folder.exists():
        try:
            architectures = json.loads((folder / "config.json").read_bytes())["architectures"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # no model, or a damaged one: reading it as a reward model says so
        if not str(architectures).rstrip("']").endswith(CLASSIFIER):
            return None
    elif not HUB_ID.fullmatch(model):
        return None
    config = describe_pretrained(model, trust)[1]
    if not any(name.endswith(CLASSIFIER) for name in config.architectures or ()):
        return None
    names = _name_labels(config.id2label)
    if config.problem_type == CLASSES:
        raise PlauditError(
            f"model {model}: its labels {' and '.join(names[:4])} are classes that exclude each other (problem_type in "
            "config.json), and their scores make no reward: name a reward model"
        )
    return names


def _name_labels(labels: Any) -> tuple[str, ...]:
    """Names of the objectives of a classifier: those of its labels, if they differ."""
    if len(labels) == 1:
        return ("reward",)
    names = tuple(str(labels.get(index, f"LABEL_{index}")) for index in range(len(labels)))
    return names if len(set(names)) == len(names) else tuple(f"LABEL_{index}" for index in range(len(names)))


def read_classifier(config: ModelConfig, device: torch.device | str) -> tuple[LanguageModel, dict[str, Tensor]]:
    """The trunk of a classifier as a role, and its heads: ``weight`` (O, d), and ``bias`` (O,) if it has one.

    Raises:
        PlauditError: the model cannot be read, or is not a plain stack of layers with a matrix ``score``.
    """
    pretrained, tokenizer = read_pretrained(
        config.model, config.trust_remote_code, reward=True, auto=AutoModelForSequenceClassification
    )
    classifier: Any = pretrained
    score = getattr(classifier, "score", None)
    if not isinstance(score, nn.Linear):
        raise PlauditError(f"model {config.model} ({type(classifier).__name__}) has no matrix 'score'")
    with torch.device("meta"), quiet():
        model: Any = AutoModelForCausalLM.from_config(classifier.config)
    setattr(model, model.base_model_prefix, classifier.base_model)
    head = model.get_output_embeddings()
    head.weight = model.get_input_embeddings().weight  # it has no other, and writes nothing
    if getattr(head, "bias", None) is not None:
        head.bias = nn.Parameter(torch.zeros(len(head.weight)), requires_grad=False)
    model.config.tie_word_embeddings = True
    tensors = {name: parameter.detach().to(device) for name, parameter in score.named_parameters()}
    return prepare(model.to(device), tokenizer, config), tensors
