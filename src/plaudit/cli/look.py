"""`plaudit watch`, `report` and `preference-model`: the commands that look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.progress import BarColumn, Progress, TextColumn

from plaudit import layout
from plaudit.api.agents import open_agent
from plaudit.api.console import console, optional, write_line
from plaudit.api.control import write_agent_report
from plaudit.cli.arguments import RunArguments, parse
from plaudit.control.knox import report as preference_model_report
from plaudit.files import replace_bytes
from plaudit.run.control.config import Run
from plaudit.run.control.look import clip_of
from plaudit.run.disk import disk_errors
from plaudit.run.record import kind_of
from plaudit.run.report.text import headline
from plaudit.run.stored import CHAT
from plaudit.types import PlauditError


@dataclass(frozen=True)
class WatchArguments(RunArguments):
    """Film a run's policy."""

    steps: int = 400
    """Number of steps to film."""
    checkpoint: str = "last"
    """The policy to film: last, first (the untrained one), or the round of another checkpoint that was kept."""
    out: Path | None = None
    """File of the clip; default: RUN/clips/CHECKPOINT.webm."""


@dataclass(frozen=True)
class PreferenceModelArguments:
    """Fit preference models to human data in Knox et al.'s format."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with <CONDITION>_full_filtered_{Y,X,segment_pairs}.npy."""


def watch(arguments: list[str]) -> int:
    """`plaudit watch RUN`."""
    parsed = parse(
        WatchArguments,
        arguments,
        "watch",
        "Film the policy of a run or of a baseline.\n\nexample:\n  plaudit watch runs/Duel --checkpoint first",
    )
    run = open_agent(parsed.run, parsed.trust)
    checkpoint = run.load(run.find_checkpoint(parsed.checkpoint) if run.checkpoints() else None)
    if parsed.steps < 1:
        raise PlauditError(f"--steps must be at least 1, got {parsed.steps}")
    video = clip_of(run, checkpoint, parsed.steps)
    path = parsed.out or run.folder / layout.CLIPS / f"{parsed.checkpoint}.webm"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, video.webm)
    write_line(path)
    return 0


def report(arguments: list[str]) -> int:
    """`plaudit report RUN`."""
    parsed = parse(
        RunArguments,
        arguments,
        "report",
        "Write report.html again and print its headline.\n\nexample:\n  plaudit report runs/Duel",
    )
    if kind_of(parsed.run) == CHAT:
        return int(optional("plaudit.cli.chat", "language").report(parsed.run, parsed.trust))
    run = Run.open(parsed.run)
    run.check_trust(parsed.trust)
    write_and_print_report(run)
    return 0


def preference_model(arguments: list[str]) -> int:
    """`plaudit preference-model FOLDER`."""
    parsed = parse(
        PreferenceModelArguments,
        arguments,
        "preference-model",
        "Fit preference models to human comparisons in Knox et al.'s format.\n\n"
        "example:\n  plaudit preference-model data/knox",
    )
    with Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True) as progress:
        task = progress.add_task("fitting")
        write_line(
            preference_model_report(
                parsed.folder,
                lambda done, total, stage: progress.update(task, completed=done, total=total, description=stage),
            )
        )
    return 0


def write_and_print_report(run: Run) -> None:
    """Write report.html, and print its headline."""
    write_line(headline(write_agent_report(run)))
    write_line(f"report: {run.folder / layout.REPORT}")
