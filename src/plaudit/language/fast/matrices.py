"""A weight as decoding wants it: in the precision that it decodes in, and laid out for the processor's matrix units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear


def packable(weight: Tensor) -> bool:
    """Whether oneDNN is here, and multiplies matrices of this kind: without AVX-512 it has no bfloat16."""
    mkldnn = torch.ops.mkldnn
    return (
        weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(mkldnn, "_linear_pointwise")
        and (weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and mkldnn._is_mkldnn_bf16_supported()))
    )


class Matrix:
    """x -> x W^T + b, of one weight or of several above each other. On a CPU only the packed copy is kept.

    With few rows a product costs what reading its weight costs, and a plain weight is laid out anew for each product:
    packed once, bfloat16 products of 64 rows take half the time.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None], dtype: torch.dtype) -> None:
        weight = (weights[0] if len(weights) == 1 else torch.cat(list(weights))).detach().to(dtype)
        parts = [each.detach() for each in biases if each is not None]
        self.bias = torch.cat(parts).to(dtype) if parts else None
        self.packed = packable(weight)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None) if self.packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return linear(x, self.weight, self.bias)
