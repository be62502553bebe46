"""Layers that attend to a window of earlier tokens, or to a chunk of the text, and the masks that say so.

A completion in a row stands behind other completions (``rows.py``), so windows are measured in positions, not columns.
A model says nowhere whether its layers use the setting, so a trial finds that out (``models.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PretrainedConfig

from plaudit.language.rows import Rows
from plaudit.language.stack import find_decoder

ENDLESS = 1 << 30
FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"  # transformers' names of layers
SIZES = ("sliding_window", "attention_chunk_size")  # settings of windows
Mode = Literal["honoured", "ignored", "limited"]  # limited: what layers do beyond the window cannot be computed
NARROW = 4  # tokens of a window in a trial of a model, whose texts have a few tokens


def window_of(config: PretrainedConfig) -> int | None:
    """Number of tokens that layers with a sliding window attend to, their own token included; None: none has one."""
    used = getattr(config, "use_sliding_window", True)
    return (getattr(config, "sliding_window", None) or None) if used else None


def chunk_of(config: PretrainedConfig) -> int | None:
    """Number of tokens of a chunk that layers attend within; None: no layer does."""
    return getattr(config, "attention_chunk_size", None) or None


def lookback(config: PretrainedConfig) -> int:
    """Number of tokens up to which every layer of a model attends to the whole text."""
    return min(window_of(config) or ENDLESS, chunk_of(config) or ENDLESS)


def layer_kinds(config: PretrainedConfig) -> list[str]:
    """The kind of attention of each layer."""
    kinds = getattr(config, "layer_types", None)
    if kinds and lookback(config) < ENDLESS:
        return list(kinds)
    kind = SLIDING if window_of(config) else CHUNKED if chunk_of(config) else FULL
    return [kind] * int(config.num_hidden_layers)


def mode_of(model: Any) -> Mode:
    """What a trial found out about the windows of a model."""
    return getattr(model, "window_mode", "honoured")


def set_mode(model: Any, mode: Mode) -> None:
    """Keep what a trial found out; copies of the model have it, too."""
    model.window_mode = mode


def layer_masks(model: Any, rows: Rows) -> dict[str, Tensor]:
    """For each kind of layer that a model has: (R, 1, T, T) bool, whether the first token sees the second."""
    kinds = dict.fromkeys(layer_kinds(model.config))
    if mode_of(model) == "ignored":
        return dict.fromkeys(kinds, rows.mask)
    return {kind: _mask(kind, model.config, rows) for kind in kinds}


def _mask(kind: str, config: PretrainedConfig, rows: Rows) -> Tensor:
    window, chunk = window_of(config), chunk_of(config)
    query, key = rows.positions[:, None, :, None], rows.positions[:, None, None, :]
    if kind == SLIDING and window is not None:
        return rows.mask & (query - key < window)
    if kind == CHUNKED and chunk is not None:
        return rows.mask & (query // chunk == key // chunk)
    return rows.mask


def takes_masks_by_kind(config: PretrainedConfig) -> bool:
    """Whether a model's layers differ in their attention, so that its forward takes a mask for each kind."""
    return bool(getattr(config, "layer_types", None)) and lookback(config) < ENDLESS


@contextlib.contextmanager
def narrow(model: Any) -> Iterator[None]:
    """Give a model short windows, so that a trial with a few tokens reaches beyond them."""
    configs = {id(config): config for config in (model.config, find_decoder(model).config)}.values()
    before = [(config, name, getattr(config, name, None)) for config in configs for name in SIZES]
    try:
        for config, name, size in before:
            if size:
                setattr(config, name, min(size, NARROW))
        yield
    finally:
        for config, name, size in before:
            if size:
                setattr(config, name, size)


def additive(mask: Tensor) -> Tensor:
    """A mask (R, 1, T, T) as numbers that attention adds to its scores."""
    least = torch.finfo(torch.float32).min
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, least)
