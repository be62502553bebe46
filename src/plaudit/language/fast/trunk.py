"""Llama's layers for training on a CPU: one autograd function per layer, with forward and backward written out.

They compute what transformers' layers compute (tests hold the two equal), in the same precisions: the residual sum,
norms, rotary embeddings and attention's softmax in float32, matrix products in the given dtype. Training takes a third
less memory, because less is saved for backward: norms, the product of gate and up projection, and attention's
probabilities are computed again, and no key or value is repeated for the heads that share it.

R rows of T tokens lie flat: N = R * T. A hidden state has d numbers, a head ``size``; H heads of queries share G heads
of keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from plaudit.language.fast.llama import attend, rotate
from plaudit.language.rows import Rows
from plaudit.language.stack import find_decoder

FUSED = ("llama", "mistral")  # model types whose layers this file computes
BLOCK = 256  # queries whose attention the backward pass computes at a time


@dataclass(frozen=True, eq=False)
class Geometry:
    """What all layers of one forward pass share."""

    rows: int  # R
    size: int  # of a head
    epsilon: float  # of RMSNorm
    dtype: torch.dtype  # of matrix products
    cos: Tensor  # (N, 1, size / 2) float32, of each token's position
    sin: Tensor  # (N, 1, size / 2) float32
    mask: Tensor  # (R, 1, T, T) in that dtype: 0 where the first token sees the second, else -inf


def linear_maps(layer: Any) -> list[Any]:
    """A layer's linear maps, in the order in which they are used."""
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
    return [*projections, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def fits(model: Any) -> bool:
    """Whether this file computes what the model's layers compute."""
    config = model.config
    if config.model_type not in FUSED or config.hidden_act != "silu" or getattr(config, "layer_types", None):
        return False
    maps = [linear for layer in find_decoder(model).layers for linear in linear_maps(layer)]
    return all(
        type(linear) is torch.nn.Linear and linear.bias is None and _is_cpu_float32(linear.weight) for linear in maps
    )


def _is_cpu_float32(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


def run_layers(
    decoder: Any, layers: Any, hidden: Tensor, rows: Rows, visible: Tensor, cast: dict[int, Tensor] | None
) -> Tensor:
    """Hidden states (R, T, d) float32 after the layers; matrix products run in autocast's precision.

    visible: (R, 1, T, T) bool, whether the first token sees the second; it sees no token of a later column. cast: keeps
    the weights in that precision from one call to the next; None: they are cast again for each layer.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    shape, cache = hidden.shape, {} if cast is None else cast
    angles = decoder.rotary_emb(hidden, position_ids=rows.positions)  # cos and sin, each with two equal halves
    size = angles[0].shape[-1]
    cos, sin = (table[..., : size // 2].expand(shape[0], -1, -1).reshape(-1, 1, size // 2).float() for table in angles)
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, float("-inf"))
    geometry = Geometry(shape[0], size, decoder.config.rms_norm_eps, dtype, cos, sin, mask)
    hidden = hidden.flatten(0, 1)
    for layer in layers:
        weights = [linear.weight for linear in linear_maps(layer)]
        products = weights if dtype == torch.float32 else [_cast(weight, dtype, cache) for weight in weights]
        norms = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        hidden = _Layer.apply(hidden, geometry, products, *norms, *weights)
        if cast is None:
            cache.clear()
    return hidden.view(shape)


def _cast(weight: Tensor, dtype: torch.dtype, cache: dict[int, Tensor]) -> Tensor:
    if id(weight) not in cache:
        cache[id(weight)] = weight.detach().to(dtype)
    return cache[id(weight)]


class _Layer(torch.autograd.Function):
    """One layer: y = x + attention(norm(x)) W_o', then y + (silu(n W_gate') * (n W_up')) W_down' with n = norm(y).

    Gradients of the weights are in the dtype of the products.
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(ctx: Any, hidden: Tensor, geometry: Geometry, products: Sequence[Tensor], *weights: Tensor) -> Tensor:
        """Hidden states (N, d) float32 after the layer.

        products: W_q, W_k, W_v, W_o, W_gate, W_up, W_down in the dtype of matrix products. weights: the two norms'
        weights, and those seven as parameters, which get the gradients.
        """
        attention_norm, mlp_norm = weights[:2]
        w_q, w_k, w_v, w_o, w_gate, w_up, w_down = products
        normed = _normalise(hidden, attention_norm, geometry)
        query, key = (_rotate(_heads(normed @ weight.T, geometry), geometry, 1) for weight in (w_q, w_k))
        value = _heads(normed @ w_v.T, geometry)
        query_rows, key_rows, value_rows = (_rows(states, geometry) for states in (query, key, value))
        attention = attend(query_rows, key_rows, value_rows, geometry.mask).flatten(0, 1)
        middle = hidden + attention @ w_o.T
        normed = _normalise(middle, mlp_norm, geometry)
        gate, up_projection = normed @ w_gate.T, normed @ w_up.T
        ctx.save_for_backward(
            hidden, middle, query, key, value, attention, gate, up_projection, attention_norm, mlp_norm
        )
        ctx.geometry, ctx.products = geometry, products
        return middle + silu(gate).mul_(up_projection) @ w_down.T

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the hidden states, of the norms' weights, and of the linear maps that learn."""
        (hidden, middle, query, key, value, attention, gate, up_projection, attention_norm, mlp_norm) = (
            ctx.saved_tensors
        )
        geometry: Geometry = ctx.geometry
        w_q, w_k, w_v, w_o, w_gate, w_up, w_down = ctx.products
        needs = ctx.needs_input_grad[5:]
        grad_output = gradients[0].to(geometry.dtype)
        activation = silu(gate)
        grad_w_down = grad_output.T @ (activation * up_projection) if needs[6] else None
        grad_product = grad_output @ w_down
        grad_up = activation.mul_(grad_product)
        grad_gate = torch.ops.aten.silu_backward(grad_product.mul_(up_projection), gate)
        normed = _normalise(middle, mlp_norm, geometry)
        grad_w_gate, grad_w_up = (
            grad.T @ normed if need else None for grad, need in zip((grad_gate, grad_up), needs[4:6], strict=True)
        )
        grad_normed = (grad_gate @ w_gate).float().add_(grad_up @ w_up)
        grad_middle, grad_mlp_norm = _normalise_backward(grad_normed, middle, mlp_norm, geometry)
        grad_middle += gradients[0]
        grad_residual = grad_middle.to(geometry.dtype)
        grad_w_o = grad_residual.T @ attention if needs[3] else None
        grad_query, grad_key, grad_value = _attend_backward(grad_residual @ w_o, query, key, value, attention, geometry)
        grad_query, grad_key = (_rotate(grad, geometry, -1).flatten(1) for grad in (grad_query, grad_key))
        grad_value = grad_value.flatten(1).to(geometry.dtype)
        normed = _normalise(hidden, attention_norm, geometry)
        grad_w_q, grad_w_k, grad_w_v = (
            grad.T @ normed if need else None
            for grad, need in zip((grad_query, grad_key, grad_value), needs[:3], strict=True)
        )
        grad_normed = (grad_query @ w_q).float().add_(grad_key @ w_k).add_(grad_value @ w_v)
        grad_hidden, grad_attention_norm = _normalise_backward(grad_normed, hidden, attention_norm, geometry)
        grad_hidden += grad_middle
        grad_norms = grad_attention_norm, grad_mlp_norm
        grad_maps = grad_w_q, grad_w_k, grad_w_v, grad_w_o, grad_w_gate, grad_w_up, grad_w_down
        return grad_hidden, None, None, *grad_norms, *grad_maps


def _inverse_rms(states: Tensor, epsilon: float) -> Tensor:
    """1 / root mean square of each row (N, 1) float32."""
    squares = torch.linalg.vector_norm(states, dim=-1, keepdim=True).square_()
    return squares.div_(states.shape[-1]).add_(epsilon).rsqrt_()


def _normalise(states: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """RMSNorm in float32 (Zhang & Sennrich 2019, eq. 4), as (N, d) in the dtype of the products."""
    return (states * _inverse_rms(states, geometry.epsilon)).mul_(weight).to(geometry.dtype)


def _normalise_backward(gradient: Tensor, states: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Gradients of the states (N, d) and of the weight (d,); overwrites ``gradient`` (N, d) float32.

    With s = 1 / rms(x), u = s x and g = gradient * w: dw = sum over rows of gradient * u, dx = s (g - u mean(g * u)).
    """
    scale = _inverse_rms(states, geometry.epsilon)
    unit = states * scale
    grad_weight = torch.mul(gradient, unit).sum(0)
    gradient.mul_(weight)
    projection = torch.linalg.vecdot(gradient, unit).div_(states.shape[-1]).unsqueeze(1)
    return gradient.sub_(unit.mul_(projection)).mul_(scale), grad_weight


def _heads(flat: Tensor, geometry: Geometry) -> Tensor:
    """(N, heads * size) as (N, heads, size)."""
    return flat.unflatten(1, (-1, geometry.size))


def _rows(states: Tensor, geometry: Geometry) -> Tensor:
    """(N, heads, size) as (R, heads, T, size), a view."""
    return states.unflatten(0, (geometry.rows, -1)).transpose(1, 2)


def _rotate(states: Tensor, geometry: Geometry, sign: int) -> Tensor:
    """Rotary embedding of (N, heads, size) in float32, in the dtype of the products; ``sign`` -1 rotates back."""
    return rotate(states.float(), geometry.cos, geometry.sin, sign).to(geometry.dtype)


def _attend_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries (N, H, size) and of keys and values (N, G, size), float32.

    With P the softmax of the scores and O the output: dV = P' dO, dS = P (dO V' - sum dO O), dQ = dS K, dK = dS' Q (Dao
    et al. 2022, appendix B). The H / G heads that share a key count as more queries of it: (R * G, H / G * block,
    size). No token sees a later one of its row, so a block of queries needs the keys up to its end only.
    """
    groups, size, count = key.shape[1], geometry.size, geometry.rows
    queries_per_key, factor = query.shape[1] // groups, size**-0.5
    length, flat = len(query) // count, (count * groups, -1, size)

    def group(states: Tensor) -> Tensor:  # (N, G * heads, ...) as (R, G, heads, T, ...), a view
        return states.unflatten(1, (groups, -1)).unflatten(0, (count, length)).movedim(1, 3)

    query_groups, grad_groups = group(query), group(_heads(grad_output, geometry))
    keys, values = (group(states).reshape(flat) for states in (key, value))
    sums = group((grad_output.float() * output).view(len(query), -1, size).sum(-1))  # sum dO O: (R, G, H / G, T)
    grad_query = torch.empty(query.shape)
    grad_query_groups = group(grad_query)
    grad_keys, grad_values = (torch.zeros(keys.shape) for _ in range(2))
    scaled_keys = (keys.float() * factor).transpose(1, 2)
    for begin in range(0, length, BLOCK):
        end = min(begin + BLOCK, length)
        shape = (count, groups, queries_per_key, end - begin, end)
        queries, grads = (states[..., begin:end, :].reshape(flat) for states in (query_groups, grad_groups))
        scores = torch.bmm(queries.float(), scaled_keys[..., :end]).view(shape)
        probabilities = scores.add_(geometry.mask[:, :, None, begin:end, :end]).softmax(-1)
        grad_probabilities = torch.bmm(grads, values[:, :end].transpose(1, 2)).view(shape)
        grad_scores = torch.empty(shape, dtype=geometry.dtype)
        torch.mul(probabilities, grad_probabilities - sums[..., begin:end].unsqueeze(-1), out=grad_scores)
        weights, grad_scores = (
            table.flatten(0, 1).flatten(1, 2) for table in (probabilities.to(geometry.dtype), grad_scores)
        )
        grad_query_groups[..., begin:end, :] = torch.bmm(grad_scores, keys[:, :end]).view(*shape[:-1], size)
        grad_keys[:, :end] += torch.bmm(grad_scores.transpose(1, 2), queries)
        grad_values[:, :end] += torch.bmm(weights.transpose(1, 2), grads)
    grad_key, grad_value = (
        grad.view(count, groups, length, size).transpose(1, 2).reshape(-1, groups, size)
        for grad in (grad_keys, grad_values)
    )
    return grad_query.mul_(factor), grad_key.mul_(factor), grad_value
