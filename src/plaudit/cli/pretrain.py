"""`plaudit pretrain`: a small language model from nothing but text."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from plaudit import layout
from plaudit.cli.arguments import fields_of, long, parse, say
from plaudit.cli.progress import bar
from plaudit.language.pretrain import PretrainConfig, count_parameters, read_documents
from plaudit.run.language.pretrain import Pretraining, PretrainRun
from plaudit.types import PlauditError

SHORT = {  # flags that people type often, and where they live
    "--epochs": "--fit.epochs",
    "--steps": "--fit.steps",
    "--batch": "--fit.batch",
    "--length": "--fit.length",
    "--learning-rate": "--fit.learning-rate",
}
DESCRIPTION = """Train a small language model from nothing: a tokenizer and a Llama of 1 to 30 million parameters.

The model in OUT/model is one of transformers', and every other command takes that folder as its model. What was
stopped goes on when the same command is given again, or with --resume OUT.

Short: {short}.

examples:
  plaudit pretrain books/ --size small --epochs 2
  plaudit pretrain src/ notes.txt --layers 4 --width 192 --heads 6 --steps 500
  plaudit pretrain --resume runs/pretrain"""


@dataclass(frozen=True)
class PretrainArguments(PretrainConfig):
    """A run's settings, and where it goes."""

    data: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Text files (.txt, .md, .py: a document each; .jsonl: an object with a text a line), or folders of them."""
    out: Path = Path("runs/pretrain")
    """Run folder."""
    resume: Path | None = None
    """Go on with the run in this folder, as it was begun."""


def pretrain(arguments: list[str]) -> int:
    """`plaudit pretrain DATA...`."""
    description = DESCRIPTION.format(short=", ".join(f"{short} = {name}" for short, name in SHORT.items()))
    parsed = parse(PretrainArguments, [long(each, SHORT) for each in arguments], "pretrain", description)
    run = _run(parsed)
    if run.finished:
        print(f"{run.model} is finished: choose another --out to train again")
        return 0
    try:
        with run.training(), bar() as told:
            session = Pretraining(run, told)
            total = session.tuner.steps
            first = f"{count_parameters(session.model):,} parameters, {session.tokens:,} tokens an epoch"
            told("training", session.tuner.done, total, first)
            seen, began = 0.0, None
            for row in session.steps():
                if began is None:  # from here on, for the first step is slower than the others
                    began = row["seconds"]
                else:
                    seen += row["tokens"]
                rate = seen / max(row["seconds"] - began, 1e-9)
                held = f"  held out {row['held_out']:.3f}" if "held_out" in row else ""
                told("training", row["round"], total, f"loss {row['loss']:.3f}{held}  {rate:,.0f} tokens/s")
            written = session.samples()
    except KeyboardInterrupt:
        say(f"stopped; go on with: plaudit pretrain --resume {shlex.quote(str(run.folder))}")
        raise
    for text in written:
        print(f"--- sample\n{text}")
    print(f"--- model\n{run.model}")
    return 0


def _run(parsed: PretrainArguments) -> PretrainRun:
    """The folder to train in: an earlier run's, or a new one."""
    if parsed.resume is not None:
        if parsed.data:
            raise PlauditError("--resume knows its data already: leave out the files, or leave out --resume")
        return PretrainRun.open(parsed.resume)
    names = [field.name for field in dataclasses.fields(PretrainConfig)]
    config = PretrainConfig(**{name: value for name, value in fields_of(parsed).items() if name in names})
    if not config.data:
        raise PlauditError("name text files to learn from: plaudit pretrain books/ (or --resume a run's folder)")
    if not (parsed.out / layout.CONFIG).exists():
        read_documents(config.data)  # so that no folder is left behind where one cannot be read
        return PretrainRun.create(parsed.out, config)
    run = PretrainRun.open(parsed.out)
    other = [name for name in names if getattr(run.config, name) != getattr(config, name)]
    if other:
        raise PlauditError(
            f"{parsed.out} holds a run with other settings ({', '.join(other)}): choose another --out, or go on with "
            f"it by --resume {parsed.out}"
        )
    return run
