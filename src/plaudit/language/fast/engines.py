"""What a decoder asks of a model: process prompts, process one token per row, drop rows that are finished.

Two engines: :class:`FusedEngine` for plain stacks of Llama's layers, with a key-value cache of its own and fused
projections; and :class:`PlainEngine` for every other model, through transformers' own forward.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import linear, pad, rms_norm, scaled_dot_product_attention, silu
from transformers import DynamicCache

from plaudit.language.fast.llama import attend, rotate
from plaudit.language.fast.matrices import Matrix
from plaudit.language.lora import merge_lora
from plaudit.language.models import LanguageModel
from plaudit.language.stack import find_decoder
from plaudit.language.windows import mode_of, window_of

FUSED = ("llama", "mistral", "qwen2")  # model types whose layers FusedEngine computes
PREFILL_TOKENS = 1024  # tokens of prompts that go through the layers together on a CPU
GROWTH = 32  # columns by which the cache grows, or an eighth of those in use


@runtime_checkable
class Engine(Protocol):
    """Holds the state of B rows. Columns count from the left edge, where shorter prompts are padded."""

    def prefill(self, tokens: Tensor, real: Tensor, room: int) -> Tensor:
        """Process prompts (B, P), padded on the left, and return the hidden states (B, d) at their ends.

        room: how many more tokens each row will get.
        """
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Process one token (B,) per row, and return its hidden states (B, d)."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (B, V) of the next token, in the precision of the products."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only, in this order."""
        ...

    def repeat(self, times: int) -> None:
        """Repeat every row, copies next to their original: several completions of one prompt."""
        ...


def choose_engine(model: LanguageModel) -> Engine:
    """The faster of the engines that compute exactly this model."""
    config = model.model.config
    window = window_of(config) if mode_of(model.model) != "ignored" else None
    scaled = getattr(config, "rope_parameters", {"rope_type": "default"}).get("rope_type", "default") != "default"
    fused = config.model_type in FUSED and window is None and not scaled and config.hidden_act == "silu"
    return FusedEngine(model) if fused else PlainEngine(model)


class PlainEngine:
    """transformers' own forward with its dynamic cache."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.cache: Any = None
        self.real = torch.empty(0)

    def prefill(self, tokens: Tensor, real: Tensor, room: int) -> Tensor:
        """As :class:`Engine`."""
        config: Any = self.model.model.config
        # a cache that knows of a window which the layers do not have would forget what they look back to
        self.cache = DynamicCache() if mode_of(self.model.model) == "ignored" else DynamicCache(config=config)
        self.real = real.long()
        return self._forward(tokens, (self.real.cumsum(1) - 1).clamp_min(0))

    def step(self, tokens: Tensor) -> Tensor:
        """As :class:`Engine`."""
        self.real = torch.cat((self.real, torch.ones_like(self.real[:, :1])), 1)
        return self._forward(tokens[:, None], self.real.sum(1, keepdim=True) - 1)

    def _forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        decoder: Any = find_decoder(self.model.model)
        with self.model.precision():
            return decoder(
                input_ids=tokens,
                attention_mask=self.real,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
            ).last_hidden_state[:, -1]

    def logits(self, hidden: Tensor) -> Tensor:
        """As :class:`Engine`."""
        with self.model.precision():
            return linear(hidden, self.model.output)

    def keep(self, rows: Tensor) -> None:
        """As :class:`Engine`."""
        self.cache.batch_select_indices(rows)
        self.real = self.real[rows]

    def repeat(self, times: int) -> None:
        """As :class:`Engine`."""
        self.cache.batch_repeat_interleave(times)
        self.real = self.real.repeat_interleave(times, 0)


class FusedEngine:
    """Llama's forward for one token per row, with fused projections and a preallocated key-value cache.

    H heads of queries share G heads of keys and values, each ``size`` wide. The weights are a copy of the model's, in
    the precision that it decodes in, and live as long as this object.
    """

    def __init__(self, model: LanguageModel) -> None:
        source: Any = merge_lora(model.model)
        decoder, config = find_decoder(source), source.config
        self.dtype = torch.bfloat16 if model.reduced else torch.float32
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon = config.rms_norm_eps
        self.rotary = decoder.rotary_emb
        self.embedding = decoder.embed_tokens.weight.detach()
        self.head = self._fuse(source.get_output_embeddings())
        # keys with large biases have large scores, which must not be rounded before they are scaled
        self.biased = decoder.layers[0].self_attn.k_proj.bias is not None
        self.norm = decoder.norm.weight.detach().float()
        self.layers = [self._convert(layer) for layer in decoder.layers]
        self.keys: list[Tensor] = []  # of each layer, (B, G, columns, size)
        self.values: list[Tensor] = []
        self.real = torch.empty(0)  # (B, columns) bool: False in padding and in columns that are not used yet
        self.rows = self.used = 0  # rows that are active, and columns that are in use

    def _fuse(self, *layers: Any) -> Matrix:
        return Matrix([layer.weight for layer in layers], [layer.bias for layer in layers], self.dtype)

    def _convert(self, layer: Any) -> dict[str, Any]:
        """The weights of one of transformers' layers, as decoding uses them."""
        attention, mlp = layer.self_attn, layer.mlp
        return {
            "attention_norm": layer.input_layernorm.weight.detach().float(),
            "qkv": self._fuse(attention.q_proj, attention.k_proj, attention.v_proj),
            "output": self._fuse(attention.o_proj),
            "mlp_norm": layer.post_attention_layernorm.weight.detach().float(),
            "gate_up": self._fuse(mlp.gate_proj, mlp.up_proj),
            "down": self._fuse(mlp.down_proj),
        }

    @torch.inference_mode()
    def prefill(self, tokens: Tensor, real: Tensor, room: int) -> Tensor:
        """As :class:`Engine`. On a CPU a few prompts go at a time, so that a layer's results stay in its caches."""
        rows, width = tokens.shape
        device = tokens.device
        shape = (rows, self.groups, width + min(room, GROWTH), self.size)
        self.keys, self.values = (
            [torch.zeros(shape, dtype=self.dtype, device=device) for _ in self.layers] for _ in range(2)
        )
        self.real = torch.zeros((rows, width + room), dtype=torch.bool, device=device)
        self.real[:, :width] = real
        self.rows, self.used = rows, width
        causal = torch.ones((width, width), dtype=torch.bool, device=device).tril()
        diagonal = torch.eye(width, dtype=torch.bool, device=device)
        ends = []
        for part in torch.arange(rows).split(max(PREFILL_TOKENS // width, 1) if device.type == "cpu" else rows):
            chunk = slice(int(part[0]), int(part[-1]) + 1)
            visible = real[chunk, None, None, :] & causal | diagonal
            mask = torch.zeros(visible.shape, dtype=self.dtype, device=device).masked_fill_(~visible, float("-inf"))
            positions = (real[chunk].long().cumsum(1) - 1).clamp_min(0)
            ends.append(self._forward(tokens[chunk], positions, mask, chunk, 0)[:, -1])
        return torch.cat(ends)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """As :class:`Engine`."""
        column = self.used
        self.used += 1
        if self.used > self.keys[0].shape[2]:
            self._grow()
        self.real[: self.rows, column] = True
        real = self.real[: self.rows, : self.keys[0].shape[2]]
        mask = torch.zeros(real.shape, device=real.device).masked_fill_(~real, float("-inf"))
        positions = real.sum(1, keepdim=True) - 1
        return self._forward(tokens[:, None], positions, mask[:, None], slice(0, self.rows), column)[:, 0]

    def _grow(self) -> None:
        """Add columns to the cache, for the active rows.

        A few at a time: attention also multiplies the columns that are not used yet, because a product of a part of
        the cache would first copy that part.
        """
        more = min(max(GROWTH, self.used // 8), self.real.shape[1] - self.keys[0].shape[2])
        for caches in (self.keys, self.values):
            for number, cache in enumerate(caches):
                caches[number] = pad(cache[: self.rows], (0, 0, 0, more))

    def _forward(self, tokens: Tensor, positions: Tensor, mask: Tensor, rows: slice, column: int) -> Tensor:
        """Hidden states (B, T, d) of tokens (B, T) of ``rows``, of which the first stands in ``column``.

        mask: 0 where a token sees a column, else -inf; (B, 1, T, T) for prompts, (B, 1, columns) for one token.
        """
        states = self.embedding[tokens].to(self.dtype).float()  # the residual sum stays in float32, as under autocast
        cos, sin = (
            table[..., : self.size // 2].unsqueeze(2).to(self.dtype) for table in self.rotary(states, positions)
        )
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            qkv = layer["qkv"](self._normalise(states, layer["attention_norm"]))
            qkv = qkv.view(*tokens.shape, -1, self.size)
            query_key, value = qkv.split((self.heads + self.groups, self.groups), dim=2)
            query, key = rotate(query_key, cos, sin).split((self.heads, self.groups), dim=2)
            query, key, value = (part.transpose(1, 2) for part in (query, key, value))
            cache = keys[rows], values[rows]
            for columns, part in zip(cache, (key, value), strict=True):
                columns[:, :, column : column + tokens.shape[1]] = part
            prompts = column == 0
            attention = attend(query, key, value, mask) if prompts else self._attend_to_cache(query, cache, mask)
            states += layer["output"](attention)
            gate, up_projection = layer["gate_up"](self._normalise(states, layer["mlp_norm"])).chunk(2, dim=-1)
            states += layer["down"](silu(gate).mul_(up_projection))
        return self._normalise(states, self.norm)

    def _normalise(self, states: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(states, (states.shape[-1],), weight, self.epsilon).to(self.dtype)

    def _attend_to_cache(self, query: Tensor, cache: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """Attention (B, 1, H * size) of one token per row (B, H, 1, size) to every column of the cache.

        The H / G heads that share a key count as more queries of it, so that no key or value is repeated.
        """
        rows, queries_per_key = len(query), self.heads // self.groups
        query = query.reshape(rows, self.groups, queries_per_key, self.size)
        if self.biased:
            return scaled_dot_product_attention(query, *cache, mask[:, None].to(self.dtype)).reshape(rows, 1, -1)
        key, value = (columns.flatten(0, 1) for columns in cache)  # two products for all rows
        scores = torch.bmm(query.flatten(0, 1), key.transpose(1, 2))
        weights = torch.add(mask, scores.view(rows, self.heads, -1), alpha=self.size**-0.5).softmax(-1).to(self.dtype)
        return torch.bmm(weights.view(len(scores), queries_per_key, -1), value).view(rows, 1, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        """As :class:`Engine`."""
        return self.head(hidden)

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        """As :class:`Engine`; the cache keeps its memory, and the rows move to its top."""
        for cache in (*self.keys, *self.values):
            cache[: len(rows), :, : self.used] = cache[rows, :, : self.used]
        self.real[: len(rows)] = self.real[rows]
        self.rows = len(rows)

    @torch.inference_mode()
    def repeat(self, times: int) -> None:
        """As :class:`Engine`."""
        self.keys = [cache.repeat_interleave(times, 0) for cache in self.keys]
        self.values = [cache.repeat_interleave(times, 0) for cache in self.values]
        self.real = self.real.repeat_interleave(times, 0)
        self.rows *= times
