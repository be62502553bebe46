"""PPO on the true reward of MuJoCo environments, beside stable-baselines3's: a table, results/mujoco.md.

    python benchmarks/mujoco.py                                  # all runs: some seven hours of one core
    python benchmarks/mujoco.py --only Hopper-v5 --seeds 0       # some of them; the rest follows another time
    python benchmarks/mujoco.py --jobs 4                         # four runs at a time

Both have stable-baselines3's default settings and a million steps. Ends of episodes are hidden from Plaudit's learner,
as they are in every run that learns from judgements. Each run is a process of one thread, and its result is kept in
results/mujoco.json, so that a second call goes on where the first one stopped. Results do not depend on what else runs.
PLAUDIT_PEER_SB3 names a Python that has stable-baselines3 and gymnasium[mujoco].
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEER = os.environ.get("PLAUDIT_PEER_SB3", str(HERE.parent / ".peers/sb3/bin/python"))
SIDES = {"plaudit": (sys.executable, "ours_ppo_mujoco.py"), "sb3": (PEER, "sb3_ppo_mujoco.py")}
ENVIRONMENTS = ("Hopper-v5", "HalfCheetah-v5", "Walker2d-v5")
STEPS = 1_000_000
AIM = 0.9  # of stable-baselines3's mean return
STORE, TABLE = HERE / "results" / "mujoco.json", HERE / "results" / "mujoco.md"


def measure(side: str, environment: str, seed: int) -> dict[str, Any]:
    """One run in a process of its own: its JSON line, with its CPU minutes.

    Raises:
        RuntimeError: the process failed.
    """
    python, script = SIDES[side]
    command = [python, str(HERE / "peers" / script), environment, str(seed), str(STEPS)]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | threads) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError(f"{side} on {environment} with seed {seed} failed")
    return json.loads(output.splitlines()[-1]) | {"cpu_minutes": (usage.ru_utime + usage.ru_stime) / 60}


def returns(results: dict[str, Any], side: str, environment: str) -> dict[int, float]:
    """Mean return by seed."""
    rows = [row for row in results.values() if (row["library"], row["environment"]) == (side, environment)]
    return {row["seed"]: row["return"] for row in rows}


def table(results: dict[str, Any]) -> str:
    """The results as Markdown; only seeds that both sides have are compared."""
    lines = ["| environment | seeds | Plaudit | stable-baselines3 | ratio of means | CPU minutes a run |"]
    lines.append("|---|---|---|---|---|---|")
    for environment in ENVIRONMENTS:
        ours, theirs = (returns(results, side, environment) for side in SIDES)
        seeds = sorted(ours.keys() & theirs.keys())
        if not seeds:
            continue
        means = [statistics.mean(side[seed] for seed in seeds) for side in (ours, theirs)]
        cells = [", ".join(f"{side[seed]:,.0f}" for seed in seeds) for side in (ours, theirs)]
        minutes = [
            statistics.mean(results[f"{side} {environment} {seed}"]["cpu_minutes"] for seed in seeds) for side in SIDES
        ]
        ratio = means[0] / means[1]
        verdict = "" if ratio >= AIM else f"; {AIM} was aimed at"
        lines.append(
            f"| {environment} | {', '.join(map(str, seeds))} | {cells[0]} | {cells[1]} | {ratio:.2f}{verdict} "
            f"| {minutes[0]:.0f} and {minutes[1]:.0f} |"
        )
    head = (
        "# PPO on MuJoCo's true rewards\n\nWritten by `benchmarks/mujoco.py`: a million steps, the mean return of 20 "
        "fresh episodes with sampled actions, by seed."
    )
    return "\n".join([head, "", *lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="PPO on MuJoCo beside stable-baselines3's: a table.")
    parser.add_argument("--only", nargs="+", choices=ENVIRONMENTS, default=ENVIRONMENTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; each takes one core")
    arguments = parser.parse_args()
    results = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
    runs = [(side, environment, seed) for seed in arguments.seeds for environment in arguments.only for side in SIDES]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        waiting = {pool.submit(measure, *run): run for run in runs if "{} {} {}".format(*run) not in results}
        for future in as_completed(waiting):
            results["{} {} {}".format(*waiting[future])] = future.result()
            STORE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(future.result(), flush=True)
    TABLE.write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
