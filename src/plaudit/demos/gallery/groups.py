"""One reward for two groups: what the majority's taste costs the minority."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.demos.pool import Pool, accuracy, draw_pairs, fit_pairs, make_pool
from plaudit.functional.significance import share_of_possible
from plaudit.reward.fit import clip_returns
from plaudit.run.report.sections import Key, Plot, Plots
from plaudit.run.report.svg import BASELINE, PREDICTED, PREFERENCE, inline, panels
from plaudit.types import Array

TITLE = "Groups: whose taste does one reward have?"
SOURCE = "Chakraborty et al. 2024; Santurkar et al. 2023"
ANSWERS, TESTS, BEST_OF = 300, 2000, 16
SHARES = (0.5, 0.8, 0.95)  # of the majority
HEADLINE = 1  # of SHARES


def tastes(pool: Pool) -> tuple[Array, Array]:
    """What two groups value in clips (N,): the majority points won, the minority not losing any."""
    return pool.won, -pool.lost


@dataclass(frozen=True)
class Outcome:
    """What one reward for both groups is right on, and what the minority's own one is."""

    majority: float
    minority: float
    separate: float
    gain: float  # of the minority's best of 16 by the common reward, as a share of what is possible
    separate_gain: float


def measure(pool: Pool, share: float, seed: int) -> Outcome:
    """Fit both rewards to 300 answers, ``share`` of them by the majority; accuracies are on pairs of other clips."""
    majority, minority = tastes(pool)
    rng = np.random.default_rng((seed, round(100 * share)))
    training, held_out = np.array_split(rng.permutation(len(pool)), 2)
    first, second = rng.choice(training, 8 * ANSWERS), rng.choice(training, 8 * ANSWERS)
    is_minority = rng.random(len(first)) >= share
    margin = np.where(is_minority, minority[first] - minority[second], majority[first] - majority[second])
    decided = np.flatnonzero(margin != 0)[:ANSWERS]
    scores = []
    for rows in (decided, decided[is_minority[decided]]):
        pair = np.stack([first[rows], second[rows]], axis=1)
        model = fit_pairs(pool.observations[pair], pool.actions[pair], (margin[rows] > 0) * 1.0, seed)
        scores.append(clip_returns(model, pool.observations, pool.actions))
    common, separate = scores
    tests = [draw_pairs(values, held_out, TESTS, rng) for values in (majority, minority)]
    gains = (share_of_possible(part[held_out], minority[held_out], BEST_OF) for part in scores)
    return Outcome(
        accuracy(common, majority, *tests[0]),
        accuracy(common, minority, *tests[1]),
        accuracy(separate, minority, *tests[1]),
        *gains,
    )


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Fit one reward to the answers of both groups, and one to the minority's alone."""
    pool = make_pool(folder / "agent", seed, report_progress)
    outcomes = []
    for share in SHARES:
        report_progress(f"a majority of {share:.0%}")
        outcomes.append(measure(pool, share, seed))
    figure, (axes,) = panels()
    axes.plot(SHARES, [row.majority for row in outcomes], color=BASELINE, linestyle="dashed", marker="o")
    axes.plot(SHARES, [row.minority for row in outcomes], color=PREFERENCE, marker="o")
    axes.plot(SHARES, [row.separate for row in outcomes], color=PREDICTED, marker="o")
    axes.set_xlabel("share of the majority")
    axes.set_ylabel("right on held-out pairs")
    svg = inline(figure, "groups", "Held-out accuracy of one reward for both groups, over the share of the majority.")
    key = (
        Key("baseline", "one reward, on the majority's pairs", "dashed"),
        Key("preference", "one reward, on the minority's pairs"),
        Key("predicted", "the minority's own reward"),
    )
    caption = f"{ANSWERS} answers; {TESTS:,} held-out pairs of each group."
    headline = outcomes[HEADLINE]
    return Demonstration(
        f"With a majority of {SHARES[HEADLINE]:.0%}, one reward is right on {headline.majority:.0%} of the majority's "
        f"pairs and on {headline.minority:.0%} of the minority's. Its best of {BEST_OF} clips brings the minority "
        f"{headline.gain:.0%} of what it could have, and the minority's own reward {headline.separate_gain:.0%}.",
        "A reward is one function, and where two groups want different things it follows the larger one. The overall "
        "accuracy stays high, so it shows nothing.",
        "A reward for each group, which needs a group for each annotator: the minority's, from its own "
        f"{ANSWERS * (1 - SHARES[HEADLINE]):.0f} answers, is right on {headline.separate:.0%}. Whom a policy then "
        "serves is a choice, and no measurement makes it.",
        Measurement("accuracy that the minority loses", headline.majority - headline.minority),
        Measurement("groups of equal size", outcomes[0].majority - outcomes[0].minority),
        [Plots([Plot("One reward, and the minority's own", svg, caption, "Nothing was measured.", key)])],
        [Measurement("the minority's own reward", headline.separate)],
    )
