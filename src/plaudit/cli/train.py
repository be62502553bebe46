"""`plaudit train`, `resume` and `replay`: the commands that train."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plaudit import layout
from plaudit.api.console import free_folder, optional, resumable
from plaudit.api.control import train_agent
from plaudit.api.flags import CONTROL_FLAGS
from plaudit.cli.arguments import Common, RunArguments, Settings, Tracking, config_file, parse
from plaudit.cli.look import write_and_print_report
from plaudit.control.make import warn_if_visible
from plaudit.run.control.assemble import check
from plaudit.run.control.config import Algorithm, Run, RunConfig, defaults
from plaudit.run.control.replay import differences, replay_of
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, CONTROL, IMITATION, PRETRAIN, from_dict
from plaudit.run.track import check_trackers
from plaudit.run.trust import check_settings_file
from plaudit.types import PlauditError

COMMON = Common(CONTROL_FLAGS, former={"--teacher": "--annotator"})
DESCRIPTION = """Learn a reward from comparisons, and a policy from the reward.

Also: --a2c or --ppo (instead of the environment's usual algorithm), and --config FILE (settings of an earlier run's
config.json).

examples:
  plaudit train Duel --labels 300 --baseline
  plaudit train Duel --annotator people
  plaudit train Pendulum-v1 --steps 300000
  plaudit train my_module:MyEnv-v0 --environment.kwargs size=8"""


@dataclass(frozen=True)
class TrainArguments(Tracking, Settings[RunConfig]):
    """A run's settings, and those of the command."""

    out: Path | None = None
    """Run folder; default: runs/ENV, with a number if that folder exists."""
    baseline: bool = False
    """Also train on the true reward, in another process, as a baseline for the report."""
    host: str = "127.0.0.1"
    """Address of the web app, with --annotator people; 0.0.0.0 lets the whole network in."""
    port: int = 8777
    """Port of the web app, with --annotator people; 0: a free one."""
    trust: bool = False
    """Trust the addresses, programs and files that --config names, although somebody else made its run."""


@dataclass(frozen=True)
class ResumeArguments(Tracking, RunArguments):
    """Continue a run."""

    host: str = "127.0.0.1"
    """Address of the web app, if people judge; 0.0.0.0 lets the whole network in."""
    port: int = 8777
    """Port of the web app, if people judge; 0: a free one."""


@dataclass(frozen=True)
class ReplayArguments(RunArguments):
    """Repeat a run from its recorded answers."""

    out: Path | None = None
    """Folder of the replay; default: RUN-replay."""


def train(arguments: list[str]) -> int:
    """`plaudit train ENV`."""
    environment = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    if environment is not None and environment.casefold() == CHAT:
        return int(optional("plaudit.cli.chat", "language").train(arguments))
    if environment is not None and "--config" in arguments:
        raise PlauditError(f"--config names the environment already: leave out {environment!r}")
    if not environment and "--config" not in arguments and not {"-h", "--help", "--help-all"} & set(arguments):
        raise PlauditError(
            "name an environment before the options: plaudit train Duel (or CartPole-v1, ALE/Pong-v5, ...)"
        )
    algorithm = _algorithm(arguments)
    stored, imports = config_file(arguments), _imports(arguments)
    if stored is None:
        base = defaults(environment or "Duel", algorithm, imports)
    else:
        base = from_dict(stored[1], RunConfig, CONTROL)
        imports = (*base.environment.imports, *imports)
        base = dataclasses.replace(base, environment=dataclasses.replace(base.environment, imports=imports))
    parsed = parse(TrainArguments, arguments, "train ENV", DESCRIPTION, TrainArguments(base), COMMON)
    config, trackers = parsed.config, check_trackers(parsed.track)
    if stored is not None:
        check_settings_file(stored[0], from_dict(stored[1], RunConfig, CONTROL), config, parsed.trust)
    check(config)
    warn_if_visible(config.environment)
    run = Run.create(parsed.out or free_folder(config.environment.short_name), config)
    if parsed.baseline:
        Run.create(run.folder / layout.BASELINE, config)
    return _go(run, trackers, parsed.host, parsed.port)


def resume(arguments: list[str]) -> int:
    """`plaudit resume RUN`."""
    parsed = parse(
        ResumeArguments,
        arguments,
        "resume",
        "Continue a run that was stopped or killed.\n\nexample:\n  plaudit resume runs/Duel",
    )
    kind, trackers = kind_of(parsed.run), check_trackers(parsed.track)
    if kind == CHAT:
        chat = optional("plaudit.cli.chat", "language")
        return int(chat.resume(parsed.run, parsed.trust, trackers, parsed.host, parsed.port))
    if kind == PRETRAIN:
        return int(optional("plaudit.cli.pretrain", "language").resume(parsed.run, parsed.trust, trackers))
    if kind == IMITATION:
        raise PlauditError(f"{parsed.run} holds a policy that imitates, which takes seconds to fit: fit it again")
    if kind != CONTROL:
        return int(optional("plaudit.cli.tune", "language").resume(parsed.run, parsed.trust, trackers))
    run = Run.open(parsed.run)
    run.check_trust(parsed.trust)
    return _go(run, trackers, parsed.host, parsed.port)


def replay(arguments: list[str]) -> int:
    """`plaudit replay RUN`."""
    parsed = parse(
        ReplayArguments,
        arguments,
        "replay",
        "Repeat a run from its recorded answers (a run with --annotator people, or --parallel): the same\n"
        "questions, fits and weights, bit for bit.\n\nexample:\n  plaudit replay runs/Duel",
    )
    run = Run.open(parsed.run)
    run.check_trust(parsed.trust)
    copy = replay_of(run, parsed.out or run.folder.with_name(run.folder.name + "-replay"))
    _go(copy)
    differing = differences(run, copy)
    if differing:
        raise PlauditError(f"the replay in {copy.folder} ended elsewhere than the run: {differing} differ")
    print("the replay equals the run bit for bit")
    return 0


def _go(run: Run, trackers: Sequence[str] = (), host: str = "127.0.0.1", port: int = 8777) -> int:
    """Train until the end, then report; Ctrl-C leaves a run that resumes."""
    with resumable(run.folder):
        train_agent(run, address=(host, port), background=True, trackers=trackers)
        write_and_print_report(run)
    return 0


def _imports(arguments: list[str]) -> tuple[str, ...]:
    """Take ``--environment.imports MODULE ...`` out of ``arguments``: the modules that register the environment.

    The singular works, too.
    """
    modules: list[str] = []
    for flag in ("--environment.import", "--environment.imports"):
        while flag in arguments:
            start = end = arguments.index(flag) + 1
            while end < len(arguments) and not arguments[end].startswith("-"):
                end += 1
            if start == end:
                raise PlauditError(f"{flag} needs a module: the one that registers the environment with Gymnasium")
            modules += arguments[start:end]
            del arguments[start - 1 : end]
        for argument in [argument for argument in arguments if argument.startswith(f"{flag}=")]:
            modules.append(argument.partition("=")[2])
            arguments.remove(argument)
    return tuple(modules)


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
