"""What every experiment does: train its configuration in a run folder, or go on with it, and write the report."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from plaudit.cli import main
from plaudit.run.control.assemble import check
from plaudit.run.control.config import Run, RunConfig
from plaudit.types import PlauditError


def start(name: str, config: RunConfig, baseline: bool = True) -> None:
    """Train ``config`` in runs/NAME-SEED; run again, it resumes. Exits with the command line's code.

    baseline: train on the true reward beside it, for the report.
    """
    parser = argparse.ArgumentParser(description=f"Experiment {name}: train, or go on, and write report.html.")
    parser.add_argument("--seed", type=int, default=config.seed)
    parser.add_argument("--steps", type=int, default=config.steps, help="environment steps, for a shorter trial")
    parser.add_argument("--out", type=Path, help="run folder; default: runs/NAME-SEED")
    options = parser.parse_args()
    folder = options.out or Path("runs") / f"{name}-{options.seed}"
    try:
        wanted = dataclasses.replace(config, seed=options.seed, steps=options.steps)
        _prepare(folder, wanted, baseline)
    except PlauditError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(["resume", str(folder)]))


def _prepare(folder: Path, config: RunConfig, baseline: bool) -> None:
    if not (folder / "config.json").exists():
        check(config)
        Run.create(folder, config)
    elif Run.open(folder).config != config:
        raise PlauditError(f"{folder} holds a run with other settings: choose another --out")
    if baseline and not (folder / "baseline" / "config.json").exists():
        Run.create(folder / "baseline", config)
