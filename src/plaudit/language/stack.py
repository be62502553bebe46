"""The stack of layers of a model: where it is, and which of its weights learn when only the upper layers do."""

from __future__ import annotations

from typing import Any

from torch import nn

from plaudit.types import PlauditError

NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")  # names of the norm after the last layer


def find_decoder(model: Any) -> Any:
    """The part of a language model below its output embedding.

    transformers' ``get_decoder`` gives the whole model for the text part of Llama 4, whose prefix names another class.
    """
    decoder = model.get_decoder()
    return decoder.model if decoder is model else decoder


def find_layers(model: Any) -> nn.ModuleList:
    """The layers of a model, in order.

    Raises:
        PlauditError: no list of modules in its decoder has the length that its configuration says.
    """
    count = int(model.config.num_hidden_layers)
    for child in find_decoder(model).children():
        if isinstance(child, nn.ModuleList) and len(child) == count:
            return child
    raise PlauditError(
        f"a model of type {model.config.model_type} is not built as one stack of layers: use --train full, or lora "
        "without --layers"
    )


def unfreeze_upper(model: Any, frozen: int) -> None:
    """Let the layers after the first ``frozen`` learn, and the norm after the last."""
    find_layers(model)[frozen:].requires_grad_(True)
    for name, child in find_decoder(model).named_children():
        if name in NORMS:
            child.requires_grad_(True)
