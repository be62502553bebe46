"""Causal language models of transformers: loaded, shared between roles where they are frozen, saved.

Policy, reference, reward and value are *roles*. A role that starts from another is its :func:`twin`: a copy that shares
every tensor that is frozen. So the reference is by construction the model that training started from, with full
fine-tuning it is a second model, and with LoRA or the upper layers alone it costs next to nothing.
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
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D

from plaudit.functional.pixels import native_bfloat16
from plaudit.language.bundled import NAME
from plaudit.language.fast import trunk
from plaudit.language.fast.kept import Kept
from plaudit.language.hub import quiet, reading
from plaudit.language.memory import keep_freed
from plaudit.language.rows import Rows, Tokens, Tree, lay
from plaudit.types import PlauditError

Method = Literal["full", "lora", "upper", "frozen"]
ENDLESS = 1 << 30


@dataclass(frozen=True)
class ModelConfig:
    """Which model, and what of it learns."""

    model: str = NAME
    """A hub id, a folder, or smollm2: SmolLM2-135M-Instruct, which works without a hub."""
    method: Method = "upper"
    """What learns: full (every weight), lora (low-rank additions), upper (the last layers), frozen (heads alone)."""
    layers: int | None = None
    """How many of the last layers learn; None: all for full and lora, a third for upper."""
    rank: int = 16
    """Rank of the additions (lora)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products; auto: bf16 where the processor or GPU multiplies it natively. Weights are float32."""

    def __post_init__(self) -> None:
        if self.layers is not None and self.layers < 1:
            raise PlauditError(f"layers must be at least 1, got {self.layers}: for heads alone, use method frozen")
        if self.rank < 1:
            raise PlauditError(f"rank must be at least 1, got {self.rank}")
        if self.method == "full" and self.layers is not None:
            raise PlauditError("method full trains every layer: leave layers out, or use method upper")

    def must_learn(self) -> None:
        """Raise :class:`PlauditError` where no weight of the model learns."""
        if self.method == "frozen":
            raise PlauditError("of a frozen model nothing learns: use --train upper, lora or full")


class LanguageModel(nn.Module):
    """One role: a causal model of which layers from ``frozen`` on may learn, and its tokenizer."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, frozen: int = 0, reduced: bool = False
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.frozen = model, tokenizer, frozen
        self.reduced = reduced  # matrix products in bfloat16
        self.cast: dict[int, Tensor] | None = None  # weights in bfloat16, while a precision() is open
        self.kept = Kept()

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.output.device

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return self.output.shape[1]

    @property
    def layers(self) -> int:
        """Transformer layers."""
        return int(self.model.config.num_hidden_layers)

    @property
    def output(self) -> Tensor:
        """The output embedding (V, d), from hidden states to logits."""
        output: Any = self.model.get_output_embeddings()
        return output.weight

    @property
    def window(self) -> int:
        """The most tokens that a sequence may have."""
        return window_of(self.model.config)

    @property
    def reach(self) -> int:
        """The most tokens of a sequence that can be computed; rotated positions have no such end.

        Where layers look back a stretch only, a mask that shows all that came before is right up to that length.
        """
        config, decoder = self.model.config, self.model.get_decoder()
        table = None if hasattr(decoder, "rotary_emb") else getattr(config, "max_position_embeddings", None)
        return min(_looks(config), table or ENDLESS)

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Matrix products in the chosen precision; one context a step, so that weights are cast once for it."""
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

        lower: what :meth:`lower` gave for these rows, from which the learning layers go on.
        """
        decoder: Any = self.model.get_decoder()
        if lower is not None or self.frozen:
            states = self.lower(rows) if lower is None else lower
        elif trunk.fits(self.model):
            states = decoder.embed_tokens(rows.tokens)
        else:
            return decoder(
                input_ids=rows.tokens, attention_mask=self._mask(rows), position_ids=rows.positions, use_cache=False
            ).last_hidden_state
        return decoder.norm(self._through(decoder, decoder.layers[self.frozen :], states, rows))

    @torch.no_grad()
    def lower(self, rows: Rows, trees: Sequence[Tree] | None = None) -> Tensor:
        """What the frozen layers make of the rows (R, T, d): the same for every role that shares them.

        trees: those in the rows, if they will come again: it is kept for each of them.
        """
        if trees is not None:
            return self.kept.lower(self.lower, bytes([self.reduced]), trees, rows)
        decoder: Any = self.model.get_decoder()
        return self._through(decoder, decoder.layers[: self.frozen], decoder.embed_tokens(rows.tokens), rows)

    def _through(self, decoder: Any, layers: Any, states: Tensor, rows: Rows) -> Tensor:
        if trunk.fits(self.model):
            return trunk.run_layers(decoder, layers, states, rows, self.cast)
        turns, mask = decoder.rotary_emb(states, position_ids=rows.positions), self._mask(rows)
        for layer in layers:
            states = layer(states, attention_mask=mask, position_ids=rows.positions, position_embeddings=turns)
        return states

    def _mask(self, rows: Rows) -> Tensor:
        """Who sees whom, as the model's attention takes it: what is not sdpa adds the mask to its scores."""
        if self.model.config._attn_implementation == "sdpa":
            return rows.mask
        least = torch.finfo(torch.float32).min
        return torch.zeros(rows.mask.shape, device=rows.mask.device).masked_fill_(~rows.mask, least)

    def shares_lower(self, other: LanguageModel) -> bool:
        """Whether there are frozen layers, and they and what they make of tokens are those of ``other``."""
        return (
            0 < self.frozen == other.frozen
            and self.reduced == other.reduced
            and all(ours is theirs for ours, theirs in zip(self._lower(), other._lower(), strict=False))
        )

    def _lower(self) -> list[nn.Parameter]:
        decoder: Any = self.model.get_decoder()
        return [*decoder.embed_tokens.parameters(), *decoder.layers[: self.frozen].parameters()]

    def learning(self) -> list[nn.Parameter]:
        """The parameters that may learn."""
        return [each for each in self.parameters() if each.requires_grad]

    def twin(self, learns: bool = False) -> LanguageModel:
        """A copy for another role, which shares every tensor that is frozen here; it learns only if asked to."""
        shared: dict[int, Any] = {id(each): each for each in self.model.parameters() if not each.requires_grad}
        shared |= {id(each): each for each in self.model.buffers()}
        model = copy.deepcopy(self.model, shared)
        if not learns:
            model.requires_grad_(False)  # of shared tensors it says what is true already
        return LanguageModel(model, self.tokenizer, self.frozen, self.reduced)

    def save(self, folder: Path) -> None:
        """Write what plain transformers loads: additions merged, with the tokenizer and its chat template."""
        model: Any = self.model
        if has_lora(model):
            model = self.merged()
        with quiet():
            model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def merged(self) -> PreTrainedModel:
        """A plain model with low-rank additions added up."""
        from peft.tuners.lora import LoraLayer

        model = copy.deepcopy(self.model)
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, LoraLayer):
                    child.merge()
                    setattr(parent, name, child.get_base_layer())
        return model


def has_lora(model: nn.Module) -> bool:
    """Whether low-rank additions are in the model."""
    return any("lora_" in name for name, _ in model.named_parameters())


def window_of(config: PretrainedConfig) -> int:
    """The most tokens that a sequence of such a model may have."""
    return min(getattr(config, "max_position_embeddings", None) or ENDLESS, _looks(config))


def _looks(config: PretrainedConfig) -> int:
    """How far its layers look back."""
    slides = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return min(slides or ENDLESS, getattr(config, "attention_chunk_size", None) or ENDLESS)


def load(config: ModelConfig, device: torch.device | str = "cpu") -> LanguageModel:
    """The model that ``config`` names, with what shall learn marked so.

    Raises:
        PlauditError: it cannot be found or read, is no causal language model, or cannot be trained by that method.
    """
    with reading(config.model) as name:
        model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(name)
    return prepare(model.to(device), tokenizer, config)


def described(config: ModelConfig) -> tuple[Any, PretrainedConfig]:
    """The tokenizer and the shape of the model that ``config`` names, without its weights.

    Raises:
        PlauditError: it cannot be found or read.
    """
    with reading(config.model) as name:
        shape = AutoConfig.from_pretrained(name)
        return AutoTokenizer.from_pretrained(name), shape


def prepare(model: Any, tokenizer: PreTrainedTokenizerBase, config: ModelConfig) -> LanguageModel:
    """A loaded model as a role: dropout off, and what shall learn marked so.

    Raises:
        PlauditError: as :func:`load`.
    """
    model.eval()  # dropout stays off, or log-probabilities of what was sampled would not be those of the sampler
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
        for name, parameter in model.get_decoder().named_parameters():
            part, _, rest = name.partition(".")
            parameter.requires_grad_(part == "norm" or (part == "layers" and int(rest.split(".")[0]) >= frozen))
    elif config.method == "lora":
        _add_lora(model, config, list(range(frozen, count)))
    return _checked(LanguageModel(model, tokenizer, frozen, reduced), config)


def _add_lora(model: Any, config: ModelConfig, layers: list[int]) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise PlauditError("method lora needs peft: pip install 'plaudit[language]'") from error
    every = len(layers) == int(model.config.num_hidden_layers)
    chosen = "all-linear" if every else _products(model, layers)
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=2 * config.rank,
        lora_dropout=0.0,
        target_modules=chosen,
        exclude_modules=["lm_head"],
        fan_in_fan_out=any(isinstance(each, Conv1D) for each in model.modules()),  # GPT-2's matrices lie the other way
    )
    inject_adapter_in_model(settings, model)


def _products(model: Any, layers: list[int]) -> list[str]:
    """Names of the matrices of some layers."""
    decoder = model.get_decoder()
    inside = {id(each) for index in layers for each in decoder.layers[index].modules() if hasattr(each, "weight")}
    return [n for n, each in model.named_modules() if id(each) in inside and each.weight.dim() == 2]


def _checked(model: LanguageModel, config: ModelConfig) -> LanguageModel:
    """The role, once it gives what the whole model gives: a model with another plan is refused, not misread.

    Where nothing shall learn, layers that cannot be run one by one are no fault: the whole model is run.
    """
    if model.device.type == "meta" or _as_alone(model):  # a shape without weights gives nothing
        return model
    whole = LanguageModel(model.model, model.tokenizer, 0, model.reduced)
    named = f"model {config.model} ({model.model.config.model_type})"
    if model.frozen and _as_alone(whole):
        if config.method == "frozen":
            return whole
        raise PlauditError(
            f"{named} is not built as a plain stack of layers: use method full, or lora with every layer"
        )
    if not _plain_head(model):
        raise PlauditError(
            f"{named} scales, bounds or shifts the products with its output embedding, so log-probabilities here would "
            "not be its own: use a model that does not"
        )
    raise PlauditError(
        f"{named} does not give two completions of a prompt in one row what it gives each by itself: use a model "
        "whose attention takes position_ids and a mask, and whose layers are attention alone"
    )


FAULTS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)  # of a forward not made for it


@torch.no_grad()
def _as_alone(model: LanguageModel) -> bool:
    """Whether two completions in one row, through our forward, have the logits of two plain sequences in float32."""
    if "local" in getattr(model.model.config, "attention_layers", ()):
        return False  # GPT-Neo counts the places of a row, not positions; a few tokens would not show it
    try:
        ids = (torch.arange(14) * 7919 % len(model.output)).numpy()
        tree = Tree(ids[:5], (ids[5:10], ids[10:]))
        rows = lay([tree]).to(model.device)
        ours = linear(model.hidden(rows).flatten(0, 1)[rows.sources], model.output)
        alone = [
            _logits(model, np.concatenate((tree.prompt, each)))[0, len(tree.prompt) - 1 : -1]
            for each in tree.completions
        ]
        return _close(ours, torch.cat(alone))
    except FAULTS:
        return False


@torch.no_grad()
def _plain_head(model: LanguageModel) -> bool:
    """Whether the model's own logits are products of its last hidden states with the output embedding, and no more."""
    try:
        ids = np.arange(6)
        decoder: Any = model.model.get_decoder()
        states = decoder(input_ids=torch.from_numpy(ids)[None].to(model.device), use_cache=False).last_hidden_state
        return _close(linear(states, model.output), _logits(model, ids))
    except FAULTS:
        return True  # the fault is another one


def _logits(model: LanguageModel, ids: Tokens) -> Tensor:
    """(1, T, V) by transformers' own forward of one plain sequence."""
    tokens = torch.from_numpy(ids)[None].to(model.device)
    whole: Any = model.model
    return whole(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits


def _close(ours: Tensor, theirs: Tensor) -> bool:
    """Whether they differ by no more than float32 explains: 1/1000 of the largest."""
    return bool((ours - theirs).abs().max() <= 1e-3 * theirs.abs().max())
