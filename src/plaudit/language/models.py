"""Causal language models of transformers: loading, saving, and sharing of frozen tensors between roles.

Policy, reference, reward and value are *roles*. A role that starts from another is its :func:`twin`: a copy that shares
every frozen tensor. So the reference is by construction the model that training started from. With full fine-tuning it
is a second model; with LoRA or only upper layers that learn, it costs almost nothing.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from plaudit.functional.pixels import native_bfloat16
from plaudit.language import windows
from plaudit.language.bundled import NAME
from plaudit.language.fast import trunk
from plaudit.language.fast.frozen_cache import FrozenCache
from plaudit.language.loading import describe_pretrained, read_pretrained, report
from plaudit.language.lora import add_lora, merge_lora
from plaudit.language.memory import keep_freed
from plaudit.language.rows import Rows, Tokens, Tree, lay
from plaudit.language.saving import write_model
from plaudit.language.stack import find_decoder, unfreeze_upper
from plaudit.language.windows import ENDLESS
from plaudit.types import PlauditError

Method = Literal["full", "lora", "upper", "frozen"]


@dataclass(frozen=True)
class ModelConfig:
    """The model, and the weights that learn."""

    model: str = NAME
    """The model: a hub id, a folder, or smollm2 (SmolLM2-135M-Instruct, which works without a hub)."""
    method: Method = "upper"
    """Weights that learn: full (all), lora (low-rank adapters), upper (the last layers), frozen (only heads)."""
    layers: int | None = None
    """Number of the last layers that learn; None: all for full and lora, a third for upper."""
    rank: int = 16
    """Rank of the adapters (lora)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products; auto: bf16 if the CPU or GPU supports it natively. Weights are float32."""
    trust_remote_code: bool = False
    """Run Python code that the model's author put beside the weights, with the rights of this process."""

    def __post_init__(self) -> None:
        if self.layers is not None and self.layers < 1:
            raise PlauditError(f"layers must be at least 1, got {self.layers}: for heads alone, use method frozen")
        if self.rank < 1:
            raise PlauditError(f"rank must be at least 1, got {self.rank}")
        if self.method == "full" and self.layers is not None:
            raise PlauditError("method full trains every layer: leave layers out, or use method upper")

    def must_learn(self) -> None:
        """Raise :class:`PlauditError` if no weight of the model learns."""
        if self.method == "frozen":
            raise PlauditError("a frozen model cannot learn: use --train upper, lora or full")


class LanguageModel(nn.Module):
    """One role: a causal model, whose first ``frozen`` layers are frozen, and its tokenizer."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, frozen: int = 0, reduced: bool = False
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.frozen = model, tokenizer, frozen
        self.reduced = reduced  # matrix products in bfloat16
        self.cast: dict[int, Tensor] | None = None  # weights in bfloat16, while a precision() is open
        self.frozen_cache = FrozenCache()

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.output.device

    @property
    def width(self) -> int:
        """Size d of a hidden state."""
        return self.output.shape[1]

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return int(self.model.config.num_hidden_layers)

    @property
    def output(self) -> Tensor:
        """The output embedding (V, d), from hidden states to logits."""
        output: Any = self.model.get_output_embeddings()
        return output.weight

    @property
    def window(self) -> int:
        """Largest number of tokens of a sequence."""
        return min(window_of(self.model.config), self._lookback)

    @property
    def reach(self) -> int:
        """Largest number of tokens that can be computed; rotary positions have no limit."""
        config, decoder = self.model.config, find_decoder(self.model)
        table = None if hasattr(decoder, "rotary_emb") else getattr(config, "max_position_embeddings", None)
        return min(self._lookback, table or ENDLESS)

    @property
    def _lookback(self) -> int:
        """The sliding window of the layers if the model computes something else beyond it."""
        limited = windows.mode_of(self.model) == "limited"
        return windows.lookback(self.model.config) if limited else ENDLESS

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Run matrix products in the chosen precision; use one context per step, so that weights are cast once."""
        outermost = self.cast is None
        if outermost:
            self.cast = {}
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
                yield
        finally:
            if outermost:
                self.cast = None

    def hidden(self, rows: Rows, lower: Tensor | None = None) -> Tensor:
        """Last hidden states (R, T, d), normalised, as the output embedding takes them.

        lower: the result of :meth:`lower` for these rows; None: it is computed.
        """
        decoder: Any = find_decoder(self.model)
        if lower is not None or self.frozen:
            states = self.lower(rows) if lower is None else lower
        elif trunk.fits(self.model):
            states = decoder.embed_tokens(rows.tokens)
        else:
            masks: Any = self._masks(rows)
            if not windows.takes_masks_by_kind(self.model.config):
                [masks] = masks.values()
            return decoder(
                input_ids=rows.tokens, attention_mask=masks, position_ids=rows.positions, use_cache=False
            ).last_hidden_state
        return decoder.norm(self._through(decoder, slice(self.frozen, None), states, rows))

    @torch.no_grad()
    def lower(self, rows: Rows, trees: Sequence[Tree] | None = None) -> Tensor:
        """Hidden states (R, T, d) after the frozen layers; equal for all roles that share them.

        trees: the trees in the rows, if their states are to be cached for another pass.
        """
        if trees is not None:
            return self.frozen_cache.lower(self.lower, bytes([self.reduced]), trees, rows)
        decoder: Any = find_decoder(self.model)
        return self._through(decoder, slice(self.frozen), decoder.embed_tokens(rows.tokens), rows)

    def _through(self, decoder: Any, span: slice, states: Tensor, rows: Rows) -> Tensor:
        layers = decoder.layers[span]
        if trunk.fits(self.model):
            [mask] = windows.layer_masks(self.model, rows).values()
            return trunk.run_layers(decoder, layers, states, rows, mask, self.cast)
        turns, masks = decoder.rotary_emb(states, position_ids=rows.positions), self._masks(rows)
        for layer, kind in zip(layers, windows.layer_kinds(self.model.config)[span], strict=True):
            states = layer(states, attention_mask=masks[kind], position_ids=rows.positions, position_embeddings=turns)
        return states

    def _masks(self, rows: Rows) -> dict[str, Tensor]:
        """The attention masks in the form that the model takes: attention other than sdpa adds them to the scores."""
        masks = windows.layer_masks(self.model, rows)
        if self.model.config._attn_implementation == "sdpa":
            return masks
        return {kind: windows.additive(mask) for kind, mask in masks.items()}

    def shares_lower(self, role: LanguageModel) -> bool:
        """Whether there are frozen layers, and ``role`` has the same ones and the same precision."""
        return (
            0 < self.frozen == role.frozen
            and self.reduced == role.reduced
            and all(tensor is role_tensor for tensor, role_tensor in zip(self._lower(), role._lower(), strict=False))
        )

    def _lower(self) -> list[nn.Parameter]:
        decoder: Any = find_decoder(self.model)
        return [*decoder.embed_tokens.parameters(), *decoder.layers[: self.frozen].parameters()]

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that may learn."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def twin(self, learns: bool = False) -> LanguageModel:
        """A copy for another role, which shares every frozen tensor; its other weights learn only if ``learns``."""
        shared: dict[int, Any] = {
            id(parameter): parameter for parameter in self.model.parameters() if not parameter.requires_grad
        }
        shared |= {id(buffer): buffer for buffer in self.model.buffers()}
        model = copy.deepcopy(self.model, shared)
        if not learns:
            model.requires_grad_(False)  # shared tensors are frozen already
        return LanguageModel(model, self.tokenizer, self.frozen, self.reduced)

    def save(self, folder: Path) -> None:
        """Write a model that plain transformers loads: LoRA merged, with the tokenizer and its chat template."""
        write_model(merge_lora(self.model), self.tokenizer, folder)


def window_of(config: PretrainedConfig) -> int:
    """Largest number of tokens of a sequence of such a model."""
    return getattr(config, "max_position_embeddings", None) or ENDLESS


def device_of(name: str) -> torch.device:
    """The device that a setting names, cpu, cuda or auto: the GPU where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise PlauditError("device cuda was asked for, and torch sees no GPU: use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def load(config: ModelConfig, device: torch.device | str = "cpu", reward: bool = False) -> LanguageModel:
    """Load the model that ``config`` names, and set which weights learn.

    reward: as :func:`plaudit.language.loading.read_pretrained`.

    Raises:
        PlauditError: the model cannot be found or read, is not a causal language model, or does not suit the method.
    """
    pretrained, tokenizer = read_pretrained(config.model, config.trust_remote_code, reward)
    model: Any = pretrained
    return prepare(model.to(device), tokenizer, config)


def describe_model(config: ModelConfig) -> tuple[Any, PretrainedConfig]:
    """The tokenizer and the shape of the model that ``config`` names, without its weights.

    Raises:
        PlauditError: the model cannot be found or read.
    """
    return describe_pretrained(config.model, config.trust_remote_code)


def prepare(model: Any, tokenizer: PreTrainedTokenizerBase, config: ModelConfig) -> LanguageModel:
    """A loaded model as a role: dropout is off, and ``requires_grad`` is set as the method says.

    Raises:
        PlauditError: as :func:`load`.
    """
    model.eval()  # with dropout, log-probabilities would differ from the sampler's
    count = int(model.config.num_hidden_layers)
    device = next(model.parameters()).device
    if device.type == "cpu":
        keep_freed()
    reduced = config.precision == "bf16" or (config.precision == "auto" and native_bfloat16(device.type))
    if config.layers is not None and config.layers > count:
        raise PlauditError(f"model {config.model} has {count} layers: {config.layers} of them cannot learn")
    chosen = config.layers or {"full": count, "lora": count, "upper": max(count // 3, 1), "frozen": 0}[config.method]
    frozen = count - chosen
    model.requires_grad_(config.method == "full")
    if config.method == "upper":
        unfreeze_upper(model, frozen)
    elif config.method == "lora":
        add_lora(model, config.rank, list(range(frozen, count)))
    return _check(LanguageModel(model, tokenizer, frozen, reduced), config)


def _check(model: LanguageModel, config: ModelConfig) -> LanguageModel:
    """The role, if its results equal those of the whole model; a model with another architecture is refused.

    If the layers cannot be run one by one, the whole model is run: its frozen layers are computed at every step. If
    neither is right beyond a sliding window, texts are limited to the window.
    """
    if model.device.type == "meta":  # a model without weights cannot run
        return model
    roles = [model, LanguageModel(model.model, model.tokenizer, 0, model.reduced)][: 2 if model.frozen else 1]
    description = f"model {config.model} ({model.model.config.model_type})"
    lookback, limit = windows.lookback(model.model.config), window_of(model.model.config)
    modes: list[windows.Mode] = ["honoured", "ignored"] if lookback < ENDLESS else ["honoured"]
    for mode in modes:
        windows.set_mode(model.model, mode)
        with windows.narrow(model.model):
            matching = [role for role in roles if _matches_separate_sequences(role)]
        if matching:
            return matching[0]
    windows.set_mode(model.model, "limited")
    matching = [role for role in roles if lookback < ENDLESS and _matches_separate_sequences(role)]
    if matching:
        size = f"of the {limit:,} that it takes" if limit < ENDLESS else "although it takes more"
        report(
            f"{description}: its layers attend to the last {lookback:,} tokens in a way that Plaudit cannot compute, "
            f"so texts are limited to {lookback:,} tokens, {size}"
        )
        return matching[0]
    if not _plain_head(model):
        raise PlauditError(
            f"{description} scales, caps or shifts its logits, so the log-probabilities here would be wrong: use a "
            "model that does not"
        )
    raise PlauditError(
        f"{description} computes different results for two completions in one row than for each by itself: use a model "
        "whose attention takes position_ids and a mask, and whose layers are attention alone"
    )


FAULTS = (
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)  # of a forward pass that does not suit the model


@torch.no_grad()
def _matches_separate_sequences(model: LanguageModel) -> bool:
    """Whether two completions in one row get the logits of two plain sequences, up to float32 rounding."""
    if "local" in getattr(model.model.config, "attention_layers", ()):
        return False  # GPT-Neo counts columns, not positions, which a few tokens would not show
    try:
        ids = (torch.arange(14) * 7919 % len(model.output)).numpy()
        tree = Tree(ids[:5], (ids[5:10], ids[10:]))
        rows = lay([tree]).to(model.device)
        joint = linear(model.hidden(rows).flatten(0, 1)[rows.sources], model.output)
        separate = [
            _logits(model, np.concatenate((tree.prompt, completion)))[0, len(tree.prompt) - 1 : -1]
            for completion in tree.completions
        ]
        return _close(joint, torch.cat(separate))
    except FAULTS:
        return False


@torch.no_grad()
def _plain_head(model: LanguageModel) -> bool:
    """Whether the model's logits are exactly the products of its last hidden states with the output embedding."""
    try:
        ids = np.arange(6)
        decoder: Any = find_decoder(model.model)
        states = decoder(input_ids=torch.from_numpy(ids)[None].to(model.device), use_cache=False).last_hidden_state
        return _close(linear(states, model.output), _logits(model, ids))
    except FAULTS:
        return True  # then something else is wrong


def _logits(model: LanguageModel, ids: Tokens) -> Tensor:
    """Logits (1, T, V) of one plain sequence by transformers' own forward."""
    tokens = torch.from_numpy(ids)[None].to(model.device)
    whole: Any = model.model
    return whole(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits


def _close(logits: Tensor, expected: Tensor) -> bool:
    """Whether logits differ by float32 rounding only: by at most 1/1000 of the largest."""
    return bool((logits - expected).abs().max() <= 1e-3 * expected.abs().max())
