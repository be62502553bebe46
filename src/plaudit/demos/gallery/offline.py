"""All answers before training: the learned reward has never seen what the policy will do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.demos.training import Training, film_rollout, roll_out, train
from plaudit.functional.intervals import mean_interval
from plaudit.run.report.plots import DASHED, SOLID, curve
from plaudit.run.report.sections import Clips, Key, Plot, Plots
from plaudit.run.report.svg import BASELINE, PREFERENCE, inline, panels
from plaudit.run.report.values import column
from plaudit.types import Array

TITLE = "Offline: all answers before training"
SOURCE = "Christiano et al. 2017, section 3.3 (no online queries)"
AGENT = "The agent is green, on the right."
TRAINING = Training("Duel", labels=300, steps=3_000_000, length=50, num_envs=128, upfront=0.1)


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Train twice from the same number of answers: all of them at the beginning, or spread over training."""
    cases = {"all at once": dataclasses.replace(TRAINING, upfront=1.0), "spread": TRAINING}
    runs = {
        name: train(training, None, folder / name.replace(" ", "-"), seed, report_progress)
        for name, training in cases.items()
    }
    rollouts = {name: roll_out(run, seed) for name, run in runs.items()}
    offline, online = (rollout.true.sum(axis=1) for rollout in rollouts.values())
    figure, (axes,) = panels()
    for run, colour, style in zip(runs.values(), (PREFERENCE, BASELINE), (SOLID, DASHED), strict=True):
        curve(axes, column(run.metrics(), "step"), column(run.metrics(), "true_return"), colour, style)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("true return")
    svg = inline(figure, "offline", "True return over steps, with all answers at once and spread over training.")
    key = (Key("preference", "all answers at once"), Key("baseline", "spread over training", "dashed"))
    return Demonstration(
        f"With all {TRAINING.labels} answers before training the agent earns {offline.mean():.1f} points a game; with "
        f"the same number spread over training, {online.mean():.1f}.",
        _reason(offline, online),
        "Look at the clips before you believe a curve: in the paper's Pong the policy had learned to keep rallies "
        "going, and not to score. Answers spread over training need people who are there while it runs.",
        Measurement("points a game, all at once", float(offline.mean()), mean_interval(offline)),
        Measurement("spread over training", float(online.mean()), mean_interval(online)),
        [
            Clips([film_rollout(run, rollouts[name], name, AGENT) for name, run in runs.items()]),
            Plots([Plot("True return", svg, "Measured next to training and never shown to it.", "No rounds.", key)]),
        ],
    )


def _reason(offline: Array, online: Array) -> str:
    """Why, for what was seen."""
    low, high = mean_interval(offline)
    if high < online.mean():
        return (
            "Answers at the beginning compare clips of a policy that knows nothing. What a better policy does lies "
            "outside of them, and there the learned reward extrapolates."
        )
    equal = "as much as" if low <= online.mean() else "more than"
    return (
        f"Here early answers are worth {equal} late ones. Random play of Duel already shows points won and lost, so "
        "the answers about it say what matters, and the policy follows one reward from the beginning. In Pong, where "
        "random play never scores, the paper saw the opposite."
    )
