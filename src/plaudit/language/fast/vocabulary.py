"""Log-probabilities of chosen tokens; logits (tokens, V) exist for only a few tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

MAX_GRADIENT_BYTES = 512 * 2**20  # kept from forward to backward; a larger gradient is computed again
CHUNK = 128  # tokens whose logits exist at a time: 25 MB of float32 for a vocabulary of 49,152


class _ChosenLogProbs(torch.autograd.Function):
    """log softmax(h W^T / temperature)[choices], a chunk of tokens at a time; backward computes the logits again.

    d log p[choice] / d logits = onehot(choice) - softmax, so a chunk of gradients is two matrix products.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, choices: Tensor, temperature: float) -> Tensor:
        log_probs = torch.empty(choices.shape, dtype=torch.float32, device=hidden.device)
        for rows in _chunks(hidden):
            log_probs[rows] = _logits(hidden[rows], weight, temperature).log_softmax(dim=1).gather(1, choices[rows])
        ctx.save_for_backward(hidden, weight, choices)
        ctx.temperature = temperature
        return log_probs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, choices = ctx.saved_tensors
        gradient = gradients[0] / ctx.temperature
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        d_hidden = torch.empty_like(hidden) if needs_hidden else None
        d_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if needs_weight else None
        for rows in _chunks(hidden):
            probabilities = _logits(hidden[rows], weight, ctx.temperature).softmax(dim=1)
            probabilities.mul_(-gradient[rows].sum(1, keepdim=True))
            probabilities.scatter_add_(1, choices[rows], gradient[rows])
            d_logits = probabilities.to(hidden.dtype)
            if d_hidden is not None:
                d_hidden[rows] = d_logits @ weight
            if d_weight is not None:
                d_weight += d_logits.T @ hidden[rows]
        return d_hidden, None if d_weight is None else d_weight.to(weight.dtype), None, None


class _TargetLogProbs(torch.autograd.Function):
    """log softmax(h W^T / temperature)[target], (N,): two or three matrix products, where recomputing takes one more.

    The gradient of a token is its upstream gradient times the slope onehot(target) - softmax, which forward computes.
    If the vocabulary is frozen, only the slope's product with W is saved; else the slope, in the products' precision.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
        log_probs = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        slopes = hidden.new_empty((len(hidden), len(weight))) if needs_weight else None
        products = torch.empty_like(hidden) if needs_hidden and not needs_weight else None
        for rows in _chunks(hidden):
            logits, chosen = _logits(hidden[rows], weight, temperature), targets[rows, None]
            log_probs[rows] = logits.log_softmax(dim=1).gather(1, chosen)[:, 0]
            slope = logits.softmax(dim=1)  # one pass each, several times as fast as logsumexp and exp
            slope = slope.scatter_add_(1, chosen, slope.new_full((), -1.0).expand(chosen.shape)).neg_()
            if slopes is not None:
                slopes[rows] = slope
            if products is not None:
                products[rows] = slope.to(hidden.dtype) @ weight
        ctx.save_for_backward(hidden, weight, slopes, products)
        ctx.temperature = temperature
        return log_probs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, slopes, products = ctx.saved_tensors
        gradient = (gradients[0] / ctx.temperature)[:, None]
        if slopes is None:
            return (gradient * products).to(hidden.dtype), None, None, None
        d_hidden = (gradient * (slopes @ weight)).to(hidden.dtype) if ctx.needs_input_grad[0] else None
        return d_hidden, slopes.T @ (gradient * hidden).to(hidden.dtype), None, None


def _chunks(hidden: Tensor) -> Iterator[slice]:
    for start in range(0, len(hidden), CHUNK):
        yield slice(start, start + CHUNK)


def _logits(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = torch.mm(hidden, weight.T).float()
    return logits if temperature == 1.0 else logits.div_(temperature)


def token_log_probs(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """log pi(target | prefix) in nats, (N,) float32 (float64 stays float64), from the last hidden states (N, d).

    weight: (V, d), the output embedding. Logits are divided by the temperature as in sampling, so that a policy's
    log-probabilities equal the sampler's. Under autocast the products run in the lower precision and the sums in
    float32.
    """
    return chosen_log_probs(hidden, weight, targets[:, None], temperature)[:, 0]


def chosen_log_probs(hidden: Tensor, weight: Tensor, choices: Tensor, temperature: float = 1.0) -> Tensor:
    """log pi(choice | prefix) in nats, (N, K), of K candidates for each next token; as :func:`token_log_probs`."""
    if hidden.dtype == torch.float64:  # gradient checks: written out
        logits = hidden @ weight.T / temperature
        return logits.log_softmax(dim=1).gather(1, choices)
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        if torch.is_grad_enabled() and choices.shape[1] == 1 and _can_keep(hidden, weight):
            return _TargetLogProbs.apply(hidden, weight, choices[:, 0], temperature)[:, None]  # type: ignore[index]
        return _ChosenLogProbs.apply(hidden, weight, choices, temperature)  # type: ignore[return-value]


def _can_keep(hidden: Tensor, weight: Tensor) -> bool:
    """Whether forward may save what the gradient needs: vectors only, or a table within the limit."""
    if weight.requires_grad:
        return len(hidden) * len(weight) * hidden.element_size() <= MAX_GRADIENT_BYTES
    return hidden.requires_grad


@torch.no_grad()
def top_log_probs(hidden: Tensor, weight: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` likeliest next tokens (N, K), likeliest first, and their log-probabilities (N, K) in nats."""
    tokens, log_probs = [], []
    for start in range(0, len(hidden), CHUNK):
        logits = hidden[start : start + CHUNK] @ weight.T
        logits = logits if logits.dtype == torch.float64 else logits.float()
        best = logits.topk(min(k, logits.shape[1]), dim=1)
        tokens.append(best.indices)
        log_probs.append(best.values - logits.logsumexp(dim=1, keepdim=True))
    return torch.cat(tokens), torch.cat(log_probs)
