"""`plaudit train chat`, and `resume`, `iterate` and `report` of such runs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from plaudit.api.console import free_folder, resumable, write_line
from plaudit.api.flags import CHAT_FLAGS
from plaudit.api.language import check_chat, train_language
from plaudit.cli.arguments import Common, RunArguments, Settings, Tracking, config_file, parse
from plaudit.run.language.assemble import pin_template, session_to_report
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.language.evaluate import report_of
from plaudit.run.stored import CHAT, from_dict
from plaudit.run.track import check_trackers
from plaudit.run.trust import check_settings_file
from plaudit.types import PlauditError

Part = TypeVar("Part", bound=Any)
COMMON = Common(
    CHAT_FLAGS,
    rare={
        "model.precision": "--precision",
        "data.template": "--template",
        "data.prompt_tokens": "--prompt-tokens",
        "chat_template.special_tokens": "--special-tokens",
        "model.trust_remote_code": "--trust-remote-code",
        "files.split": "--split",
        "files.strict": "--strict",
    },
)
DESCRIPTION = """Train a language model in three steps: imitate demonstrations, learn a reward from judgements, improve
the policy by PPO with a KL penalty.

Also: --config FILE (settings of an earlier run's config.json).

examples:
  plaudit train chat
  plaudit train chat --annotator people --labels 90
  plaudit train chat --base ./my-model --ask-about prompts.txt --annotator rule:polite+brief
  plaudit train chat --data pairs.jsonl --advantage rloo --completions 4"""


@dataclass(frozen=True)
class ChatArguments(Tracking, Settings[ChatConfig]):
    """A run's settings, and those of the command."""

    out: Path | None = None
    """Run folder; default: runs/chat, with a number if that folder exists."""
    host: str = "127.0.0.1"
    """Address of the web app, with --annotator people; 0.0.0.0 lets the whole network in."""
    port: int = 8777
    """Port of the web app, with --annotator people; 0: a free one."""
    trust: bool = False
    """Trust the addresses, programs and files that --config names, although somebody else made its run."""


@dataclass(frozen=True)
class IterateArguments(RunArguments):
    """Continue a finished run for more rounds of asking, refitting and improving."""

    rounds: int = 2
    """Number of further rounds."""
    labels: int | None = None
    """Number of further questions; default: as many per round as before."""
    annotator: str | None = None
    """The annotator from now on: rule:NAME+NAME, ai:local, ai:URL#MODEL, or people; default: that of the run."""
    kl: float | None = None
    """Weight of the KL penalty from now on; default: that of the run."""
    learning_rate: float | None = None
    """Step size of the policy updates from now on; default: that of the run."""
    host: str = "127.0.0.1"
    """Address of the web app, if people judge."""
    port: int = 8777
    """Port of the web app, if people judge; 0: a free one."""


def train(arguments: list[str]) -> int:
    """`plaudit train chat`."""
    stored = config_file(arguments)
    base = from_dict(stored[1], ChatConfig, CHAT) if stored is not None else ChatConfig()
    parsed = parse(ChatArguments, arguments, "train chat", DESCRIPTION, ChatArguments(base), COMMON)
    if stored is not None:
        check_settings_file(stored[0], base, parsed.config, parsed.trust)
    config, trackers = pin_template(parsed.config), check_trackers(parsed.track)
    check_chat(config)
    return _go(ChatRun.create(parsed.out or free_folder("chat"), config), trackers, parsed.host, parsed.port)


def resume(folder: Path, trust: bool, trackers: Sequence[str], host: str, port: int) -> int:
    """`plaudit resume RUN`, where the run is on a language model."""
    run = ChatRun.open(folder)
    run.check_trust(trust)
    return _go(run, trackers, host, port)


def report(folder: Path, trust: bool) -> int:
    """`plaudit report RUN`, where the run is on a language model."""
    run = ChatRun.open(folder)
    run.check_trust(trust)
    session, close = session_to_report(run)
    with contextlib.ExitStack() as ending:
        ending.callback(close)
        words = report_of(run, session.domain)
    write_line(words)
    return 0


def iterate(arguments: list[str]) -> int:
    """`plaudit iterate RUN`."""
    parsed = parse(
        IterateArguments,
        arguments,
        "iterate",
        "Continue a run on a language model: its new responses become questions, the reward model is refitted, and\n"
        "training continues.\n\nexamples:\n  plaudit iterate runs/chat --rounds 2\n"
        "  plaudit iterate runs/chat --annotator people --labels 50",
    )
    if parsed.rounds < 1:
        raise PlauditError(f"--rounds must be at least 1, got {parsed.rounds}")
    run = ChatRun.open(parsed.run)
    run.check_trust(parsed.trust, () if parsed.annotator is None else ("annotator",))
    more = parsed.labels
    if more is None:
        more = max(_questions_per_round(run), 1) * parsed.rounds
    ask = dataclasses.replace(run.config.feedback, labels=run.config.feedback.labels + more)
    config = dataclasses.replace(
        run.config,
        feedback=ask,
        rounds=run.config.rounds + parsed.rounds,
        annotator=parsed.annotator or run.config.annotator,
        penalty=_override(run.config.penalty, kl_coefficient=parsed.kl),
        improve=_override(run.config.improve, learning_rate=parsed.learning_rate),
    )
    check_chat(config)
    return _go(run.extend(config), (), parsed.host, parsed.port)


def _questions_per_round(run: ChatRun) -> int:
    """The mean number of questions in a round, without those before training."""
    totals = [int(row["asked"]) for row in run.metrics()]
    if len(totals) > 1:
        return round((totals[-1] - totals[0]) / (len(totals) - 1))
    return round(run.config.feedback.labels * (1 - run.config.feedback.upfront) / run.config.rounds)


def _override(settings: Part, **values: float | None) -> Part:
    """Settings with the values that are not None."""
    return dataclasses.replace(settings, **{name: value for name, value in values.items() if value is not None})


def _go(run: ChatRun, trackers: Sequence[str], host: str, port: int) -> int:
    """Train until the end, measure, report; Ctrl-C leaves a run that resumes."""
    with resumable(run.folder):
        write_line(train_language(run, address=(host, port), trackers=trackers))
    return 0
