"""TRL's GRPOTrainer on the prompts of language.py: one round of writing and learning a step.

Run in the peer's environment: PYTHONPATH=benchmarks PYTHON benchmarks/peers/trl_grpo.py BATCHES.json
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
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

RATE, PROMPTS, COMPLETIONS = 1e-5, 8, 4
LENGTHS: list[int] = []  # of every completion that was scored


def even(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """The reward that ours has too: the share of tokens with an even number."""
    LENGTHS.extend(map(len, completion_ids))
    return [float(np.mean(np.array(ids) % 2 == 0)) for ids in completion_ids]


def compared(trainer: GRPOTrainer, data: dict[str, Any]) -> dict[str, list[float]]:
    """Log-probabilities of four completions of each of four prompts, and the size of the trainer's own gradient."""
    completions = torch.tensor(data["completions"])
    prompts = torch.tensor([each["ids"] for each in data["prompts"][:4]]).repeat_interleave(4, dim=0)
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": completions,
        "completion_mask": torch.ones_like(completions),
        "advantages": torch.tensor(data["advantages"]).repeat(4),
        "num_items_in_batch": torch.tensor(completions.numel()),
    }
    both = torch.cat((prompts, completions), 1)
    with torch.no_grad():
        log_probs = trainer._get_per_token_logps_and_entropies(
            trainer.model, both, torch.ones_like(both), completions.shape[1]
        )[0]
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    trainer.compute_loss(trainer.model, inputs).backward()
    norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), float("inf"))
    return {"log_probs": log_probs.reshape(-1).tolist(), "log_gradient_norm": [float(norm.log())]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("batches", type=Path)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--defaults", action="store_true", help="bf16 and gradient checkpointing, as it comes")
    parser.add_argument("--new", type=int, default=64, help="tokens that are written")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="print what is to be equal to ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    disable_progress_bars()
    data = json.loads(options.batches.read_text())
    tokenizer = AutoTokenizer.from_pretrained(data["model"])
    tokenizer.eos_token = data["never"]
    model = AutoModelForCausalLM.from_pretrained(data["model"], dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    variant = {} if options.defaults else {"gradient_checkpointing": False, "bf16": options.precision == "bf16"}
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=even,
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=PROMPTS * COMPLETIONS,
            num_generations=COMPLETIONS,
            max_completion_length=options.new,
            max_steps=options.steps,
            learning_rate=RATE,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=options.seed,
            use_cpu=not torch.cuda.is_available(),
            **variant,
        ),
        train_dataset=Dataset.from_dict({"prompt": [each["text"] for each in data["prompts"][:PROMPTS]]}),
        processing_class=tokenizer,
    )
    if options.check:
        report({"outputs": compared(trainer, data)})
        return
    clock = Stopwatch()
    trainer.train()
    elapsed = clock.elapsed()
    assert set(LENGTHS) == {options.new}, f"completions of {sorted(set(LENGTHS))} tokens"
    report({"seconds": elapsed.seconds, "cpu_seconds": elapsed.cpu_seconds, "updates": options.steps})


if __name__ == "__main__":
    main()
