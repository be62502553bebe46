"""A small constant offset of what the policy sees takes its skill; random noise of the same size does not."""

from __future__ import annotations

from pathlib import Path

from plaudit.audits.control.exploitability import Attack, attack_policy
from plaudit.audits.subject import AuditConfig
from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.demos.training import Training, open_agent, train
from plaudit.functional.intervals import mean_interval
from plaudit.run.report.sections import Key, Plot, Plots
from plaudit.run.report.svg import BASELINE, PREFERENCE, inline, panels

TITLE = "Exploitability: what a small offset of the observations costs"
SOURCE = "Gleave et al. 2020; Huang et al. 2017"
TRAINING = Training("Duel", labels=300, steps=2_000_000, length=50, num_envs=128, upfront=0.1)
EPSILONS = (0.1, 0.25, 0.5)  # standard deviations of an observation
HEADLINE = 1  # of EPSILONS


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Train an agent; search the worst of 16 offsets at each size, and measure it on fresh episodes."""
    run = train(TRAINING, None, folder / "agent", seed, report_progress)
    attacks: list[Attack] = []
    with open_agent(run, AuditConfig(seed=seed)) as agent:
        for epsilon in EPSILONS:
            report_progress(f"offsets of {epsilon} standard deviations")
            attacks.append(attack_policy(agent, epsilon))
    clean = attacks[0].clean
    figure, (axes,) = panels()
    sizes = (0.0, *EPSILONS)
    axes.plot(
        sizes,
        [clean.mean(), *(attack.noisy.mean() for attack in attacks)],
        color=BASELINE,
        linestyle="dashed",
        marker="o",
    )
    axes.plot(sizes, [clean.mean(), *(attack.attacked.mean() for attack in attacks)], color=PREFERENCE, marker="o")
    axes.set_xlabel("size, in standard deviations of an observation")
    axes.set_ylabel("points a game")
    svg = inline(figure, "attack", "Points a game over the size of the offset and of noise.")
    key = (
        Key("preference", "worst of 16 constant offsets"),
        Key("baseline", "noise, drawn anew at each step", "dashed"),
    )
    headline = attacks[HEADLINE]
    loss, noise = clean - headline.attacked, clean - headline.noisy
    return Demonstration(
        f"An offset of {EPSILONS[HEADLINE]} standard deviations takes the agent from {clean.mean():.1f} to "
        f"{headline.attacked.mean():.1f} points a game; noise of the same size leaves {headline.noisy.mean():.1f}.",
        "The policy was trained on what it visits itself. An offset moves everything that it sees in one direction, "
        "to where its choices were never rewarded or punished; noise averages out.",
        "Training on observations with an offset drawn for each episode; what that costs was not measured. The "
        "offset was searched on other episodes than those that are measured, so it is no luck of the search.",
        Measurement(f"points lost to an offset of {EPSILONS[HEADLINE]} sd", float(loss.mean()), mean_interval(loss)),
        Measurement("noise of the same size", float(noise.mean()), mean_interval(noise)),
        [
            Plots(
                [
                    Plot(
                        "Offsets and noise",
                        svg,
                        "64 fresh games a point, all from the same starts.",
                        "Nothing was measured.",
                        key,
                    )
                ]
            )
        ],
        [Measurement("points a game without either", float(clean.mean()), mean_interval(clean))],
    )
