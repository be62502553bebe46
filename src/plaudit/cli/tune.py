"""`plaudit tune METHOD FILES...`: one step of training by itself, from files."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from plaudit import layout
from plaudit.cli.arguments import fields_of, long, parse, say
from plaudit.cli.progress import bar
from plaudit.run.interrupt import ctrl_c
from plaudit.run.language.dpo import dpo
from plaudit.run.language.methods import distill, reward_model, sft, spans
from plaudit.run.language.tune import FITTING, Recipe, Tuning, headline
from plaudit.run.language.tune_config import (
    DistillConfig,
    DistillRun,
    DpoConfig,
    DpoRun,
    RewardModelConfig,
    RewardModelRun,
    SftConfig,
    SftRun,
    SpansConfig,
    SpansRun,
    TuneRun,
)
from plaudit.run.record import kind_of
from plaudit.types import PlauditError

SHORT = {  # flags that people type often, and where they live
    "--base": "--model.model",
    "--train": "--model.method",
    "--precision": "--model.precision",
    "--epochs": "--fit.epochs",
    "--steps": "--fit.steps",
    "--batch": "--fit.batch",
    "--length": "--fit.length",
    "--learning-rate": "--fit.learning-rate",
    "--tokens": "--sampling.tokens",
}
HELP = """Train a language model by one method, from files, in a run folder.

  plaudit tune sft FILES...       imitate demonstrations: supervised fine-tuning
  plaudit tune reward FILES...    fit a reward model to judgements: preference-model pretraining
  plaudit tune spans FILES...     fit a reward of passages to what was marked in responses
  plaudit tune dpo FILES...       fit the policy itself to comparisons, by DPO
  plaudit tune distill PROMPTS... put into the weights what a context makes the model do

examples:
  plaudit tune sft messages.jsonl --base smollm2 --out runs/sft
  plaudit tune reward pairs.jsonl
  plaudit tune spans marks.sqlite --spans.categories wrong repetitive
  plaudit tune dpo pairs.jsonl --beta 0.1
  plaudit tune distill prompts.txt --context principles.txt

plaudit tune METHOD --help explains a method."""
SHARED = """The result in OUT/model is what every other command takes; OUT/result.json says how it did on prompts that
were held out. What was stopped goes on when the same command is given again, or by plaudit resume OUT."""
Files = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILES")]


@dataclass(frozen=True)
class SftArguments(SftConfig):
    """A run's settings, and where it goes."""

    data: Files = ()
    """Files of demonstrations (any that `plaudit import` reads), or stores (.sqlite, postgresql://...)."""
    out: Path = Path("runs/sft")
    """Run folder."""


@dataclass(frozen=True)
class RewardArguments(RewardModelConfig):
    """A run's settings, and where it goes."""

    data: Files = ()
    """Files of comparisons, rankings or ratings (any that `plaudit import` reads), or stores (.sqlite, ...)."""
    out: Path = Path("runs/reward")
    """Run folder."""


@dataclass(frozen=True)
class SpansArguments(SpansConfig):
    """A run's settings, and where it goes."""

    data: Files = ()
    """Files with marked spans (any that `plaudit import` reads), or stores (.sqlite, ...)."""
    out: Path = Path("runs/spans")
    """Run folder."""


@dataclass(frozen=True)
class DpoArguments(DpoConfig):
    """A run's settings, and where it goes."""

    data: Files = ()
    """Files of comparisons or rankings (any that `plaudit import` reads), or stores (.sqlite, ...)."""
    out: Path = Path("runs/dpo")
    """Run folder."""


@dataclass(frozen=True)
class DistillArguments(DistillConfig):
    """A run's settings, and where it goes."""

    data: Files = ()
    """Prompts: builtin, a .txt with a prompt a line, or files of prompts or of feedback."""
    out: Path = Path("runs/distill")
    """Run folder."""


@dataclass(frozen=True)
class Method:
    """One method: its settings as arguments and as a run has them, its folder, what it does."""

    arguments: type[Any]
    config: type[Any]
    run: type[TuneRun]
    recipe: Callable[[Any], Recipe]
    does: str
    examples: tuple[str, ...]


METHODS = {
    "sft": Method(
        SftArguments,
        SftConfig,
        SftRun,
        sft,
        "Imitate demonstrations and corrections: supervised fine-tuning. The loss is on responses alone.",
        (
            "plaudit tune sft messages.jsonl --base smollm2 --out runs/sft",
            "plaudit tune sft demonstrations.jsonl more.jsonl --train full --epochs 3",
            "plaudit tune sft feedback.sqlite --chosen",
        ),
    ),
    "reward": Method(
        RewardArguments,
        RewardModelConfig,
        RewardModelRun,
        reward_model,
        "Fit a reward model to comparisons, rankings and ratings. OUT/model is what --reward-model takes, here and in\n"
        "plaudit train chat: much data first, then little (preference-model pretraining).",
        (
            "plaudit tune reward pairs.jsonl",
            "plaudit tune reward ours.sqlite --reward-model runs/reward/model --out runs/reward-ours",
        ),
    ),
    "spans": Method(
        SpansArguments,
        SpansConfig,
        SpansRun,
        spans,
        "Fit a reward of passages to what people marked in responses (fine-grained feedback). OUT/model is what\n"
        "--passages takes in plaudit train chat.",
        (
            "plaudit tune spans feedback.sqlite",
            "plaudit tune spans marks.json --spans.categories Unverifiable Irrelevant --train full",
        ),
    ),
    "dpo": Method(
        DpoArguments,
        DpoConfig,
        DpoRun,
        dpo,
        "Fit the policy itself to comparisons and rankings: direct preference optimisation, without a reward model.",
        (
            "plaudit tune dpo pairs.jsonl --beta 0.1",
            "plaudit tune dpo pairs.jsonl --base runs/sft/model --train lora --learning-rate 5e-5",
        ),
    ),
    "distill": Method(
        DistillArguments,
        DistillConfig,
        DistillRun,
        distill,
        "Context distillation: put into the weights what a system message makes the model do.",
        (
            "plaudit tune distill prompts.txt --context principles.txt",
            "plaudit tune distill builtin --context principles.txt --responses 2 --tokens 48",
        ),
    ),
}


def tune(arguments: list[str]) -> int:
    """`plaudit tune METHOD FILES...`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in METHODS:
        raise PlauditError(f"there is no method {name!r}: use one of {', '.join(METHODS)}")
    method = METHODS[name]
    short = {one: other for one, other in SHORT.items() if one != "--tokens" or name == "distill"}
    told = ", ".join(f"{one} = {other}" for one, other in short.items())
    examples = "\n".join(f"  {each}" for each in method.examples)
    description = f"{method.does}\n\n{SHARED}\n\nShort: {told}.\n\nexamples:\n{examples}"
    parsed = parse(method.arguments, [long(each, short) for each in rest], f"tune {name}", description)
    names = [field.name for field in dataclasses.fields(method.config)]
    config = method.config(**{key: value for key, value in fields_of(parsed).items() if key in names})
    if not (parsed.out / layout.CONFIG).exists():
        method.run.check_free(parsed.out)  # before a model is loaded and files are read
        recipe = method.recipe(config)
        return _go(method.run.create(parsed.out, config), recipe)
    run = method.run.open(parsed.out)
    other = [each for each in names if getattr(run.config, each) != getattr(config, each)]
    if other:
        raise PlauditError(
            f"{parsed.out} holds a run with other settings ({', '.join(other)}): choose another --out, or go on with "
            f"it by plaudit resume {parsed.out}"
        )
    return resume(parsed.out)


def resume(folder: Path) -> int:
    """`plaudit resume RUN`, where the run is one of these."""
    method = METHODS[kind_of(folder)]
    run = method.run.open(folder)
    done = headline(run)
    if done:
        print(done)
        return 0
    return _go(run, method.recipe(run.config))


def _go(run: TuneRun, recipe: Recipe) -> int:
    """Fit until the end; Ctrl-C leaves a run that resumes."""
    say(recipe.data.line)
    try:
        with run.training(), ctrl_c() as check, bar() as told:
            session = Tuning(run, recipe, told)
            tuner = session.tuner
            told(FITTING, tuner.done, tuner.steps, "")
            seen, began = 0.0, None
            for row in session.steps():
                if began is None:  # from here on, for the first step is slower than the others
                    began = row["seconds"]
                else:
                    seen += row["tokens"]
                told(FITTING, tuner.done, tuner.steps, _facts(row, seen / max(row["seconds"] - began, 1e-9)))
                check()
    except KeyboardInterrupt:
        say(f"stopped; go on with: plaudit resume {shlex.quote(str(run.folder))}")
        raise
    print(headline(run))
    return 0


def _facts(row: dict[str, Any], rate: float) -> str:
    accuracy = f"  accuracy {row['accuracy']:.2f}" if "accuracy" in row else ""
    return f"loss {row['loss']:.3f}{accuracy}" + (f"  {rate:,.0f} tokens/s" if rate else "")
