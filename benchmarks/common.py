"""What every benchmark process shares: one measurement, one JSON line. Standard library only.

A peer's script runs in the peer's own virtual environment, so this module may import nothing that
such an environment might lack.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Elapsed:
    """Wall-clock time, and processor time of all threads, which other programs on the machine disturb less."""

    seconds: float
    cpu_seconds: float


class Stopwatch:
    """Starts when it is made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def elapsed(self) -> Elapsed:
        """Time since then."""
        return Elapsed(time.perf_counter() - self.wall, time.process_time() - self.cpu)


@dataclass(frozen=True)
class Measurement:
    """One timed workload. ``time`` starts after the imports and ends before the evaluation."""

    name: str
    time: Elapsed
    steps: int  # environment steps really taken, those for fragments included
    threads: int
    return_mean: float | None = None  # true return of the final policy, actions sampled
    return_std: float | None = None  # over episodes
    return_greedy: float | None = None  # true return of the final policy, most likely action
    episodes: int | None = None  # episodes behind each of the two returns
    comparison_passes: int | None = None  # comparisons times epochs (times members)
    accuracy: float | None = None  # of the fitted reward on fresh comparisons


def peak_rss_mb() -> float:
    """Largest resident set of this process so far, plus that of its largest finished child, in MiB."""
    kibibytes = 1 if sys.platform != "darwin" else 1 / 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children) * kibibytes / 1024


def report(record: dict[str, Any], peak_mb: float | None = None) -> None:
    """Print any record with the peak memory as one JSON line, the last line of the process."""
    print(json.dumps(record | {"peak_rss_mb": peak_rss_mb() if peak_mb is None else peak_mb}), flush=True)


def emit(measurement: Measurement, peak_mb: float) -> None:
    """Print the measurement with its rates as one JSON line, the last line of the process.

    ``peak_mb`` is taken by the caller when the clock stops, so that the evaluation does not count.
    """
    record = asdict(measurement)
    record |= record.pop("time")
    seconds = measurement.time.seconds
    record["steps_per_second"] = measurement.steps / seconds
    if measurement.comparison_passes is not None:
        record["comparison_passes_per_second"] = measurement.comparison_passes / seconds
    record["peak_rss_mb"] = peak_mb
    print(json.dumps(record), flush=True)
