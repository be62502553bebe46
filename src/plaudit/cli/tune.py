"""`plaudit tune METHOD FILES...`: one step of training by itself, from files."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plaudit import layout
from plaudit.api.console import say, write_line
from plaudit.api.progress import bar
from plaudit.cli.arguments import Common, Config, Settings, Tracking, changed_fields, parse
from plaudit.cli.merge import HEADLINE, MERGE, merge_models
from plaudit.run.fitting import Throughput
from plaudit.run.interrupt import ctrl_c
from plaudit.run.language.tune.config import TuneRun
from plaudit.run.language.tune.data import pin_template
from plaudit.run.language.tune.method import Method, Recipe
from plaudit.run.language.tune.methods import METHODS
from plaudit.run.language.tune.session import FITTING, Tuning, headline
from plaudit.run.record import kind_of
from plaudit.run.track import check_trackers, track_run
from plaudit.run.trust import find_mentions
from plaudit.types import PlauditError

FLAGS = {  # the settings that --help shows for every method, and their short flags
    "model.model": "--base",
    "model.method": "--train",
    "model.precision": "--precision",
    "chat_template.kwargs": "--template-kwargs",
    "chat_template.changes": "--template-changes",
    "held_out": None,
    "files.format": "--format",
    "files.columns": "--columns",
    "fit.epochs": "--epochs",
    "fit.steps": "--steps",
    "fit.batch": "--batch",
    "fit.length": "--length",
    "fit.learning_rate": "--learning-rate",
    "seed": None,
    "device": None,
    "out": None,
    "track": None,
}
RARE = {
    "files.split": "--split",
    "files.strict": "--strict",
    "chat_template.special_tokens": "--special-tokens",
    "model.trust_remote_code": "--trust-remote-code",
}
SHORT = {"sampling.tokens": "--tokens"}  # short flags of the methods' own settings
HELP = """Train a language model by one method, from files, in a run folder.

{methods}

examples:
{examples}

plaudit tune METHOD --help explains a method."""
RESULT = """OUT/model is the fitted model, which every other command takes; OUT/result.json has the result on held-out
prompts. The same command, or plaudit resume OUT, continues a run that was stopped."""


@dataclass(frozen=True)
class TuneArguments(Tracking, Settings[Config]):
    """A run's settings, and its folder."""

    out: Path | None = None
    """Run folder; default: runs/METHOD."""


def tune(arguments: list[str]) -> int:
    """`plaudit tune METHOD FILES...`."""
    if not arguments or arguments[0] in ("-h", "--help", "--help-all"):
        print(_help())
        return 0
    name, options = arguments[0], arguments[1:]
    if name == MERGE:
        return merge_models(options)
    if name not in METHODS:
        names = [*METHODS, MERGE]
        nearest = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.7)
        hint = f"did you mean {nearest[0]}?" if nearest else f"use one of {', '.join(names)}"
        if name.casefold() in ("ppo", "rloo", "grpo"):
            hint = "reinforcement learning is plaudit train chat, with --advantage gae (PPO), rloo or grpo"
        raise PlauditError(f"there is no method {name!r}: {hint}")
    method = METHODS[name]
    config, folder, trackers = _parse(method, options)
    if not (folder / layout.CONFIG).exists():
        TuneRun.check_free(folder)  # before a model is loaded and files are read
        config = pin_template(config)
        recipe = method.recipe(config)
        return _train(method.create(folder, config), recipe, trackers)
    stored = method.open(folder).config
    pins = replace(config.chat_template, text=stored.chat_template.text)
    if pins.date is None:
        pins = replace(pins, date=stored.chat_template.date)
    changes = changed_fields(replace(config, chat_template=pins), stored)
    if changes:
        raise PlauditError(
            f"{folder} holds a run with other settings ({', '.join(changes)}): choose another --out, or continue "
            f"it by plaudit resume {folder}"
        )
    overrides = [mention.setting for mention in find_mentions(config)]
    return resume(folder, False, trackers, overrides)


def _help() -> str:
    methods = [f"  plaudit tune {method.name} FILES...".ljust(34) + method.headline for method in METHODS.values()]
    examples = [f"  {method.examples[0]}" for method in METHODS.values()]
    methods.append(f"  plaudit tune {MERGE} MODELS...".ljust(34) + HEADLINE)
    return HELP.format(methods="\n".join(methods), examples="\n".join(examples))


def _parse(method: Method[Any], options: list[str]) -> tuple[Any, Path, tuple[str, ...]]:
    """The method's settings, the run folder, and the trackers."""
    examples = "\n".join(f"  {example}" for example in method.examples)
    parsed = parse(
        TuneArguments[method.settings],
        options,
        f"tune {method.name}",
        f"{method.description}\n\n{RESULT}\n\nexamples:\n{examples}",
        TuneArguments(method.settings()),
        Common({path: SHORT.get(path) for path in method.common} | FLAGS, files="data", rare=RARE),
    )
    return parsed.config, parsed.out or Path("runs") / method.name, check_trackers(parsed.track)


def resume(folder: Path, trust: bool, trackers: Sequence[str], overrides: Sequence[str] = ()) -> int:
    """`plaudit resume RUN`, for a run of `plaudit tune`. overrides: settings that the command gave again."""
    kind = kind_of(folder)
    if kind not in METHODS:
        raise PlauditError(f"{folder} holds a run of {kind!r}, which this Plaudit does not know: use a newer version")
    method = METHODS[kind]
    run = method.open(folder)
    run.check_trust(trust, overrides)
    result = headline(run)
    if result:
        write_line(result)
        return 0
    return _train(run, method.recipe(run.config), trackers)


def _train(run: TuneRun, recipe: Recipe, trackers: Sequence[str]) -> int:
    """Fit until the end; after Ctrl-C the run can be resumed."""
    say(recipe.data.line)
    try:
        with run.training(), track_run(run, trackers), ctrl_c() as check, bar() as progress:
            session = Tuning(run, recipe, progress)
            tuner = session.tuner
            progress(FITTING, tuner.done, tuner.steps, "")
            throughput = Throughput()
            for row in session.steps():
                rate = throughput.update(row)
                progress(FITTING, tuner.done, tuner.steps, _facts(row, rate))
                check()
    except KeyboardInterrupt:
        say(f"stopped; continue with: plaudit resume {shlex.quote(str(run.folder))}")
        raise
    write_line(headline(run))
    return 0


def _facts(row: dict[str, Any], rate: float) -> str:
    accuracy = f"  accuracy {row['accuracy']:.2f}" if "accuracy" in row else ""
    return f"loss {row['loss']:.3f}{accuracy}" + (f"  {rate:,.0f} tokens/s" if rate else "")
