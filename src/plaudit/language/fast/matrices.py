"""Weights for decoding: in the precision of decoding, and packed for the CPU's matrix units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear


def packable(weight: Tensor) -> bool:
    """Whether oneDNN is available for this device and dtype; it has no bfloat16 without AVX-512."""
    mkldnn = torch.ops.mkldnn
    return (
        weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(mkldnn, "_linear_pointwise")
        and (weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and mkldnn._is_mkldnn_bf16_supported()))
    )


class Matrix:
    """x -> x W^T + b, for one weight or several stacked ones. On a CPU only the packed copy is kept.

    A product of few rows takes as long as reading the weight, and an unpacked weight is packed again for each product.
    Packing it once halves the time of bfloat16 products of 64 rows.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None], dtype: torch.dtype) -> None:
        weight = (weights[0] if len(weights) == 1 else torch.cat(list(weights))).detach().to(dtype)
        parts = [bias.detach() for bias in biases if bias is not None]
        self.bias = torch.cat(parts).to(dtype) if parts else None
        self.packed = packable(weight)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None) if self.packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return linear(x, self.weight, self.bias)
