"""The command line: `plaudit train`, `collect`, `resume`, `watch`, `report`, ...

A fault that the user can mend is one line on standard error, and exit code 2.
"""

from __future__ import annotations

import difflib
import errno
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

from plaudit import __version__
from plaudit.api.console import optional, say
from plaudit.signals import stop_as_ctrl_c
from plaudit.types import PlauditError, shorten

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # of the disk, or the quota, or a terminal that was closed
MESSAGE = 3000  # characters of a message, which can repeat a user's text

HELP = """plaudit: reinforcement learning from human feedback, end to end

  plaudit train ENV [options]        learn a reward from comparisons and a policy from the reward
  plaudit train chat [options]       the same for a language model: imitate, learn a reward, PPO
  plaudit iterate RUN                ask, refit and improve for more rounds (language models)
  plaudit collect [options]          run the web app in which people give feedback, without training
  plaudit pretrain TEXT...           train a small language model from scratch, on text
  plaudit tune METHOD FILES...       one training step alone: sft, reward, spans, dpo, distill
  plaudit chat MODEL                 talk to a run's language model, or to any
  plaudit score MODEL FILE           write the rewards that a reward model gives to responses
  plaudit judge STORE                let a program answer a store's open questions about texts
  plaudit assist STORE               let a model criticise what people are about to judge, for them to read
  plaudit critique PROMPTS           let a model criticise and revise its responses by written principles
  plaudit resume RUN                 continue a run that was stopped or killed
  plaudit watch RUN                  film the policy (WebM)
  plaudit audit RUN                  measure where RLHF went wrong, and what would help
  plaudit demo NAME                  see one of the places where RLHF goes wrong, in two minutes
  plaudit report RUN                 write report.html again and print its headline
  plaudit replay RUN                 repeat a run from its recorded answers, bit for bit
  plaudit baseline demonstrate       let an expert play episodes, for the baselines to imitate
  plaudit baseline bc                imitate demonstrations: behaviour cloning
  plaudit baseline dagger            imitate an expert in the states that the learner visits
  plaudit baseline irl               infer the reward that demonstrators had in mind
  plaudit import FILE                read a file of feedback into a store
  plaudit export STORE               write a store's feedback to a file in a common format
  plaudit preference-model FOLDER    which preference model explains human data (Knox et al.)

examples:
  plaudit train Duel --labels 300 --baseline
  plaudit train Duel --annotator people
  plaudit train Duel --annotator mistake --labels 600 --seed 1
  plaudit train chat
  plaudit tune sft messages.jsonl
  plaudit train CartPole-v1 --steps 500000
  plaudit train ALE/Pong-v5 --labels 1000
  plaudit resume runs/Duel

plaudit COMMAND --help explains a command; plaudit --version prints the version."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 if an audit fails, 2 for a user's fault, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with stop_as_ctrl_c():
        try:
            code = _run(arguments)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:  # the reader of the output has stopped (`plaudit ... | head`)
            _drop_output()
            return 141
        except OSError as error:
            if error.filename is not None:  # such as a name that is too long
                return _fault(f"cannot access {shorten(str(error.filename))}: {error.strerror}: check the name")
            if error.errno not in FULL:
                raise
            _drop_output()
            return _fault(f"the output cannot be written ({error.strerror}): make room, or write it elsewhere")


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"plaudit {__version__}")
        return 0
    if arguments[0] not in COMMANDS:
        name = arguments[0].casefold()
        nearest = [SYNONYMS[name]] if name in SYNONYMS else difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.7)
        hint = f"did you mean {nearest[0]}?" if nearest else f"use one of {', '.join(COMMANDS)}"
        return _fault(f"unknown command {arguments[0]!r}: {hint}")
    try:
        command = _command(arguments[0])
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return command(arguments[1:])
    except PlauditError as error:
        return _fault(str(error))
    except SystemExit:  # after --help
        sys.stdout.flush()
        raise


def _drop_output() -> None:
    """Send what is left of the output nowhere; otherwise the interpreter's last flush fails, too."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed by the interpreter


# The module and function of each command, and the extra that it needs. Only the command that runs is imported, because
# importing torch alone takes seconds.
COMMANDS = {
    "train": ("train.train", ""),
    "resume": ("train.resume", ""),
    "iterate": ("chat.iterate", "language"),
    "pretrain": ("pretrain.pretrain", "language"),
    "tune": ("tune.tune", "language"),
    "chat": ("talk.chat", "language"),
    "score": ("score.score", "language"),
    "judge": ("judge.judge", "language"),
    "critique": ("judge.critique", "language"),
    "assist": ("assist.assist", "language"),
    "replay": ("train.replay", ""),
    "collect": ("feedback.collect", ""),
    "import": ("feedback.import_", ""),
    "export": ("feedback.export_", ""),
    "watch": ("look.watch", ""),
    "report": ("look.report", ""),
    "audit": ("audit.audit", ""),
    "preference-model": ("look.preference_model", ""),
    "baseline": ("baseline.baseline", ""),
    "demo": ("demo.demo", ""),
}
SYNONYMS = {  # what other programs call a command
    **{method: f"tune {method}" for method in ("sft", "reward", "spans", "dpo", "distill")},
    **{method: f"baseline {method}" for method in ("demonstrate", "bc", "dagger", "irl")},
    **dict.fromkeys(("ppo", "rloo", "grpo", "rlhf"), "train chat"),
    **dict.fromkeys(("talk", "generate", "ask"), "chat"),
    **dict.fromkeys(("serve", "annotate", "label", "app", "ui"), "collect"),
    **dict.fromkeys(("eval", "evaluate"), "report"),
    "continue": "resume",
}


def _command(name: str) -> Callable[[list[str]], int]:
    """The function of a command; raises :class:`PlauditError` if the extra that it needs is not installed."""
    target, extra = COMMANDS[name]
    module, _, function = target.partition(".")
    module = f"plaudit.cli.{module}"
    with nullcontext() if module in sys.modules else _garbage_collection_paused():
        imported = optional(module, extra) if extra else importlib.import_module(module)
    return cast("Callable[[list[str]], int]", getattr(imported, function))


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Pause Python's garbage collector during imports.

    Imports create many objects and hardly any garbage. With the collector on, its passes over those objects take up to
    a fifth of the import time. The objects are then frozen: the first pass afterwards would otherwise visit all of
    them and take the time that was saved.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def _fault(message: str) -> int:
    say(f"plaudit: {shorten(message, MESSAGE)}")
    return 2


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {shorten(str(message), MESSAGE)}")
