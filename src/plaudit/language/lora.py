"""Low-rank adapters (LoRA, Hu et al. 2021) on the matrices of a model: adding them, and merging them into it."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from plaudit.language.stack import find_layers
from plaudit.types import PlauditError


def has_lora(model: nn.Module) -> bool:
    """Whether the model has LoRA adapters."""
    return any("lora_" in name for name, _ in model.named_parameters())


def merge_lora(model: PreTrainedModel) -> PreTrainedModel:
    """A plain copy of a model with LoRA merged into its weights; the model itself if it has no LoRA."""
    if not has_lora(model):
        return model
    from peft.tuners.lora import LoraLayer

    merged = copy.deepcopy(model)
    for parent in list(merged.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    return merged


def add_lora(model: Any, rank: int, layers: list[int]) -> None:
    """Add low-rank adapters of that rank to the matrices of some layers, and let only them learn."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise PlauditError("method lora needs peft: pip install -e '.[language]'") from error
    all_layers = len(layers) == int(model.config.num_hidden_layers)
    chosen = "all-linear" if all_layers else _products(model, layers)
    settings = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules=chosen,
        exclude_modules=["lm_head"],
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2's matrices: transposed
    )
    inject_adapter_in_model(settings, model)


def _products(model: Any, layers: list[int]) -> list[str]:
    """Names of the matrices of some layers."""
    stack = find_layers(model)
    modules = {id(module) for index in layers for module in stack[index].modules() if hasattr(module, "weight")}
    return [n for n, module in model.named_modules() if id(module) in modules and module.weight.dim() == 2]
