"""16. Degradation: what the policy forgot of texts that its prompts do not show.

Rise of the loss on each file of `--text`, in nats a token, from the policy of the start to that of the end, paired by
window. It is more sensitive than any task: a rise shows long before answers get worse. A KL penalty protects only what
the prompts show; a term for pretraining text (PPO-ptx, Ouyang et al. 2022) protects the rest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plaudit.audits.finding import Cure, Finding, Null, not_measurable
from plaudit.audits.texts import TextSubject
from plaudit.functional.calibration import Z
from plaudit.language.likelihood import split_windows, window_losses
from plaudit.run.disk import disk_errors
from plaudit.run.stored import CHAT
from plaudit.types import Array

SLIGHT, LARGE = 0.02, 0.1  # nats a token: chat alone costs 0.03 on other text, and PPO without ptx 0.3 (measured)
WINDOW, WINDOWS, FEWEST = 128, 64, 8
SHUFFLES = 200


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
        name, title = f"{self.name}-{path.stem}", f"{self.title}: {path.name}"
        with disk_errors(path):
            text = path.read_text(encoding="utf-8", errors="replace")
        windows = split_windows(subject.start, [text], min(WINDOW, subject.start.window))
        if len(windows) < FEWEST:
            reason = f"{path} has {len(windows)} windows of {WINDOW} tokens, and it needs {FEWEST}: name a longer text"
            return not_measurable(name, title, reason)
        rng = np.random.default_rng(subject.config.seed)
        windows = [windows[index] for index in rng.permutation(len(windows))[:WINDOWS]]
        subject.report_progress(f"{path.name}: {len(windows)} windows before and after")
        start, lengths = window_losses(subject.start, windows)
        end, _ = window_losses(subject.policy, windows)
        rise, error = paired_rise(start, end, lengths)
        low, high = rise - Z * error, rise + Z * error
        signs = rng.choice([-1.0, 1.0], (SHUFFLES, len(windows)))
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
        )


def paired_rise(start: Array, end: Array, lengths: Array) -> tuple[float, float]:
    """Nats a token by which windows (W,) got worse, and the standard error of that ratio over windows."""
    rise = float((end - start).sum() / lengths.sum())
    residual = end - start - rise * lengths
    return rise, float(len(lengths) ** 0.5 * residual.std(ddof=1) / lengths.sum())


MEASURE = Degradation()
