"""`plaudit train chat`, and `resume`, `iterate` and `report` of such runs."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from plaudit.cli.arguments import OnRun, config_file, fields_of, free_folder, long, parse, say
from plaudit.cli.progress import bar
from plaudit.cli.serving import web_app
from plaudit.language.best_of_n import BestOfN
from plaudit.run.interrupt import ctrl_c
from plaudit.run.language.assemble import check, session_of, session_to_report
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.language.evaluate import finish, report_of
from plaudit.run.stored import CHAT, from_dict
from plaudit.types import PlauditError

Settings = TypeVar("Settings", bound=Any)
SHORT = {  # flags that people type often, and where they live
    "--base": "--model.model",
    "--train": "--model.method",
    "--precision": "--model.precision",
    "--data": "--data.comparisons",
    "--ask-about": "--data.prompts",
    "--demonstrate": "--data.demonstrations",
    "--template": "--data.template",
    "--prompt-tokens": "--data.prompt-tokens",
    "--tokens": "--sampling.tokens",
    "--labels": "--feedback.labels",
    "--advantage": "--improve.advantage",
    "--kl": "--penalty.kl-coefficient",
}
DESCRIPTION = """Take a language model through the three steps: imitate demonstrations, learn a reward from judgements,
improve by PPO against r - lambda KL.

Also: --config FILE (settings of an earlier run's config.json), and short for {short}.

examples:
  plaudit train chat
  plaudit train chat --annotator people --labels 90
  plaudit train chat --base ./my-model --ask-about prompts.txt --annotator rule:polite+brief
  plaudit train chat --data pairs.jsonl --advantage rloo --completions 4"""


@dataclass(frozen=True)
class ChatArguments(ChatConfig):
    """A run's settings, and what `train chat` does besides."""

    out: Path | None = None
    """Run folder; default: runs/chat, with a number when that is taken."""
    host: str = "127.0.0.1"
    """With --annotator people: the address that the web app listens at; 0.0.0.0 lets the whole network in."""
    port: int = 8777
    """With --annotator people: its port; 0 takes a free one."""


@dataclass(frozen=True)
class IterateArguments(OnRun):
    """Go on with a run that is over, for more rounds of asking, refitting and improving."""

    rounds: int = 2
    """How many more."""
    labels: int | None = None
    """How many more questions; default: as many a round as before."""
    annotator: str | None = None
    """Who judges from now on: rule:NAME+NAME, ai:local, ai:URL#MODEL, or people; default: who did."""
    kl: float | None = None
    """Weight of the distance from the reference from now on; default: as it was."""
    learning_rate: float | None = None
    """Step size of the improvements from now on; default: as it was."""
    host: str = "127.0.0.1"
    """Where people judge: the address that the web app listens at."""
    port: int = 8777
    """Where people judge: its port; 0 takes a free one."""


def train(arguments: list[str]) -> int:
    """`plaudit train chat`."""
    stored = config_file(arguments)
    base = from_dict(stored, ChatConfig, CHAT) if stored is not None else ChatConfig()
    description = DESCRIPTION.format(short=", ".join(f"{short} = {long}" for short, long in SHORT.items()))
    parsed = parse(
        ChatArguments,
        [long(argument, SHORT) for argument in arguments],
        "train chat",
        description,
        ChatArguments(**fields_of(base)),
    )
    names = {field.name for field in dataclasses.fields(ChatConfig)}
    config = ChatConfig(**{name: value for name, value in fields_of(parsed).items() if name in names})
    _check(config)
    return _go(ChatRun.create(parsed.out or free_folder("chat"), config), parsed.host, parsed.port)


def resume(folder: Path, host: str, port: int) -> int:
    """`plaudit resume RUN`, where the run is on a language model."""
    return _go(ChatRun.open(folder), host, port)


def report(folder: Path) -> int:
    """`plaudit report RUN`, where the run is on a language model."""
    run = ChatRun.open(folder)
    session, close = session_to_report(run)
    with contextlib.ExitStack() as ending:
        ending.callback(close)
        words = report_of(run, session.domain)
    print(words)
    return 0


def iterate(arguments: list[str]) -> int:
    """`plaudit iterate RUN`."""
    parsed = parse(
        IterateArguments,
        arguments,
        "iterate",
        "Go on with a run on a language model: its new responses become questions, the reward model is refitted,\n"
        "training goes on.\n\nexamples:\n  plaudit iterate runs/chat --rounds 2\n"
        "  plaudit iterate runs/chat --annotator people --labels 50",
    )
    if parsed.rounds < 1:
        raise PlauditError(f"--rounds must be at least 1, got {parsed.rounds}")
    run = ChatRun.open(parsed.run)
    more = parsed.labels
    if more is None:
        more = max(_each_round(run), 1) * parsed.rounds
    ask = dataclasses.replace(run.config.feedback, labels=run.config.feedback.labels + more)
    config = dataclasses.replace(
        run.config,
        feedback=ask,
        rounds=run.config.rounds + parsed.rounds,
        annotator=parsed.annotator or run.config.annotator,
        penalty=_changed(run.config.penalty, kl_coefficient=parsed.kl),
        improve=_changed(run.config.improve, learning_rate=parsed.learning_rate),
    )
    _check(config)
    return _go(run.extended(config), parsed.host, parsed.port)


def _each_round(run: ChatRun) -> int:
    """Questions that a round asked in the mean, without those from before training."""
    asked = [int(row["asked"]) for row in run.metrics()]
    if len(asked) > 1:
        return round((asked[-1] - asked[0]) / (len(asked) - 1))
    return round(run.config.feedback.labels * (1 - run.config.feedback.upfront) / run.config.rounds)


def _changed(settings: Settings, **values: float | None) -> Settings:
    """Settings with those values that were given."""
    return dataclasses.replace(settings, **{name: value for name, value in values.items() if value is not None})


def _check(config: ChatConfig) -> None:
    """Find faults before anything is written, and say what is better known."""
    check(config)
    for line in config.remarks:
        say(f"note: {line}")


def _go(run: ChatRun, host: str, port: int) -> int:
    """Train until the end, measure, report; Ctrl-C leaves a run that resumes."""
    try:
        with (
            run.training(),
            web_app(run.folder, host, port, run.config.people),
            bar("loading", lines=1, every="improving") as told,
            ctrl_c() as check_ctrl_c,
        ):
            session, close = session_of(run, told)
            with contextlib.ExitStack() as ending:
                ending.callback(close)
                for _ in session.rounds():
                    check_ctrl_c()
                words = finish(run, session.domain, told, BestOfN)
        print(words)
    except KeyboardInterrupt:
        say(f"stopped; go on with: plaudit resume {shlex.quote(str(run.folder))}")
        raise
    return 0
