"""`plaudit pretrain`: a small language model from nothing but text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plaudit import layout
from plaudit.api.console import say, write_line
from plaudit.api.progress import bar
from plaudit.cli.arguments import Common, Settings, Tracking, changed_fields, parse
from plaudit.language.pretrain import PretrainConfig, count_parameters, read_documents
from plaudit.run.fitting import Throughput
from plaudit.run.language.pretrain import Pretraining, PretrainRun
from plaudit.run.track import check_trackers, track_run
from plaudit.types import PlauditError

COMMON = Common(
    {
        "files.format": "--format",
        "files.columns": "--columns",
        "size": None,
        "layers": None,
        "width": None,
        "heads": None,
        "fit.epochs": "--epochs",
        "fit.steps": "--steps",
        "fit.batch": "--batch",
        "fit.length": "--length",
        "fit.learning_rate": "--learning-rate",
        "device": None,
        "seed": None,
        "out": None,
        "resume": None,
        "track": None,
    },
    files="data",
    rare={"files.split": "--split"},
)
DESCRIPTION = """Train a small language model from scratch: a tokenizer, and a Llama of 1 to 30 million parameters.

OUT/model is a transformers model, and every other command takes that folder as its model. The same command, or
--resume OUT, continues a run that was stopped.

examples:
  plaudit pretrain books/ --size small --epochs 2
  plaudit pretrain articles.parquet --columns text=body
  plaudit pretrain src/ notes.txt --layers 4 --width 192 --heads 6 --steps 500
  plaudit pretrain --resume runs/pretrain"""


@dataclass(frozen=True)
class PretrainArguments(Tracking, Settings[PretrainConfig]):
    """A run's settings, and its folder."""

    out: Path = Path("runs/pretrain")
    """Run folder."""
    resume: Path | None = None
    """Folder of a run to continue, with its settings."""
    trust: bool = False
    """Trust the files that a run to continue names, although somebody else made it."""


def pretrain(arguments: list[str]) -> int:
    """`plaudit pretrain DATA...`."""
    default = PretrainArguments(PretrainConfig())
    parsed = parse(PretrainArguments, arguments, "pretrain", DESCRIPTION, default, COMMON)
    trackers = check_trackers(parsed.track)
    return _train(_run(parsed), trackers)


def resume(folder: Path, trust: bool, trackers: Sequence[str]) -> int:
    """`plaudit resume RUN`, for a run of `plaudit pretrain`."""
    run = PretrainRun.open(folder)
    run.check_trust(trust)
    return _train(run, trackers)


def _train(run: PretrainRun, trackers: Sequence[str]) -> int:
    """Fit until the end; after Ctrl-C the run can be resumed."""
    if run.finished:
        write_line(f"{run.model} is finished: choose another --out to train again")
        return 0
    try:
        with run.training(), track_run(run, trackers), bar() as progress:
            session = Pretraining(run, progress)
            for line in session.special_tokens.describe_refused():
                say(f"note: {line}")
            total = session.tuner.steps
            first = f"{count_parameters(session.model):,} parameters, {session.tokens:,} tokens per epoch"
            progress("training", session.tuner.done, total, first)
            throughput = Throughput()
            for row in session.steps():
                rate = throughput.update(row)
                held_out = f"  held out {row['held_out']:.3f}" if "held_out" in row else ""
                progress("training", row["round"], total, f"loss {row['loss']:.3f}{held_out}  {rate:,.0f} tokens/s")
            samples = session.samples()
    except KeyboardInterrupt:
        say(f"stopped; continue with: plaudit pretrain --resume {shlex.quote(str(run.folder))}")
        raise
    for text in samples:
        write_line(f"--- sample\n{text}")
    write_line(f"--- model\n{run.model}")
    return 0


def _run(parsed: PretrainArguments) -> PretrainRun:
    """The folder to train in: an earlier run's, or a new one."""
    config = parsed.config
    if parsed.resume is not None:
        if config.data:
            raise PlauditError("--resume uses the run's own data: leave out the files, or leave out --resume")
        run = PretrainRun.open(parsed.resume)
        run.check_trust(parsed.trust)
        return run
    if not config.data:
        raise PlauditError("name text files to learn from: plaudit pretrain books/ (or --resume a run's folder)")
    if not (parsed.out / layout.CONFIG).exists():
        read_documents(config.data, config.files)  # so that no folder is left behind if one of them cannot be read
        return PretrainRun.create(parsed.out, config)
    run = PretrainRun.open(parsed.out)
    changes = changed_fields(config, run.config)
    if changes:
        raise PlauditError(
            f"{parsed.out} holds a run with other settings ({', '.join(changes)}): choose another --out, or continue "
            f"it with --resume {parsed.out}"
        )
    run.check_trust(parsed.trust, ("data",))
    return run
