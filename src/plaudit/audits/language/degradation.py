"""16. Degradation: what the policy forgot of texts that its prompts do not show.

Rise of the loss on each file of `--text`, in nats a token, from the policy of the start to that of the end, paired by
window. It is more sensitive than any task: a rise shows long before answers get worse. A KL penalty protects only what
the prompts show; a term for pretraining text (PPO-ptx, Ouyang et al. 2022) protects the rest.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from plaudit import layout
from plaudit.audits.finding import Cure, Effect, Finding, Null, not_measurable
from plaudit.audits.language._pairs import score_responses
from plaudit.audits.texts import TextSubject
from plaudit.functional.calibration import Z
from plaudit.language.fast.decode import stream
from plaudit.language.fast.engines import choose_engine
from plaudit.language.likelihood import split_windows, window_losses
from plaudit.language.merge import merge
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.run.disk import disk_errors
from plaudit.run.language.saved import find_model
from plaudit.run.stored import CHAT
from plaudit.types import Array, Dialogue

SLIGHT, LARGE = 0.02, 0.1  # nats a token: chat alone costs 0.03 on other text, and PPO without ptx 0.3 (measured)
WINDOW, WINDOWS, FEWEST = 128, 64, 8
SHUFFLES = 200
SHARE = 0.5  # of the policy in a merged one
PROMPTS, GREEDY = 16, SamplingConfig(tokens=48, temperature=0.0)


class Degradation:
    """Whether the policy predicts other texts worse than it did."""

    name, title, order = "degradation", "Loss on other text", 16

    def measurable(self, subject: TextSubject) -> str | None:
        """It needs a run of a chat, which has a start and an end, and text."""
        if subject.kind != CHAT:
            return "it compares the policies of a run of plaudit train chat, and this is a reward model"
        if not subject.config.text:
            return "it needs text that has nothing to do with the prompts: name a file with --text"
        return None

    def measure(self, subject: TextSubject) -> list[Finding]:
        """One row for each file; the null control gives each window's difference a random sign."""
        return [self._row(subject, path) for path in subject.config.text]

    def _row(self, subject: TextSubject, path: Path) -> Finding:
        name, title = self._name(path), f"{self.title}: {path.name}"
        windows = self._windows(subject, path)
        if len(windows) < FEWEST:
            reason = f"{path} has {len(windows)} windows of {WINDOW} tokens, and it needs {FEWEST}: name a longer text"
            return not_measurable(name, title, reason)
        subject.report_progress(f"{path.name}: {len(windows)} windows before and after")
        start, lengths = window_losses(subject.start, windows)
        end, _ = window_losses(subject.policy, windows)
        rise, error = paired_rise(start, end, lengths)
        low, high = rise - Z * error, rise + Z * error
        signs = np.random.default_rng(subject.config.seed).choice([-1.0, 1.0], (SHUFFLES, len(windows)))
        null = float(np.abs(signs @ (end - start)).mean() / lengths.sum())
        before, after = start.sum() / lengths.sum(), end.sum() / lengths.sum()
        return Finding(
            name,
            title,
            "fail" if low > LARGE else "warn" if low > SLIGHT else "pass",
            f"The loss on {path.name} went from {before:.3f} to {after:.3f} nats a token between start and end.",
            rise,
            (low, high),
            len(windows),
            unit="nats",
            eye="the text itself",
            null=Null("differences with random signs, mean size", null),
            threshold=f"warns if the 95 % interval is above {SLIGHT} nats a token, fails if it is above {LARGE}",
            details={"start": float(before), "end": float(after), "z": rise / error if error else 0.0},
        )

    def cure(self, subject: TextSubject, finding: Finding) -> Cure:
        """Pretraining text in the updates; a KL penalty does not help."""
        return Cure(
            "Mix text of this kind into the updates (ptx). A KL penalty protects only what the prompts show.",
            "one more batch of text for each update",
            "plaudit train chat --improve.ptx 1.0 --data.text FILE",
            lambda: self._try(subject, finding),
        )

    def _try(self, subject: TextSubject, finding: Finding) -> list[Effect]:
        """Weight interpolation needs no new run; ptx does."""
        windows = self._windows(subject, next(path for path in subject.config.text if self._name(path) == finding.name))
        start, lengths = window_losses(subject.start, windows)
        end, _ = window_losses(subject.policy, windows)
        before, _ = paired_rise(start, end, lengths)
        started = time.perf_counter()
        subject.report_progress("merging the policies of start and end")
        merged = merged_policy(subject, SHARE)
        losses, _ = window_losses(merged, windows)
        after, _ = paired_rise(start, losses, lengths)
        saved, error = paired_rise(losses, end, lengths)
        effect = Effect(
            f"plaudit tune merge {layout.SFT} {layout.POLICY} --weights {1 - SHARE:g} {SHARE:g}",
            f"The loss rises by {after:.3f} nats a token instead of {before:.3f}.",
            before,
            after,
            saved - Z * error > 0,
            {"change of learned reward": reward_change(subject, merged), "seconds": time.perf_counter() - started},
        )
        return [effect, Effect("--improve.ptx 1.0", "it needs a new run")]

    def _name(self, path: Path) -> str:
        return f"{self.name}-{path.stem}"

    def _windows(self, subject: TextSubject, path: Path) -> list[Tree]:
        """Windows of a file's text, in an order drawn by the audit's seed."""
        with disk_errors(path):
            text = path.read_text(encoding="utf-8", errors="replace")
        windows = split_windows(subject.start, [text], min(WINDOW, subject.start.window))
        rng = np.random.default_rng(subject.config.seed)
        return [windows[index] for index in rng.permutation(len(windows))[:WINDOWS]]


def paired_rise(start: Array, end: Array, lengths: Array) -> tuple[float, float]:
    """Nats a token by which windows (W,) got worse, and the standard error of that ratio over windows."""
    rise = float((end - start).sum() / lengths.sum())
    residual = end - start - rise * lengths
    return rise, float(len(lengths) ** 0.5 * residual.std(ddof=1) / lengths.sum())


def merged_policy(subject: TextSubject, share: float) -> LanguageModel:
    """``share`` of the policy's weights and the rest of the start's."""
    folders = [str(find_model(subject.path, role)) for role in (layout.SFT, layout.POLICY)]
    model, tokenizer = merge(folders, (1 - share, share), subject.trusts_code)
    return LanguageModel(cast(Any, model).to(subject.policy.device).eval(), tokenizer, subject.policy.frozen)


def reward_change(subject: TextSubject, merged: LanguageModel) -> float | str:
    """The mean learned reward of greedy responses of a merged policy minus that of the policy's; or why it is unknown.

    The prompts are the run's own, as far as its feedback names some.
    """
    if subject.missing_reward:
        return subject.missing_reward
    items = (item for record in subject.records for item in record.items)
    prompts = list(dict.fromkeys(item.prompt for item in items if isinstance(item, Dialogue) and item.prompt))[:PROMPTS]
    if not prompts:
        return "the run has stored no prompts"
    means = []
    for policy in (merged, subject.policy):
        chat, engine = Chat(policy), choose_engine(policy)
        generator = torch.Generator(policy.device)
        tokens = [list(stream(engine, chat.prompt(prompt), GREEDY, generator, chat.ends)) for prompt in prompts]
        replies = [chat.text(np.array(row, np.int64)) for row in tokens]
        means.append(float(score_responses(subject, prompts, replies).mean()))
    return means[0] - means[1]


MEASURE = Degradation()
