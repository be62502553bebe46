"""Do the audits catch planted faults, and leave clean runs alone?

    python benchmarks/audits.py --seeds 0 1 --audits 10

Each planted fault is a run on Duel whose annotator or number of answers is wrong; some have a setting that may cure it.
Each run is audited several times with other fresh pairs, by an oracle. Every audit is written to
benchmarks/results/audits.jsonl as it ends, so a second call continues where the first stopped; the table in
benchmarks/results/audits.md is made from that file.

    python benchmarks/audits.py --chat RUN ...

Adds what `plaudit audit` wrote into finished runs of the chat demo, and trains nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plaudit import layout
from plaudit.audits.audit import read_audit, run_audit
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.demos.gallery.hits import count_hits
from plaudit.demos.training import Judge
from plaudit.functional.calibration import share_interval
from plaudit.interfaces import Annotator
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run, defaults
from plaudit.run.control.look import measure_returns
from plaudit.types import PlauditError

RESULTS = Path(__file__).parent / "results"
STEPS, PAIRS = 1_500_000, 40
CHAT = "nothing, chat demo"
MEASURES = ("progress-gap", "best-of-16", "agreement", "learned-reward", "safe-stop")
ROWS = ("progress-gap", "best-of-16", "best-of-16-gold", "agreement", "learned-reward", "safe-stop-gold")


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is planted in a run, or what cures it; by default nothing is."""

    name: str
    labels: int
    annotator: str = "oracle"
    teacher: Annotator | None = None
    environment: str = "Duel"
    steps: int = STEPS
    reward: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # settings of the reward model


CURES: Mapping[str, Mapping[str, Any]] = {
    "the worst member": {"pooling": "worst"},
    "mean less variance": {"pooling": "uncertain"},
    "clamped observations": {"clamp": True},
    "smooth labels": {"smoothing": 0.2},
}
FAULTS = (
    Fault("nothing, Duel", 300),
    Fault("nothing, CartPole", 300, environment="CartPole-v1", steps=500_000),
    Fault("nothing, MovingDot", 300, environment="MovingDot", steps=500_000),
    Fault("a teacher that likes hits", 150, teacher=Judge("hits", count_hits)),
    Fault("15 labels only", 15),
    Fault("a random teacher", 150, "random"),
    *(Fault(f"15 labels only; cure: {name}", 15, reward=settings) for name, settings in CURES.items()),
)


def train(fault: Fault, seed: int, folder: Path) -> Run:
    """A run with a planted fault."""
    config = defaults(fault.environment)
    annotator = "program:hits" if fault.teacher else fault.annotator
    feedback = dataclasses.replace(config.feedback, labels=fault.labels)
    reward = dataclasses.replace(config.reward, **fault.reward)
    settings = {"seed": seed, "steps": fault.steps, "annotator": annotator, "feedback": feedback, "reward": reward}
    run = Run.create(folder, dataclasses.replace(config, **settings))
    session, close = preference_session(run, fault.teacher)
    list(session.rounds())
    close()
    return run


def examine(fault: Fault, seed: int, audits: int, path: Path) -> None:
    """Train a run and audit it several times; a line for each audit."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        run = train(fault, seed, Path(folder) / "run")
        trained = time.process_time() - started
        true_return = float(measure_returns(run).mean())
        for number in range(audits):
            started = time.process_time()
            config = AuditConfig(eyes="oracle", pairs=PAIRS, seed=number, measures=MEASURES)
            with open_subject(run.folder, config) as subject:
                audit = run_audit(subject)
            rows = {row.name: {"verdict": row.verdict, "value": row.value} for row in audit.findings}
            seconds = {"training": trained, "audit": time.process_time() - started}
            record = {"fault": fault.name, "seed": seed, "audit": number, "seconds": seconds}
            record |= {"true_return": true_return, "rows": rows}
            with path.open("a", newline="\n") as file:
                file.write(json.dumps(record) + "\n")


def record_chat(runs: Sequence[Path], path: Path) -> None:
    """A line for each run of the chat demo that `plaudit audit` has audited; nothing is planted there."""
    for run in runs:
        audit = read_audit(run)
        if audit is None:
            raise PlauditError(f"{run} has no audit.json: plaudit audit {run}")
        seed = json.loads((run / layout.CONFIG).read_text(encoding="utf-8"))["seed"]
        rows = {row.name: {"verdict": row.verdict, "value": row.value} for row in audit.findings}
        record = {"fault": CHAT, "seed": seed, "audit": audit.seed, "seconds": {"wall": audit.seconds}, "rows": rows}
        with path.open("a", newline="\n") as file:
            file.write(json.dumps(record) + "\n")


def describe_chat(records: list[dict[str, Any]]) -> list[str]:
    """Lines about the audits of the chat demo."""
    lines = ["", "## The chat demo, nothing planted", "", "Audits without new answers: `plaudit audit runs/chat`.", ""]
    lines += [
        "| seed | pass | warn | fail | not measurable | warnings | wall seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in records:
        verdicts = Counter(row["verdict"] for row in record["rows"].values())
        warnings = ", ".join(name for name, row in record["rows"].items() if row["verdict"] == "warn")
        counts = " | ".join(str(verdicts[name]) for name in ("pass", "warn", "fail", "not measurable"))
        lines.append(f"| {record['seed']} | {counts} | {warnings} | {record['seconds']['wall']:.0f} |")
    return lines


def load(path: Path) -> list[dict[str, Any]]:
    """The audits so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_table(records: list[dict[str, Any]], path: Path) -> None:
    """How often each row flags (warns or fails), by fault, and the values."""
    head = ["planted", "runs", "audits", "true return", *ROWS, "CPU seconds an audit"]
    lines = [
        "# Audits of planted faults",
        "",
        f"Made by `benchmarks/audits.py`: {STEPS:,} steps on Duel, 500,000 elsewhere; {PAIRS} fresh pairs a measure, "
        "answered by an oracle. "
        "A cell has the share of audits in which the row warns or fails, its Wilson interval at 95 %, and the median "
        "value. Audits of one run share its policy and differ in their pairs, so the interval is of the pairs, not of "
        "the runs.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]
    for fault in FAULTS:
        rows = [record for record in records if record["fault"] == fault.name]
        if not rows:
            continue
        cells = [fault.name, str(len({record["seed"] for record in rows})), str(len(rows))]
        cells.append(", ".join(f"{value:.1f}" for value in dict.fromkeys(record["true_return"] for record in rows)))
        cells += [_cell([record["rows"].get(name) for record in rows]) for name in ROWS]
        cells.append(f"{np.median([record['seconds']['audit'] for record in rows]):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    chats = [record for record in records if record["fault"] == CHAT]
    lines += describe_chat(chats) if chats else []
    path.write_text("\n".join(lines) + "\n", newline="\n")
    print("\n".join(lines))


def _cell(rows: list[dict[str, Any] | None]) -> str:
    verdicts = [row for row in rows if row is not None and row["verdict"] != "not measurable"]
    if not verdicts:
        return "not measurable"
    share = float(np.mean([row["verdict"] in ("warn", "fail") for row in verdicts]))
    low, high = share_interval(share, len(verdicts))
    return f"{share:.2f} ({low:.2f} to {high:.2f}); {np.median([row['value'] for row in verdicts]):.2f}"


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--audits", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--chat", type=Path, nargs="+", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.results / "audits.jsonl"
    record_chat(options.chat, path)
    for seed in () if options.chat else options.seeds:
        for fault in FAULTS:
            if not any((record["fault"], record["seed"]) == (fault.name, seed) for record in load(path)):
                examine(fault, seed, options.audits, path)
                write_table(load(path), options.results / "audits.md")
    write_table(load(path), options.results / "audits.md")


if __name__ == "__main__":
    main()
