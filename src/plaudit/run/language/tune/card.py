"""The card of a model that `plaudit tune` made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from plaudit.run.cards import ModelCard, describe_files
from plaudit.run.language.cards import base_of
from plaudit.run.language.tune.config import TuneRun
from plaudit.run.language.tune.data import Data
from plaudit.run.record import kind_of

REWARD_MODELS = ("reward", "spans")


def tune_card(run: TuneRun, data: Data, result_line: str) -> ModelCard:
    """The card of a run whose model is fitted and measured.

    result_line: what was measured, in words.
    """
    config, kind = run.config, kind_of(run.folder)
    base = base_of(config.model.model)
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name != "data"}
    settings["model"]["model"] = base.name
    del settings["chat_template"]["text"]  # it is in the tokenizer's own file
    return ModelCard(
        title=run.folder.resolve().name,
        base=base,
        method=kind,
        data=[*describe_files(config.data), *(f"- {line}" for line in data.line.splitlines())],
        judgements=data.judgements,
        training=settings,
        evaluation=[f"- {result_line}"],
        library="plaudit" if kind in REWARD_MODELS else "transformers",
        tags=["reward-model" if kind in REWARD_MODELS else "text-generation"],
        datasets=[Path(name).name for name in config.data if "://" not in name],
    )
