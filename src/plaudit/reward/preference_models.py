"""Which preference model do people follow? Each model fitted to their judgements by maximum likelihood, in float64.

The reward is known here and its scale is what is fitted: P[first better] is Bradley-Terry on ``weights @ features``,
where the features are differences, first segment minus second, of a segment statistic. A model of one statistic has
one weight, the inverse temperature beta; "free weights" gives partial return and the values of the first and the last
state a weight each, so that the other three are its special cases. Knox et al. 2022, "Models of human preference for
learning reward functions".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from plaudit.functional.intervals import percentiles, resamples
from plaudit.functional.preference import bradley_terry_loss, end_value, partial_return, regret_statistic
from plaudit.types import PlauditError

MODELS = ("partial return", "end value", "regret", "free weights")
Progress = Callable[[int, int, str], None]  # steps done, steps in all, what is being done

GRADIENT = 1e-6  # nats per unit of a standardised parameter: the loss is then exact to 1e-6 at the very least
LIMIT = 200  # Newton iterations; ten are usual, some thirty where a lapse rate runs to zero
LONGEST = 2.0  # cap on a step, over max(1, size of the parameters): far from the optimum a full step overshoots
FLATTEST = 1e-10  # curvatures below this are taken as this: a statistic that never differs has none
LAPSES = (0.02, 0.3)  # the search for a lapse rate begins at each: the loss is not convex, and a lower start may stick


@dataclass(frozen=True, eq=False)
class Pairs:
    """``N`` judged pairs of segments of ``L`` steps under a known reward, everything that a preference model may read.

    A step after termination has reward 0, and a terminal state has value 0.
    """

    rewards: Float[Tensor, "N 2 L"]
    start_values: Float[Tensor, "N 2"]  # V* of the segment's first state
    end_values: Float[Tensor, "N 2"]  # V* of the state after its last step
    mu: Float[Tensor, " N"]  # 1 first better, 0 second, 0.5 a tie

    def __post_init__(self) -> None:
        if not len(self.mu):
            raise PlauditError("preference models: there are no judgements to fit")
        if not all(t.isfinite().all() for t in (self.rewards, self.start_values, self.end_values)):
            raise ValueError("Pairs: rewards and values must be finite")
        if not ((self.mu >= 0) & (self.mu <= 1)).all():
            raise ValueError("Pairs.mu must lie in [0, 1]")

    def __len__(self) -> int:
        return len(self.mu)


@dataclass(frozen=True, eq=False)
class Fit:
    """``R`` fits of one model, one for each weighting of the judgements."""

    weights: Float[Tensor, "R K"]  # positive: people prefer more of the statistic; in 1 / its unit
    lapse: Float[Tensor, " R"]
    loss: Float[Tensor, " R"]  # mean cross-entropy, nats

    def losses_on(
        self, features: Float[Tensor, "N K"], mu: Float[Tensor, " N"], counts: Float[Tensor, "R N"]
    ) -> Float[Tensor, " R"]:
        """Mean cross-entropy (nats) of each fit on other judgements, weighted by its row of ``counts``."""
        losses = bradley_terry_loss(self.weights @ features.T, mu, self.lapse.unsqueeze(-1))
        return (counts * losses).sum(dim=1) / counts.sum(dim=1)


@dataclass(frozen=True, eq=False)
class ModelFit:
    """One preference model fitted to the judgements, and to bootstrap replicates of them."""

    model: str  # one of MODELS
    weights: tuple[float, ...]
    lapse: float
    lapse_fitted: bool
    loss: float  # nats per judgement, on the judgements that it was fitted to
    replicates: Float[np.ndarray, " R"]  # the same for each replicate
    held_out: Float[np.ndarray, " R"]  # on the judgements, about 1/e, that a replicate did not draw
    lapses: Float[np.ndarray, " R"]  # lapse rate fitted to each replicate

    @property
    def interval(self) -> tuple[float, float]:
        """95 % percentile interval of ``loss``."""
        return percentiles(self.replicates)

    @property
    def lapse_interval(self) -> tuple[float, float]:
        """95 % percentile interval of ``lapse``."""
        return percentiles(self.lapses)


def differences(pairs: Pairs, gamma: float = 1.0) -> dict[str, Float[Tensor, "N K"]]:
    """What each of ``MODELS`` weighs, first segment minus second: K = 1, and 3 for free weights."""
    rewards, start, end = pairs.rewards, pairs.start_values, pairs.end_values
    statistics = {
        "partial return": partial_return(rewards, gamma).unsqueeze(-1),
        "end value": end_value(rewards, end, gamma).unsqueeze(-1),
        "regret": regret_statistic(rewards, start, end, gamma).unsqueeze(-1),
        "free weights": torch.stack((partial_return(rewards, gamma), start, end), dim=-1),
    }
    return {name: statistic[:, 0] - statistic[:, 1] for name, statistic in statistics.items()}


def compare(
    pairs: Pairs,
    replicates: int,
    rng: np.random.Generator,
    gamma: float = 1.0,
    progress: Progress = lambda done, total, model: None,
) -> tuple[ModelFit, ...]:
    """Fit every model with and without a lapse rate, to the judgements and to ``replicates`` bootstrap samples.

    All models are fitted to the same samples, so that differences between them are paired. A judgement is the unit of
    sampling: where one person gave many, intervals are too narrow.
    """
    if replicates < 1:
        raise PlauditError(f"preference models: replicates must be at least 1, got {replicates}")
    draws = torch.from_numpy(_draws(len(pairs), replicates, rng))
    samples = torch.cat((torch.ones(1, len(pairs), dtype=torch.float64), draws))
    features = differences(pairs, gamma)
    jobs = [(name, lapse) for lapse in (False, True) for name in MODELS]
    results = []
    for done, (name, lapse) in enumerate(jobs):
        progress(done, len(jobs), name + " with a lapse rate" * lapse)
        results.append(_compare_one(name, features[name].double(), pairs.mu.double(), samples, lapse))
    progress(len(jobs), len(jobs), "done")
    return tuple(results)


def _draws(count: int, replicates: int, rng: np.random.Generator) -> Float[np.ndarray, "R N"]:
    """How often each of ``count`` judgements was drawn; every replicate leaves at least one out."""
    if count == 1:
        return np.ones((replicates, 1))
    draws = resamples(count, replicates, rng)
    complete = (draws > 0).all(axis=1)
    draws[complete, :2] = (2.0, 0.0)  # only among a handful of judgements is there ever such a replicate
    return draws


def _compare_one(name: str, features: Tensor, mu: Tensor, samples: Tensor, lapse: bool) -> ModelFit:
    """``samples`` (1 + R, N): the judgements themselves, then the replicates."""
    features, mu, samples, left_out = _condense(features, mu, samples)
    fits = fit(features, mu, samples, lapse)
    return ModelFit(
        model=name,
        weights=tuple(fits.weights[0].tolist()),
        lapse=float(fits.lapse[0]),
        lapse_fitted=lapse,
        loss=float(fits.loss[0]),
        replicates=fits.loss[1:].numpy(),
        held_out=fits.losses_on(features, mu, left_out)[1:].numpy(),
        lapses=fits.lapse[1:].numpy(),
    )


def _condense(features: Tensor, mu: Tensor, samples: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Judgements with equal features and mu become one row with their summed counts: the likelihood is the same.

    Returns features (U, K), mu (U,), counts drawn (R, U) and counts left out (R, U). Gridworld statistics are small
    integers, so that thousands of judgements are a few hundred rows.
    """
    rows, row_of = torch.unique(torch.cat((features, mu.unsqueeze(-1)), dim=1), dim=0, return_inverse=True)
    empty = samples.new_zeros(len(samples), len(rows))
    counts = empty.index_add(1, row_of, samples)
    left_out = empty.index_add(1, row_of, (samples == 0).to(samples.dtype))
    return rows[:, :-1].contiguous(), rows[:, -1].contiguous(), counts, left_out


def fit(
    features: Float[Tensor, "N K"],
    mu: Float[Tensor, " N"],
    counts: Float[Tensor, "R N"],
    lapse: bool = False,
) -> Fit:
    """Maximum likelihood for ``R`` weightings of the judgements at once, by Newton's method.

    features: differences, first minus second. counts: how often each judgement counts in each fit. lapse: fit the
    rate of random answers too. Derivatives come from autograd, so that the loss is
    :func:`plaudit.functional.preference.bradley_terry_loss` and nothing else.

    Where a statistic separates the judgements without error, beta has no maximum and grows until the gradient
    vanishes.

    Raises:
        PlauditError: the fit did not settle.
    """
    scale = features.square().mean(dim=0).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    counts = counts / counts.sum(dim=1, keepdim=True)
    replicates, size = counts.shape[0], features.shape[1]
    plain = _Likelihood(features / scale, mu, lapse=False)
    # The replicates differ little: one fit to all of them together is where each of them begins.
    centre, _ = _newton(plain, counts.mean(dim=0, keepdim=True), features.new_zeros(1, size))
    theta, loss = _newton(plain, counts, centre.expand(replicates, -1))
    if lapse:
        rates = torch.logit(torch.tensor(LAPSES, dtype=features.dtype)).repeat_interleave(replicates)
        starts = torch.cat((theta.repeat(len(LAPSES), 1), rates.unsqueeze(-1)), dim=1)
        thetas, losses = _newton(replace(plain, lapse=True), counts.repeat(len(LAPSES), 1), starts)
        loss, lowest = losses.view(len(LAPSES), replicates).min(dim=0)
        theta = thetas.view(len(LAPSES), replicates, -1)[lowest, torch.arange(replicates)]
    rate = torch.sigmoid(theta[:, size]) if lapse else theta.new_zeros(replicates)
    return Fit(weights=theta[:, :size] / scale, lapse=rate, loss=loss)


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """The loss as a function of ``theta`` (R, P): K weights, then the logit of the lapse rate if there is one."""

    features: Tensor  # (U, K)
    mu: Tensor  # (U,)
    lapse: bool

    def arguments(self, theta: Tensor) -> tuple[Tensor, ...]:
        """What the loss of a judgement depends on, each (R, U): delta, and the logit of the lapse rate."""
        size = self.features.shape[1]
        delta = theta[:, :size] @ self.features.T
        return (delta, theta[:, size:].expand_as(delta).contiguous()) if self.lapse else (delta,)

    def losses(self, delta: Tensor, logit: Tensor | None = None) -> Tensor:
        """(R, U) in nats."""
        return bradley_terry_loss(delta, self.mu, 0.0 if logit is None else torch.sigmoid(logit))

    def derivatives(
        self, theta: Tensor, counts: Tensor
    ) -> tuple[Float[Tensor, " R"], Float[Tensor, "R P"], Float[Tensor, "R P P"]]:
        """Loss, gradient and Hessian of each row.

        A loss depends on two numbers and delta is linear in the weights: differentiating by the two and carrying the
        result over by the chain rule takes three passes, whatever K is.
        """
        arguments = [argument.requires_grad_() for argument in self.arguments(theta)]
        losses = self.losses(*arguments)
        slopes = torch.autograd.grad(losses.sum(), arguments, create_graph=True)
        bends = [torch.autograd.grad(slope.sum(), arguments, retain_graph=True) for slope in slopes]
        constant = self.features.new_ones(len(self.features), 1)
        carried = (self.features, constant)[: len(arguments)]  # what each argument is multiplied with in theta
        gradient = [(counts * slope.detach()) @ x for slope, x in zip(slopes, carried, strict=True)]
        hessian = [
            torch.cat([_block(counts * bend, x, y) for bend, y in zip(row, carried, strict=True)], dim=2)
            for row, x in zip(bends, carried, strict=True)
        ]
        return (counts * losses.detach()).sum(dim=1), torch.cat(gradient, dim=1), torch.cat(hessian, dim=1)


def _block(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """sum_u weight[r, u] x[u, i] y[u, j], as (R, I, J)."""
    outer = x.unsqueeze(2) * y.unsqueeze(1)
    return (weight @ outer.flatten(1)).unflatten(1, outer.shape[1:])


def _newton(likelihood: _Likelihood, counts: Tensor, theta: Tensor) -> tuple[Float[Tensor, "R P"], Float[Tensor, " R"]]:
    """Minimise the loss of every row of ``theta``; returns them with their losses.

    A step uses the absolute values of the Hessian's eigenvalues, so that it leaves saddle points downhill, and is
    halved wherever it would raise the loss. Rows that have settled drop out.
    """
    theta, losses = theta.clone(), counts.new_empty(len(counts))
    rows = torch.arange(len(counts))
    for _ in range(LIMIT):
        loss, gradient, hessian = likelihood.derivatives(theta[rows], counts)
        if not (gradient.isfinite().all() and hessian.isfinite().all()):
            break
        losses[rows] = loss
        moving = gradient.abs().amax(dim=1) >= GRADIENT
        if not moving.any():
            return theta, losses
        rows, counts = rows[moving], counts[moving]
        curvature, axes = torch.linalg.eigh(hessian[moving])
        coordinates = (axes.mT @ gradient[moving].unsqueeze(-1)).squeeze(-1) / curvature.abs().clamp_min(FLATTEST)
        step = -(axes @ coordinates.unsqueeze(-1)).squeeze(-1)
        longest = LONGEST * theta[rows].norm(dim=1, keepdim=True).clamp_min(1.0)
        step = step * (longest / torch.maximum(longest, step.norm(dim=1, keepdim=True)))
        theta[rows] = _downhill(likelihood, counts, theta[rows], step, loss[moving])
    raise PlauditError("preference models: the fit did not settle: look for extreme values among rewards and values")


def _downhill(likelihood: _Likelihood, counts: Tensor, theta: Tensor, step: Tensor, loss: Tensor) -> Tensor:
    """theta + step, the step halved row by row until the loss does not rise (beyond the noise of rounding)."""
    for _ in range(30):
        after = (counts * likelihood.losses(*likelihood.arguments(theta + step))).sum(dim=1)
        rises = ~(after <= loss + 1e-14)
        if not rises.any():
            break
        step = torch.where(rises.unsqueeze(-1), step / 2, step)
    return theta + step
