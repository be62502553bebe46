"""What a run on a language model ends with: an evaluation that nothing was optimised against, and the report."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from plaudit import __version__
from plaudit.language.calibration import held_out_pairs, length_sign
from plaudit.language.data import judged, split
from plaudit.language.evaluate import START, EvaluateConfig, HeldOut, evaluate
from plaudit.language.evaluation import FILE, Evaluation
from plaudit.language.measures import unrelated
from plaudit.language.models import LanguageModel, load
from plaudit.language.prompts import fitting, parted, prompts_of
from plaudit.language.text import Chat
from plaudit.run.chat import ChatSession
from plaudit.run.chat_config import ChatRun
from plaudit.run.chat_hands import annotator_of, watched
from plaudit.run.chat_start import Told, device_of, plain, template
from plaudit.run.record import disk_errors
from plaudit.run.report.chat import headline, write_report
from plaudit.run.report.chat_data import ChatReportData
from plaudit.run.report.data import Calibration


def finish(run: ChatRun, session: ChatSession, told: Told) -> str:
    """Evaluate, write evaluation.json and report.html; returns what to print."""
    if not (run.folder / FILE).exists():
        measured(run, told).save(run.folder / FILE)
    return report_of(run, session)


def measured(run: ChatRun, told: Told) -> Evaluation:
    """The policy and the fine-tuned model against the model that the run was given, on held-out prompts."""
    config = run.config

    def role(name: str) -> LanguageModel:
        model = load(plain(replace(config.model, model=name)), device_of(config.device))
        if config.data.template != "own":
            model.tokenizer.chat_template = template(config.data.template)  # type: ignore[attr-defined]
        return model

    start = role(config.model.model)
    _, held_out = parted(prompts_of(config.data.prompts, config.data.system), config.data.held_out, config.seed)
    kept = [prompt for prompt, _ in fitting(held_out, Chat(start), config.data.prompt_tokens)]
    texts = [Path(config.data.text).read_text(encoding="utf-8")] if config.data.text else unrelated()
    against = HeldOut(watched(config), judge=annotator_of(config.judge, config), texts=texts)
    policies = {"fine-tuned": role(str(run.sft)), "after": role(str(run.policy))}
    tuned = bool(run.metrics("sft.jsonl"))  # then KL is measured from where the leash measures it
    settings = EvaluateConfig(sampling=config.sampling, seed=config.seed, reference="fine-tuned" if tuned else START)
    return evaluate(
        start, policies, kept, settings, against, lambda what, done, total: told(f"evaluating: {what}", done, total, "")
    )


def report_of(run: ChatRun, session: ChatSession) -> str:
    """Write report.html from the folder; returns its headline and where it is."""
    config, learner = run.config, session.learner
    examples, counts = judged(learner.store, learner.chat, config.heads, config.reward.length, config.reward.seed)
    fitted, out = split(examples, config.ask.held_out, config.reward.seed)
    pairs = held_out_pairs(session.reward, out) if out else None
    path = run.folder / FILE
    data = ChatReportData(
        title="A language model from judgements",
        model=config.model.model,
        command=f"plaudit train chat --config {run.folder / 'config.json'} --out {run.folder}-again",
        settings=dataclasses.asdict(config),
        versions=versions(),
        rounds=run.metrics(),
        sft=run.metrics("sft.jsonl"),
        reward=run.metrics("reward.jsonl"),
        evaluation=Evaluation.load(path) if path.exists() else None,
        calibration=Calibration(pairs.predicted, pairs.targets) if pairs else None,
        accuracy=pairs.accuracy() if pairs else None,
        length_accuracy=pairs.length_accuracy(length_sign(fitted)) if pairs else None,
        counts={
            "judgements": dataclasses.asdict(counts) | {"refused": len(counts.refused)},
            "prompts left out as too long": session.left_out,
        },
    )
    with disk_errors(run.folder / "report.html"):
        write_report(data, run.folder / "report.html")
    return f"{headline(data)}\nreport: {run.folder / 'report.html'}"


def versions() -> dict[str, str]:
    """What the numbers depend on besides the settings."""
    found = {"plaudit": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")}
