"""`plaudit tune merge`: one language model from the weights of several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from plaudit.api.console import say, write_line
from plaudit.api.progress import bar
from plaudit.cli.arguments import parse
from plaudit.cli.models import ModelArguments
from plaudit.cli.sources import model_of
from plaudit.files import replace_folder
from plaudit.language.merge import check_weights, merge
from plaudit.language.saving import write_model
from plaudit.run.cards import ModelCard
from plaudit.run.disk import disk_errors
from plaudit.run.language.cards import base_of
from plaudit.types import PlauditError

MERGE = "merge"
HEADLINE = "Average the weights of models that have one base."
HELP = """Average the weights of language models that were trained from one base.

Between a model and its base this trades what training taught against what it degraded; plaudit audit measures both.
Models of several runs become one. Nothing is trained, so it takes seconds.

examples:
  plaudit tune merge runs/chat smollm2 --weights 0.7 0.3
  plaudit tune merge runs/sft runs/sft-2 runs/sft-3 --out runs/soup"""


@dataclass(frozen=True)
class MergeArguments(ModelArguments):
    """`plaudit tune merge MODELS...`."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODELS")]
    """Folders of runs, or models: a folder, a hub id, or smollm2."""
    weights: tuple[float, ...] = ()
    """Weight of each model; they sum to 1. None given: equal."""
    out: Path = Path("runs/merge")
    """Folder to write the model to; it must be new or empty."""


def merge_models(arguments: list[str]) -> int:
    """`plaudit tune merge MODELS...`."""
    parsed = parse(MergeArguments, arguments, "tune merge", HELP)
    models = [model_of(name) for name in parsed.models]
    weights = parsed.weights or (1 / max(len(models), 1),) * len(models)
    check_weights(models, weights)
    with disk_errors(parsed.out):
        if parsed.out.exists() and (not parsed.out.is_dir() or any(parsed.out.iterdir())):
            raise PlauditError(f"{parsed.out} is not empty: choose another --out")
    with bar() as progress:
        progress("merging", 0, len(models), "")
        model, tokenizer = merge(
            models, weights, parsed.trust_remote_code, lambda count: progress("merging", count, len(models), "")
        )
    shares = [f"{weight:g} of {name}" for weight, name in zip(weights, parsed.models, strict=True)]
    card = ModelCard(
        parsed.out.resolve().name,
        base_of(models[0]),
        "merge",
        data=["- None: weights were averaged"],
        judgements=["- None"],
        training={"models": [Path(name).name for name in parsed.models], "weights": weights},
        evaluation=[],
        tags=["text-generation"],
    )
    with disk_errors(parsed.out):
        parsed.out.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(parsed.out), replace_folder(parsed.out) as partial:
        write_model(model, tokenizer, partial, controls=True)
        card.write(partial)
    say(f"merged {', '.join(shares)}")
    write_line(f"model: {parsed.out}")
    return 0
