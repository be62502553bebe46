"""transformers' generate on the prompts of language.py, in the environment of TRL.

PYTHONPATH=benchmarks PYTHON benchmarks/peers/transformers_generate.py BATCHES.json --batch 64
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import Stopwatch, report
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("batches", type=Path)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="the likeliest tokens, to be equal to ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    data = json.loads(options.batches.read_text())
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(data["model"], dtype=dtype).eval()
    never = AutoTokenizer.from_pretrained(data["model"]).convert_tokens_to_ids(data["never"])
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = never
    ids = torch.tensor([each["ids"] for each in data["prompts"][: options.batch]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if options.check:
        found = model.generate(**inputs, max_new_tokens=options.new, do_sample=False)
        with torch.no_grad():
            logits = model(found).logits[:, ids.shape[1] - 1 : -1]
        log_probs = logits.log_softmax(-1).gather(2, found[:, ids.shape[1] :, None])[..., 0]
        report({"written": found[:, ids.shape[1] :].tolist(), "log_probs": log_probs.tolist()})
        return
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    model.generate(**inputs, max_new_tokens=2, **sampling)  # the first call compiles kernels, on both sides
    clock = Stopwatch()
    found = model.generate(**inputs, max_new_tokens=options.new, **sampling)
    elapsed = clock.elapsed()
    assert found.shape == (options.batch, ids.shape[1] + options.new)
    report(
        {
            "seconds": elapsed.seconds,
            "cpu_seconds": elapsed.cpu_seconds,
            "tokens": options.batch * options.new,
        }
    )


if __name__ == "__main__":
    main()
