"""Which preference model do people follow? Real human preferences on the delivery gridworld, read and analysed.

The data are those of Hatgis-Kessell, Knox, Booth, Niekum and Stone 2025, "Influencing humans to conform to preference
models for RLHF": for each condition of their studies three arrays, named after it, hold the pairs of segments, what
people preferred, and the differences of the segment statistics. The last are not used but checked: everything here
follows from the segments, through our own board and solver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import torch

from plaudit.control.environments.delivery import DIRECTIONS, Board, knox_board
from plaudit.control.solve import value_iteration
from plaudit.functional.intervals import percentiles
from plaudit.reward.preference_models import MODELS, ModelFit, Pairs, compare, differences
from plaudit.types import Array, PlauditError

PARTS = ("segment_pairs", "Y", "X")
SUFFIX = "_full_filtered_{}.npy"
REPLICATES = 1000
SEED = 0
AGREES = 1e-6  # stored statistics are sums of small integers: anything beyond rounding is a difference
CHALLENGERS = (("end value", "partial return"), ("regret", "partial return"), ("end value", "regret"))


@dataclass(frozen=True, eq=False)
class Study:
    """What one condition's files hold, ``n`` judgements."""

    name: str
    path: Path  # of the segments, for messages
    segments: Array  # (n, 2, 4, 2) int: start (row, column), then three steps
    preferred: Array  # (n,) float64: 0 the first, 1 the second, 0.5 the same
    stored: Array  # (n, 3) float64: second minus first of partial return, V*(start), V*(end)


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Two models on the same bootstrap replicates."""

    first: str
    second: str
    lapse_fitted: bool
    difference: float  # fitted loss of first minus second, nats: negative where the first fits better
    interval: tuple[float, float]  # 95 %
    wins: float  # share of replicates where the first has the lower loss on the judgements left out; a draw is half


@dataclass(frozen=True, eq=False)
class Condition:
    """One condition, analysed."""

    name: str
    judgements: int
    ties: int
    mismatches: int  # rows of the stored X that differ from ours
    fits: tuple[ModelFit, ...]
    pairs: tuple[ModelComparison, ...]

    def fit(self, model: str, lapse: bool = False) -> ModelFit:
        """The fit of one model, without or with a lapse rate."""
        return next(fit for fit in self.fits if fit.model == model and fit.lapse_fitted == lapse)


def report(folder: Path, progress: Callable[[int, int, str], None] = lambda done, total, stage: None) -> str:
    """The analysis of :func:`analyse` as Markdown tables, for a terminal or a page."""
    return render(analyse(folder, progress=progress))


def analyse(
    folder: Path,
    replicates: int = REPLICATES,
    seed: int = SEED,
    progress: Callable[[int, int, str], None] = lambda done, total, stage: None,
) -> tuple[Condition, ...]:
    """Fit every preference model to every condition in ``folder``; the same seed gives the same numbers.

    Raises:
        PlauditError: the folder is not such data; the message names the file and the remedy.
    """
    studies = load(folder)
    board = knox_board()
    conditions = []
    for index, study in enumerate(studies):

        def step(done: int, total: int, stage: str, study: Study = study, index: int = index) -> None:
            progress(index * total + done, len(studies) * total, f"{study.name}: {stage}")

        pairs = replay(study, board)
        fits = compare(pairs, replicates, np.random.default_rng((seed, index)), progress=step)
        conditions.append(
            Condition(
                name=study.name,
                judgements=len(pairs),
                ties=int((study.preferred == 0.5).sum()),
                mismatches=mismatches(study, pairs),
                fits=fits,
                pairs=tuple(_pair(fits, a, b, lapse) for lapse in (False, True) for a, b in CHALLENGERS),
            )
        )
    return tuple(conditions)


def load(folder: Path) -> tuple[Study, ...]:
    """Every condition in ``folder``, by name, its arrays checked against each other and against the board's size.

    Raises:
        PlauditError: as for :func:`analyse`.
    """
    remedy = "give the folder that holds <condition>" + SUFFIX.format("{segment_pairs,Y,X}")
    if not folder.is_dir():
        raise PlauditError(f"no folder {folder}: {remedy}")
    names = {path.name.removesuffix(end) for end in map(SUFFIX.format, PARTS) for path in folder.glob("*" + end)}
    if not names:
        raise PlauditError(f"{folder} holds no human preferences: {remedy}")
    return tuple(_load_one(folder, name) for name in sorted(names))


def _load_one(folder: Path, name: str) -> Study:
    segments, preferred, stored = (_read(folder / (name + SUFFIX.format(part))) for part in PARTS)
    pairs_file, answers_file, stored_file = (folder / (name + SUFFIX.format(part)) for part in PARTS)
    if segments.ndim != 4 or segments.shape[1:] != (2, 4, 2) or not np.issubdtype(segments.dtype, np.integer):
        raise PlauditError(
            f"{pairs_file}: expected whole numbers of shape (n, 2, 4, 2), got {segments.dtype} {segments.shape}: "
            "each segment is a start (row, column) and three steps"
        )
    count = len(segments)
    if not count:
        raise PlauditError(f"{pairs_file} holds no pairs: remove the condition's files or fetch them again")
    for path, array, shape in ((answers_file, preferred, (count,)), (stored_file, stored, (count, 3))):
        if array.shape != shape or array.dtype.kind not in "iuf":
            raise PlauditError(
                f"{path}: expected numbers of shape {shape} to match {pairs_file.name}, got {array.dtype} "
                f"{array.shape}: fetch the three files of a condition together"
            )
    unknown = ~np.isin(preferred, (0.0, 0.5, 1.0))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise PlauditError(
            f"{answers_file}: row {row} is {preferred[row]}: a preference is 0 (first), 1 (second) or 0.5 (same)"
        )
    return Study(name, pairs_file, segments, preferred.astype(np.float64), stored.astype(np.float64))


def _read(path: Path) -> Array:
    if not path.exists():
        raise PlauditError(f"{path} is missing: a condition needs its three files, {', '.join(PARTS)}")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise PlauditError(
            f"{path} cannot be read as a plain numpy array ({reason}): "
            "pickled arrays are not read; save it again with np.save, or fetch it again"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise PlauditError(f"{path} is an archive of arrays: save the one array with np.save")
    return array


def replay(study: Study, board: Board) -> Pairs:
    """Drive both segments of every pair over ``board`` under its true reward, with V* from value iteration at gamma 1.

    The data fill up most segments that end early with (0, 0), but not all: what follows termination is ignored.

    Raises:
        PlauditError: a segment starts where no episode can, or its steps are no moves.
    """
    start = study.segments[:, :, 0]
    rows, columns = board.tiles.shape
    off_board: Array = np.any((start < 0) | (start >= (rows, columns)), axis=-1)
    _refuse(off_board, study.path, start, f"starts outside of the board of {rows} by {columns} tiles")
    state = start[..., 0] * columns + start[..., 1]
    _refuse(~np.isin(state, board.starts), study.path, start, "starts on a house, a sheep or the goal")
    moves = study.segments[:, :, 1:]
    matches = (moves[..., None, :] == DIRECTIONS).all(axis=-1)  # (n, 2, 3, 4)
    model = board.model()
    values, _ = value_iteration(model)
    start_values, rewards = values[state], []
    for step in range(moves.shape[2]):
        at_end = board.terminal[state]
        still = (moves[:, :, step] == 0).all(axis=-1)
        _refuse(still & ~at_end, study.path, moves[:, :, step], f"stands still in step {step + 1} before it has ended")
        _refuse(
            ~still & ~at_end & ~matches[:, :, step].any(axis=-1),
            study.path,
            moves[:, :, step],
            f"jumps in step {step + 1}",
        )
        action = matches[:, :, step].argmax(axis=-1)
        rewards.append(model.reward[state, action])  # 0 in a terminal state, which leads to itself
        state = model.next_state[state, action]
    return Pairs(
        rewards=torch.from_numpy(np.stack(rewards, axis=-1)),
        start_values=torch.from_numpy(start_values),
        end_values=torch.from_numpy(values[state]),
        mu=torch.from_numpy(1.0 - study.preferred),
    )


def _refuse(wrong: Array, path: Path, numbers: Array, reason: str) -> None:
    """Raise for the first (n, 2) flag that is set; ``numbers`` (n, 2, 2) are what stands there."""
    if wrong.any():
        pair, side = np.argwhere(wrong)[0]
        raise PlauditError(
            f"{path}: pair {pair}, segment {side + 1} {reason}, at ({', '.join(map(str, numbers[pair, side]))}): "
            "it is not from this board; fetch the file again"
        )


def mismatches(study: Study, pairs: Pairs) -> int:
    """Rows where the stored X differs from the statistics that follow from the segments."""
    slopes = -differences(pairs)["free weights"].numpy()  # X is second minus first
    return int((~np.isclose(slopes, study.stored, rtol=0.0, atol=AGREES)).any(axis=1).sum())


def _pair(fits: Sequence[ModelFit], first: str, second: str, lapse: bool) -> ModelComparison:
    a, b = (next(f for f in fits if f.model == name and f.lapse_fitted == lapse) for name in (first, second))
    lower = np.isclose(a.held_out, b.held_out, rtol=0.0, atol=1e-9) * 0.5
    lower = np.where(lower > 0, lower, a.held_out < b.held_out)
    return ModelComparison(
        first, second, lapse, a.loss - b.loss, percentiles(a.replicates - b.replicates), float(lower.mean())
    )


def render(conditions: Sequence[Condition]) -> str:
    """Tables in Markdown, aligned so that a terminal shows them well."""
    judged = sum(condition.judgements for condition in conditions)
    replicates = len(conditions[0].fits[0].replicates)
    names = ["condition (judgements, ties)", *MODELS]
    lines = [
        f"{judged:,} judgements. X re-derived from the segments by our own solver: {_agreement(conditions)}.",
        f"Cross-entropy in nats, a tie as 0.5; chance is ln 2 = {log(2):.4f}. In brackets 95 % intervals from "
        f"{replicates:,} bootstrap replicates.",
        "",
        "Loss with fitted beta (three betas for free weights):",
        "",
        *_table(names, [[_label(c), *(_loss(c.fit(m)) for m in MODELS)] for c in conditions]),
        "",
        "Loss with a lapse rate fitted too, and the lapse rate:",
        "",
        *_table(names, [[_label(c), *(_describe_lapse(c.fit(m, True)) for m in MODELS)] for c in conditions]),
        "",
        "Mean loss on the judgements that a replicate did not draw, without / with a lapse rate:",
        "",
        *_table(names, [[_label(c), *(_held_out(c, m) for m in MODELS)] for c in conditions]),
        "",
        "Differences of the first table, paired, and how often the first of the two wins on judgements left out:",
        "",
        *_differences(conditions, lapse=False),
        "",
        "The same with a lapse rate fitted to each:",
        "",
        *_differences(conditions, lapse=True),
        "",
        "Fitted beta, per point of reward (free weights: partial return, V*(start), V*(end)):",
        "",
        *_table(names, [[_label(c), *(_betas(c.fit(m)) for m in MODELS)] for c in conditions]),
    ]
    return "\n".join(lines)


def _agreement(conditions: Sequence[Condition]) -> str:
    judged = sum(condition.judgements for condition in conditions)
    wrong = {condition.name: condition.mismatches for condition in conditions if condition.mismatches}
    if not wrong:
        return f"all {judged:,} rows agree with the stored ones (0 mismatches)"
    details = ", ".join(f"{count:,} in {name}" for name, count in wrong.items())
    return f"{sum(wrong.values()):,} of {judged:,} rows differ from the stored ones ({details}); ours are used"


def _differences(conditions: Sequence[Condition], lapse: bool) -> list[str]:
    head = ["condition (judgements, ties)", *(f"{first} - {second}" for first, second in CHALLENGERS)]
    rows = [[_label(c), *(_difference(pair) for pair in c.pairs if pair.lapse_fitted == lapse)] for c in conditions]
    return _table(head, rows)


def _label(condition: Condition) -> str:
    return f"{condition.name} ({condition.judgements:,}, {condition.ties / condition.judgements:.0%})"


def _loss(fit: ModelFit) -> str:
    low, high = fit.interval
    return f"{fit.loss:.4f} [{low:.3f}, {high:.3f}]"


def _describe_lapse(fit: ModelFit) -> str:
    low, high = fit.lapse_interval
    return f"{fit.loss:.4f}, {fit.lapse:.1%} [{low:.1%}, {high:.1%}]"


def _held_out(condition: Condition, model: str) -> str:
    return f"{condition.fit(model).held_out.mean():.4f} / {condition.fit(model, True).held_out.mean():.4f}"


def _difference(pair: ModelComparison) -> str:
    low, high = pair.interval
    return f"{pair.difference:+.4f} [{low:+.3f}, {high:+.3f}], {pair.wins:.1%}"


def _betas(fit: ModelFit) -> str:
    return ", ".join(f"{weight + 0.0:.3f}" for weight in np.round(fit.weights, 3))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in lines
    ]
