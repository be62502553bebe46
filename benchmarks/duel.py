"""How good Duel gets from comparisons, against A2C on the true reward with the same steps.

    python benchmarks/duel.py headline      10 seeds: oracle 300, mistake 600, true reward, with PPO and with A2C
    python benchmarks/duel.py curve         labels against return, each simulated annotator
    python benchmarks/duel.py offline       all labels from the untrained policy

Every run is written to benchmarks/results/duel.jsonl as it ends, so a second call goes on where the first stopped;
the tables in benchmarks/results/duel.md are made from that file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from plaudit.annotators.biased import SIMULATED_ANNOTATORS
from plaudit.control.collect import VectorCollector
from plaudit.control.ends import AbsorbAfterEnd
from plaudit.control.make import make
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run, RunConfig, defaults
from plaudit.run.control.look import clip_of, measure_returns, policy_of
from plaudit.run.control.true_reward import true_reward_session
from plaudit.types import TrueReward

RESULTS = Path(__file__).parent / "results"
EPISODES = 512
# Student's t for a 95 % interval of the mean of 2, 3, ... 10 runs
T975 = dict(enumerate((12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262), start=2))
CURVE_STEPS = 3_000_000
BUDGETS = (50, 100, 200, 400, 800)
OFFLINE = (300, 1200)


def configuration(job: dict[str, Any]) -> RunConfig:
    """The run that a job describes."""
    config = defaults("Duel", job["algorithm"])
    feedback = dataclasses.replace(config.feedback, labels=job["budget"] or 1, offline=job["offline"])
    return dataclasses.replace(
        config,
        seed=job["seed"],
        steps=job["steps"],
        annotator=job["annotator"] or "oracle",
        feedback=feedback,
        threads=1,
    )


def work(job: dict[str, Any]) -> dict[str, Any]:
    """One run in a folder of its own: true return over fresh episodes, and what it took."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", configuration(job))
        session, close = (true_reward_session if job["annotator"] is None else preference_session)(run)
        started = time.perf_counter()
        last = list(session.rounds())[-1]
        seconds = time.perf_counter() - started
        close()
        returns = measure_returns(run, EPISODES)
        seen: dict[str, float] = {}
        if job["offline"]:  # do volleys end? Christiano et al. 2017, section 3.3, saw that they may not
            seen = points(run)
            if job["seed"] == 0:
                (RESULTS / clip_name(job["budget"])).write_bytes(clip_of(run, run.load()).webm)
    kept = {name: last[name] for name in ("labels", "holdout_accuracy", "lapse") if name in last}
    return job | {"return": float(returns.mean()), "seconds": seconds, "run_steps": last["step"], **kept, **seen}


def points(run: Run) -> dict[str, float]:
    """Points won and lost by the final policy in an episode, mean over fresh ones."""
    envs = make(dataclasses.replace(run.config.environment, num_envs=EPISODES))
    assert isinstance(envs, AbsorbAfterEnd)
    true: list[TrueReward] = []
    collector = VectorCollector(envs, policy_of(run, run.load(), envs), true.append)
    collector.reset(np.random.SeedSequence(EPISODES))
    collector.collect(envs.horizon)
    envs.close()
    return {"won": float((true[0].rewards > 0).sum()) / EPISODES, "lost": float((true[0].rewards < 0).sum()) / EPISODES}


def clip_name(budget: int) -> str:
    """File in results/ with a clip of seed 0, taught before training only."""
    return f"duel-offline-{budget}.webm"


def jobs(what: str, seeds: int) -> Iterator[dict[str, Any]]:
    """What each table needs."""
    full = defaults("Duel").steps
    for seed in range(seeds):
        if what == "headline":
            for algorithm in ("ppo", "a2c"):
                yield job(None, 0, full, seed, algorithm=algorithm)
                yield job("oracle", 300, full, seed, algorithm=algorithm)
                yield job("mistake", 600, full, seed, algorithm=algorithm)
        elif what == "curve":
            yield job(None, 0, CURVE_STEPS, seed)
            for budget in BUDGETS:
                for annotator in SIMULATED_ANNOTATORS:
                    if annotator != "random":
                        yield job(annotator, budget, CURVE_STEPS, seed)
            yield job("random", 800, CURVE_STEPS, seed)
        else:
            for budget in OFFLINE:
                yield job("oracle", budget, full, seed, offline=True)


def job(
    annotator: str | None, budget: int, steps: int, seed: int, offline: bool = False, algorithm: str = "ppo"
) -> dict[str, Any]:
    """annotator None: the true reward."""
    return {
        "annotator": annotator,
        "budget": budget,
        "steps": steps,
        "seed": seed,
        "offline": offline,
        "algorithm": algorithm,
    }


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two runs the same run."""
    return tuple(row[name] for name in ("annotator", "budget", "steps", "seed", "offline", "algorithm"))


def load() -> list[dict[str, Any]]:
    """Runs that were measured before."""
    path = RESULTS / "duel.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def summary(values: list[float]) -> str:
    """Mean and 95 % interval over runs."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.2f}"
    half = T975.get(len(values), 1.96) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.2f} [{mean - half:.2f}, {mean + half:.2f}]"


def chosen(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """Rows in which every named value is as wanted."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def returns(rows: list[dict[str, Any]], **wanted: Any) -> list[float]:
    """Final true returns of those rows."""
    return [row["return"] for row in chosen(rows, **wanted)]


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown from all measured runs."""
    full = defaults("Duel").steps
    lines = [
        "# Duel from comparisons",
        "",
        f"Made by `benchmarks/duel.py`. True return of 400 steps, mean over seeds with its 95 % interval; each seed is "
        f"evaluated on {EPISODES} fresh episodes. A random policy gets about -10.6, the exact optimum about 11.8.",
        "",
        f"## {full:,} steps",
        "",
        "| learner | comparisons | runs | true return | of A2C, true reward | of itself, true reward | seconds a run |",
        "|---|---|---|---|---|---|---|",
    ]
    a2c = returns(rows, annotator=None, steps=full, algorithm="a2c")
    for algorithm, annotator, budget, offline in [
        *((a, t, b, False) for a in ("a2c", "ppo") for t, b in ((None, 0), ("oracle", 300), ("mistake", 600))),
        *(("ppo", "oracle", budget, True) for budget in OFFLINE),
    ]:
        some = chosen(rows, algorithm=algorithm, annotator=annotator, budget=budget, offline=offline, steps=full)
        base = returns(rows, algorithm=algorithm, annotator=None, steps=full)
        if not some or not base or not a2c:
            continue
        values = [row["return"] for row in some]
        shares = [statistics.fmean(values) / statistics.fmean(b) for b in (a2c, base)]
        name = f"{algorithm.upper()}, {annotator or 'true reward'}" + (", all asked before training" if offline else "")
        seconds = statistics.median(row["seconds"] for row in some)
        lines.append(
            f"| {name} | {budget or ''} | {len(values)} | {summary(values)} | {shares[0]:.1%} | {shares[1]:.1%} "
            f"| {seconds:.0f} |"
        )
    return "\n".join([*lines, *offline_lines(rows), *curve_table(rows)]) + "\n"


def offline_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Whether a policy that was taught before training only wins points, or plays volleys without end."""
    lines = []
    for budget in OFFLINE:
        some = chosen(rows, offline=True, budget=budget, steps=defaults("Duel").steps, algorithm="ppo")
        if some:
            won, lost = (statistics.fmean(row[name] for row in some) for name in ("won", "lost"))
            lines += [
                "",
                f"All {budget} asked before training: {won:.1f} points won and {lost:.1f} lost in 400 steps "
                f"({len(some)} runs; [a clip of seed 0]({clip_name(budget)})).",
            ]
    return lines


def curve_table(rows: list[dict[str, Any]]) -> list[str]:
    """Labels against return for every simulated annotator."""
    rows = chosen(rows, steps=CURVE_STEPS, algorithm="ppo")
    base = returns(rows, annotator=None)
    if not base:
        return []
    lines = [
        "",
        f"## Comparisons against return, {CURVE_STEPS:,} steps",
        "",
        f"PPO on the true reward reaches {summary(base)} with these steps ({len(base)} runs).",
        "",
        "![Return against comparisons, a line for each simulated annotator](duel-curve.svg)",
        "",
        "| simulated annotator | " + " | ".join(str(b) for b in BUDGETS) + " |",
        "|---" * (len(BUDGETS) + 1) + "|",
    ]
    for annotator in SIMULATED_ANNOTATORS:
        cells = [returns(rows, annotator=annotator, budget=b) for b in BUDGETS]
        if any(cells):
            lines.append(f"| {annotator} | " + " | ".join(summary(c) if c else "" for c in cells) + " |")
    return lines


def curve_picture(rows: list[dict[str, Any]], path: Path) -> None:
    """The same as a picture: mean over seeds, every seed as a point."""
    rows = chosen(rows, steps=CURVE_STEPS, algorithm="ppo")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for number, annotator in enumerate(t for t in SIMULATED_ANNOTATORS if t != "random"):
        cells = [returns(rows, annotator=annotator, budget=b) for b in BUDGETS]
        if all(cells):
            axes.plot(BUDGETS, [statistics.fmean(c) for c in cells], color=f"C{number}", label=annotator)
            for budget, cell in zip(BUDGETS, cells, strict=True):
                axes.plot([budget] * len(cell), cell, ".", color=f"C{number}", markersize=4)
    for value, label in (
        (returns(rows, annotator=None), "true reward"),
        (returns(rows, annotator="random"), "random answers"),
    ):
        if value:
            axes.axhline(statistics.fmean(value), color="grey", linestyle=":")
            axes.text(BUDGETS[0], statistics.fmean(value), f" {label}", color="grey", va="bottom")
    axes.set(xscale="log", xlabel="comparisons", ylabel="true return of 400 steps")
    axes.set_xticks(BUDGETS, [str(b) for b in BUDGETS], minor=False)
    axes.minorticks_off()
    axes.legend(frameon=False, loc="lower right")
    with mpl.rc_context({"svg.hashsalt": "plaudit"}):  # the same rows make the same file
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["headline", "curve", "offline", "tables"])
    parser.add_argument("--seeds", type=int, default=None, help="runs a cell (10; curve 3, offline 5)")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    rows = load()
    if arguments.what != "tables":
        seeds = arguments.seeds or {"headline": 10, "curve": 3, "offline": 5}[arguments.what]
        done = {key(row) for row in rows}
        todo = [j for j in jobs(arguments.what, seeds) if key(j) not in done]
        context = multiprocessing.get_context("spawn")
        with context.Pool(arguments.processes) as pool, (RESULTS / "duel.jsonl").open("a", newline="\n") as file:
            started = time.perf_counter()
            for number, row in enumerate(pool.imap_unordered(work, todo), 1):
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
                left = (time.perf_counter() - started) / number * (len(todo) - number)
                print(
                    f"{number}/{len(todo)}  {row['annotator']} {row['budget']}: {row['return']:.2f}  {left:.0f} s left"
                )
    (RESULTS / "duel.md").write_text(tables(rows), newline="\n")
    if chosen(rows, steps=CURVE_STEPS, annotator=None):
        curve_picture(rows, RESULTS / "duel-curve.svg")
    print(tables(rows))


if __name__ == "__main__":
    main()
