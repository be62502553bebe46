"""The settings that most users change, by their paths, and the short flag of each on the command line.

None: the flag is the path itself. A program that uses a short name as a keyword is told the path.
"""

from __future__ import annotations

from collections.abc import Mapping

from plaudit.run.stored import CHAT, CONTROL

CONTROL_FLAGS: Mapping[str, str | None] = {
    "annotator": None,
    "feedback.labels": "--labels",
    "feedback.method": "--method",
    "feedback.length": "--length",
    "feedback.offline": "--offline",
    "reward.preference": "--preference",
    "environment.num_envs": "--envs",
    "environment.ends": "--ends",
    "environment.observations": "--observations",
    "improve.learning_rate": "--learning-rate",
    "steps": None,
    "seed": None,
    "out": None,
    "baseline": None,
    "track": None,
}
CHAT_FLAGS: Mapping[str, str | None] = {
    "model.model": "--base",
    "model.method": "--train",
    "annotator": None,
    "judge": None,
    "data.comparisons": "--data",
    "data.prompts": "--ask-about",
    "data.demonstrations": "--demonstrate",
    "chat_template.kwargs": "--template-kwargs",
    "chat_template.changes": "--template-changes",
    "files.format": "--format",
    "files.columns": "--columns",
    "sampling.tokens": "--tokens",
    "feedback.labels": "--labels",
    "improve.advantage": "--advantage",
    "penalty.kl_coefficient": "--kl",
    "improve.learning_rate": "--learning-rate",
    "rounds": None,
    "seed": None,
    "out": None,
    "track": None,
}
FLAGS = {CONTROL: CONTROL_FLAGS, CHAT: CHAT_FLAGS}  # by kind of run
SYNONYMS = {  # what other programs call a setting
    "lr": "learning-rate",
    "beta": "kl",
    "kl-coef": "kl",
    "n-envs": "envs",
    "num-envs": "envs",
    "timesteps": "steps",
    "total-timesteps": "steps",
    "comparisons": "labels",
    "queries": "labels",
    "output": "out",
    "output-dir": "out",
    "batch-size": "batch",
    "teacher": "annotator",
    "labeler": "annotator",
    "labeller": "annotator",
    "judge": "annotator",
    "tracker": "track",
    "report-to": "track",
    "logger": "track",
    "base-model": "base",
    "model-name": "base",
    "model-name-or-path": "base",
}
