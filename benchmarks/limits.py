"""How much memory and disk Plaudit takes: a table, results/limits.md. The page docs/limits.md quotes it.

    python benchmarks/limits.py                         # all rows: some half an hour
    python benchmarks/limits.py --only store import     # some of them; the others stay as they were measured

Each command runs in a process of its own, and its peak is that process's largest resident set. Peaks do not depend on
what else runs, so the machine need not be idle. Models other than SmolLM2-135M have its tokenizer, the shape of
SmolLM2's family and random weights, because memory does not depend on the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from export import fill, text

HERE = Path(__file__).resolve().parent
STORE, TABLE = HERE / "results" / "limits.json", HERE / "results" / "limits.md"
PAIRS, EXAMPLES = 100_000, 24
SHAPES = {  # parameters: hidden size, layers, heads, heads of keys, width of the MLP
    "45M": (384, 10, 6, 2, 1024),
    "135M": (576, 30, 9, 3, 1536),
}
Row = tuple[str, str, str]


def plaudit(*words: str | Path) -> float:
    """Run a command of Plaudit; its peak memory in MB.

    Raises:
        RuntimeError: the command failed.
    """
    arguments = [sys.executable, "-m", "plaudit", *map(str, words)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"plaudit {' '.join(map(str, words))} failed")
    return usage.ru_maxrss / 1024


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def store(folder: Path) -> Iterator[Row]:
    """Disk of comparisons of two responses, and of clips."""
    few, many = folder / "few.sqlite", folder / "many.sqlite"
    fill(few, 1000)
    fill(many, 5000)
    per_comparison = (size(many) - size(few)) / 4000
    with sqlite3.connect(many) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counts = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
    rows = ", ".join(f"{count / 5000:.2f} in {name}" for name, count in counts.items() if count >= 5000)
    yield "store, comparison of two responses of 60 words", f"{per_comparison / 1000:.1f} kB on disk", f"rows: {rows}"


def imports(folder: Path) -> Iterator[Row]:
    """Reading pairs of text."""
    rng, file = random.Random(0), folder / "pairs.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for number in range(PAIRS):
            row = {"prompt": f"{number} {text(rng, 40)}", "chosen": text(rng, 60), "rejected": text(rng, 60)}
            lines.write(json.dumps(row) + "\n")
    peak = plaudit("import", file, folder / "imported.sqlite")
    on_disk = size(folder / "imported.sqlite") / 1e6
    yield (
        f"`plaudit import`, {PAIRS:,} pairs ({size(file) / 1e6:.0f} MB)",
        f"{peak:,.0f} MB",
        f"store: {on_disk:.0f} MB",
    )


def control(folder: Path) -> Iterator[Row]:
    """A run on Duel, and what a clip takes."""
    run = folder / "duel"
    peak = plaudit("train", "Duel", "--steps", "400000", "--labels", "100", "--out", run)
    with sqlite3.connect(run / "feedback.sqlite") as database:
        (clips,) = database.execute("SELECT count(*) FROM segments").fetchone()
    note = f"folder: {size(run) / 1e6:.1f} MB; store: {size(run / 'feedback.sqlite') / clips / 1000:.1f} kB per clip"
    yield "`plaudit train Duel`, 100 comparisons, report included", f"{peak:,.0f} MB", note


def model(folder: Path, name: str) -> str:
    """The default model, or one of another size with random weights."""
    if name == "135M":
        return "smollm2"
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from plaudit.language.bundled import bundled_model

    tokenizer = AutoTokenizer.from_pretrained(bundled_model())
    hidden, layers, heads, keys, width = SHAPES[name]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        intermediate_size=width,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )
    target = folder / name
    LlamaForCausalLM(config).save_pretrained(target)
    tokenizer.save_pretrained(target)
    return str(target)


def tune(folder: Path) -> Iterator[Row]:
    """One step of fine-tuning, and one of DPO: 8 examples of up to 512 tokens."""
    rng = random.Random(0)
    demonstrations, pairs = folder / "demonstrations.jsonl", folder / "comparisons.jsonl"
    with demonstrations.open("w", encoding="utf-8") as first, pairs.open("w", encoding="utf-8") as second:
        for number in range(EXAMPLES):
            prompt, good, bad = f"{number} {text(rng, 60)}", text(rng, 250), text(rng, 250)
            first.write(json.dumps({"prompt": prompt, "completion": good}) + "\n")
            second.write(json.dumps({"prompt": prompt, "chosen": good, "rejected": bad}) + "\n")
    for name in SHAPES:
        base = model(folder, name)
        for method, file in (("sft", demonstrations), ("dpo", pairs)):
            for train in ("upper", "full"):
                out = folder / f"{method}-{name}-{train}"
                options = ("--base", base, "--train", train, "--precision", "fp32", "--steps", "1", "--out", out)
                peak = plaudit("tune", method, file, *options)
                title = f"`plaudit tune {method} --train {train}`, {name} parameters, fp32, 8 examples per step"
                yield title, f"{peak:,.0f} MB", f"folder: {size(out) / 1e6:,.0f} MB"


def chat(folder: Path) -> Iterator[Row]:
    """The three steps with the default model, shortened: every batch has its default size."""
    out = folder / "chat"
    short = ("--n-demonstrations", "8", "--labels", "24", "--rounds", "1", "--updates", "1", "--precision", "fp32")
    peak = plaudit("train", "chat", *short, "--out", out)
    yield (
        "`plaudit train chat`, 135M parameters, fp32, default batches",
        f"{peak:,.0f} MB",
        f"folder: {size(out) / 1e6:,.0f} MB",
    )


PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "store": store,
    "import": imports,
    "control": control,
    "tune": tune,
    "chat": chat,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and disk: a table.")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parts = parser.parse_args().only
    rows: dict[str, list[Row]] = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            rows[part] = []
            for row in PARTS[part](Path(folder)):
                rows[part].append(row)
                print(f"| {' | '.join(row)} |", flush=True)
        STORE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    lines = [f"| {' | '.join(row)} |" for part in PARTS for row in rows.get(part, [])]
    head = "# Memory and disk\n\nWritten by `benchmarks/limits.py`, one run of each."
    table = [head, "", "| what | peak memory, or disk | besides |", "|---|---|---|", *lines, ""]
    TABLE.write_text("\n".join(table), encoding="utf-8")


if __name__ == "__main__":
    main()
