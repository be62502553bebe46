"""Which segments to ask about, and when: cutting, candidate pairs, acquisition, and the label schedule.

Candidates are named by (row, start) and scored from the reward model's (B, T) output by cumulative sums; only what
is asked is copied out of the trajectory. Shape letters: ``N`` segments, ``C`` candidate pairs, ``M`` members.
"""

from __future__ import annotations

import math

import numpy as np

from plaudit.functional.calibration import logistic
from plaudit.types import Array, PlauditError, Segment, Source, Trajectory

METHODS = ("uniform", "disagreement", "entropy", "k-center")


# --- cutting -------------------------------------------------------------------------------------------------------


def valid_starts(mask: Array, ends: Array, length: int) -> Array:
    """Where a segment may start: (B, T-L+1) bool.

    All its ``length`` steps are real (``mask``) and the episode goes on through all but its last step (``ends``).
    """
    if length < 1:
        raise PlauditError(f"segments need at least one step, got length {length}")
    rows, steps = mask.shape
    if length > steps:
        return np.zeros((rows, 0), dtype=bool)
    unreal = _running_sums(~mask)
    end_counts = _running_sums(ends)
    n_starts = steps - length + 1
    return (unreal[:, length:] == unreal[:, :n_starts]) & (end_counts[:, length - 1 : -1] == end_counts[:, :n_starts])


def cut_indices(trajectory: Trajectory, length: int, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows (N,) and first steps (N,) of ``count`` different segments, uniform over all that there are.

    N is less than ``count`` when the trajectory has fewer. PlauditError when it has none.
    """
    valid = valid_starts(trajectory.mask, trajectory.ends, length)
    rows, starts = np.nonzero(valid)
    if len(rows) == 0:
        raise PlauditError(
            f"a segment of {length} steps is longer than any run of real steps ({_longest_run(trajectory)}) in rollout "
            f"{trajectory.rollout} of {trajectory.mask.shape[1]} steps; shorten the segments or collect longer"
        )
    chosen = rng.choice(len(rows), size=min(count, len(rows)), replace=False)
    return rows[chosen], starts[chosen]


def segments(trajectory: Trajectory, rows: Array, starts: Array, length: int) -> list[Segment]:
    """Copies of the segments at ``rows`` (N,), ``starts`` (N,); a view would keep the whole trajectory in memory."""
    copies = []
    for row, start in zip(rows.tolist(), starts.tolist(), strict=True):
        steps = slice(start, start + length)
        states = None if trajectory.states is None else trajectory.states[row, steps].copy()
        copies.append(
            Segment(
                trajectory.observations[row, steps].copy(),
                trajectory.actions[row, steps].copy(),
                states,
                Source(trajectory.rollout, row, start),
            )
        )
    return copies


def cut(trajectory: Trajectory, length: int, count: int, rng: np.random.Generator) -> list[Segment]:
    """At most ``count`` different segments, uniform over all that there are; PlauditError when there is none."""
    return segments(trajectory, *cut_indices(trajectory, length, count, rng), length)


def segment_sums(per_step: Array, rows: Array, starts: Array, length: int) -> Array:
    """sum_t r_t of each segment: (..., B, T) per step -> (..., N) float64, without copying a segment."""
    total = _running_sums(per_step, dtype=np.float64)
    return total[..., rows, starts + length] - total[..., rows, starts]


def _running_sums(values: Array, dtype: type = np.int64) -> Array:
    """(..., T) -> (..., T+1): sums of the first t values, so that a window's sum is one difference."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1), dtype=dtype)
    np.cumsum(values, axis=-1, dtype=dtype, out=sums[..., 1:])
    return sums


def _longest_run(trajectory: Trajectory) -> int:
    longest, steps = 0, trajectory.mask.shape[1]
    while longest < steps and valid_starts(trajectory.mask, trajectory.ends, longest + 1).any():
        longest += 1
    return longest


# --- candidate pairs -----------------------------------------------------------------------------------------------


def pairs(segment_count: int, n_candidates: int, rng: np.random.Generator) -> Array:
    """Candidate pairs (C, 2) of segment numbers in random order and sides; C <= n_candidates.

    Never a segment with itself, never the same two twice. They are drawn as rounds of a round-robin tournament
    of shuffled players: within a round each segment appears at most once, so all candidates are disjoint while
    there are enough segments, and appearances stay even when there are not. PlauditError below two segments.
    """
    if segment_count < 2:
        raise PlauditError(f"a comparison needs two segments, there are {segment_count}; collect longer rollouts")
    players = segment_count + segment_count % 2  # with an odd number, one sits out each round
    rounds = min(players - 1, math.ceil(n_candidates / (segment_count // 2)))
    shift = rng.permutation(players - 1)[:rounds, None]
    seat = np.arange(1, players // 2)
    first = np.concatenate([shift, (shift + seat) % (players - 1)], axis=1)
    second = np.concatenate([np.full_like(shift, players - 1), (shift - seat) % (players - 1)], axis=1)
    pairings = rng.permutation(players)[np.stack([first.ravel(), second.ravel()], axis=1)]
    pairings = pairings[(pairings < segment_count).all(axis=1)][:n_candidates]
    return rng.permuted(pairings[rng.permutation(len(pairings))], axis=1)


# --- acquisition ---------------------------------------------------------------------------------------------------


def preferences(returns: Array) -> Array:
    """P[first better] under each member: (M, C, 2) returns -> (M, C) float64, Christiano et al. 2017, equation 1."""
    return logistic(returns[..., 0].astype(np.float64) - returns[..., 1])


def acquisition(method: str, returns: Array) -> Array:
    """How much is to be learnt from each candidate: (M, C, 2) -> (C,) float64, larger is better.

    ``disagreement``: variance of the members' predictions (Christiano et al. 2017, section 2.2.4).
    ``entropy``: Shannon entropy, in nats, of their mean prediction (B-Pref, section 4). ``uniform``: all the same.
    """
    if method == "uniform":
        return np.zeros(returns.shape[1])
    if not np.isfinite(returns).all():
        raise PlauditError("the reward model predicts returns that are not finite; lower its learning rate")
    first = preferences(returns)
    if method == "disagreement":
        return first.var(axis=0)
    if method == "entropy":
        mean = np.clip(first.mean(axis=0), 1e-300, 1.0)
        complement = np.clip(1.0 - mean, 1e-300, 1.0)
        return -(mean * np.log(mean) + complement * np.log(complement))
    raise PlauditError(f"unknown question selection {method!r}; choose one of {', '.join(METHODS)}")


def select(
    method: str,
    returns: Array,
    features: Array | None,
    n: int,
    rng: np.random.Generator,
    candidates: Array | None = None,
) -> Array:
    """Numbers (n,) of the candidate pairs to ask about, best first, ties broken at random.

    ``returns`` (M, C, 2) are each member's returns of the two segments. ``features`` (C, 2, F) are needed by
    ``k-center`` alone: greedy farthest-first on both segments' features (Sener and Savarese 2018; B-Pref, section 4).
    With ``candidates`` (C, 2), the segments' numbers, no segment is asked about twice while a choice remains.
    PlauditError for an unknown method and for fewer than ``n`` candidates.
    """
    count = returns.shape[1]
    if not 0 <= n <= count:
        raise PlauditError(f"cannot choose {n} questions from {count} candidates; collect longer rollouts or ask fewer")
    shuffled = rng.permutation(count)  # argmax takes the first of equals
    used = None if candidates is None else candidates[shuffled]
    distances = None
    if method == "k-center":
        if features is None:
            raise PlauditError("k-center selection needs features (C, 2, F) of the candidates")
        distances = _Distances(features.reshape(count, -1)[shuffled])
        worth = np.full(count, np.inf)  # squared distance to the nearest chosen candidate
    else:
        worth = acquisition(method, returns)[shuffled]
    chosen = np.zeros(n, dtype=np.int64)
    left = np.ones(count, dtype=bool)  # not chosen
    free = left.copy()  # nor sharing a segment with a chosen one
    for i in range(n):
        best = int(np.argmax(np.where(free if free.any() else left, worth, -np.inf)))
        chosen[i] = shuffled[best]
        left[best] = free[best] = False
        if used is not None:
            free &= ~np.isin(used, used[best]).any(axis=1)
        if distances is not None:
            worth = np.minimum(worth, distances.to(best))
    return chosen


class _Distances:
    """Squared distances from all points (C, F) to one of them, as |x|^2 - 2 x.y + |y|^2: one matrix-vector product."""

    def __init__(self, points: Array) -> None:
        self._points = points.astype(np.float64)
        self._squares = np.square(self._points).sum(axis=1)

    def to(self, index: int) -> Array:
        return self._squares - 2.0 * (self._points @ self._points[index]) + self._squares[index]


def segment_features(trajectory: Trajectory, rows: Array, starts: Array, length: int, limit: int = 256) -> Array:
    """What k-center measures distance in: the first, middle and last observation of each segment, (N, F) float64.

    Observations of more than ``limit`` numbers are thinned evenly; each number is scaled to variance one.
    """
    flat = trajectory.observations.reshape(*trajectory.mask.shape, -1)
    stride = max(1, math.ceil(flat.shape[-1] / limit))
    moments = (starts, starts + length // 2, starts + length - 1)
    features = np.concatenate([flat[rows, step, ::stride] for step in moments], axis=1).astype(np.float64)
    spread = features.std(axis=0)
    return features / np.where(spread > 0, spread, 1.0)


def _moves(trajectory: Trajectory, rows: Array, starts: Array, length: int) -> Array:
    """Whether the first, middle and last observation of each segment differ, (N,) bool; one step always counts."""
    if length == 1:
        return np.ones(len(rows), dtype=bool)
    flat = trajectory.observations.reshape(*trajectory.mask.shape, -1)
    first, middle, last = (flat[rows, starts + step] for step in (0, length // 2, length - 1))
    return ((first != last) | (first != middle)).any(axis=1)


def propose(
    method: str,
    trajectory: Trajectory,
    per_step: Array,
    length: int,
    n: int,
    rng: np.random.Generator,
    pool: int = 10,
) -> list[tuple[Segment, Segment]]:
    """At most ``n`` pairs of segments to ask about, from ``pool`` times as many candidates (section 2.2.4).

    ``per_step`` (M, B, T) is each member's reward of each step. Pairs of equal contents, and the same pair twice, which
    deterministic environments produce, are passed over; so are pairs of two still pictures while there are others:
    after an end that is hidden an observation repeats, and nobody could say which of two such clips is better.
    PlauditError when there is nothing to cut.
    """
    if n < 1:
        return []
    rows, starts = cut_indices(trajectory, length, 2 * pool * n, rng)
    candidates = pairs(len(rows), pool * n, rng)
    moving = _moves(trajectory, rows, starts, length)[candidates].any(axis=1)
    candidates = candidates[moving] if moving.any() else candidates
    returns = segment_sums(per_step, rows, starts, length)[:, candidates]
    features = None
    if method == "k-center":
        features = segment_features(trajectory, rows, starts, length)[candidates]
    spare = np.arange(len(candidates))
    chosen: dict[frozenset[str], tuple[Segment, Segment]] = {}
    while len(chosen) < n and len(spare):
        shortfall = min(n - len(chosen), len(spare))
        spare_features = None if features is None else features[spare]
        best = select(method, returns[:, spare], spare_features, shortfall, rng, candidates[spare])
        picked = candidates[spare[best]].ravel()
        cuts = segments(trajectory, rows[picked], starts[picked], length)
        for first, second in zip(cuts[::2], cuts[1::2], strict=True):
            if first.id != second.id:
                chosen.setdefault(frozenset((first.id, second.id)), (first, second))
        spare = np.delete(spare, best)
    return list(chosen.values())


# --- when to ask ---------------------------------------------------------------------------------------------------


def labels_due(step: int, total_steps: int, budget: int, upfront: float = 0.25, scale: float | None = None) -> int:
    """How many of ``budget`` labels should have been asked for after ``step`` of ``total_steps`` environment steps.

    A fraction ``upfront`` before training; the rest at a rate proportional to scale / (step + scale), scaled so that
    the budget is spent at the last step (Christiano et al. 2017, appendices A.1 and A.2: 2e6 and 5e6 steps).
    By default ``scale`` is a tenth of ``total_steps``, the paper's proportion on Atari (5e6 of 5e7).
    Never decreases in ``step``; at least one label is due at once when ``upfront`` and ``budget`` are not 0.
    """
    if total_steps < 1 or step < 0:
        raise PlauditError(f"label schedule: needs total_steps >= 1 and step >= 0, got {total_steps} and {step}")
    if budget < 0 or not 0 <= upfront <= 1:
        raise PlauditError(f"label schedule: needs budget >= 0 and upfront in [0, 1], got {budget} and {upfront}")
    scale = total_steps / 10 if scale is None else scale
    if not scale > 0:
        raise PlauditError(f"label schedule: scale is a number of steps above 0, got {scale}")
    if step >= total_steps:
        return budget
    spent = math.log1p(step / scale) / math.log1p(total_steps / scale)
    due = budget * (upfront + (1 - upfront) * spent)
    return min(budget, math.ceil(due - 1e-9))  # a rounding error is not a label
