"""Llama's layers for training on a CPU: one autograd function a layer, written out forward and backward.

It computes what transformers computes (tests hold that), in the same precisions: the sum of the layers, norms,
rotations and attention's softmax in float32, matrix products in the given dtype. What differs is what is kept for
backward, which is a third less memory in training: norms, the gate's product and attention's weights are computed
again, and no key or value is repeated for the heads that share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, silu

from plaudit.language.rows import Rows

FUSED = ("llama", "mistral")  # model types whose layers are what stands here
BLOCK = 256  # queries whose attention is computed at a time backward


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the layers of one forward share."""

    rows: int
    size: int  # of a head
    epsilon: float
    dtype: torch.dtype  # of matrix products
    cos: Tensor  # (R * T, 1, size) float32
    sin: Tensor  # (R * T, 1, size / 2)
    mask: Tensor  # (R, 1, T, T) in that dtype: 0 where the first place sees the second, else -inf


def matrices(layer: Any) -> list[Any]:
    """A layer's linear maps, in the order in which they are used."""
    own, mlp = layer.self_attn, layer.mlp
    return [own.q_proj, own.k_proj, own.v_proj, own.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def fits(model: Any) -> bool:
    """Whether this file computes what the model's layers compute."""
    config = model.config
    if config.model_type not in FUSED or config.hidden_act != "silu" or getattr(config, "sliding_window", None):
        return False
    maps = [each for layer in model.get_decoder().layers for each in matrices(layer)]
    return all(type(each) is torch.nn.Linear and each.bias is None and _here(each.weight) for each in maps)


def _here(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


def through(decoder: Any, layers: Any, states: Tensor, rows: Rows, cast: dict[int, Tensor] | None) -> Tensor:
    """States (R, T, d) float32 behind the layers, with products in the precision of autocast.

    cast: keeps the weights in that precision from one call to the next; None: nothing is kept.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    shape, kept = states.shape, {} if cast is None else cast
    cos, sin = decoder.rotary_emb(states, position_ids=rows.positions)
    size = cos.shape[-1]
    cos, sin = (each.expand(shape[0], -1, -1).reshape(-1, 1, size).float() for each in (cos, sin))
    hidden = torch.zeros(rows.mask.shape, dtype=dtype).masked_fill_(~rows.mask, float("-inf"))
    half = sin[..., : size // 2].contiguous()
    geometry = Geometry(shape[0], size, decoder.config.rms_norm_eps, dtype, cos, half, hidden)
    states = states.flatten(0, 1)
    for layer in layers:
        weights = [each.weight for each in matrices(layer)]
        lower = weights if dtype == torch.float32 else [_cast(each, dtype, kept) for each in weights]
        norms = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        states = _Layer.apply(states, geometry, lower, *norms, *weights)
        if cast is None:
            kept.clear()
    return states.view(shape)


def _cast(weight: Tensor, dtype: torch.dtype, cast: dict[int, Tensor]) -> Tensor:
    if id(weight) not in cast:
        cast[id(weight)] = weight.detach().to(dtype)
    return cast[id(weight)]


class _Layer(torch.autograd.Function):
    """x + attention(norm(x)), then y + down(silu(gate) * up) of norm(y); weights' gradients are in the lower dtype."""

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(ctx: Any, states: Tensor, geometry: Geometry, lower: Sequence[Tensor], *weights: Tensor) -> Tensor:
        before, after = weights[:2]
        q, k, v, out, gate, up, down = lower
        normed = _normed(states, before, geometry)
        queries, keys = (_turned(_heads(normed @ each.T, geometry), geometry, 1) for each in (q, k))
        values = _heads(normed @ v.T, geometry)
        heard = _hear(queries, keys, values, geometry)
        middle = states + heard @ out.T
        normed = _normed(middle, after, geometry)
        gates, ups = normed @ gate.T, normed @ up.T
        ctx.save_for_backward(states, middle, queries, keys, values, heard, gates, ups, before, after)
        ctx.geometry, ctx.lower = geometry, lower
        return middle + silu(gates).mul_(ups) @ down.T

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, middle, queries, keys, values, heard, gates, ups, before, after = ctx.saved_tensors
        geometry: Geometry = ctx.geometry
        q, k, v, out, gate, up, down = ctx.lower
        needs = ctx.needs_input_grad[5:]
        d_end = gradients[0].to(geometry.dtype)
        opened = silu(gates)
        d_down = d_end.T @ (opened * ups) if needs[6] else None
        d_product = d_end @ down
        d_ups = opened.mul_(d_product)
        d_gates = torch.ops.aten.silu_backward(d_product.mul_(ups), gates)
        normed = _normed(middle, after, geometry)
        d_gate, d_up = (
            each.T @ normed if need else None for each, need in zip((d_gates, d_ups), needs[4:6], strict=True)
        )
        d_normed = (d_gates @ gate).float().add_(d_ups @ up)
        d_middle, d_after = _normed_backward(d_normed, middle, after, geometry)
        d_middle += gradients[0]
        d_sum = d_middle.to(geometry.dtype)
        d_out = d_sum.T @ heard if needs[3] else None
        parts = _hear_backward(d_sum @ out, queries, keys, values, heard, geometry)
        d_queries, d_keys = (_turned(each, geometry, -1).flatten(1) for each in parts[:2])
        d_values = parts[2].flatten(1).to(geometry.dtype)
        normed = _normed(states, before, geometry)
        three = (d_queries, d_keys, d_values)
        d_q, d_k, d_v = (each.T @ normed if need else None for each, need in zip(three, needs[:3], strict=True))
        d_normed = (d_queries @ q).float().add_(d_keys @ k).add_(d_values @ v)
        d_states, d_before = _normed_backward(d_normed, states, before, geometry)
        d_states += d_middle
        return d_states, None, None, d_before, d_after, d_q, d_k, d_v, d_out, d_gate, d_up, d_down


def _scale(states: Tensor, epsilon: float) -> Tensor:
    """1 / root mean square of each row (N, 1) float32."""
    squares = torch.linalg.vector_norm(states, dim=-1, keepdim=True).square_()
    return squares.div_(states.shape[-1]).add_(epsilon).rsqrt_()


def _normed(states: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """RMSNorm (Zhang & Sennrich 2019, eq. 4) in float32, (N, d) in the lower dtype."""
    return (states * _scale(states, geometry.epsilon)).mul_(weight).to(geometry.dtype)


def _normed_backward(gradient: Tensor, states: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Gradients of the states and of the weight, for a gradient (N, d) float32, which is written over."""
    scale = _scale(states, geometry.epsilon)
    unit = states * scale
    d_weight = torch.mul(gradient, unit).sum(0)
    gradient.mul_(weight)
    along = torch.linalg.vecdot(gradient, unit).div_(states.shape[-1]).unsqueeze(1)
    return gradient.sub_(unit.mul_(along)).mul_(scale), d_weight


def _heads(flat: Tensor, geometry: Geometry) -> Tensor:
    """(N, heads * size) as (N, heads, size)."""
    return flat.unflatten(1, (-1, geometry.size))


def _turned(x: Tensor, geometry: Geometry, way: int) -> Tensor:
    """Rotary embedding (Su et al. 2021) of (N, heads, size) in the halves that Llama pairs; ``way`` -1 turns back."""
    half = geometry.size // 2
    x = x.float()
    first, second = x[..., :half], x[..., half:]
    turned = x * geometry.cos
    turned[..., :half].addcmul_(second, geometry.sin, value=-way)
    turned[..., half:].addcmul_(first, geometry.sin, value=way)
    return turned.to(geometry.dtype)


def _rows(x: Tensor, geometry: Geometry) -> Tensor:
    """(N, heads, size) as (R, heads, T, size), a view."""
    return x.unflatten(0, (geometry.rows, -1)).transpose(1, 2)


def _hear(queries: Tensor, keys: Tensor, values: Tensor, geometry: Geometry) -> Tensor:
    """Attention (N, heads * size)."""
    several = queries.shape[1] // keys.shape[1]
    own, there, what = (_rows(each, geometry) for each in (queries, keys, values))
    if several > 1:
        there, what = (each.repeat_interleave(several, 1) for each in (there, what))
    heard = scaled_dot_product_attention(own, there, what, attn_mask=geometry.mask)
    return heard.transpose(1, 2).reshape(len(queries), -1)


def _hear_backward(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor, heard: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, (N, heads, size) float32.

    The heads that share a key are so many queries of it: (R * groups, several * block, size). With P the softmax of the
    scores, dV = P' dO, dS = P (dO V' - sum dO O), dQ = dS K, dK = dS' Q (Dao et al. 2022, appendix B). Nobody sees what
    comes later in a row, so a block of queries needs the keys up to its end.
    """
    groups, size, count = keys.shape[1], geometry.size, geometry.rows
    several, factor = queries.shape[1] // groups, size**-0.5
    length, flat = len(queries) // count, (count * groups, -1, size)

    def grouped(x: Tensor) -> Tensor:  # (N, groups * several, ...) as (R, groups, several, T, ...)
        return x.unflatten(1, (groups, -1)).unflatten(0, (count, length)).movedim(1, 3)

    own, far = grouped(queries), grouped(_heads(gradient, geometry))
    there, what = (grouped(each).reshape(flat) for each in (keys, values))
    sums = grouped((gradient.float() * heard).view(len(queries), -1, size).sum(-1))  # (R, groups, several, T)
    d_queries = torch.empty(queries.shape)
    d_own = grouped(d_queries)
    d_keys, d_values = (torch.zeros(there.shape) for _ in range(2))
    precise = (there.float() * factor).transpose(1, 2)
    for begin in range(0, length, BLOCK):
        end = min(begin + BLOCK, length)
        shape = (count, groups, several, end - begin, end)
        asked, felt = (x[..., begin:end, :].reshape(flat) for x in (own, far))
        scores = torch.bmm(asked.float(), precise[..., :end]).view(shape)
        weights = scores.add_(geometry.mask[:, :, None, begin:end, :end]).softmax(-1)
        d_weights = torch.bmm(felt, what[:, :end].transpose(1, 2)).view(shape)
        d_scores = torch.empty(shape, dtype=geometry.dtype)
        torch.mul(weights, d_weights - sums[..., begin:end].unsqueeze(-1), out=d_scores)
        low, d_scores = weights.to(geometry.dtype).flatten(0, 1).flatten(1, 2), d_scores.flatten(0, 1).flatten(1, 2)
        d_own[..., begin:end, :] = torch.bmm(d_scores, there[:, :end]).view(*shape[:-1], size)
        d_keys[:, :end] += torch.bmm(d_scores.transpose(1, 2), asked)
        d_values[:, :end] += torch.bmm(low.transpose(1, 2), felt)
    back = (x.view(count, groups, length, size).transpose(1, 2).reshape(-1, groups, size) for x in (d_keys, d_values))
    d_keys, d_values = back
    return d_queries.mul_(factor), d_keys.mul_(factor), d_values
