"""The cards of a run on a language model: README.md in sft/, reward/ and policy/, written with the report."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from plaudit.language.bundled import HUB, LICENSE, NAME
from plaudit.language.evaluation import Estimate, Evaluation
from plaudit.language.prompts import BUILTIN, EXPLANATIONS
from plaudit.run.cards import CARD, Base, ModelCard, describe_files, read_base, read_summary
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.report.language_data import LanguageResults

GROUPS = ("sampling", "improve", "penalty", "rounds", "updates", "prompts", "completions")  # settings of step 3
TEXT, REWARD = ("text-generation",), ("reward-model",)  # tags
MEASURES = {
    "win_rate": "Win rate against the base model",
    "share": "Share of responses that satisfy the held-out rule",
    "score": "Held-out score",
    "kl": "KL divergence in nats per response",
    "tokens": "Tokens per response",
    "loss": "Loss on unrelated text in nats per token",
}


def base_of(model: str) -> Base:
    """The base model that settings name, with its licence from its card. Nothing is read from the network."""
    if model == NAME:
        return Base(NAME, HUB, LICENSE)
    if os.path.isdir(model):
        return read_base(Path(model).resolve().name, Path(model))
    try:
        cached = try_to_load_from_cache(model, CARD)
    except HFValidationError:
        cached = None
    return read_base(model, Path(cached).parent if isinstance(cached, str) else None, model)


def write_chat_cards(run: ChatRun, results: LanguageResults) -> None:
    """Write the card of each model that the run has saved."""
    config, base = run.config, base_of(run.config.model.model)
    settings = dataclasses.asdict(config)
    settings["model"]["model"] = base.name
    common = {"model": settings["model"], "seed": config.seed}
    name, data = run.folder.resolve().name, _data(config)
    judgements = read_summary(run.folder) or ["- None: the run has no store"]
    policy = common | {group: settings[group] for group in GROUPS}
    reward = common | {"heads": settings["heads"], "reward": settings["reward"], "feedback": settings["feedback"]}
    evaluation = results.evaluation
    evaluated, fine_tuned = _measures(evaluation), _measures(evaluation, "fine-tuned")
    sft = common | {"sft": settings["sft"], "best_of": config.best_of}
    cards = {
        run.policy: ModelCard(f"{name}: policy", base, "rlhf", data, judgements, policy, evaluated, tags=TEXT),
        run.reward: ModelCard(
            f"{name}: reward model", base, "reward", data, judgements, reward, _accuracy(results), "plaudit", REWARD
        ),
        run.sft: ModelCard(f"{name}: fine-tuned model", base, "sft", data, judgements, sft, fine_tuned, tags=TEXT),
    }
    for folder, card in cards.items():
        if folder.is_dir():
            card.write(folder)


def _data(config: ChatConfig) -> list[str]:
    data = config.data
    builtin = data.prompts in (BUILTIN, EXPLANATIONS)
    lines = [f"- Prompts: Plaudit's own list, {data.prompts}"] if builtin else []
    names = (None if builtin else data.prompts, data.demonstrations, data.comparisons, data.text)
    return [*lines, *describe_files([name for name in names if name is not None])]


def _measures(evaluation: Evaluation | None, column: str | None = None) -> list[str]:
    """A line for each measure of a column; None: of the run's final policy."""
    column = column or (evaluation.result if evaluation else None)
    if evaluation is None or column is None:
        return []
    lines = [
        f"- {title}: {_number(estimate)}"
        for name, title in MEASURES.items()
        if (estimate := evaluation.measure(column, name)) is not None
    ]
    lines.append(f"- n = {evaluation.prompts:,} held-out prompts, with {evaluation.samples} responses each")
    judging = evaluation.judges.get(column)
    if judging is not None:
        judge = judging.name.rpartition("#")[2] if judging.name.startswith("ai:") else judging.name
        lines.append(f"- Judge of the win rate: {judge}, which decided {judging.pairs:,} pairs of responses")
    return lines


def _accuracy(results: LanguageResults) -> list[str]:
    if results.accuracy is None:
        return []
    lines = [f"- Accuracy on held-out judgements: {_number(results.accuracy)}"]
    if results.length_accuracy is not None:
        lines.append(f"- Accuracy of a rule that knows only the length: {_number(results.length_accuracy)}")
    if results.calibration is not None:
        lines.append(f"- n = {len(results.calibration.targets):,} held-out pairs, ties included")
    return lines


def _number(measured: Estimate) -> str:
    interval = (
        ""
        if measured.low is None or measured.high is None
        else f", 95 % interval {measured.low:.3f} to {measured.high:.3f}"
    )
    return f"{measured.value:.3f}{interval}"
