"""Sampling completions of many prompts at once, with the log-probability of every token as it was sampled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from plaudit.language import vllm
from plaudit.language.fast.engines import Engine, choose_engine
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tokens, pad_sequences
from plaudit.language.sampling import Samples, SamplingConfig
from plaudit.language.saving import find_ends
from plaudit.types import PlauditError

BLOCK = 64  # columns of the vocabulary in a block; a draw chooses a block, then a column in it
SHRINK = 7 / 8  # finished rows are dropped once no more than this share is unfinished


def sample(
    model: LanguageModel,
    prompts: Sequence[Tokens],
    config: SamplingConfig,
    generator: torch.Generator,
    n: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Samples:
    """Draw ``n`` completions of every prompt, all at once.

    progress: called after each token with the number of unfinished rows.

    Raises:
        PlauditError: a prompt is empty, or does not fit the model's window together with its completion.
    """
    longest = max((len(prompt) for prompt in prompts), default=0)
    if not prompts or min(len(prompt) for prompt in prompts) == 0:
        raise PlauditError("a prompt has no tokens: give each prompt at least one")
    if longest + config.tokens > model.window:
        raise PlauditError(
            f"a prompt of {longest} tokens and {config.tokens} new tokens do not fit the model's window of "
            f"{model.window}: shorten the prompts (--prompt-tokens) or lower --tokens"
        )
    if config.engine == "vllm":
        return vllm.write(model, prompts, config, generator, n, endings(model))
    return decode(choose_engine(model), prompts, config, generator, n, endings(model), progress)


def endings(model: LanguageModel) -> list[int]:
    """Tokens that end a completion: the tokenizer's, and those in the model's generation settings."""
    ends = find_ends(model.model, model.tokenizer)
    if not ends:
        raise PlauditError("the tokenizer has no token that ends a text (eos_token): set one and save it again")
    return ends


@torch.inference_mode()
def decode(
    engine: Engine,
    prompts: Sequence[Tokens],
    config: SamplingConfig,
    generator: torch.Generator,
    n: int,
    ends: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> Samples:
    """As :func:`sample`, on an engine. Finished rows are dropped once they are an eighth of the batch."""
    ids, real = pad_sequences(prompts, left=True)
    device = generator.device
    hidden = engine.prefill(torch.from_numpy(ids).to(device), torch.from_numpy(real).to(device), config.tokens)
    if n > 1:
        engine.repeat(n)
        hidden = hidden.repeat_interleave(n, 0)
    count = len(hidden)
    tokens = torch.zeros((count, config.tokens), dtype=torch.int64, device=device)
    log_probs = torch.zeros((count, config.tokens), device=device)
    lengths = torch.zeros(count, dtype=torch.int64, device=device)
    finished = torch.zeros(count, dtype=torch.bool, device=device)
    stops = torch.tensor(list(ends), device=device)
    active = torch.arange(count, device=device)  # the completion in each row of the engine
    for step in range(config.tokens):
        chosen, log_prob = draw(engine.logits(hidden), config, generator)
        live = ~finished[active]
        tokens[active, step] = torch.where(live, chosen, 0)
        log_probs[active, step] = torch.where(live, log_prob, 0.0)
        lengths[active] += live
        finished[active] |= torch.isin(chosen, stops)
        unfinished = (~finished[active]).nonzero()[:, 0]
        if progress is not None:
            progress(len(unfinished))
        if len(unfinished) == 0:
            break
        if step + 1 == config.tokens:
            break
        if len(unfinished) <= SHRINK * len(active):
            engine.keep(unfinished)
            active, chosen = active[unfinished], chosen[unfinished]
        hidden = engine.step(chosen)
    width = int(lengths.max())
    mask = torch.arange(width, device=device) < lengths[:, None]
    return Samples(
        *(array.cpu().numpy() for array in (tokens[:, :width], log_probs[:, :width], mask, finished))  # type: ignore[arg-type]
    )


@torch.inference_mode()
def stream(
    engine: Engine, prompt: Tokens, config: SamplingConfig, generator: torch.Generator, ends: Sequence[int]
) -> Iterator[int]:
    """The tokens of one completion as they are drawn, those of :func:`decode`; an end token is the last.

    The engine keeps no state of it, so that several completions may be drawn by turns with the weights of one engine.
    """
    engine = copy.copy(engine)
    ids, real = (torch.from_numpy(array).to(generator.device) for array in pad_sequences([prompt], left=True))
    hidden = engine.prefill(ids, real, config.tokens)
    for count in range(1, config.tokens + 1):
        chosen, _ = draw(engine.logits(hidden), config, generator)
        token = int(chosen)
        yield token
        if token in ends or count == config.tokens:
            return
        hidden = engine.step(chosen)


def draw(logits: Tensor, config: SamplingConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw one token (B,) from each row of logits (B, V); also its log-probability (B,) under the temperature.

    Inverts the distribution function, which takes one uniform number per row and no (B, V) table of noise.
    """
    if config.temperature == 0:
        best, chosen = logits.max(dim=1)
        return chosen, best.float() - logits.float().logsumexp(dim=1)
    if config.temperature != 1:
        logits = logits.float() / config.temperature
    probabilities = logits.softmax(dim=1, dtype=torch.float32)
    chosen = _sample_columns(_truncate(probabilities, config), generator)
    return chosen, probabilities.gather(1, chosen[:, None])[:, 0].log()


def _sample_columns(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one column (B,) from each row of weights (B, V), in proportion to them: first a block, then a column in it.

    Cumulative sums are slow, so they run only over the sums of blocks and over one block per row.
    """
    rows, width = weights.shape
    padding = -width % BLOCK
    blocks = (pad(weights, (0, padding)) if padding else weights).view(rows, -1, BLOCK)
    sums = blocks.sum(dim=2).cumsum(dim=1)
    uniform = torch.rand((rows, 1), generator=generator, device=generator.device) * sums[:, -1:]
    block = _search(sums, uniform)
    before = torch.where(block > 0, sums.gather(1, (block - 1).clamp_min(0)), 0.0)
    cumulative = blocks[torch.arange(rows, device=weights.device), block[:, 0]].cumsum(dim=1)
    column = _search(cumulative, uniform - before)
    return (block * BLOCK + column)[:, 0]


def _search(cumulative: Tensor, target: Tensor) -> Tensor:
    """The first column (B, 1) whose cumulative weight exceeds the target; the target is clamped below the last."""
    highest = cumulative[:, -1:].nextafter(torch.zeros((), device=cumulative.device))
    return torch.searchsorted(cumulative, torch.minimum(target, highest).clamp_min(0), right=True)


def _truncate(weights: Tensor, config: SamplingConfig) -> Tensor:
    """Set the weights of excluded tokens to zero: Fan et al. 2018 (top-k), Holtzman et al. 2020 (top-p)."""
    if 0 < config.top_k < weights.shape[1]:
        least = weights.topk(config.top_k, dim=1).values[:, -1:]
        weights = torch.where(weights >= least, weights, 0.0)
    if config.top_p < 1:
        ordered, order = weights.sort(dim=1, descending=True)
        before = ordered.cumsum(dim=1) - ordered
        ordered = torch.where(before < config.top_p * weights.sum(dim=1, keepdim=True), ordered, 0.0)
        weights = torch.zeros_like(weights).scatter_(1, order, ordered)
    return weights
