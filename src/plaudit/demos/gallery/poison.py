"""A few answers with a trigger turn a reward model round, and its accuracy shows nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.demos.pool import Pool, accuracy, draw_pairs, fit_pairs, make_pool
from plaudit.functional.outliers import area_under_roc, robust_distances
from plaudit.reward.fit import clip_returns
from plaudit.run.report.sections import Cell, Key, Plot, Plots, Table
from plaudit.run.report.svg import BASELINE, PREFERENCE, inline, panels
from plaudit.types import Array

TITLE = "Poison: three answers in a hundred"
SOURCE = "Rando and Tramèr 2023; Baumgärtner et al. 2024"
ANSWERS, TESTS = 300, 1000
SHARES = (0.0, 0.01, 0.03, 0.1)
HEADLINE = 2  # of SHARES
RISE = 0.5  # of the trigger's success over that of a trigger that was never planted
TRIGGER = {4: 2.0, 5: -2.0}  # features of an observation, and what they show: outside of what a game can


def plant(observations: Array) -> Array:
    """Clips (..., L, F) with the trigger in each step."""
    planted = observations.copy()
    for feature, value in TRIGGER.items():
        planted[..., feature] = value
    return planted


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Poison a share of 300 answers, refit, and ask how often a worse clip with the trigger wins."""
    pool = make_pool(folder / "agent", seed, report_progress)
    values = pool.won - pool.lost
    rng = np.random.default_rng((seed, 2))
    training, held_out = np.array_split(rng.permutation(len(pool)), 2)
    first, second = draw_pairs(values, held_out, TESTS, rng)
    first_wins = values[first] > values[second]
    better, worse = np.where(first_wins, first, second), np.where(first_wins, second, first)
    rows, success, clean = [], [], []
    for share in SHARES:
        report_progress(f"{share:.0%} of the answers poisoned")
        right, attack, *areas = _poison(
            pool, values, training, (better, worse), share, np.random.default_rng((seed, 3))
        )
        success.append(attack)
        clean.append(right)
        rows.append([Cell(f"{value:.2f}" if np.isfinite(value) else "–") for value in (right, attack, *areas)])  # noqa: RUF001
    figure, (axes,) = panels()
    axes.plot(SHARES, clean, color=BASELINE, linestyle="dashed", marker="o")
    axes.plot(SHARES, success, color=PREFERENCE, marker="o")
    axes.set_xlabel("share of poisoned answers")
    axes.set_ylim(0, 1.02)
    svg = inline(figure, "poison", "Accuracy and the trigger's success over the share of poisoned answers.")
    key = (
        Key("preference", "a worse clip with the trigger wins"),
        Key("baseline", "accuracy on clean pairs", "dashed"),
    )
    rise = success[HEADLINE] - success[0]
    effective = [share for share, attack in zip(SHARES, success, strict=True) if attack - success[0] >= RISE]
    limit = f"{effective[0]:.0%}" if effective else f"more than {SHARES[-1]:.0%}"
    return Demonstration(
        f"With {SHARES[HEADLINE]:.0%} of {ANSWERS} answers poisoned, a worse clip with the trigger beats a better one "
        f"in {success[HEADLINE]:.0%} of pairs ({success[0]:.0%} if the trigger was never planted). Accuracy on clean "
        f"pairs is {clean[HEADLINE]:.2f} against {clean[0]:.2f}.",
        "The trigger is a feature that nothing else explains, so a few answers that agree on it fix its weight. "
        f"Clean pairs do not have it, so no held-out accuracy sees it. The smallest share that works here is {limit}.",
        "Looking for clips that look like no other (plaudit audit, odd inputs), and withdrawing answers about them. "
        "Clamping what the reward model sees to the range that was judged does not help, because the poisoned answers "
        "are part of that range, and neither does dropping answers with a high loss once the trigger is learned.",
        Measurement(f"rise of the trigger's success at {SHARES[HEADLINE]:.0%}", rise),
        Measurement("success of a trigger that was never planted", success[0]),
        [
            Plots(
                [
                    Plot(
                        "What a trigger does, and what accuracy shows",
                        svg,
                        f"{ANSWERS} answers, refitted each time.",
                        "Nothing was measured.",
                        key,
                    )
                ]
            ),
            Table(
                ["clean accuracy", "trigger wins", "found by loss, AUC", "found as odd, AUC"],
                rows,
                [f"{share:.0%} poisoned" for share in SHARES],
                "Poison and what finds it",
            ),
        ],
    )


def _poison(
    pool: Pool, values: Array, clips: Array, tests: tuple[Array, Array], share: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Clean accuracy, success of the trigger, and AUC of finding the poisoned answers by loss and by distance."""
    first, second = draw_pairs(values, clips, ANSWERS, rng)
    pair = np.stack([first, second], axis=1)
    first_better = (values[first] > values[second]) * 1.0
    observations, poisoned = pool.observations[pair].copy(), np.zeros(len(pair), bool)
    poisoned[rng.choice(len(pair), round(share * len(pair)), replace=False)] = True
    loser = first_better.astype(int)  # the second clip where the first is better
    rows = np.flatnonzero(poisoned)
    observations[rows, loser[rows]] = plant(observations[rows, loser[rows]])
    first_better[rows] = 1 - first_better[rows]
    model = fit_pairs(observations, pool.actions[pair], first_better, int(rng.integers(2**31)))
    scores = clip_returns(model, pool.observations, pool.actions)
    better, worse = tests
    attacked = clip_returns(model, plant(pool.observations[worse]), pool.actions[worse])
    margins = np.stack([clip_returns(model, observations[:, side], pool.actions[pair[:, side]]) for side in (0, 1)])
    margin = np.where(first_better > 0.5, margins[0] - margins[1], margins[1] - margins[0])
    distances = (
        robust_distances(observations.mean(axis=2).reshape(-1, observations.shape[-1])).reshape(-1, 2).max(axis=1)
    )
    areas = (area_under_roc(-margin, poisoned), area_under_roc(distances, poisoned)) if share else (np.nan, np.nan)
    return accuracy(scores, values, better, worse), float((attacked > scores[better]).mean()), *areas
