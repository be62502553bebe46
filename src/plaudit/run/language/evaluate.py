"""The end of a run on a language model: an evaluation by measures that did not train it, and the report."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

from plaudit import __version__, layout
from plaudit.language.calibration import held_out_pairs, length_sign
from plaudit.language.data import split
from plaudit.language.evaluate import START, Contestant, EvaluateConfig, HeldOutMeasures, evaluate
from plaudit.language.evaluation import Evaluation
from plaudit.language.models import LanguageModel
from plaudit.language.reward import TextReward
from plaudit.language.text import Chat
from plaudit.run.disk import disk_errors
from plaudit.run.fitting import Progress
from plaudit.run.language.assemble import annotator_of, held_out_rule
from plaudit.run.language.cards import write_chat_cards
from plaudit.run.language.config import ChatRun
from plaudit.run.language.data import add_counts, plain_counts, prompts_in, read_counts, texts_in, tokenise
from plaudit.run.language.rlhf import ChatDomain
from plaudit.run.language.sft import frozen_config, load_model
from plaudit.run.report.calibration import Calibration
from plaudit.run.report.language import language_report
from plaudit.run.report.language_data import LanguageResults
from plaudit.run.report.page import write_report
from plaudit.run.report.text import headline

WINDOW = 256  # largest number of tokens of a window of text on which the loss is measured
EXAMPLES = 16  # prompts whose responses are kept for reading; the report shows the first of them
BestOf = Callable[
    [LanguageModel, TextReward, int], Contestant
]  # best of n: the model that writes, the reward model, and n


def finish(run: ChatRun, domain: ChatDomain, on_progress: Progress, best_of: BestOf | None = None) -> str:
    """Evaluate the run, write evaluation.json and report.html, and return the lines to print.

    best_of: makes the column "best of n" (:mod:`plaudit.language.best_of_n`); None leaves the column out.
    """
    if not (run.folder / layout.EVALUATION).exists():
        evaluate_policies(run, on_progress, best_of).save(run.folder / layout.EVALUATION)
    return report_of(run, domain)


def evaluate_policies(run: ChatRun, on_progress: Progress, best_of: BestOf | None = None) -> Evaluation:
    """Evaluate the policy and the fine-tuned model against the run's base model, on held-out prompts."""
    config = run.config

    def load_role(name: str) -> LanguageModel:
        return load_model(config, frozen_config(replace(config.model, model=name)))

    start, fine_tuned = load_role(config.model.model), load_role(str(run.sft))
    tokenised, counts = tokenise(run, prompts_in(config)[1], Chat(start))
    add_counts(run, "held-out prompts", counts)
    prompts = [prompt for prompt, _ in tokenised]
    held_out = HeldOutMeasures(
        held_out_rule(config), judge=annotator_of(config.judge, config), texts=texts_in(config)[1]
    )
    policies: dict[str, LanguageModel | Contestant] = {"fine-tuned": fine_tuned, "after": load_role(str(run.policy))}
    if config.best_of_n and best_of is not None:
        reward = TextReward.load(run.reward, frozen_config(config.model), device=start.device)
        policies[f"best of {config.best_of_n}"] = best_of(fine_tuned, reward, config.best_of_n)
    settings = EvaluateConfig(
        sampling=config.sampling,
        seed=config.seed,
        # KL is measured from the same model as in the KL penalty
        reference="fine-tuned" if run.metrics(layout.SFT_METRICS) else START,
        window=min(WINDOW, start.window),
        examples=EXAMPLES,
    )

    def report_stage(stage: str, done: int, total: int) -> None:
        on_progress(f"evaluating: {stage}", done, total, "")

    return evaluate(start, policies, prompts, settings, held_out, report_stage)


def report_of(run: ChatRun, domain: ChatDomain) -> str:
    """Write report.html from the run folder; return its headline and its path."""
    config, learner = run.config, domain.learner
    examples, counts = learner.pace.examples()
    training, held_out_examples = split(examples, config.feedback.held_out, config.reward.seed)
    pairs = held_out_pairs(domain.reward, held_out_examples) if held_out_examples else None
    path = run.folder / layout.EVALUATION
    settings = dataclasses.asdict(config)
    del settings["chat_template"]["text"]  # the tokenizer of each model that the run saves has it
    results = LanguageResults(
        title="A language model from judgements",
        model=config.model.model,
        command=f"plaudit train chat --config {run.folder / layout.CONFIG} --out {run.folder}-again",
        settings=settings,
        versions=versions(),
        rounds=run.metrics(),
        updates=run.metrics(layout.UPDATES),
        sft=run.metrics(layout.SFT_METRICS),
        reward=run.metrics(layout.REWARD_METRICS),
        evaluation=Evaluation.load(path) if path.exists() else None,
        calibration=Calibration(pairs.predicted, pairs.targets) if pairs else None,
        accuracy=pairs.accuracy() if pairs else None,
        length_accuracy=pairs.length_accuracy(length_sign(training)) if pairs else None,
        counts={
            "judgements": plain_counts(counts),
            "prompts": domain.prompt_counts,
            **read_counts(run),
        },
        remarks=config.remarks,
    )
    report = language_report(results)
    with disk_errors(run.folder / layout.REPORT):
        write_report(report, run.folder / layout.REPORT)
    write_chat_cards(run, results)
    return f"{headline(report)}\nreport: {run.folder / layout.REPORT}"


def versions() -> dict[str, str]:
    """The versions of the programs on which the numbers depend."""
    program = {"plaudit": __version__, "python": platform.python_version()}
    return program | {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")}
