"""The command line: ``plaudit train | resume | watch | report | preference-model``."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit import __version__
from plaudit.baselines.true_reward import true_reward_session
from plaudit.control.knox import report as preference_model_report
from plaudit.control.make import warn_if_visible
from plaudit.run.config import Algorithm, RunConfig, defaults, from_dict
from plaudit.run.look import clip_of, command_of, report_data
from plaudit.run.record import Run, disk_errors
from plaudit.run.report.html import write_report
from plaudit.run.report.text import headline
from plaudit.run.serial import Session, check, preference_session
from plaudit.types import PlauditError

HELP = """plaudit: reinforcement learning from human feedback, end to end

  plaudit train ENV [options]        learn a reward from comparisons and a policy from the reward
  plaudit resume RUN                 go on with a run that was stopped or killed
  plaudit watch RUN                  film the policy (WebM)
  plaudit report RUN                 write report.html again and print its headline
  plaudit preference-model FOLDER    which preference model explains human data (Knox et al.)

examples:
  plaudit train Duel --labels 300 --baseline
  plaudit train Duel --teacher mistake --labels 600 --seed 1
  plaudit train CartPole-v1 --steps 500000
  plaudit train ALE/Pong-v5 --labels 1000
  plaudit resume runs/Duel

plaudit COMMAND --help explains a command; plaudit --version prints the version."""

SHORT = {  # flags that people type often, and where they live
    "--labels": "--feedback.labels",
    "--method": "--feedback.method",
    "--length": "--feedback.length",
    "--offline": "--feedback.offline",
    "--preference": "--reward.preference",
    "--envs": "--environment.num-envs",
    "--ends": "--environment.ends",
    "--observations": "--environment.observations",
}
console = Console(stderr=True)


@dataclass(frozen=True)
class TrainArguments(RunConfig):
    """A run's settings, and what `train` does besides."""

    out: Path | None = None
    """Run folder; default: runs/ENV, with a number when that is taken."""
    baseline: bool = False
    """Train the true-reward baseline beside it, in another process, for the report."""


@dataclass(frozen=True)
class OnRun:
    """A command on an existing run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""


@dataclass(frozen=True)
class WatchArguments(OnRun):
    """Film a run's policy."""

    steps: int = 400
    """Steps to film."""
    which: Literal["last", "first"] = "last"
    """The latest policy, or the untrained one."""
    out: Path | None = None
    """Where the clip goes; default: RUN/clips/WHICH.webm."""


@dataclass(frozen=True)
class PreferenceModelArguments:
    """Fit preference models to human data in Knox et al.'s format."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with <CONDITION>_full_filtered_{Y,X,segment_pairs}.npy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for a fault the user can mend, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"plaudit {__version__}")
        return 0
    command, rest = COMMANDS.get(arguments[0]), arguments[1:]
    if command is None:
        return _fault(f"unknown command {arguments[0]!r}: use one of {', '.join(COMMANDS)}")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return command(rest)
    except PlauditError as error:
        return _fault(str(error))
    except KeyboardInterrupt:
        return 130


def train(arguments: list[str]) -> int:
    """`plaudit train ENV`."""
    environment = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    if environment is not None and "--config" in arguments:
        raise PlauditError(f"--config names the environment already: leave out {environment!r}")
    if environment is None and "--config" not in arguments and not {"-h", "--help"} & set(arguments):
        raise PlauditError("name an environment: plaudit train Duel (or CartPole-v1, ALE/Pong-v5, ...)")
    algorithm = _algorithm(arguments)
    base = _from_file(arguments) if "--config" in arguments else defaults(environment or "Duel", algorithm)
    parsed = _parse(
        TrainArguments,
        [_long(argument) for argument in arguments],
        "train ENV",
        "Learn a reward from comparisons, and a policy from the reward.\n\n"
        "Also: --a2c or --ppo (instead of the environment's usual one), --config FILE (settings of an earlier run's\n"
        "config.json), and short for "
        + ", ".join(f"{short} = {long}" for short, long in SHORT.items())
        + ".\n\nexamples:\n  plaudit train Duel --labels 300 --baseline\n"
        "  plaudit train Pendulum-v1 --steps 300000",
        TrainArguments(**_fields(base)),
    )
    config = RunConfig(**{name: value for name, value in _fields(parsed).items() if name not in ("out", "baseline")})
    check(config)
    warn_if_visible(config.environment)
    run = Run.create(parsed.out or _free_folder(config), config)
    if parsed.baseline:
        Run.create(run.folder / "baseline", config)
    return _go(run)


def resume(arguments: list[str]) -> int:
    """`plaudit resume RUN`."""
    parsed = _parse(
        OnRun,
        arguments,
        "resume",
        "Go on with a run that was stopped or killed.\n\nexample:\n  plaudit resume runs/Duel",
    )
    return _go(Run.open(parsed.run))


def watch(arguments: list[str]) -> int:
    """`plaudit watch RUN`."""
    parsed = _parse(
        WatchArguments, arguments, "watch", "Film a run's policy.\n\nexample:\n  plaudit watch runs/Duel --which first"
    )
    run = Run.open(parsed.run)
    checkpoint = run.load(run.checkpoints()[0] if parsed.which == "first" and run.checkpoints() else None)
    if parsed.steps < 1:
        raise PlauditError(f"--steps must be at least 1, got {parsed.steps}")
    video = clip_of(run, checkpoint, parsed.steps)
    path = parsed.out or run.folder / "clips" / f"{parsed.which}.webm"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(video.webm)
    print(path)
    return 0


def report(arguments: list[str]) -> int:
    """`plaudit report RUN`."""
    parsed = _parse(
        OnRun,
        arguments,
        "report",
        "Write report.html again and print its headline.\n\nexample:\n  plaudit report runs/Duel",
    )
    _report(Run.open(parsed.run))
    return 0


def preference_model(arguments: list[str]) -> int:
    """`plaudit preference-model FOLDER`."""
    parsed = _parse(
        PreferenceModelArguments,
        arguments,
        "preference-model",
        "Fit preference models to human comparisons in Knox et al.'s format.\n\n"
        "example:\n  plaudit preference-model data/knox",
    )
    with Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True) as progress:
        task = progress.add_task("fitting")
        print(
            preference_model_report(
                parsed.folder,
                lambda done, total, what: progress.update(task, completed=done, total=total, description=what),
            )
        )
    return 0


def baseline(arguments: list[str]) -> int:
    """`plaudit baseline RUN`: the true-reward baseline in its own process; `train --baseline` starts it."""
    parsed = _parse(OnRun, arguments, "baseline", "Train (or resume) the true-reward baseline in a run folder.")
    run = Run.open(parsed.run)
    with run.training():
        session, close = true_reward_session(run)
        with contextlib.closing(_Closer(close)):
            for _ in session.rounds():
                pass
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "resume": resume,
    "watch": watch,
    "report": report,
    "preference-model": preference_model,
    "baseline": baseline,
}


def _go(run: Run) -> int:
    """Train until the end, then report; Ctrl-C leaves a run that resumes."""
    try:
        with _baseline_process(run) as wait, run.training():
            session, close = preference_session(run)
            with contextlib.closing(_Closer(close)):
                _train_with_progress(session)
            wait()
        _report(run)
    except KeyboardInterrupt:
        command = f"plaudit resume {shlex.quote(str(run.folder))}"
        console.print(f"stopped; go on with: {command}", highlight=False, markup=False, soft_wrap=True)
        raise
    return 0


def _train_with_progress(session: Session) -> None:
    """A bar with rates where there is a terminal; a line for every tenth of the run where there is none."""
    total = session.parts.plan.rounds
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=total, completed=session.first, facts="")
        for row in session.rounds():
            facts = _facts(row, session.run.config.feedback.labels)
            progress.update(task, completed=row["round"] + 1, facts=facts)
            if not console.is_terminal and (row["round"] + 1) * 10 // total > row["round"] * 10 // total:
                left = (total - row["round"] - 1) * row["seconds"] / (row["round"] + 1)
                console.print(f"{row['step']:>12,} steps  {facts}  {left:.0f} s left", highlight=False, soft_wrap=True)


def _facts(row: dict[str, Any], labels: int) -> str:
    parts = [f"{row['steps_per_second']:,.0f} steps/s", f"{row.get('asked', 0):.0f}/{labels} labels"]
    for name in ("true_return", "predicted_return"):
        if row.get(name) is not None:
            parts.append(f"{name.split('_')[0]} {row[name]:.2f}")
    return "  ".join(parts)


@contextlib.contextmanager
def _baseline_process(run: Run) -> Iterator[Callable[[], None]]:
    """The baseline in a process of its own, where the run has one; it is stopped with us and resumes with us."""
    folder = run.folder / "baseline"
    if not (folder / "config.json").exists():
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


def _report(run: Run) -> None:
    with console.status("report") as status:
        data = report_data(run, command_of(run.config, run.folder), status.update)
        write_report(data, run.folder / "report.html")
    print(headline(data))
    print(f"report: {run.folder / 'report.html'}")


def _algorithm(arguments: list[str]) -> Algorithm | None:
    """Take ``--a2c`` or ``--ppo`` out of ``arguments``."""
    given: list[Algorithm] = [name for name in ("a2c", "ppo") if f"--{name}" in arguments]
    if len(given) > 1:
        raise PlauditError("--a2c and --ppo exclude each other: leave one out")
    if given and "--config" in arguments:
        raise PlauditError(f"--config names the algorithm already: leave out --{given[0]}, or set --improve.clip")
    for name in given:
        arguments.remove(f"--{name}")
    return given[0] if given else None


def _from_file(arguments: list[str]) -> RunConfig:
    """Take ``--config FILE`` out of ``arguments`` and read it."""
    index = arguments.index("--config")
    if index + 1 >= len(arguments):
        raise PlauditError("--config needs a file: the config.json of a run")
    path = Path(arguments[index + 1])
    del arguments[index : index + 2]
    with disk_errors(path):
        text = path.read_bytes()
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise PlauditError(f"{path} is not JSON: {error}") from error
    if not isinstance(stored, dict):
        raise PlauditError(f"{path} holds no settings: give the config.json of a run")
    return from_dict(stored)


def _free_folder(config: RunConfig) -> Path:
    name = config.environment.id.rsplit("/", 1)[-1].removesuffix("-v0")
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder


def _fields(config: RunConfig) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _long(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return SHORT.get(name, name) + equals + value


def _parse(cls: type[Any], arguments: list[str], name: str, description: str, default: Any = None) -> Any:
    """tyro, with our name; what it or a dataclass refuses becomes one line."""
    options: dict[str, Any] = {} if default is None else {"default": default}
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(cls, prog=f"plaudit {name}", description=description, args=arguments, **options)
    except ValueError as error:
        raise PlauditError(str(error)) from error
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        inside = [line.strip("│ ") for line in errors.getvalue().splitlines() if line.startswith("│")]
        message = " ".join(itertools.takewhile(lambda line: not line.startswith("─"), inside))
        raise PlauditError(f"{message.rstrip('.') or errors.getvalue()}; see plaudit {name} --help") from stop


def _fault(message: str) -> int:
    console.print(f"plaudit: {' '.join(message.split())}", highlight=False, markup=False, soft_wrap=True)
    return 2


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    console.print(f"warning: {message}", highlight=False, markup=False, soft_wrap=True)


class _Closer:
    """Something to close, for contextlib.closing."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close
