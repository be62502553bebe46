"""Speed against the peers: every workload in fresh processes, ours and theirs in turn, medians with spread.

    .venv/bin/python benchmarks/speed.py --repeats 3            # everything: about an hour on two idle cores
    .venv/bin/python benchmarks/speed.py --only pendulum duel   # some workloads; the others keep their rows

Writes benchmarks/results/speed.json (every single run) and benchmarks/speed.md (the table made from it).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, TABLE = HERE / "results" / "speed.json", HERE / "speed.md"
PEERS = {"imitation": "PLAUDIT_PEER_IMITATION", "sb3": "PLAUDIT_PEER_SB3"}
FIRST_SEED = 100  # our settings were chosen on other seeds
TIMEOUT = 3600  # seconds for one process: more means that something hangs


@dataclass(frozen=True)
class Workload:
    """One row of the table: commands that do the same work, each a script with its arguments."""

    title: str
    ours: dict[str, str]  # label -> arguments of ours.py
    peers: dict[str, str] = field(default_factory=dict)  # label -> "peer script arguments"
    altered: dict[str, str] = field(default_factory=dict)  # the peer as it does not come, for comparison
    floor: str | None = None  # arguments of ours.py for the work that cannot be left out
    rate: str = "steps_per_second"
    ratio: float | None = None  # at least so many times the peer's rate
    absolute: float | None = None  # at least this rate


LOOP = "imitation imitation_loop.py --comparisons 200 --iterations 5 --steps 300000 --env"
A2C = "sb3 sb3_a2c.py --env"
PONG = f"{A2C} pong --environments 8 --steps 40000 --episodes 0 --threads 2"
WORKLOADS = {
    "pendulum": Workload(
        "Whole loop, Pendulum-v1",
        ours={
            "plaudit, stepped as a batch": "loop Pendulum-v1 --steps 383040",
            "the same, 2 threads": "loop Pendulum-v1 --steps 383040 --threads 2",
            "plaudit, Gymnasium's own": "loop bench/Pendulum-v1 --steps 383040",
        },
        peers={"imitation": f"{LOOP} pendulum"},
        floor="environment Pendulum-v1 --environments 40",
        ratio=20,
    ),
    "cartpole": Workload(
        "Whole loop, CartPole-v1 at horizon 500",
        ours={
            "plaudit": "loop CartPole-v1 --steps 396640",
            "plaudit, 2 threads": "loop CartPole-v1 --steps 396640 --threads 2",
        },
        peers={"imitation": f"{LOOP} cartpole"},
        floor="environment CartPole-v1 --environments 40",
        ratio=20,
    ),
    "a2c-cartpole": Workload(
        "A2C, CartPole-v1, 16 environments",
        ours={"plaudit": "a2c CartPole-v1 --environments 16 --steps 300000"},
        peers={"stable-baselines3": f"{A2C} cartpole --environments 16 --steps 300000"},
        floor="environment CartPole-v1 --environments 16 --ends visible",
        ratio=3.5,
    ),
    "a2c-pong": Workload(
        "A2C, ALE/Pong-v5, 8 environments",
        ours={
            "plaudit, 1 thread": "a2c ALE/Pong-v5 --environments 8 --steps 40000 --threads 1",
            "plaudit, 2 threads": "a2c ALE/Pong-v5 --environments 8 --steps 40000 --threads 2",
        },
        peers={"stable-baselines3, 2 threads": f"{PONG} --cnn nature"},
        altered={"stable-baselines3 with our CNN, 2 threads": f"{PONG} --cnn paper"},
        floor="environment ALE/Pong-v5 --environments 8",
        ratio=4,
    ),
    "reward": Workload(
        "Reward fit, 200 comparisons of 100 steps",
        ours={"plaudit, 3 members": "reward --members 3", "plaudit, 1 member": "reward --members 1"},
        peers={"imitation, 1 member": "imitation imitation_reward.py"},
        floor="matmuls",
        rate="comparison_passes_per_second",
        ratio=10,
    ),
    "demo": Workload(
        "Training of make demo: Duel, 8 M steps, 300 comparisons",
        ours={"plaudit": "loop Duel --steps 8000000"},
        floor="environment Duel --environments 128",
        absolute=8e6 / 180,  # three minutes
    ),
    "duel": Workload(
        "Whole loop, Duel, 256 environments",
        ours={
            "plaudit, A2C, 3 members": "loop Duel --environments 256 --steps 8000000 --algorithm a2c --members 3",
            "plaudit, as by default": "loop Duel --environments 256 --steps 8000000",
            "the same, 2 threads": "loop Duel --environments 256 --steps 8000000 --threads 2",
        },
        floor="environment Duel --environments 256",
        absolute=300_000,
    ),
}


def command(text: str, peer: bool) -> list[str]:
    """The process for one line of a workload; a peer's interpreter comes from its variable or from .peers/."""
    words = text.split()
    if not peer:
        return [sys.executable, str(HERE / "ours.py"), *words]
    name, script, *rest = words
    default = HERE.parent / ".peers" / name / "bin" / "python"
    python = os.environ.get(PEERS[name], str(default))
    if not Path(python).exists():
        sys.exit(f"{python} not found: run benchmarks/peers/install.sh, or set {PEERS[name]} to the peer's Python")
    return [python, str(HERE / "peers" / script), *rest]


def measure(text: str, peer: bool, seed: int) -> dict[str, Any]:
    """Run one process alone and read the last line that it prints; its threads are what the line says, else 1."""
    words = text.split()
    threads = words[words.index("--threads") + 1] if "--threads" in words else "1"
    environment = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    process = subprocess.run(
        [*command(text, peer), "--seed", str(seed)], env=environment, capture_output=True, text=True, timeout=TIMEOUT
    )
    if process.returncode:
        sys.exit(f"{text} failed:\n{process.stderr[-2000:]}")
    return json.loads(process.stdout.strip().splitlines()[-1])


def run(workload: Workload, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Every side once per repeat, in alternating order, so that a machine that drifts drifts for all of them."""
    sides = [("floor", workload.floor, False)] if workload.floor else []
    sides += [(label, text, False) for label, text in workload.ours.items()]
    sides += [(label, text, True) for label, text in (workload.peers | workload.altered).items()]
    runs: dict[str, list[dict[str, Any]]] = {label: [] for label, _, _ in sides}
    for repeat in range(repeats):
        for label, text, peer in sides if repeat % 2 == 0 else sides[::-1]:
            runs[label].append(measure(text, peer, FIRST_SEED + repeat))
            rate = runs[label][-1][workload.rate]
            print(f"  {repeat + 1}/{repeats}  {label}: {rate:,.0f} {workload.rate}", flush=True)
    return runs


def summary(runs: list[dict[str, Any]], key: str) -> tuple[float, float, float] | None:
    """Median, smallest, largest; None where the side does not measure it."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return (median(values), min(values), max(values)) if values else None


def short(value: float) -> str:
    """Three significant figures with thousands in k and millions in M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def spread(triple: tuple[float, float, float] | None) -> str:
    """``median (smallest-largest)``."""
    if triple is None:
        return ""
    middle, low, high = (short(value) for value in triple)
    return f"{middle} ({low} to {high})"


def fastest(labels: dict[str, str], runs: dict[str, list[dict[str, Any]]], rate: str) -> float | None:
    """The best median rate among the variants of one side."""
    return max((median(run[rate] for run in runs[label]) for label in labels), default=None)


def rows(workload: Workload, runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The table's rows for one workload: one for each side; a ratio compares with the fastest peer."""
    peer = fastest(workload.peers, runs, workload.rate)
    floor = fastest({"floor": ""} if "floor" in runs else {}, runs, workload.rate)
    lines = []
    for label in (*workload.ours, *workload.peers, *workload.altered, *(["floor"] if floor else [])):
        side = runs[label]
        rate = median(run[workload.rate] for run in side)
        times = f"{rate / peer:.1f}x" if peer and label in workload.ours else ""
        share = f"{rate / floor:.0%}" if floor and label != "floor" else ""
        quality = spread(summary(side, "return_mean")) or spread(summary(side, "accuracy"))
        cells = [
            workload.title,
            label,
            spread(summary(side, workload.rate)),
            times,
            share,
            quality,
            spread(summary(side, "return_greedy")),
            short(median(run["steps"] for run in side)),
            f"{median(run['peak_rss_mb'] for run in side):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def verdict(workload: Workload, runs: dict[str, list[dict[str, Any]]]) -> str:
    """One sentence: the target and what was reached."""
    ours = fastest(workload.ours, runs, workload.rate) or 0.0
    peer = fastest(workload.peers, runs, workload.rate)
    if workload.ratio and peer:
        reached = ours / peer
        held = "held" if reached >= workload.ratio else "NOT held"
        others = [f"; {ours / median(run[workload.rate] for run in runs[x]):.1f} times {x}" for x in workload.altered]
        line = f"- {workload.title}: at least {workload.ratio:g} times the peer: {held}, {reached:.1f} times"
        return f"{line}{''.join(others)}."
    held = "held" if ours >= (workload.absolute or 0) else "NOT held"
    return f"- {workload.title}: at least {short(workload.absolute or 0)}/s: {held}, {short(ours)}/s."


def table(results: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    machine = results["machine"]
    head = ["workload", "side", "per second", "times peer", "of floor", "true return or accuracy", "greedy return"]
    head += ["steps", "peak MiB"]
    lines = [
        "# Speed",
        "",
        "Made by `benchmarks/speed.py`; what each column and workload means stands in [README.md](README.md).",
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}. "
        "Median (smallest to largest) of the repeats; ours and the peer's in turn.",
        "Per second: environment steps, or for the reward fit comparisons passed through training.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    measured = [
        (workload, results["workloads"][name])
        for name, workload in WORKLOADS.items()
        # runs of a workload that has other sides by now say nothing about it
        if {*workload.ours, *workload.peers, *workload.altered} <= results["workloads"].get(name, {}).keys()
    ]
    for workload, runs in measured:
        lines += rows(workload, runs)
    lines += ["", *(verdict(workload, runs) for workload, runs in measured), ""]
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    return {"processor": name, "cores": os.cpu_count(), "python": platform.python_version()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=sorted(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    results = json.loads(options.results.read_text()) if options.results.exists() else {"workloads": {}}
    results["machine"] = machine()
    for name in options.only:
        print(WORKLOADS[name].title, flush=True)
        results["workloads"][name] = run(WORKLOADS[name], options.repeats)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(results, indent=1) + "\n")
        options.table.write_text(table(results))
    print(options.table.read_text())


if __name__ == "__main__":
    main()
