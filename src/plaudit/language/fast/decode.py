"""Sampling completions of many prompts at once, with the log-probability of every token as it was sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from plaudit.language import vllm
from plaudit.language.fast.engines import Engine, engine
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tokens, padded
from plaudit.language.sampling import Sampled, SamplingConfig
from plaudit.types import PlauditError

BLOCK = 64  # columns that are drawn from together
SHRINK = 7 / 8  # rows are compacted when no more than this share of them is unfinished


def sample(
    model: LanguageModel,
    prompts: Sequence[Tokens],
    config: SamplingConfig,
    generator: torch.Generator,
    n: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Sampled:
    """Draw ``n`` completions of every prompt, all at once.

    progress: is told after each token how many rows are unfinished.

    Raises:
        PlauditError: a prompt is empty, or does not fit the model's window with what is to be written.
    """
    longest = max((len(each) for each in prompts), default=0)
    if not prompts or min(len(each) for each in prompts) == 0:
        raise PlauditError("there is a prompt without tokens: give each at least one")
    if longest + config.tokens > model.window:
        raise PlauditError(
            f"a prompt of {longest} tokens and {config.tokens} to be written do not fit the model's window of "
            f"{model.window}: shorten the prompts (--prompt-tokens) or write less (--tokens)"
        )
    if config.engine == "vllm":
        return vllm.written(model, prompts, config, generator, n, endings(model))
    return decode(engine(model), prompts, config, generator, n, endings(model), progress)


def endings(model: LanguageModel) -> list[int]:
    """Tokens that end a completion: the tokenizer's, and those that the model's own settings for generating name."""
    settings = getattr(model.model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    every = [*(named if isinstance(named, list) else [named]), getattr(model.tokenizer, "eos_token_id", None)]
    found = sorted({each for each in every if each is not None})
    if not found:
        raise PlauditError("the tokenizer has no token that ends a text (eos_token): set one and save it again")
    return found


@torch.inference_mode()
def decode(
    engine: Engine,
    prompts: Sequence[Tokens],
    config: SamplingConfig,
    generator: torch.Generator,
    n: int,
    ends: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> Sampled:
    """As :func:`sample`, on an engine. Rows that are finished are taken out once they are an eighth of the batch."""
    ids, real = padded(prompts, left=True)
    device = generator.device
    hidden = engine.prefill(torch.from_numpy(ids).to(device), torch.from_numpy(real).to(device), config.tokens)
    if n > 1:
        engine.repeat(n)
        hidden = hidden.repeat_interleave(n, 0)
    count = len(hidden)
    tokens = torch.zeros((count, config.tokens), dtype=torch.int64, device=device)
    log_probs = torch.zeros((count, config.tokens), device=device)
    lengths = torch.zeros(count, dtype=torch.int64, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    stops = torch.tensor(list(ends), device=device)
    active = torch.arange(count, device=device)  # which completion each row of the engine is
    for place in range(config.tokens):
        chosen, log_prob = draw(engine.logits(hidden), config, generator)
        live = ~ended[active]
        tokens[active, place] = torch.where(live, chosen, 0)
        log_probs[active, place] = torch.where(live, log_prob, 0.0)
        lengths[active] += live
        ended[active] |= torch.isin(chosen, stops)
        unfinished = (~ended[active]).nonzero()[:, 0]
        if progress is not None:
            progress(len(unfinished))
        if len(unfinished) == 0:
            break
        if place + 1 == config.tokens:
            break
        if len(unfinished) <= SHRINK * len(active):
            engine.keep(unfinished)
            active, chosen = active[unfinished], chosen[unfinished]
        hidden = engine.step(chosen)
    width = int(lengths.max())
    mask = torch.arange(width, device=device) < lengths[:, None]
    return Sampled(
        *(each.cpu().numpy() for each in (tokens[:, :width], log_probs[:, :width], mask, ended))  # type: ignore[arg-type]
    )


def draw(logits: Tensor, config: SamplingConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One token (B,) of each row of logits (B, V), and its log-probability (B,) under the temperature.

    By the inverse of the distribution function: one uniform number a row, and no table of noise.
    """
    if config.temperature == 0:
        best, chosen = logits.max(dim=1)
        return chosen, best.float() - logits.float().logsumexp(dim=1)
    if config.temperature != 1:
        logits = logits.float() / config.temperature
    probabilities = logits.softmax(dim=1, dtype=torch.float32)
    chosen = _drawn(_truncated(probabilities, config), generator)
    return chosen, probabilities.gather(1, chosen[:, None])[:, 0].log()


def _drawn(weights: Tensor, generator: torch.Generator) -> Tensor:
    """One column (B,) of each row of weights (B, V), in proportion to them: first a block of columns, then one in it.

    Only sums of blocks and one block a row are added up in order, which is slow; the rest is plain sums.
    """
    rows, width = weights.shape
    padding = -width % BLOCK
    blocks = (pad(weights, (0, padding)) if padding else weights).view(rows, -1, BLOCK)
    sums = blocks.sum(dim=2).cumsum(dim=1)
    uniform = torch.rand((rows, 1), generator=generator, device=generator.device) * sums[:, -1:]
    block = _place(sums, uniform)
    before = torch.where(block > 0, sums.gather(1, (block - 1).clamp_min(0)), 0.0)
    inside = blocks[torch.arange(rows, device=weights.device), block[:, 0]].cumsum(dim=1)
    column = _place(inside, uniform - before)
    return (block * BLOCK + column)[:, 0]


def _place(cumulative: Tensor, target: Tensor) -> Tensor:
    """(B, 1) the first column whose cumulative weight exceeds the target, which is kept below the last of them."""
    highest = cumulative[:, -1:].nextafter(torch.zeros((), device=cumulative.device))
    return torch.searchsorted(cumulative, torch.minimum(target, highest).clamp_min(0), right=True)


def _truncated(weights: Tensor, config: SamplingConfig) -> Tensor:
    """Weights of what may not be drawn set to zero: Fan et al. 2018 (top-k), Holtzman et al. 2020 (top-p)."""
    if 0 < config.top_k < weights.shape[1]:
        least = weights.topk(config.top_k, dim=1).values[:, -1:]
        weights = torch.where(weights >= least, weights, 0.0)
    if config.top_p < 1:
        ordered, places = weights.sort(dim=1, descending=True)
        before = ordered.cumsum(dim=1) - ordered
        ordered = torch.where(before < config.top_p * weights.sum(dim=1, keepdim=True), ordered, 0.0)
        weights = torch.zeros_like(weights).scatter_(1, places, ordered)
    return weights
