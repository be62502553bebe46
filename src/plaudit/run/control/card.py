"""The card of a run on an environment: README.md in the run's folder, next to the checkpoints."""

from __future__ import annotations

import dataclasses

from plaudit.run.cards import ModelCard, read_summary
from plaudit.run.control.config import Run
from plaudit.run.report.control_data import ControlResults

GROUPS = ("environment", "network", "improve", "reward", "feedback", "rollout_steps", "rounds", "seed")


def control_card(run: Run, results: ControlResults) -> ModelCard:
    """The card of a run's policy and reward model, whose true returns were measured in ``results``."""
    config, summary = run.config, results.summary
    settings = dataclasses.asdict(config)
    steps = summary.steps or 0
    data = [f"- Environment: {config.environment.id}, {int(steps):,} steps"]
    if config.environment.imports:
        data.append(f"- Modules that register the environment: {', '.join(config.environment.imports)}")
    if config.environment.kwargs:
        data.append(f"- Arguments of the environment: {', '.join(config.environment.kwargs)}")
    return ModelCard(
        title=run.folder.resolve().name,
        base=None,
        method="reward-learning-from-comparisons",
        data=data,
        judgements=read_summary(run.folder) or ["- None: the run has no store"],
        training={name: settings[name] for name in GROUPS},
        evaluation=_evaluation(results),
        library="plaudit",
        tags=["reinforcement-learning", config.environment.short_name],
    )


def _evaluation(results: ControlResults) -> list[str]:
    summary, lines = results.summary, []
    if summary.final_return is not None:
        interval = summary.final_interval
        bounds = "" if interval is None else f", 95 % interval {interval[0]:.2f} to {interval[1]:.2f}"
        lines.append(
            f"- True return of the policy: {summary.final_return:.2f}{bounds} (n = {summary.episodes} fresh episodes)"
        )
    if summary.labels is not None:
        lines.append(f"- Labels that the reward model learned from: {int(summary.labels):,}")
    if summary.baseline_return is None:
        lines.append("- Baseline: none was trained on the true reward")
    else:
        lines.append(f"- True return of a policy trained on the true reward: {summary.baseline_return:.2f}")
    return lines
