"""What `plaudit train chat` does in its default setting: the share of responses that satisfy a held-out rule.

    python benchmarks/chat.py                  # seeds 0, 1 and 2
    python benchmarks/chat.py --seeds 3 --out /tmp/runs
    python benchmarks/chat.py --seeds 3 --out /tmp/runs --untimed   # while the machine does other work

The annotator prefers brief responses; the held-out rule (5 to 60 words, ends properly, repeats nothing) is seen by no
training. Both are measured on 64 prompts that no training sees, with fixed seeds. A run that is there already is read
again and not made again. Without minutes: the machine did other work meanwhile. Writes results/chat.json and
results/chat.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from speed import machine as its

from plaudit.functional.pixels import native_bfloat16
from plaudit.language.evaluation import Estimate, Evaluation
from plaudit.run.language.config import ChatRun

RESULTS = Path(__file__).parent / "results"


def run_of(folder: Path, seed: int, timed: bool) -> dict[str, Any]:
    """Train one seed, unless that was done, and read what was found."""
    took = folder / "took.json"
    if not (folder / "evaluation.json").exists():
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "plaudit", "train", "chat", "--seed", str(seed), "--out", str(folder)], check=True
        )
        if timed:
            took.write_text(json.dumps(time.monotonic() - begun))
    found = Evaluation.load(folder / "evaluation.json")
    rows = ChatRun.open(folder).metrics()
    numbers = {
        "before": found.measure("before", "share"),
        "after": found.measure("after", "share"),
        "rise": found.difference("after", "share"),
        "wins": found.measure("after", "win_rate"),
        "kl": found.measure("after", "kl"),
        "words": found.measure("after", "words"),
        "loss": found.difference("after", "loss"),
    }
    return {
        "seed": seed,
        "judgements": rows[-1]["labels"],
        "minutes": json.loads(took.read_text()) / 60 if took.exists() else None,
        **{name: None if each is None else vars(each) for name, each in numbers.items()},
    }


def cell(found: dict[str, float | None] | None, factor: float = 1.0, digits: int = 0) -> str:
    """A number and its interval."""
    if found is None:
        return "-"
    each = Estimate(**found)  # type: ignore[arg-type]
    text = f"{factor * each.value:.{digits}f}"
    if each.low is None or each.high is None:
        return text
    return f"{text} ({factor * each.low:.{digits}f} to {factor * each.high:.{digits}f})"


def table(found: list[dict[str, Any]], where: str) -> str:
    """results/chat.md."""
    lines = [
        "# A language model taught from judgements",
        "",
        " ".join((__doc__ or "").split("\n\n")[2].split()),
        "",
        "SmolLM2-135M-Instruct. In brackets 95 % intervals over prompts. KL is from the fine-tuned model that PPO",
        "began with, in nats a response; loss is on unrelated text, in nats a token, over the untrained model's.",
        "",
        "| seed | judgements | held-out rule before, % | after, % | rise, points | preferred to before, % | KL | words "
        "| loss | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        minutes = "-" if each["minutes"] is None else f"{each['minutes']:.1f}"
        lines.append(
            f"| {each['seed']} | {each['judgements']:.0f} | {cell(each['before'], 100)} | {cell(each['after'], 100)} "
            f"| {cell(each['rise'], 100)} | {cell(each['wins'], 100)} | {cell(each['kl'], digits=1)} "
            f"| {cell(each['words'])} | {cell(each['loss'], digits=3)} | {minutes} |"
        )
    return "\n".join([*lines, "", where, ""])


def machine() -> str:
    """Where it was measured."""
    precision = "bf16" if native_bfloat16("cpu") else "fp32 (no bf16 products)"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    found = its()
    return f"{found['processor']}, {found['cores']} cores, {precision}, Python {found['python']}, {versions}."


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where runs go and stay; default: a folder that is removed")
    parser.add_argument("--untimed", action="store_true", help="leave out how long new runs take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = [run_of(folder / f"seed-{seed}", seed, not options.untimed) for seed in range(options.seeds)]
    (RESULTS / "chat.json").write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / "chat.md").write_text(table(found, machine()))
    print((RESULTS / "chat.md").read_text())


if __name__ == "__main__":
    main()
