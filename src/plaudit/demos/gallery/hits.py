"""Reward hacking from a judge's small mistake: a teacher who likes hits, and not points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from markupsafe import Markup

from plaudit.audits.audit import Audit, run_audit
from plaudit.audits.page import write_page
from plaudit.audits.subject import AuditConfig
from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.demos.training import Judge, Training, film_rollout, open_agent, roll_out, train
from plaudit.run.control.config import Run
from plaudit.run.report.plots import DASHED, SOLID, curve
from plaudit.run.report.sections import Cell, Clips, Key, Link, Plot, Plots, Table
from plaudit.run.report.svg import PREDICTED, PREFERENCE, inline, panels
from plaudit.run.report.values import column
from plaudit.run.report.words import interval, number
from plaudit.types import Segment

TITLE = "Reward hacking: a teacher who likes hits"
SOURCE = "Gao, Schulman and Hilton 2023; Pan, Bhatia and Steinhardt 2022"
AGENT = "The agent is green, on the right."
TRAINING = Training("Duel", labels=150, steps=1_500_000, length=50, num_envs=128, upfront=0.1)
MEASURES = ("progress-gap", "best-of-16", "agreement", "learned-reward", "safe-stop")
PAIRS = 40
PADDLE_SIDE, PADDLE = 14, 3  # the column beside the agent's paddle, and the paddle's rows


def count_hits(segment: Segment) -> float:
    """Steps in which the agent's paddle strikes the ball."""
    assert segment.states is not None
    x, y, dx, _, top, _ = segment.states.T.astype(int)
    return float(((x == PADDLE_SIDE) & (dx == 1) & (top <= y) & (y < top + PADDLE)).sum())


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Train under a teacher who likes hits and under one who counts points, and audit both with 40 fresh pairs."""
    teachers = {"likes hits": Judge("hits", count_hits), "counts points": None}
    runs = {
        name: train(TRAINING, teacher, folder / name.replace(" ", "-"), seed, report_progress)
        for name, teacher in teachers.items()
    }
    audits = {name: _audit(run, seed, report_progress) for name, run in runs.items()}
    for name, run in runs.items():
        write_page(audits[name], run.folder)
    (hits, gain), (points, control) = ((_final_return(runs[name]), _gold_gain(audits[name])) for name in teachers)
    verdicts = [
        [Cell(finding.verdict), Cell(number(finding.value), interval(finding.interval))]
        for finding in audits["likes hits"].findings
    ]
    return Demonstration(
        f"The agent of the teacher who likes hits earns {hits:.1f} points a game, the other one {points:.1f}. The best "
        f"of 16 clips by its learned reward gains {gain:.0%} of the points that the best choice would gain, against "
        f"{control:.0%}.",
        "The learned reward is a proxy for what people want. Whatever search is put against it, best of n or a policy, "
        "finds what it likes, at the cost of points.",
        f"Somebody else's eyes: in the audit of this run {_flags(audits['likes hits'])}; in that of the other one "
        f"{_flags(audits['counts points'])}. The same teacher's eye cannot see its own error.",
        Measurement("gain of best of 16, share of possible", gain),
        Measurement("a teacher who counts points", control),
        [
            Clips([film_rollout(run, roll_out(run, seed), name, AGENT) for name, run in runs.items()]),
            Plots(
                [
                    Plot(
                        f"A teacher who {name}",
                        _curves(run, name),
                        "Learned return in its own units, scaled to the true one's range.",
                        "No rounds.",
                        KEYS,
                    )
                    for name, run in runs.items()
                ]
            ),
            Table(
                ["verdict", "value"],
                verdicts,
                [finding.title for finding in audits["likes hits"].findings],
                "The audit",
            ),
            Link("likes-hits/audit.html", "The audit of the teacher who likes hits"),
        ],
        [Measurement("points a game, likes hits", hits), Measurement("points a game, counts points", points)],
    )


KEYS = (Key("preference", "true return"), Key("predicted", "learned return", "dashed"))


def _audit(run: Run, seed: int, report_progress: ReportProgress) -> Audit:
    config = AuditConfig(eyes="oracle", pairs=PAIRS, seed=seed, measures=MEASURES)
    with open_agent(run, config) as agent:
        agent.report_progress = report_progress
        return run_audit(agent)


def _gold_gain(audit: Audit) -> float:
    return next(finding.value or 0.0 for finding in audit.findings if finding.name == "best-of-16-gold")


def _flags(audit: Audit) -> str:
    """How many rows warn or fail, and which."""
    titles = [finding.title for finding in audit.findings if finding.verdict in ("warn", "fail")]
    return f"{len(titles)} of {len(audit.findings)} rows warn or fail" + (f" ({'; '.join(titles)})" if titles else "")


def _final_return(run: Run) -> float:
    returns = column(run.metrics(), "true_return")
    return float(returns[np.isfinite(returns)][-3:].mean())


def _curves(run: Run, name: str) -> Markup:
    """True and learned return over steps, each on the scale of the true one."""
    steps, true, learned = (column(run.metrics(), key) for key in ("step", "true_return", "predicted_return"))
    fine = np.isfinite(learned)
    low, high = (float(learned[fine].min()), float(learned[fine].max())) if fine.any() else (0.0, 1.0)
    figure, (axes,) = panels(height=3.0)
    curve(axes, steps, true, PREFERENCE, SOLID)
    curve(axes, steps, -10 + 20 * (learned - low) / max(high - low, 1e-9), PREDICTED, DASHED)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("true return")
    return inline(figure, f"curves-{name}", f"True and learned return of a teacher who {name}.")
