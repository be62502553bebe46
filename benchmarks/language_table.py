"""The page that language.py writes: the rows, the targets, and what was compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import language_floor as floors

Runs = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Target:
    """What one side of ours must reach: times a peer's speed, a share of the floor, a share of its memory, or GB."""

    ours: str
    peer: str = ""
    ratio: float | None = None
    floor: float | None = None
    memory: float | None = None
    gigabytes: float | None = None


class Titled(Protocol):
    """What of a workload the page needs."""

    @property
    def title(self) -> str: ...
    @property
    def ours(self) -> dict[str, str]: ...
    @property
    def peers(self) -> dict[str, str]: ...
    @property
    def unit(self) -> str: ...
    @property
    def targets(self) -> tuple[Target, ...]: ...


def seconds(runs: list[dict[str, Any]]) -> list[float]:
    return [run["seconds"] for run in runs]


def ratios(ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> list[float]:
    """How many times as fast, repeat by repeat: what disturbs the machine for a while disturbs both."""
    return [theirs / own for own, theirs in zip(seconds(ours), seconds(peer), strict=True)]


def spread(values: list[float], places: str = ".3g") -> str:
    """``median (smallest to largest)``."""
    middle, low, high = (format(value, places) for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def gigabytes(runs: list[dict[str, Any]]) -> float:
    """Peak resident memory, the largest of the repeats."""
    return max(run["peak_rss_mb"] for run in runs) * 2**20 / 1e9


def precision(label: str) -> str:
    return "fp32" if "fp32" in label else "bf16"


def floor(name: str, label: str, results: dict[str, Any], runs: list[dict[str, Any]]) -> float | None:
    """Seconds that the work of a row needs at the least; None where none is worked out."""
    rates, work = results["workloads"][name]["rates"], results["work"].get(name)
    if name.startswith("decode"):
        batch = 16 if name == "decode-16" else 64
        return floors.decoding(rates, precision(label), batch, 64, runs[0]["tokens"] // batch)
    if work is None or "losses" not in runs[0]:
        return None
    whole = {"reward": 24, "dpo": 16}.get(name)
    share = runs[0]["pairs"] / whole if whole else runs[0]["tokens"] / work["tokens"]
    tokens, predicted = work.get("shared", work["tokens"]), 0 if name == "reward" else work["predicted"]
    return share * floors.training(rates, precision(label), tokens, predicted, 1 if name == "dpo" else 0)


def rows(name: str, workload: Titled, results: dict[str, Any]) -> list[str]:
    """A row for each side that was measured."""
    runs: Runs = results["workloads"][name]["runs"]
    lines = []
    for label in (*workload.ours, *workload.peers):
        if label not in runs:
            continue
        own = runs[label]
        least = floor(name, label, results, own)
        times = {
            peer: spread(ratios(own, runs[peer]), ".2f")
            for peer in workload.peers
            if label in workload.ours and peer in runs and precision(peer) == precision(label)
        }
        cells = [
            workload.title,
            label,
            spread(seconds(own)),
            spread([run[workload.unit] / run["seconds"] for run in own]),
            "<br>".join(f"{value} of {peer}" if len(times) > 1 else value for peer, value in times.items()),
            f"{least / median(seconds(own)):.0%}" if least else "",
            f"{gigabytes(own):.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def verdicts(name: str, workload: Titled, results: dict[str, Any]) -> list[str]:
    """A line for each target: what was to be reached and what was."""
    runs: Runs = results["workloads"][name]["runs"]
    lines = []
    for target in workload.targets:
        if target.ours not in runs or (target.peer and target.peer not in runs):
            continue
        own = runs[target.ours]
        if target.ratio is not None:
            reached = ratios(own, runs[target.peer])
            held = median(reached) >= target.ratio
            lines.append(said(target, held, f"{spread(reached, '.2f')} times", f"at least {target.ratio:g} times"))
        if target.floor is not None and (least := floor(name, target.ours, results, own)):
            share = least / median(seconds(own))
            lines.append(
                said(target, share >= target.floor, f"{share:.0%}", f"at least {target.floor:.0%} of the floor")
            )
        if target.memory is not None:
            share = gigabytes(own) / gigabytes(runs[target.peer])
            lines.append(
                said(target, share <= target.memory, f"{share:.2f}", f"at most {target.memory:g} of the memory")
            )
        if target.gigabytes is not None:
            peak = gigabytes(own)
            lines.append(said(target, peak < target.gigabytes, f"{peak:.2f} GB", f"under {target.gigabytes:g} GB"))
    return [f"- {workload.title}: {line}" for line in lines]


def said(target: Target, held: bool, reached: str, wanted: str) -> str:
    beside = f" of {target.peer}" if target.peer else ""
    return f"{target.ours}: {wanted}{beside}: {'held' if held else 'NOT held'}, {reached}."


def compared(title: str, check: dict[str, Any] | None) -> str:
    if check is None:
        return f"- {title}: nothing compared in this run."
    found = ", ".join(f"{name} {value:.2g}" for name, value in check["differences"].items())
    return f"- {title}: largest differences in fp32: {found}; up to {check['tolerance']:g} counts as equal."


def machine_rates(title: str, found: dict[str, Any]) -> str:
    """The rates that the floor of a workload rests on, measured before it."""
    flops, read = found["rates"]["flops"], found["rates"]["bytes"]
    return (
        f"- {title}, on {found['date']}: {flops['bf16'] / 1e9:,.0f} GFLOP/s in bf16, {flops['fp32'] / 1e9:,.0f} in "
        f"fp32, {read / 1e9:.1f} GB/s read."
    )


def page(results: dict[str, Any], workloads: Mapping[str, Titled]) -> str:
    """Everything as Markdown."""
    machine = results["machine"]
    measured = {name: each for name, each in workloads.items() if name in results["workloads"]}
    head = ["workload", "side", "seconds", "per second", "times the peer", "of floor", "peak GB"]
    used = "; ".join(f"{name}: {each}" for name, each in machine["versions"].items())
    lines = [
        "# Language models: speed and memory",
        "",
        "Written by `benchmarks/language.py`; what the workloads are stands in [README.md](../README.md).",
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, Python {machine['python']}. "
        f"SmolLM2-135M-Instruct. {used}.",
        "Median (smallest to largest) of the repeats; ratios are taken repeat by repeat. Per second: tokens written or "
        "trained on, pairs, or updates.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for name, workload in measured.items():
        lines += rows(name, workload, results)
    lines += ["", "## What was to be reached", ""]
    for name, workload in measured.items():
        lines += verdicts(name, workload, results)
    lines += ["", "## What the machine did", ""]
    lines += [machine_rates(each.title, results["workloads"][name]) for name, each in measured.items()]
    lines += ["", "## What was compared first", ""]
    lines += [compared(each.title, results["workloads"][name]["check"]) for name, each in measured.items()]
    return "\n".join([*lines, ""])
