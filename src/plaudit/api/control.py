"""Training an agent in a run folder: a progress bar, the web app where people judge, and the baseline process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit import layout
from plaudit.api.console import console, optional
from plaudit.api.serving import web_app
from plaudit.audits.audit import read_audit
from plaudit.audits.cards import fill_cards
from plaudit.audits.page import link_report
from plaudit.extensions import search_path
from plaudit.files import create_file
from plaudit.interfaces import Annotator
from plaudit.run.control.assemble import Session, preference_session
from plaudit.run.control.card import control_card
from plaudit.run.control.config import Run
from plaudit.run.control.look import command_of, control_results, describe_evaluation, first_segment
from plaudit.run.control.parallel import make_way, parallel_session
from plaudit.run.interrupt import ctrl_c
from plaudit.run.report.control import control_report
from plaudit.run.report.page import write_report
from plaudit.run.report.sections import Report
from plaudit.run.stored import CONTROL, PEOPLE, to_dict
from plaudit.run.track import track_run
from plaudit.types import PlauditError, printable


def train_agent(
    run: Run,
    annotator: Annotator | None = None,
    console: Console = console,
    address: tuple[str, int] = ("127.0.0.1", 8777),
    background: bool = False,
    trackers: Sequence[str] = (),
) -> None:
    """Train, or continue, until the end. Ctrl-C leaves a run that resumes.

    Args:
        annotator: judges in the place of the annotator that the settings name.
        console: where progress is shown.
        address: host and port of the web app, if people judge.
        background: lower this process's priority for good if people judge, so that their pages stay fast.
        trackers: where the metrics go, too, in addition to the run's trackers (:func:`plaudit.run.track.track_run`).
    """
    people = run.config.annotator == PEOPLE and not run.recorded_metrics()
    if people:
        # one step is drawn before anybody is invited to look at clips
        segment = first_segment(run)
        optional("plaudit.server.media", "serve").check_drawing(segment, to_dict(run.config, CONTROL))
        if segment.states is not None and segment.states.ndim == 4:  # frames (1, H, W, 3)
            size = segment.states.nbytes * 2 * run.config.feedback.labels * run.config.feedback.length
            console.print(
                printable(f"clips are filmed: at most {size / 1e6:,.0f} MB in {run.folder}"),
                highlight=False,
                markup=False,
            )
    with (
        _baseline_process(run, console) as wait,
        run.training(),
        web_app(run.folder, *address, people),
    ):
        if background and people:
            make_way()
        session, close = _session(run, annotator, console)
        with contextlib.ExitStack() as ending, track_run(run, trackers), ctrl_c() as check_ctrl_c:
            ending.callback(close)
            _train_with_progress(session, check_ctrl_c, console)
        wait()


def write_agent_report(run: Run, console: Console = console) -> Report:
    """Measure the run, write its report.html and its card README.md, and return the report."""
    run.load()  # a run without a checkpoint is refused before anything is printed
    if not console.is_terminal:
        console.print(
            f"evaluating the policy: {describe_evaluation(run)}", highlight=False, markup=False, soft_wrap=True
        )
    with console.status("report") as status:
        results = control_results(run, command_of(run.config, run.folder), status.update)
        report = control_report(results)
        write_report(report, run.folder / layout.REPORT)
        control_card(run, results).write(run.folder)
        _link_audit(run)
    return report


def _link_audit(run: Run) -> None:
    """Put the run's audit into its report and its card, if it was audited."""
    try:
        audit = read_audit(run.folder)
    except PlauditError as error:  # no reason to lose the report
        warnings.warn(f"the report does without the audit: {error}", stacklevel=2)
        return
    if audit is not None:
        link_report(audit, run.folder)
        fill_cards(audit, run.folder)


def _session(run: Run, annotator: Annotator | None, console: Console) -> tuple[Session, Callable[[], None]]:
    if not run.config.asynchronous or run.recorded_metrics():
        return preference_session(run, annotator)
    last_line = ""

    def waiting(answers: int, target: int) -> None:
        nonlocal last_line
        line = f"waiting for the first answers: {answers} of {target}"
        if console.is_terminal and line != last_line:
            console.print(line, highlight=False, end="\n" if answers >= target else "\r")
        last_line = line

    return parallel_session(run, waiting)


def _train_with_progress(session: Session, check_ctrl_c: Callable[[], None], console: Console) -> None:
    """A bar with rates where there is a terminal; a line for every tenth of the run where there is none."""
    total, printed_tenth = session.parts.plan.rounds, -1
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=1000, completed=1000 * session.first // total, facts="")
        for row in session.rounds():
            check_ctrl_c()
            done = row.get("progress", (row["round"] + 1) / total)  # people set the pace where they judge
            facts = _facts(row, session.run.config.feedback.labels)
            progress.update(task, completed=1000 * done, facts=facts)
            if not console.is_terminal and int(10 * done + 1e-9) > printed_tenth:
                printed_tenth = int(10 * done + 1e-9)
                left = f"  {(1 - done) * row['seconds'] / done:.0f} s left" if done else ""
                console.print(f"{row['step']:>12,} steps  {facts}{left}", highlight=False, soft_wrap=True)


def _facts(row: dict[str, Any], labels: int) -> str:
    answers = row.get("answers", row.get("labels", 0))  # of people, those in the store: a fit hears of them later
    parts = [f"{row['steps_per_second']:,.0f} steps/s", f"{answers:.0f}/{labels} labels"]
    if row.get("asked", 0) > answers:
        parts[-1] += f" ({row['asked']:.0f} asked)"
    for name in ("true_return", "predicted_return"):
        if row.get(name) is not None:
            parts.append(f"{name.split('_')[0]} {row[name]:.2f}")
    return "  ".join(parts)


@contextlib.contextmanager
def _baseline_process(run: Run, console: Console) -> Iterator[Callable[[], None]]:
    """The baseline in a process of its own, if the run has one; it stops and resumes with the run."""
    folder = run.folder / layout.BASELINE
    if not (folder / layout.CONFIG).exists():
        yield lambda: None
        return
    environment = os.environ | search_path() | {"PYTHONWARNINGS": "ignore"}
    with open(folder / "log.txt", "w", encoding="utf-8", opener=create_file) as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "plaudit", "baseline", str(folder), "--trust"],
            stdout=log,
            stderr=log,
            env=environment,
        )

        def wait() -> None:
            if process.poll() is None:
                console.print("waiting for the true-reward baseline", highlight=False)
            if process.wait() != 0:
                raise PlauditError(f"the true-reward baseline failed: see {folder / 'log.txt'}, then `plaudit resume`")

        try:
            yield wait
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
