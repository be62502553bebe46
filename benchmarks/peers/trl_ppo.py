"""TRL's PPOTrainer on the prompts of language.py; 1.12 is the last release that has it.

Run in the peer's environment: PYTHONPATH=benchmarks PYTHON benchmarks/peers/trl_ppo.py BATCHES.json
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # torch imports it (a second or more) when the first optimiser is made: not to be timed
from common import Stopwatch, report
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl.experimental.ppo import PPOConfig, PPOTrainer
from trl.experimental.ppo.ppo_trainer import forward, selective_log_softmax
from trl.experimental.utils import get_reward

RATE, PROMPTS = 1e-5, 16
PAD = "<file_sep>"  # stands in no prompt: this trainer masks every token that equals the one for padding


def scorer(data: dict[str, Any], head: list[float]) -> Any:
    """A model with a head of one number, as ours has it."""
    model = AutoModelForSequenceClassification.from_pretrained(data["model"], num_labels=1, dtype=torch.float32)
    with torch.no_grad():
        model.score.weight.copy_(torch.tensor(head)[None])
    return model


def compared(model: Any, reward: Any, data: dict[str, Any], pad: int) -> dict[str, list[float]]:
    """Log-probabilities and scores of completions that are given, by the functions that the trainer calls."""
    queries = torch.tensor([each["ids"] for each in data["prompts"][:PROMPTS]])
    responses = torch.tensor(data["completions"])
    both, context = torch.cat((queries, responses), 1), queries.shape[1]
    with torch.no_grad():
        logits = forward(model, both, pad).logits[:, context - 1 : -1]
        log_probs = selective_log_softmax(logits, responses).reshape(-1).tolist()
        scores = get_reward(reward, both, pad, context)[1].tolist()
    return {"log_probs": log_probs, "reference": log_probs, "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("batches", type=Path)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--defaults", action="store_true", help="as it comes")
    parser.add_argument("--new", type=int, default=48, help="tokens that are written")
    parser.add_argument("--steps", type=int, default=1, help="updates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="print what is to be equal to ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    disable_progress_bars()
    data = json.loads(options.batches.read_text())
    tokenizer = AutoTokenizer.from_pretrained(data["model"])
    tokenizer.eos_token, tokenizer.pad_token = data["never"], PAD
    policy, reference = (AutoModelForCausalLM.from_pretrained(data["model"], dtype=torch.float32) for _ in range(2))
    reward, value = scorer(data, data["head"]), scorer(data, [0.0] * len(data["head"]))
    if options.check:
        report({"outputs": compared(policy, reward, data, tokenizer.pad_token_id)})
        return
    if not options.defaults:
        # the trainer makes its own accelerator, which knows the precision from here alone
        os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if options.precision == "bf16" else "no"
    variant = {} if options.defaults else {"gradient_checkpointing": False, "bf16": options.precision == "bf16"}
    prompts = Dataset.from_dict({"input_ids": [each["ids"] for each in data["prompts"][:PROMPTS]]})
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=PROMPTS,
            gradient_accumulation_steps=1,
            num_mini_batches=1,
            num_ppo_epochs=4,
            total_episodes=PROMPTS * options.steps,
            response_length=options.new,
            temperature=1.0,
            learning_rate=RATE,
            num_sample_generations=0,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=options.seed,
            use_cpu=not torch.cuda.is_available(),
            **variant,
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=prompts,
        eval_dataset=prompts,
    )
    clock = Stopwatch()
    trainer.train()
    elapsed = clock.elapsed()
    precision = trainer.accelerator.mixed_precision
    report(
        {
            "seconds": elapsed.seconds,
            "cpu_seconds": elapsed.cpu_seconds,
            "updates": options.steps,
            "autocast": precision,
        }
    )


if __name__ == "__main__":
    main()
