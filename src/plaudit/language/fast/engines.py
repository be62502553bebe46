"""What a decoder asks of a model: take prompts in, take one token a row, forget rows that are done.

Two engines: :class:`Fused` for plain stacks of Llama's kind, with its own cache and fused projections; and
:class:`Plain` for everything else, through transformers' own forward.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import linear, pad, rms_norm, scaled_dot_product_attention, silu
from transformers import DynamicCache

from plaudit.language.fast.matrices import Matrix
from plaudit.language.models import LanguageModel, adapted

FUSED = ("llama", "mistral", "qwen2")  # model types whose layers are what Fused computes
AT_ONCE = 1024  # tokens of prompts that go through the layers of a processor together
GROWN = 32  # places by which the cache grows, or an eighth


@runtime_checkable
class Engine(Protocol):
    """B rows in flight. Places count from the left edge, where shorter prompts are padded."""

    def prefill(self, tokens: Tensor, real: Tensor, room: int) -> Tensor:
        """Take in prompts (B, P), padded on the left, with room for more tokens; hidden states (B, d) at their ends."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Take one token (B,) a row; its hidden state (B, d)."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, V), in the precision of the products."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone, in this order."""
        ...

    def copies(self, times: int) -> None:
        """Repeat every row, each copy beside its original: several completions of one prompt."""
        ...


def engine(model: LanguageModel) -> Engine:
    """The fastest engine that computes exactly this model."""
    config = model.model.config
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    scaled = getattr(config, "rope_parameters", {"rope_type": "default"}).get("rope_type", "default") != "default"
    plain = config.model_type in FUSED and window is None and not scaled and config.hidden_act == "silu"
    return Fused(model) if plain else Plain(model)


class Plain:
    """transformers' own forward with its dynamic cache."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.cache: Any = None
        self.real = torch.empty(0)

    def prefill(self, tokens: Tensor, real: Tensor, room: int) -> Tensor:
        """As :class:`Engine`."""
        self.cache = DynamicCache(config=self.model.model.config)
        self.real = real.long()
        return self._forward(tokens, (self.real.cumsum(1) - 1).clamp_min(0))

    def step(self, tokens: Tensor) -> Tensor:
        """As :class:`Engine`."""
        self.real = torch.cat((self.real, torch.ones_like(self.real[:, :1])), 1)
        return self._forward(tokens[:, None], self.real.sum(1, keepdim=True) - 1)

    def _forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        decoder: Any = self.model.model.get_decoder()
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

    def copies(self, times: int) -> None:
        """As :class:`Engine`."""
        self.cache.batch_repeat_interleave(times)
        self.real = self.real.repeat_interleave(times, 0)


class Fused:
    """Llama's forward for one token a row: fused projections, a cache laid out beforehand, grouped heads as they are.

    Its weights are a snapshot of the model's, in the precision that it decodes in, and live as long as this object.
    """

    def __init__(self, model: LanguageModel) -> None:
        source: Any = model.merged() if adapted(model.model) else model.model
        decoder, config = source.get_decoder(), source.config
        self.dtype = torch.bfloat16 if model.reduced else torch.float32
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon = config.rms_norm_eps
        self.rotary = decoder.rotary_emb
        self.embedding = decoder.embed_tokens.weight.detach()
        self.head = self._fused(source.get_output_embeddings())
        # keys with large biases have large scores, which must not be rounded before they are scaled
        self.biased = decoder.layers[0].self_attn.k_proj.bias is not None
        self.norm = decoder.norm.weight.detach().float()
        self.layers = [self._layer(layer) for layer in decoder.layers]
        self.keys: list[Tensor] = []  # of each layer, (B, groups, places, size)
        self.values: list[Tensor] = []
        self.real = torch.empty(0)  # (B, places) bool
        self.rows = self.used = 0

    def _fused(self, *layers: Any) -> Matrix:
        return Matrix([each.weight for each in layers], [each.bias for each in layers], self.dtype)

    def _layer(self, layer: Any) -> dict[str, Any]:
        attention, mlp = layer.self_attn, layer.mlp
        return {
            "before": layer.input_layernorm.weight.detach().float(),
            "qkv": self._fused(attention.q_proj, attention.k_proj, attention.v_proj),
            "out": self._fused(attention.o_proj),
            "after": layer.post_attention_layernorm.weight.detach().float(),
            "gate_up": self._fused(mlp.gate_proj, mlp.up_proj),
            "down": self._fused(mlp.down_proj),
        }

    @torch.inference_mode()
    def prefill(self, tokens: Tensor, real: Tensor, room: int) -> Tensor:
        """As :class:`Engine`; some prompts at a time, so that what a layer makes of them stays in the caches."""
        rows, width = tokens.shape
        device = tokens.device
        shape = (rows, self.groups, width + min(room, GROWN), self.size)
        self.keys, self.values = (
            [torch.zeros(shape, dtype=self.dtype, device=device) for _ in self.layers] for _ in range(2)
        )
        self.real = torch.zeros((rows, width + room), dtype=torch.bool, device=device)
        self.real[:, :width] = real
        self.rows, self.used = rows, width
        causal = torch.ones((width, width), dtype=torch.bool, device=device).tril()
        diagonal = torch.eye(width, dtype=torch.bool, device=device)
        ends = []
        for part in torch.arange(rows).split(max(AT_ONCE // width, 1) if device.type == "cpu" else rows):
            here = slice(int(part[0]), int(part[-1]) + 1)
            seen = real[here, None, None, :] & causal | diagonal
            mask = torch.zeros(seen.shape, dtype=self.dtype, device=device).masked_fill_(~seen, float("-inf"))
            positions = (real[here].long().cumsum(1) - 1).clamp_min(0)
            ends.append(self._forward(tokens[here], positions, mask, here, 0)[:, -1])
        return torch.cat(ends)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """As :class:`Engine`."""
        place = self.used
        self.used += 1
        if self.used > self.keys[0].shape[2]:
            self._grow()
        self.real[: self.rows, place] = True
        real = self.real[: self.rows, : self.keys[0].shape[2]]
        mask = torch.zeros(real.shape, device=real.device).masked_fill_(~real, float("-inf"))
        positions = real.sum(1, keepdim=True) - 1
        return self._forward(tokens[:, None], positions, mask[:, None], slice(0, self.rows), place)[:, 0]

    def _grow(self) -> None:
        """More places for rows that are still there. A few at a time: products run over places that are not used yet,
        for one over a part of them would copy that part first."""
        more = min(max(GROWN, self.used // 8), self.real.shape[1] - self.keys[0].shape[2])
        for caches in (self.keys, self.values):
            for number, cache in enumerate(caches):
                caches[number] = pad(cache[: self.rows], (0, 0, 0, more))

    def _forward(self, tokens: Tensor, positions: Tensor, mask: Tensor, here: slice, place: int) -> Tensor:
        """Hidden states (B, T, d) of tokens (B, T) of the rows ``here``, which stand from ``place`` on.

        mask: 0 where a place is seen, -inf where it is not; (B, 1, T, T) of prompts, or (B, 1, places) of one token.
        """
        states = self.embedding[tokens].to(self.dtype).float()  # the layers' sum stays in float32, as under autocast
        turn = tuple(each[..., : self.size // 2].unsqueeze(2).to(self.dtype) for each in self.rotary(states, positions))
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            cache = keys[here], values[here]
            heard = self._attend(layer["qkv"](self._normed(states, layer["before"])), turn, mask, cache, place)
            states += layer["out"](heard)
            gate, up = layer["gate_up"](self._normed(states, layer["after"])).chunk(2, dim=-1)
            states += layer["down"](silu(gate).mul_(up))
        return self._normed(states, self.norm)

    def _normed(self, states: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(states, (states.shape[-1],), weight, self.epsilon).to(self.dtype)

    def _attend(
        self, qkv: Tensor, turn: tuple[Tensor, ...], mask: Tensor, cache: tuple[Tensor, Tensor], place: int
    ) -> Tensor:
        """Attention of one layer over everything so far (B, T, heads * size).

        cache: keys and values (B, groups, places, size), into which what is new is written first.
        """
        rows, width = qkv.shape[:2]
        turning, values = qkv.view(rows, width, -1, self.size).split((self.heads + self.groups, self.groups), dim=2)
        queries, keys = (
            each.transpose(1, 2) for each in _turned(turning, *turn).split((self.heads, self.groups), dim=2)
        )
        values, several = values.transpose(1, 2), self.heads // self.groups
        for held, new in zip(cache, (keys, values), strict=True):
            held[:, :, place : place + width] = new
        if place == 0:  # prompts
            keys, values = (each.repeat_interleave(several, 1) for each in (keys, values))
            return scaled_dot_product_attention(queries, keys, values, mask).transpose(1, 2).reshape(rows, width, -1)
        # one token: the heads of a group are so many queries of its one key
        queries = queries.reshape(rows, self.groups, several, self.size)
        if self.biased:
            return scaled_dot_product_attention(queries, *cache, mask[:, None].to(self.dtype)).reshape(rows, 1, -1)
        keys, values = (each.flatten(0, 1) for each in cache)  # two products for all rows
        scores = torch.bmm(queries.flatten(0, 1), keys.transpose(1, 2))
        weights = torch.add(mask, scores.view(rows, self.heads, -1), alpha=self.size**-0.5).softmax(-1).to(self.dtype)
        return torch.bmm(weights.view(len(scores), several, -1), values).view(rows, 1, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        """As :class:`Engine`."""
        return self.head(hidden)

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        """As :class:`Engine`; the cache keeps its memory, its rows move up."""
        for cache in (*self.keys, *self.values):
            cache[: len(rows), :, : self.used] = cache[rows, :, : self.used]
        self.real[: len(rows)] = self.real[rows]
        self.rows = len(rows)

    @torch.inference_mode()
    def copies(self, times: int) -> None:
        """As :class:`Engine`."""
        self.keys = [each.repeat_interleave(times, 0) for each in self.keys]
        self.values = [each.repeat_interleave(times, 0) for each in self.values]
        self.real = self.real.repeat_interleave(times, 0)
        self.rows *= times


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of (B, T, heads, size) by (B, T, 1, size / 2), in the halves of Llama: Su et al. 2021."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.empty_like(x)
    one, other = turned.chunk(2, dim=-1)
    torch.mul(first, cos, out=one).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=other).addcmul_(first, sin)
    return turned
