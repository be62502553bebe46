"""Davidson's model of three outcomes (first better, tie, second better), its derivatives, and Newton's method on it.

Davidson 1970: with delta = s_i - s_j, the three probabilities are proportional to exp(delta / 2), nu and
exp(-delta / 2); nu = 0 leaves no ties and is Bradley and Terry's model. They are a softmax of something linear in
(s, log nu), so the log-likelihood is concave. Shape letters: ``N`` comparisons, ``I`` items; columns are (first, tie,
second).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.types import Array

_HALVINGS = 40  # of a step that does not raise the objective: beyond this nothing is left of it


def log_probabilities(delta: Array, log_nu: float) -> Array:
    """Log-probabilities (N, 3) of (first, tie, second) for differences ``delta`` (N,); log_nu = -inf means no ties."""
    logits = np.stack([delta / 2, np.full_like(delta, log_nu), -delta / 2], axis=1)
    most = logits.max(axis=1, keepdims=True)
    return logits - most - np.log(np.exp(logits - most).sum(axis=1, keepdims=True))


def log_likelihood(votes: Array, log_pi: Array) -> float:
    """sum of votes (N, 3) times log-probabilities (N, 3); an outcome nobody chose counts nothing, even at -inf."""
    return float(np.where(votes > 0, votes * np.where(votes > 0, log_pi, 0.0), 0.0).sum())


def tally(choice: Array) -> Array:
    """Votes (N, 3), one for each choice (N,) of 1, 0, -1; a row of zeros for NaN."""
    return np.stack([choice == 1, choice == 0, choice == -1], axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of each comparison's log-likelihood by delta and log nu, (N,) each; second ones negated."""

    delta: Array
    log_nu: Array
    delta_delta: Array
    delta_log_nu: Array
    log_nu_log_nu: Array


def slopes(votes: Array, log_pi: Array) -> Slopes:
    """For votes (N, 3), which need not be whole numbers.

    The softmax has the statistics (1/2, 0, -1/2) and (0, 1, 0): first derivatives are what was seen minus what is
    expected, second ones their covariances.
    """
    first, tie, second = np.exp(log_pi).T
    weight = votes.sum(axis=1)
    lean = (first - second) / 2
    return Slopes(
        delta=(votes[:, 0] - votes[:, 2]) / 2 - weight * lean,
        log_nu=votes[:, 1] - weight * tie,
        delta_delta=weight * ((first + second) / 4 - lean**2),
        delta_log_nu=-weight * tie * lean,
        log_nu_log_nu=weight * tie * (1 - tie),
    )


@dataclass(frozen=True, eq=False)
class Scores:
    """The penalised log-likelihood of one score for each item, as a function of theta = (s_1, ..., s_I, log nu).

    The penalty l2 / 2 |s|^2 is a normal prior on scores. It keeps them finite where one item wins always, and fixes
    what the likelihood leaves open: their mean, also between items that no chain of comparisons joins.
    """

    first: Array  # (N,) int
    second: Array  # (N,) int
    items: int
    l2: float

    def start(self, votes: Array) -> Array:
        """theta (I + 1,) of equal items, with the nu that the share of ties implies."""
        ties, total = float(votes[:, 1].sum()), float(votes.sum())
        theta = np.zeros(self.items + 1)
        # Equal items tie with probability nu / (2 + nu). Without a tie nu is 0 and stays there.
        theta[-1] = np.log(2 * ties / (total - ties)) if ties > 0 else -np.inf
        return theta

    def log_pi(self, theta: Array) -> Array:
        """Log-probabilities (N, 3) of every comparison."""
        return log_probabilities(theta[self.first] - theta[self.second], float(theta[-1]))

    def objective(self, theta: Array, votes: Array) -> float:
        """Log-likelihood of ``votes`` (N, 3) less the penalty."""
        return log_likelihood(votes, self.log_pi(theta)) - self.penalty(theta)

    def penalty(self, theta: Array) -> float:
        """l2 / 2 |s|^2."""
        return 0.5 * self.l2 * float(np.square(theta[:-1]).sum())

    def ascend(self, theta: Array, votes: Array) -> Array:
        """theta after one Newton step, halved until the objective does not fall."""
        now = slopes(votes, self.log_pi(theta))
        gradient = np.append(self._gather(now.delta) - self.l2 * theta[:-1], now.log_nu.sum())
        step = self._solve(now, gradient)
        value = self.objective(theta, votes)
        for _ in range(_HALVINGS):
            if self.objective(theta + step, votes) >= value:
                return theta + step
            step = step / 2
        return theta

    def _gather(self, per_comparison: Array) -> Array:
        """(N,) -> (I,): added where the item is first, taken away where it is second."""
        gained = np.bincount(self.first, per_comparison, minlength=self.items)
        return gained - np.bincount(self.second, per_comparison, minlength=self.items)

    def _times(self, now: Slopes, vector: Array) -> Array:
        """The negative Hessian times ``vector`` (I + 1,), without building it: with many items it would not fit."""
        delta, log_nu = vector[self.first] - vector[self.second], vector[-1]
        items = self._gather(now.delta_delta * delta + now.delta_log_nu * log_nu) + self.l2 * vector[:-1]
        return np.append(items, now.delta_log_nu @ delta + now.log_nu_log_nu.sum() * log_nu)

    def _solve(self, now: Slopes, gradient: Array) -> Array:
        """Newton's step (I + 1,) by conjugate gradients, scaled by the diagonal (Nocedal and Wright, algorithm 5.3)."""
        diagonal = np.full(self.items + 1, self.l2)
        diagonal[:-1] += np.bincount(self.first, now.delta_delta, minlength=self.items)
        diagonal[:-1] += np.bincount(self.second, now.delta_delta, minlength=self.items)
        # Without ties the row of log nu is all zeros and so is its gradient: any positive number keeps it still.
        diagonal[-1] = now.log_nu_log_nu.sum() or 1.0
        step = np.zeros_like(gradient)
        residual = gradient
        scaled = residual / diagonal
        direction, size = scaled, float(residual @ scaled)
        tolerance = size * 1e-20
        for _ in range(2 * len(gradient) + 20):
            if size <= tolerance:
                break
            image = self._times(now, direction)
            rate = size / float(direction @ image)
            step, residual = step + rate * direction, residual - rate * image
            scaled = residual / diagonal
            previous, size = size, float(residual @ scaled)
            direction = scaled + size / previous * direction
        return step
