"""`plaudit train`, `resume`, `replay` and `baseline`: the commands that train."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit import layout
from plaudit.cli.arguments import Common, OnRun, Settings, config_file, console, free_folder, optional, parse, say
from plaudit.cli.look import write_and_print_report
from plaudit.cli.serving import web_app
from plaudit.control.make import warn_if_visible
from plaudit.run.control.assemble import Session, check, preference_session
from plaudit.run.control.config import Algorithm, Run, RunConfig, defaults
from plaudit.run.control.parallel import make_way, parallel_session
from plaudit.run.control.replay import differences, replay_of
from plaudit.run.control.true_reward import true_reward_session
from plaudit.run.interrupt import ctrl_c
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, CONTROL, PEOPLE, PRETRAIN, from_dict
from plaudit.types import PlauditError

COMMON = Common(
    {
        "annotator": None,
        "feedback.labels": "--labels",
        "feedback.method": "--method",
        "feedback.length": "--length",
        "feedback.offline": "--offline",
        "reward.preference": "--preference",
        "environment.num_envs": "--envs",
        "environment.ends": "--ends",
        "environment.observations": "--observations",
        "steps": None,
        "seed": None,
        "out": None,
        "baseline": None,
    },
    former={"annotator": "--teacher"},
)
DESCRIPTION = """Learn a reward from comparisons, and a policy from the reward.

Also: --a2c or --ppo (instead of the environment's usual algorithm), and --config FILE (settings of an earlier run's
config.json).

examples:
  plaudit train Duel --labels 300 --baseline
  plaudit train Duel --annotator people
  plaudit train Pendulum-v1 --steps 300000"""


@dataclass(frozen=True)
class TrainArguments(Settings[RunConfig]):
    """A run's settings, and those of the command."""

    out: Path | None = None
    """Run folder; default: runs/ENV, with a number if that folder exists."""
    baseline: bool = False
    """Also train on the true reward, in another process, as a baseline for the report."""
    host: str = "127.0.0.1"
    """Address of the web app, with --annotator people; 0.0.0.0 lets the whole network in."""
    port: int = 8777
    """Port of the web app, with --annotator people; 0: a free one."""


@dataclass(frozen=True)
class ResumeArguments(OnRun):
    """Continue a run."""

    host: str = "127.0.0.1"
    """Address of the web app, if people judge; 0.0.0.0 lets the whole network in."""
    port: int = 8777
    """Port of the web app, if people judge; 0: a free one."""


@dataclass(frozen=True)
class ReplayArguments(OnRun):
    """Do again what a run did beside its annotators."""

    out: Path | None = None
    """Folder of the replay; default: RUN-replay."""


def train(arguments: list[str]) -> int:
    """`plaudit train ENV`."""
    environment = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    if environment == CHAT:
        return int(optional("plaudit.cli.chat", "language").train(arguments))
    if environment is not None and "--config" in arguments:
        raise PlauditError(f"--config names the environment already: leave out {environment!r}")
    if environment is None and "--config" not in arguments and not {"-h", "--help", "--help-all"} & set(arguments):
        raise PlauditError("name an environment: plaudit train Duel (or CartPole-v1, ALE/Pong-v5, ...)")
    algorithm = _algorithm(arguments)
    stored = config_file(arguments)
    base = from_dict(stored, RunConfig, CONTROL) if stored is not None else defaults(environment or "Duel", algorithm)
    parsed = parse(TrainArguments, arguments, "train ENV", DESCRIPTION, TrainArguments(base), COMMON)
    config = parsed.config
    check(config)
    warn_if_visible(config.environment)
    run = Run.create(parsed.out or free_folder(config.environment.id.rsplit("/", 1)[-1].removesuffix("-v0")), config)
    if parsed.baseline:
        Run.create(run.folder / layout.BASELINE, config)
    return _go(run, parsed.host, parsed.port)


def resume(arguments: list[str]) -> int:
    """`plaudit resume RUN`."""
    parsed = parse(
        ResumeArguments,
        arguments,
        "resume",
        "Continue a run that was stopped or killed.\n\nexample:\n  plaudit resume runs/Duel",
    )
    kind = kind_of(parsed.run)
    if kind == CHAT:
        return int(optional("plaudit.cli.chat", "language").resume(parsed.run, parsed.host, parsed.port))
    if kind == PRETRAIN:
        return int(optional("plaudit.cli.pretrain", "language").pretrain(["--resume", str(parsed.run)]))
    if kind != CONTROL:
        return int(optional("plaudit.cli.tune", "language").resume(parsed.run))
    return _go(Run.open(parsed.run), parsed.host, parsed.port)


def replay(arguments: list[str]) -> int:
    """`plaudit replay RUN`."""
    parsed = parse(
        ReplayArguments,
        arguments,
        "replay",
        "Do again what a run did whose answers came at their own pace (--annotator people, or --parallel): the same\n"
        "questions, fits and weights, bit for bit.\n\nexample:\n  plaudit replay runs/Duel",
    )
    run = Run.open(parsed.run)
    copy = replay_of(run, parsed.out or run.folder.with_name(run.folder.name + "-replay"))
    _go(copy)
    differing = differences(run, copy)
    if differing:
        raise PlauditError(f"the replay in {copy.folder} ended elsewhere than the run: {differing} differ")
    print("the replay ended bit for bit where the run did")
    return 0


def baseline(arguments: list[str]) -> int:
    """`plaudit baseline RUN`: the true-reward baseline in its own process; `train --baseline` starts it."""
    parsed = parse(OnRun, arguments, "baseline", "Train (or resume) the true-reward baseline in a run folder.")
    run = Run.open(parsed.run)
    with run.training():
        session, close = true_reward_session(run)
        with _ending(close):
            for _ in session.rounds():
                pass
    return 0


def _go(run: Run, host: str = "127.0.0.1", port: int = 8777) -> int:
    """Train until the end, then report; Ctrl-C leaves a run that resumes."""
    people = run.config.annotator == PEOPLE and not run.recorded()
    try:
        with _baseline_process(run) as wait, run.training(), web_app(run.folder, host, port, people):
            session, close = _session(run)
            with _ending(close), ctrl_c() as check_ctrl_c:
                _train_with_progress(session, check_ctrl_c)
            wait()
        write_and_print_report(run)
    except KeyboardInterrupt:
        command = f"plaudit resume {shlex.quote(str(run.folder))}"
        say(f"stopped; go on with: {command}")
        raise
    return 0


def _session(run: Run) -> tuple[Session, Callable[[], None]]:
    if not run.config.asynchronous or run.recorded():
        return preference_session(run)
    last_line = ""

    def waiting(answers: int, target: int) -> None:
        nonlocal last_line
        line = f"waiting for the first answers: {answers} of {target}"
        if console.is_terminal and line != last_line:
            console.print(line, highlight=False, end="\n" if answers >= target else "\r")
        last_line = line

    if run.config.annotator == PEOPLE:
        make_way()  # here, for a program that trains in its own process stays as it is
    return parallel_session(run, waiting)


def _train_with_progress(session: Session, check_ctrl_c: Callable[[], None]) -> None:
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
    parts = [f"{row['steps_per_second']:,.0f} steps/s", f"{row.get('asked', 0):.0f}/{labels} labels"]
    for name in ("true_return", "predicted_return"):
        if row.get(name) is not None:
            parts.append(f"{name.split('_')[0]} {row[name]:.2f}")
    return "  ".join(parts)


@contextlib.contextmanager
def _baseline_process(run: Run) -> Iterator[Callable[[], None]]:
    """The baseline in a process of its own, where the run has one; it is stopped with us and resumes with us."""
    folder = run.folder / layout.BASELINE
    if not (folder / layout.CONFIG).exists():
        yield lambda: None
        return
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "plaudit", "baseline", str(folder)], stdout=log, stderr=log, env=environment
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


def _algorithm(arguments: list[str]) -> Algorithm | None:
    """Take ``--a2c`` or ``--ppo`` out of ``arguments``."""
    names: list[Algorithm] = [name for name in ("a2c", "ppo") if f"--{name}" in arguments]
    if len(names) > 1:
        raise PlauditError("--a2c and --ppo exclude each other: leave one out")
    if names and "--config" in arguments:
        raise PlauditError(f"--config names the algorithm already: leave out --{names[0]}, or set --improve.clip")
    for name in names:
        arguments.remove(f"--{name}")
    return names[0] if names else None


@contextlib.contextmanager
def _ending(close: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        close()
