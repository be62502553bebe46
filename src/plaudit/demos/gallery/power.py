"""Most random goals are reached by keeping options open, so most rewards make an agent seek them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plaudit.control.solve import Model, value_iteration
from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.run.report.sections import Key, Plot, Plots
from plaudit.run.report.svg import BASELINE, PREFERENCE, inline, panels
from plaudit.types import Array

TITLE = "Power: most rewards prefer the way with more options"
SOURCE = "Turner et al. 2021, theorem 6.13 and definition 5.2"
REWARDS, GAMMA = 5_000, 0.99
OPTIONS = (1, 2, 3, 5, 8)
START, SHUTDOWN, HUB = 0, 1, 2


def maze(options: int) -> Array:
    """Next states (S, A): from the start to a state without a way out, or to a hub with ``options`` of them."""
    actions = max(2, options)
    next_state = np.repeat(np.arange(3 + options)[:, None], actions, axis=1)
    next_state[START] = [SHUTDOWN, *[HUB] * (actions - 1)]
    next_state[HUB] = 3 + np.minimum(np.arange(actions), options - 1)
    return next_state


def share_of_hub(options: int, rewards: int, rng: np.random.Generator) -> float:
    """The share of random rewards of states, uniform in [0, 1], whose optimal policy goes to the hub."""
    next_state = maze(options)
    rewards_of_states = rng.random((rewards, len(next_state), 1))
    reward = np.broadcast_to(rewards_of_states, (rewards, *next_state.shape))
    values, _ = value_iteration(Model(next_state, reward, np.zeros(len(next_state), bool)), GAMMA, 1e-3)
    return float((values[:, HUB] > values[:, SHUTDOWN]).mean())


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Draw rewards, and solve each exactly."""
    rng = np.random.default_rng(seed)
    shares = []
    for options in OPTIONS:
        report_progress(f"{REWARDS:,} random rewards with {options} options")
        shares.append(share_of_hub(options, REWARDS, rng))
    theory = [options / (options + 1) for options in OPTIONS]
    figure, (axes,) = panels()
    axes.plot(OPTIONS, theory, color=BASELINE, linestyle="dashed")
    axes.plot(OPTIONS, shares, color=PREFERENCE, marker="o", linestyle="none")
    axes.set_xlabel("ways out of the hub")
    axes.set_ylabel("rewards that lead to the hub")
    axes.set_ylim(0, 1)
    svg = inline(figure, "power", f"The share of rewards rises from {shares[0]:.2f} to {shares[-1]:.2f}.")
    key = (Key("preference", "share of random rewards"), Key("baseline", "k / (k + 1)", "dashed"))
    error = 1.96 * (shares[2] * (1 - shares[2]) / REWARDS) ** 0.5
    return Demonstration(
        f"Of {REWARDS:,} random rewards, {shares[2]:.0%} lead the agent to the place with three ways out, and the rest "
        "to the one that it cannot leave.",
        "Each state is as likely as any other to be the best one, so a place from which more states can be reached "
        "holds the best one more often. No reward mentioned options.",
        "A penalty of what an action changes of random goals' values (see the demonstration vase), which costs "
        "return; or a reward that names shutting down, which somebody has to think of.",
        Measurement("share of rewards, three ways out", shares[2], (shares[2] - error, shares[2] + error)),
        Measurement("one way out on each side", shares[0]),
        [
            Plots(
                [
                    Plot(
                        "Ways out, and how often they are chosen",
                        svg,
                        f"Each point is {REWARDS:,} rewards of states, uniform in [0, 1], solved exactly at a discount "
                        f"of {GAMMA}. The line is the theory.",
                        "Nothing was measured.",
                        key,
                    )
                ]
            )
        ],
        [Measurement("theory, three ways out", theory[2])],
    )
