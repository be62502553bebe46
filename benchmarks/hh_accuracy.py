"""How often a reward model picks the response that people chose, on real pairs that it was not fitted to.

    python benchmarks/hh_accuracy.py PAIRS.jsonl.gz                     # every method; goes on where it was stopped
    python benchmarks/hh_accuracy.py PAIRS.jsonl.gz --methods full --again
    python benchmarks/hh_accuracy.py PAIRS.jsonl.gz --methods full --threads 1   # beside another with other methods
    python benchmarks/hh_accuracy.py PAIRS.jsonl.gz --limit 80 --results /tmp/trial   # a trial

PAIRS.jsonl.gz are HH-RLHF's harmless pairs. A fifth of the prompts is held out, the same for every method. Writes
results/hh_accuracy.json after each method, and results/hh_accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from language_batches import LENGTH, read

from plaudit.language.calibration import held_out_pairs, length_sign
from plaudit.language.data import split
from plaudit.language.evaluation import Estimate
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.reward import HeadsConfig, JudgedCompletions, Preferences, TextReward
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.run.fitting import restore_fit, save_fit, trainable_state

HERE = Path(__file__).resolve().parent
PUBLISHED = 0.737  # GPT-2 large, 774M, on the harmless pairs
HELD_OUT = 0.2
# Set before anything was measured: the fewer weights learn, the larger the step and the more passes
METHODS = {
    "frozen": TuneConfig(learning_rate=1e-3, epochs=4),
    "lora": TuneConfig(learning_rate=1e-4, epochs=1),
    "upper": TuneConfig(learning_rate=2e-5, epochs=1),
    "full": TuneConfig(learning_rate=1e-5, epochs=1),
}
NAMES = {
    "frozen": "frozen features, a head alone",
    "lora": "LoRA, every layer",
    "upper": "the upper third of the layers",
    "full": "full fine-tuning",
}


def both_orders(trees: list[Any]) -> list[JudgedCompletions]:
    """The chosen one first in every other pair: no place says which is better."""
    found = []
    for number, tree in enumerate(trees):
        if number % 2:
            tree = type(tree)(tree.prompt, tree.completions[::-1])
        found.append(JudgedCompletions(tree, mu=1.0 - number % 2))
    return found


def fitted(
    method: Any, config: TuneConfig, examples: list[JudgedCompletions], seed: int, path: Path
) -> tuple[TextReward, dict[str, float]]:
    """A reward model after its fit, and how long that took; goes on from the checkpoint at ``path``."""
    torch.manual_seed(seed)
    model: LanguageModel = load(ModelConfig(method=method))
    reward = TextReward(model, HeadsConfig())
    tuner, learns = (
        Tuner(model, reward.trainable_parameters(), Preferences(reward), examples, config),
        trainable_state(reward),
    )
    before = restore_fit(tuner, learns, path) if path.exists() else 0.0
    begun, total, seen = time.process_time() - before, 0.0, 0
    for metrics in tuner.run():
        total, seen = total + metrics["accuracy"], seen + 1
        if tuner.done % 20 == 0 or tuner.done == tuner.steps:
            spent = time.process_time() - begun
            print(
                f"  step {tuner.done} of {tuner.steps}, {spent:.0f} CPU s, accuracy since {total / seen:.3f}",
                flush=True,
            )
            total, seen = 0.0, 0
            save_fit(tuner, learns, path, spent)
    spent = time.process_time() - begun  # of all cores: what else runs does not count
    return reward, {"cpu_seconds": spent, "steps": tuner.steps, "bf16": float(model.reduced)}


def measured(found: Estimate) -> dict[str, float]:
    return {"share": found.value, "low": found.low or 0.0, "high": found.high or 1.0}


def stored(file: Path, setting: dict[str, int]) -> dict[str, Any]:
    """What has been measured with these pairs."""
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if {name: results.get(name) for name in setting} != setting:
        return {**setting, "methods": {}}
    return results


def page(results: dict[str, Any]) -> str:
    """The table as Markdown."""

    def row(name: str, found: dict[str, float], rest: str) -> str:
        interval = f"{found['low']:.3f} to {found['high']:.3f}"
        return f"| {name} | {found['share']:.3f} | {interval} | {found['share'] - PUBLISHED:+.3f} | {rest} |"

    held = results["held_out"]
    lines = [
        "# Reward model accuracy on real pairs",
        "",
        "Written by `benchmarks/hh_accuracy.py`.",
        f"SmolLM2-135M-Instruct on {results['learned']} of HH-RLHF's harmless pairs; accuracy on {held} pairs of other "
        f"prompts (a fifth), scored in float32. Seed {results['seed']}; Wilson's 95 % interval. The settings were "
        "chosen beforehand; the fit sees each pair as often as it has passes.",
        "",
        f"| what learns | accuracy | interval | from GPT-2 large's {PUBLISHED} "
        "| step size, passes, precision, CPU minutes |",
        "|---|---|---|---|---|",
    ]
    for method, found in results["methods"].items():
        rest = f"{found['learning_rate']:g}, {found['epochs']}, {'bf16' if found['bf16'] else 'fp32'}"
        rest += f", {found['cpu_seconds'] / 60:.0f}"
        lines.append(row(NAMES[method], found, rest))
    which = "longer" if results["length_sign"] > 0 else "shorter"
    lines += [
        row(f"length alone: the {which} one, as in the pairs that are learned from", results["length"], ""),
        "",
        f"GPT-2 large has 774M weights, six times as many; its {PUBLISHED} is a published figure with other training "
        "and test pairs, so the distance is a guide and no comparison.",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--again", action="store_true", help="measure again what has been measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="only so many pairs (a trial: name --results too)")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    checkpoints = Path(tempfile.gettempdir()) / "plaudit-hh-accuracy"
    parser.add_argument("--checkpoints", type=Path, default=checkpoints, help=f"(default: {checkpoints})")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / "hh_accuracy.json"
    chat = Chat(load(ModelConfig(method="frozen")))
    examples = both_orders(read(options.pairs, chat, LENGTH)[: options.limit])
    fit, held = split(examples, HELD_OUT, options.seed)
    setting = {"seed": options.seed, "learned": len(fit), "held_out": len(held)}
    options.checkpoints.mkdir(parents=True, exist_ok=True)
    for method in options.methods:
        if method in stored(file, setting)["methods"] and not options.again:
            print(f"{NAMES[method]}: measured before (--again measures it again)", flush=True)
            continue
        print(f"{NAMES[method]}: {len(fit)} pairs to learn from, {len(held)} held out", flush=True)
        config = METHODS[method]
        path = options.checkpoints / f"{method}-{options.seed}-{len(fit)}.safetensors"
        reward, spent = fitted(method, config, fit, options.seed, path)
        reward.model.reduced = False  # what is reported is computed in float32
        pairs = held_out_pairs(reward, held)
        accuracy, sign = pairs.accuracy(), length_sign(fit)
        length = pairs.length_accuracy(sign)
        assert accuracy is not None and length is not None
        results = stored(file, setting)  # read again: another process may have measured another method meanwhile
        results["length"], results["length_sign"] = measured(length), sign
        results["methods"][method] = {
            **measured(accuracy),
            **spent,
            "learning_rate": config.learning_rate,
            "epochs": config.epochs,
        }
        results["methods"] = {name: results["methods"][name] for name in METHODS if name in results["methods"]}
        file.write_text(json.dumps(results, indent=1) + "\n")
        (options.results / "hh_accuracy.md").write_text(page(results))
        path.unlink()
    print(page(stored(file, setting)))


if __name__ == "__main__":
    main()
