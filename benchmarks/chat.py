"""What `plaudit train chat` does in its default setting: the share of responses that are simple and on topic.

    python benchmarks/chat.py                  # seeds 0, 1 and 2
    python benchmarks/chat.py --seeds 3 --out /tmp/runs
    python benchmarks/chat.py --seeds 3 --out /tmp/runs --untimed   # while the machine does other work
    python benchmarks/chat.py --brief          # a reward that is over-optimised, into results/chat-brief.*

The annotator prefers explanations that are simple, on topic and finished. The headline asks for what no training saw: a
response passes another formula of reading grade, and its prompt is found from it among the 64 held-out prompts. A
finished run is read and not made again. Without minutes: the machine did other work meanwhile. Writes
results/chat.json, results/chat.md and eight responses of seed 0 before and after, results/chat-responses.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from speed import machine as describe_machine

from plaudit.functional.pixels import native_bfloat16
from plaudit.language.evaluation import Estimate, Evaluation
from plaudit.run.language.config import ChatRun

RESULTS = Path(__file__).parent / "results"
DRAWN = 8  # responses in the table of responses
MEASURES = (
    "answers",
    "share",
    "retrieved",
    "retrieved_5",
    "prompt_information",
    "ended",
    "stock",
    "words",
    "distinct_2",
)
COLUMNS = ("before", "fine-tuned", "after")
BRIEF = "--ask-about builtin --annotator rule:brief --judge rule:complete --sampling.tokens 48"  # reads no prompt
AIMS = (
    "Aimed at: a rise of 25 points; a prompt found at most 3 points less often; stock phrases at most 3 %; no response "
)
AIMS += "to more than two prompts; under 10 nats; loss up by at most 0.05."


def read_run(folder: Path, seed: int, timed: bool, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Train one seed, unless that was done, and read its evaluation.

    Raises:
        subprocess.CalledProcessError: training failed.
    """
    times = folder / "times.json"
    if not (folder / "evaluation.json").exists():
        start = time.monotonic()
        command = [sys.executable, "-m", "plaudit", "train", "chat", "--seed", str(seed), "--out", str(folder), *flags]
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise subprocess.CalledProcessError(status, command)
        if timed:
            times.write_text(json.dumps([time.monotonic() - start, usage.ru_utime + usage.ru_stime]))
    evaluation = Evaluation.load(folder / "evaluation.json")
    seconds = json.loads(times.read_text()) if times.exists() else (None, None)
    return {
        "seed": seed,
        "judgements": ChatRun.open(folder).metrics()[-1]["labels"],
        "wall_seconds": seconds[0],
        "cpu_seconds": seconds[1],
        "columns": {column: {name: dump(evaluation.measure(column, name)) for name in MEASURES} for column in COLUMNS},
        "rise": dump(evaluation.difference("after", "answers")),
        "retrieved_difference": dump(evaluation.difference("after", "retrieved")),
        "loss_difference": dump(evaluation.difference("after", "loss")),
        "kl": dump(evaluation.measure("after", "kl")),
        "win_rate": dump(evaluation.measure("after", "win_rate")),
        "most_prompts": dump(evaluation.measure("after", "most_prompts")),
    }


def dump(estimate: Estimate | None) -> dict[str, Any] | None:
    """An estimate as JSON."""
    return None if estimate is None else dict(vars(estimate))


def cell(estimate: Mapping[str, Any] | None, factor: float = 1.0, digits: int = 0, interval: bool = True) -> str:
    """A number and its interval."""
    if estimate is None:
        return "-"
    text = f"{factor * estimate['value']:.{digits}f}"
    if not interval or estimate["low"] is None or estimate["high"] is None:
        return text
    return f"{text} ({factor * estimate['low']:.{digits}f} to {factor * estimate['high']:.{digits}f})"


def table(runs: list[dict[str, Any]], machine: str) -> str:
    """results/chat.md."""
    lines = [
        "# A language model taught to explain",
        "",
        " ".join((__doc__ or "").split("\n\n")[2].split()),
        "",
        "SmolLM2-135M-Instruct. In brackets 95 % intervals over prompts. KL is from the fine-tuned model that PPO "
        "began with, in nats a response; loss is on unrelated text, in nats a token, over the untrained model's.",
        "",
        AIMS,
        "",
        "| seed | judgements | simple and found, before, % | fine-tuned, % | after, % | rise, points | preferred to "
        "before, % | KL | loss | minutes | CPU minutes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        minutes = ["-" if run[name] is None else f"{run[name] / 60:.1f}" for name in ("wall_seconds", "cpu_seconds")]
        shares = " | ".join(cell(run["columns"][column]["answers"], 100) for column in COLUMNS)
        lines.append(
            f"| {run['seed']} | {run['judgements']:.0f} | {shares} | {cell(run['rise'], 100)} "
            f"| {cell(run['win_rate'], 100)} | {cell(run['kl'], digits=1)} | {cell(run['loss_difference'], digits=3)} "
            f"| {' | '.join(minutes)} |"
        )
    lines += [
        "",
        "The parts, before / fine-tuned / after:",
        "",
        "| seed | simple, % | prompt found first, % | among five, % | prompt's information, nats | ended, % | stock "
        "phrases, % | words | distinct pairs of words | one response to prompts |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    parts = (("share", 100, 0), ("retrieved", 100, 0), ("retrieved_5", 100, 0), ("prompt_information", 1, 1))
    parts += (("ended", 100, 0), ("stock", 100, 0), ("words", 1, 0), ("distinct_2", 1, 2))
    for run in runs:
        cells = [
            " / ".join(cell(run["columns"][column][name], factor, digits, False) for column in COLUMNS)
            for name, factor, digits in parts
        ]
        lines.append(f"| {run['seed']} | {' | '.join(cells)} | {cell(run['most_prompts'])} |")
    return "\n".join([*lines, "", machine, ""])


def responses(folder: Path) -> str:
    """Eight of the stored responses of a run, drawn by seed and not by hand."""
    evaluation = Evaluation.load(folder / "evaluation.json")
    columns = [column.name for column in evaluation.columns]
    positions = [columns.index("before"), columns.index("after")]
    lines = ["# Eight responses, drawn by seed", "", "Seed 0 of [the table](chat.md).", ""]
    lines += ["| prompt | before | after |", "|---|---|---|"]
    for example in random.Random(0).sample(list(evaluation.examples), DRAWN):
        texts = [example.prompt[-1].content, *(example.responses[position] for position in positions)]
        ends = ["", *("" if example.finished[position] else " [cut]" for position in positions)]
        cells = [" ".join(text.split()).replace("|", r"\|") + end for text, end in zip(texts, ends, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def machine_line() -> str:
    """The machine of the measurement."""
    precision = "bf16" if native_bfloat16("cpu") else "fp32 (no bf16 products)"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    machine = describe_machine()
    return f"{machine['processor']}, {machine['cores']} cores, {precision}, Python {machine['python']}, {versions}."


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder in which the runs stay; default: a folder that is removed")
    parser.add_argument("--untimed", action="store_true", help="leave out how long new runs take")
    parser.add_argument("--brief", action="store_true", help=f"measure {BRIEF}")
    options = parser.parse_args()
    flags, name = (BRIEF.split(), "chat-brief") if options.brief else ((), "chat")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        runs = [read_run(folder / f"seed-{seed}", seed, not options.untimed, flags) for seed in range(options.seeds)]
        (RESULTS / f"{name}-responses.md").write_text(responses(folder / "seed-0"), encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(table(runs, machine_line()), encoding="utf-8")
    print((RESULTS / f"{name}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
