"""Names of the files and folders in a run's folder.

Training writes them, and the web app, a sibling that must not import training, reads some of them. So the names stand
on the lowest floor.
"""

from __future__ import annotations

import shlex
from pathlib import Path

# every run
CONFIG = "config.json"  # settings; a folder with this file holds a run
LOCK = "lock"  # held by the process that trains
METRICS = "metrics.jsonl"  # a row for each round
CHECKPOINTS = "checkpoints"
FEEDBACK = "feedback.sqlite"  # questions and judgements
REPORT = "report.html"
AUDIT = "audit.json"
AUDIT_PAGE = "audit.html"
TRACKERS = "trackers.json"  # where the metrics also go
ORIGIN = "origin.json"  # signatures of the user who began the run, one for each name in its settings
TENSORBOARD = "tensorboard"  # event files
WANDB = "wandb"  # files of Weights & Biases, with links among them
WANDB_LOG = "wandb/*/logs/debug-core.log"  # its link to a log in the user's cache, which it makes and never follows

# control
TRUTH = "truth.jsonl"  # true rewards of segments, for simulated annotators
RECORDED = "recorded.jsonl"  # in a replay: metrics of the run that it replays
PREDICTIONS = "predictions.json"  # what the reward model expected of each judgement
LATEST_CLIP = "latest.clip"  # what the agent did last
FINISH = "finish"  # people made this file to end the questions
CLIPS = "clips"  # videos
BASELINE = "baseline"  # a run on the true reward, for comparison
DEMONSTRATIONS = "demonstrations.npz"  # what a policy was fitted to, expert's labels among them

# language
SFT, REWARD, POLICY = "sft", "reward", "policy"  # models: fine-tuned, of the reward, and at the end
SFT_METRICS, REWARD_METRICS, UPDATES = "sft.jsonl", "reward.jsonl", "updates.jsonl"  # rows within the three steps
SFT_CHECKPOINT = "sft.safetensors"
EVALUATION = "evaluation.json"
COUNTS = "counts.json"  # data used, cut and refused
IMPORTS = "imports.json"  # by project, the newest judgement before its file was read
PASSAGES = "passages.json"  # fingerprint of the reward of passages
LAST_QUESTIONS = "asked.json"  # the round that asked last, its annotator, and how many questions there were

# pretraining and tuning
MODEL = "model"
TOKENIZER = "tokenizer"
LAST_CHECKPOINT = "last.safetensors"
DATA = "data.json"  # fingerprints of the data
BEFORE = "before.json"  # held-out loss before the first step
RESULT = "result.json"
RESPONSES = "written.jsonl"  # responses by round


def shell_path(path: Path) -> str:
    """A path as a shell reads it, for commands in messages: in quotes if it has spaces."""
    return shlex.quote(str(path))
