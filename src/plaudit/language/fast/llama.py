"""The parts of Llama's layers that training and decoding share: the rotary embedding, and attention over sequences.

R rows of T tokens; H heads of queries, G heads of keys and values, each shared by H / G heads of queries.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def rotate(states: Tensor, cos: Tensor, sin: Tensor, sign: int = 1) -> Tensor:
    """Rotary embedding of queries or keys (..., size): Su et al. 2021, eq. 34, with Llama's pairing of dimensions.

    Dimension i of the first half and dimension i of the second form a pair (a, b), which becomes
    (a cos - b sin, b cos + a sin).

    cos, sin: (..., size / 2), in the states' dtype. sign: -1 rotates back, which is also the gradient.
    """
    first, second = states.chunk(2, dim=-1)
    rotated = torch.empty_like(states)
    rotated_first, rotated_second = rotated.chunk(2, dim=-1)
    torch.mul(first, cos, out=rotated_first).addcmul_(second, sin, value=-sign)
    torch.mul(second, cos, out=rotated_second).addcmul_(first, sin, value=sign)
    return rotated


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """softmax(Q K' / sqrt(size) + mask) V of every head, (R, T, H * size).

    query: (R, H, T, size); key, value: (R, G, T, size); mask: (R, 1, T, T), 0 where a token sees another, else -inf.
    """
    queries_per_key = query.shape[1] // key.shape[1]
    if queries_per_key > 1:
        key, value = (states.repeat_interleave(queries_per_key, 1) for states in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
