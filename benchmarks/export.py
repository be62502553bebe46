"""How fast feedback is exported and imported, and in how much memory: a table.

    python benchmarks/export.py --judgements 5000
    python benchmarks/export.py --judgements 100000    # the target: under 30 s, with memory that does not grow

A store is filled with comparisons of two responses each, one judgement a comparison, one in fifty of them edited later.
Each measurement is a process of its own, so that its peak memory is its own; the same is measured on a tenth of the
judgements, and memory is flat where the two peaks are alike.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from common import Stopwatch, peak_rss_mb

from plaudit.feedback.formats import find_format
from plaudit.feedback.formats._files import output
from plaudit.feedback.formats.incoming import Reading, import_file
from plaudit.feedback.formats.outgoing import export
from plaudit.feedback.store import Store
from plaudit.types import Dialogue, Judgement, Message, Question

FORMATS = ("plaudit", "hh-rlhf", "preference", "argilla", "label-studio")
WORDS = ("the", "a", "of", "reward", "policy", "clip", "better", "because", "cat", "Brücke", "🐈", "walks", "river")
BATCH = 1000


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def fill(path: Path, judgements: int) -> None:
    """A store with that many judgements in force."""
    rng = random.Random(0)
    with Store.open(path) as store:
        for start in range(0, judgements, BATCH):
            questions, items, said = [], [], []
            for number in range(start, min(start + BATCH, judgements)):
                prompt = Message("user", f"{number} {text(rng, 40)}")
                both = [Dialogue((prompt, Message("assistant", text(rng, 60)))) for _ in range(2)]
                question = Question("comparison", (both[0].id, both[1].id), "Which response is better?")
                strength = rng.choice((-4, -1, 1, 4))
                first = judgement(question, strength, rng)
                said += [first, judgement(question, -strength, rng, first.id)] if number % 50 == 0 else [first]
                questions.append(question)
                items += both
            store.ask(questions, items)
            store.answer(said)


def judgement(question: Question, strength: int, rng: random.Random, supersedes: str | None = None) -> Judgement:
    shown = 1.7e9 + rng.random() * 1e6
    times = (shown, shown + 2.0, shown + 4.0)
    identity = str(uuid.UUID(int=rng.getrandbits(128)))
    value = {"strength": strength}
    return Judgement(question.id, "ann", value, (1, 0), *times, identity, supersedes=supersedes)


def measure(what: str, store: Path, file: Path) -> dict[str, float]:
    """One measurement in this process."""
    watch = Stopwatch()
    if what == "import":
        with Store.open(store) as opened:
            result = import_file(opened, file, Reading("plaudit"))
        count = result.accepted
    else:
        with Store.open(store, create=False) as opened, output(file) as stream:
            count = export(opened, find_format(what), stream, array=False).objects
        if what == "plaudit":
            with file.open("rb") as lines:
                count = sum(line.startswith(b'{"judgement"') for line in lines)
    elapsed = watch.elapsed()
    size = file.stat().st_size / 2**20
    return {"seconds": elapsed.seconds, "judgements": count, "size": size, "peak": peak_rss_mb()}


def child(what: str, store: Path, file: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, str(store), str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of exporting and importing feedback.")
    parser.add_argument("--judgements", type=int, default=5000)
    parser.add_argument("--measure", nargs=3, metavar=("WHAT", "STORE", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, store, file = arguments.measure
        print(json.dumps(measure(what, Path(store), Path(file))))
        return
    few = max(arguments.judgements // 10, 1)
    print("| what | judgements | seconds | judgements/s | MiB written or read | peak MiB | peak MiB at a tenth |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.sqlite", Path(folder) / "large.sqlite"
        fill(small, few)
        fill(large, arguments.judgements)
        for what in (*FORMATS, "import"):
            found = []
            for name, store in (("small", small), ("large", large)):
                file = Path(folder) / f"{name}.{'plaudit' if what == 'import' else what}.jsonl"
                target = Path(folder) / f"{name}-again.sqlite" if what == "import" else store
                found.append(child(what, target, file))
            tenth, whole = found
            rate = whole["judgements"] / whole["seconds"]
            label = "import of plaudit" if what == "import" else f"export to {what}"
            print(
                f"| {label} | {whole['judgements']:,.0f} | {whole['seconds']:.1f} | {rate:,.0f} "
                f"| {whole['size']:.1f} | {whole['peak']:.0f} | {tenth['peak']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
