"""The card of a model that `plaudit tune` made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from plaudit.feedback.cards import Summary, summarise
from plaudit.run.cards import ModelCard, describe_files
from plaudit.run.language.cards import base_of
from plaudit.run.language.files import FilesConfig
from plaudit.run.language.tune.config import TuneRun
from plaudit.run.language.tune.data import open_stores
from plaudit.run.record import kind_of
from plaudit.types import PlauditError

REWARD_MODELS = ("reward", "spans")


def tune_card(run: TuneRun, data_lines: str, result_line: str) -> ModelCard:
    """The card of a run whose model is fitted and measured.

    data_lines, result_line: what became of the data, and what was measured, in words.
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
        data=[*describe_files(config.data), *(f"- {line}" for line in data_lines.splitlines())],
        judgements=_judgements(config.data, config.files),
        training=settings,
        evaluation=[f"- {result_line}"],
        library="plaudit" if kind in REWARD_MODELS else "transformers",
        tags=["reward-model" if kind in REWARD_MODELS else "text-generation"],
        datasets=[Path(name).name for name in config.data if "://" not in name],
    )


def _judgements(names: Sequence[str], files: FilesConfig) -> Summary | list[str]:
    """The judgements in the files, which are read once more; a sentence if that fails, because the model is made."""
    try:
        with open_stores(names, files) as (stores, _):
            return _add([summarise(store) for store in stores])
    except PlauditError as error:
        return [f"- Not counted: {error}"]


def _add(summaries: Sequence[Summary]) -> Summary:
    """Several stores as one; an annotator of two stores counts twice."""

    def total(name: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for summary in summaries:
            for key, count in getattr(summary, name).items():
                counts[key] = counts.get(key, 0) + count
        return dict(sorted(counts.items()))

    return Summary(
        total("judgements"),
        sum(summary.questions for summary in summaries),
        total("annotators"),
        total("judgements_by_sort"),
        min((summary.first for summary in summaries if summary.first is not None), default=None),
        max((summary.last for summary in summaries if summary.last is not None), default=None),
        tuple(row for summary in summaries for row in summary.agreement),
    )
