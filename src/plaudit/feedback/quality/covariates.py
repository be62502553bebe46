"""What besides quality moves an answer: Bradley-Terry with covariates, and how far people prefer the longer text.

Shape letters: ``N`` comparisons, ``F`` covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality.davidson import log_likelihood, log_probabilities, slopes, tally
from plaudit.feedback.quality.rates import Rate, binomial_test, normal_quantile, normal_tail, rates
from plaudit.feedback.quality.tables import check_choice, check_column
from plaudit.types import Array, PlauditError

_CERTAIN = 30.0  # log-odds; a fit that goes beyond has no finite maximum


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Log-odds of the first being better, for each unit of each covariate, as Wald 1943 tests them."""

    names: tuple[str, ...]
    coefficient: Array  # (F,)
    standard_error: Array  # (F,): roots of the diagonal of the inverse Fisher information
    z: Array  # (F,): coefficient / standard_error
    p_value: Array  # (F,): two-sided
    low: Array  # (F,)
    high: Array  # (F,)
    nu: float  # Davidson's tie parameter; 0 without ties
    log_likelihood: float
    comparisons: int  # that were not can't tell


def bradley_terry_covariates(
    choice: Array,
    covariates: Array,
    names: Sequence[str],
    l2: float = 0.0,
    level: float = 0.95,
) -> Coefficients:
    """Fit delta = covariates @ coefficient in Davidson's model, which without ties is logistic regression.

    ``choice`` (N,) is 1, 0, -1 or NaN, for the first, a tie, the second, can't tell. ``covariates`` (N, F) are
    differences, first minus second: the length, or the place (1 where the first was shown first, -1 where the second
    was). There is no intercept, because which item is called first means nothing. Scores of a few items (models, say)
    are more columns: 1 for the first, -1 for the second, all items but one. ``l2`` / 2 |coefficient|^2 is taken off
    the likelihood. Standard errors take answers as independent, and are too small where one person's habits are behind
    many of them.

    PlauditError: shapes that do not fit, covariates that are not finite or depend on each other, no decision at all,
    and, with l2 = 0, covariates that separate the answers, for which no maximum exists.
    """
    votes, covariates = _check(choice, covariates, names, l2)
    z_limit = normal_quantile(level)
    # Covariates of size one, so that words and booleans are equally easy to fit; undone below.
    scale = np.sqrt(np.square(covariates).mean(axis=0))
    design = covariates / scale
    beta, log_nu, information = _newton(design, votes, l2 / scale**2)
    error = np.sqrt(np.diag(np.linalg.inv(information)))[: len(scale)] / scale
    coefficient = beta / scale
    z = coefficient / error
    return Coefficients(
        names=tuple(names),
        coefficient=coefficient,
        standard_error=error,
        z=z,
        p_value=np.minimum(2 * normal_tail(np.abs(z)), 1.0),
        low=coefficient - z_limit * error,
        high=coefficient + z_limit * error,
        nu=float(np.exp(log_nu)),
        log_likelihood=log_likelihood(votes, log_probabilities(design @ beta, log_nu)),
        comparisons=len(votes),
    )


def _check(choice: Array, covariates: Array, names: Sequence[str], l2: float) -> tuple[Array, Array]:
    """Votes (N', 3) and covariates (N', F) of the comparisons that were answered."""
    check_choice(choice, "choice")
    if covariates.shape != (len(choice), len(names)) or len(names) == 0:
        raise PlauditError(
            f"covariates must be (N, F) with a name for each column, got {covariates.shape} "
            f"for {len(choice)} choices and {len(names)} names"
        )
    if not np.isfinite(covariates).all() or not l2 >= 0:
        raise PlauditError(f"covariates must be finite and l2 not negative, got l2 = {l2}")
    answered = ~np.isnan(choice)
    votes, covariates = tally(choice[answered]), covariates[answered].astype(np.float64)
    if votes[:, [0, 2]].sum() == 0:
        raise PlauditError("Bradley-Terry needs a comparison in which one item is better; there are ties at most")
    size = np.sqrt(np.square(covariates).mean(axis=0))
    if (size == 0).any() or np.linalg.matrix_rank(covariates / size) < len(names):
        raise PlauditError(f"covariates {list(names)} depend on each other or are all zero; leave one out")
    return votes, covariates


def _newton(design: Array, votes: Array, l2: Array) -> tuple[Array, float, Array]:
    """beta (F,), log nu, and the information (F + 1, F + 1), or (F, F) without ties; l2 (F,) for each column."""
    ties = float(votes[:, 1].sum())
    tied = ties > 0
    beta = np.zeros(design.shape[1])
    log_nu = float(np.log(2 * ties / (len(votes) - ties))) if tied else -np.inf
    value = -np.inf
    for _ in range(100):
        now = slopes(votes, log_probabilities(design @ beta, log_nu))
        gradient = design.T @ now.delta - l2 * beta
        information = design.T @ (now.delta_delta[:, None] * design) + np.diag(l2)
        if tied:
            cross = design.T @ now.delta_log_nu
            information = np.block([[information, cross[:, None]], [cross[None, :], now.log_nu_log_nu.sum()]])
            gradient = np.append(gradient, now.log_nu.sum())
        if np.linalg.cond(information) > 1e12:
            break
        step = np.linalg.solve(information, gradient)
        if gradient @ step <= 1e-16 * len(votes):
            if np.abs(design @ beta).max() > _CERTAIN:
                break
            return beta, log_nu, information
        for _ in range(40):  # a full step may go too far while the fit is far off
            trial, trial_nu = beta + step[: len(beta)], log_nu + float(step[-1]) if tied else log_nu
            raised = log_likelihood(votes, log_probabilities(design @ trial, trial_nu)) - 0.5 * float(l2 @ trial**2)
            if raised >= value:
                beta, log_nu, value = trial, trial_nu, raised
                break
            step = step / 2
    raise PlauditError(
        "the covariates predict every answer exactly, so the best coefficients are infinite; give l2 above 0"
    )


@dataclass(frozen=True)
class LengthBias:
    """How far the longer of two texts is preferred. That may be a bias, or longer texts may be better."""

    longer: Rate  # decisive answers, of texts of different lengths, that chose the longer
    p_value: float  # exact, two-sided, against one half
    coefficient: float  # log-odds for a difference in length of the size of its root mean square
    standard_error: float
    z: float
    coefficient_p_value: float
    scale: float  # that root mean square, in the unit of the lengths: coefficient / scale is for each unit


def length_bias(
    choice: Array,
    first_length: Array,
    second_length: Array,
    other_covariates: Array | None = None,
    l2: float = 0.01,
    level: float = 0.95,
) -> LengthBias:
    """Whether longer texts win: a share, and the coefficient of length in Bradley-Terry.

    ``choice`` (N,) is 1, 0, -1 or NaN; lengths (N,) are in any unit. ``other_covariates`` (N, F) are
    differences, first minus second, that should not be mistaken for length (which one was shown first). ``l2`` is
    small; it keeps the coefficient finite while answers are few.
    PlauditError: shapes that do not fit, negative lengths, no decision, no pair of different lengths.
    """
    check_choice(choice, "choice")
    for column, name in ((first_length, "first_length"), (second_length, "second_length")):
        check_column(column, name, len(choice))
        if not np.isfinite(column).all() or (column < 0).any():
            raise PlauditError(f"{name} must be finite and not negative")
    difference = first_length.astype(np.float64) - second_length
    counted = (np.abs(choice) == 1) & (difference != 0)
    if not counted.any():
        raise PlauditError("length bias needs a decision between two texts of different lengths")
    chosen = np.array([int((choice[counted] == np.sign(difference[counted])).sum())])
    total = np.array([int(counted.sum())])
    scale = float(np.sqrt(np.square(difference[~np.isnan(choice)]).mean()))
    columns = [difference[:, None] / scale] + ([] if other_covariates is None else [other_covariates])
    design = np.concatenate(columns, axis=1)
    names = ["length", *(f"other {number}" for number in range(1, design.shape[1]))]
    fit = bradley_terry_covariates(choice, design, names, l2, level)
    return LengthBias(
        longer=rates(chosen, total, level)[0],
        p_value=float(binomial_test(chosen, total)[0]),
        coefficient=float(fit.coefficient[0]),
        standard_error=float(fit.standard_error[0]),
        z=float(fit.z[0]),
        coefficient_p_value=float(fit.p_value[0]),
        scale=scale,
    )
