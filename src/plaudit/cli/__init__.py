"""The command line: `plaudit train`, `collect`, `resume`, `watch`, `report`, ...

Faults that a person can mend are one line on standard error and exit code 2.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

from plaudit import __version__
from plaudit.cli.arguments import optional, say
from plaudit.types import PlauditError

HELP = """plaudit: reinforcement learning from human feedback, end to end

  plaudit train ENV [options]        learn a reward from comparisons and a policy from the reward
  plaudit train chat [options]       the same for a language model: imitate, learn a reward, PPO
  plaudit iterate RUN                ask, refit and improve for more rounds (language models)
  plaudit collect [options]          the web app in which people give feedback, by itself
  plaudit pretrain TEXT...           a small language model from nothing but text
  plaudit tune METHOD FILES...       one step by itself: sft, reward, spans, dpo, distill
  plaudit judge STORE                have a program answer a store's open questions about texts
  plaudit critique PROMPTS           a model's responses, criticised and revised by principles
  plaudit resume RUN                 go on with a run that was stopped or killed
  plaudit watch RUN                  film the policy (WebM)
  plaudit report RUN                 write report.html again and print its headline
  plaudit replay RUN                 do again what a run did beside its annotators, bit for bit
  plaudit import FILE                read a file of other people's feedback into a store
  plaudit export STORE               write a store's feedback as a file that others read
  plaudit preference-model FOLDER    which preference model explains human data (Knox et al.)

examples:
  plaudit train Duel --labels 300 --baseline
  plaudit train Duel --annotator people
  plaudit train Duel --teacher mistake --labels 600 --seed 1
  plaudit train chat
  plaudit tune sft messages.jsonl
  plaudit train CartPole-v1 --steps 500000
  plaudit train ALE/Pong-v5 --labels 1000
  plaudit resume runs/Duel

plaudit COMMAND --help explains a command; plaudit --version prints the version."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for a fault the user can mend, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"plaudit {__version__}")
        return 0
    if arguments[0] not in COMMANDS:
        return _fault(f"unknown command {arguments[0]!r}: use one of {', '.join(COMMANDS)}")
    try:
        command = _command(arguments[0])
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return command(arguments[1:])
    except PlauditError as error:
        return _fault(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read what is printed has enough (`plaudit ... | head`)
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (else the interpreter's own flush fails, too)
        return 141


# Where each command is, and the extra that it needs: only what was asked for is loaded, for torch alone takes seconds.
COMMANDS = {
    "train": ("train.train", ""),
    "resume": ("train.resume", ""),
    "iterate": ("chat.iterate", "language"),
    "pretrain": ("pretrain.pretrain", "language"),
    "tune": ("tune.tune", "language"),
    "judge": ("judge.judge", "language"),
    "critique": ("judge.critique", "language"),
    "replay": ("train.replay", ""),
    "collect": ("feedback.collect", ""),
    "import": ("feedback.import_", ""),
    "export": ("feedback.export_", ""),
    "watch": ("look.watch", ""),
    "report": ("look.report", ""),
    "preference-model": ("look.preference_model", ""),
    "baseline": ("train.baseline", ""),
}


def _command(name: str) -> Callable[[list[str]], int]:
    """Raises :class:`PlauditError` where what it needs is not installed."""
    place, extra = COMMANDS[name]
    module, _, function = place.partition(".")
    module = f"plaudit.cli.{module}"
    with nullcontext() if module in sys.modules else _no_garbage():
        found = getattr(optional(module, extra) if extra else importlib.import_module(module), function)
    return cast("Callable[[list[str]], int]", found)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Modules are none: looking for some among them is up to a fifth of the time that they take to load.

    Unless they are frozen, the first look afterwards, at all of them, takes as long as those that were spared.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


def _fault(message: str) -> int:
    say(f"plaudit: {' '.join(message.split())}")
    return 2


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
