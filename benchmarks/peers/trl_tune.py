"""TRL's RewardTrainer, DPOTrainer and SFTTrainer on the batches of language.py.

Run in the peer's environment: PYTHONPATH=benchmarks PYTHON benchmarks/peers/trl_tune.py reward BATCHES.json
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # torch imports it (a second or more) when the first optimiser is made: not to be timed
from common import Stopwatch, report
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

RATE, BETA = 1e-5, 0.1
PAD = "<file_sep>"  # stands in no text: the model's own is also what ends a turn, and a score is read before padding


class Watch(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.clock, self.each = Stopwatch(), [0.0]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.clock = Stopwatch()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.each.append(self.clock.elapsed().seconds)


class Prepared:
    """For a trainer that tokenises: the data are token ids already, in its own columns."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class PreparedDPO(Prepared, DPOTrainer):
    pass


class PreparedSFT(Prepared, SFTTrainer):
    pass


def settings(options: argparse.Namespace, batch: int) -> dict[str, Any]:
    """Ours where the work depends on it; the peer's defaults in the rest, but for what each variant changes."""
    variant = {} if options.defaults else {"gradient_checkpointing": False, "bf16": options.precision == "bf16"}
    return variant | {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": batch,
        "num_train_epochs": 1,
        "learning_rate": RATE,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
        "seed": options.seed,
        "use_cpu": not torch.cuda.is_available(),
    }


def trained(trainer: Any) -> dict[str, Any]:
    """Train, and what ours reports too."""
    watch = Watch()
    trainer.add_callback(watch)
    clock = Stopwatch()
    trainer.train()
    elapsed = clock.elapsed()
    return {
        "seconds": elapsed.seconds,
        "cpu_seconds": elapsed.cpu_seconds,
        "step_seconds": np.diff(watch.each).tolist(),
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    }


def reward(data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    pairs = data["reward"][: 8 * options.steps]
    columns = {f"{name}_ids": [each["prompt"] + each[name] for each in pairs] for name in ("chosen", "rejected")}
    tokenizer = AutoTokenizer.from_pretrained(data["model"])
    tokenizer.pad_token = PAD
    model = AutoModelForSequenceClassification.from_pretrained(data["model"], num_labels=1, dtype=torch.float32)
    with torch.no_grad():
        model.score.weight.copy_(torch.tensor(data["head"])[None])
    trainer = RewardTrainer(
        model,
        RewardConfig(max_length=None, **settings(options, 8)),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
    )
    scores = None
    if options.check:
        batch = trainer.data_collator([trainer.train_dataset[index] for index in range(8)])
        with torch.no_grad():
            logits = model.eval()(**batch).logits[:, 0]
        scores = logits.view(2, 8).T.reshape(-1).tolist()  # pair after pair, as ours has them
    return trained(trainer) | {"outputs": scores, "pairs": len(pairs)}


def dpo(data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    pairs = data["dpo"][: 8 * options.steps]
    columns = {f"{name}_ids": [each[name] for each in pairs] for name in ("prompt", "chosen", "rejected")}
    make: Any = PreparedDPO
    trainer = make(
        data["model"],
        args=DPOConfig(beta=BETA, max_length=None, **settings(options, 8)),
        train_dataset=Dataset.from_dict(columns),
        processing_class=AutoTokenizer.from_pretrained(data["model"]),
    )
    return trained(trainer) | {"pairs": len(pairs)}


def sft(data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    steps = data["sft"][: options.steps]
    columns: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "seq_lengths": []}
    for row in (row for step in steps for row in step):
        columns["input_ids"].append([x for each in row for x in each["prompt"] + each["completion"]])
        columns["labels"].append([x for each in row for x in [-100] * len(each["prompt"]) + each["completion"]])
        columns["seq_lengths"].append([len(each["prompt"]) + len(each["completion"]) for each in row])
    make: Any = PreparedSFT
    trainer = make(
        data["model"],
        args=SFTConfig(packing=True, max_length=512, shuffle_dataset=False, **settings(options, 8)),
        train_dataset=Dataset.from_dict(columns),
        processing_class=AutoTokenizer.from_pretrained(data["model"]),
    )
    return trained(trainer) | {"tokens": sum(map(len, columns["input_ids"]))}


WORKLOADS = {"reward": reward, "dpo": dpo, "sft": sft}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("batches", type=Path)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--defaults", action="store_true", help="bf16 and gradient checkpointing, as it comes")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="print what is to be equal to ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    disable_progress_bars()
    report(WORKLOADS[options.workload](json.loads(options.batches.read_text()), options))


if __name__ == "__main__":
    main()
