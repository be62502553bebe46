"""`plaudit demo`: where RLHF goes wrong, run and seen in two minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from plaudit import layout
from plaudit.api.console import console, free_folder, say, write_line
from plaudit.cli.arguments import parse
from plaudit.demos.demonstration import describe, list_demos, load_demo, run_demo
from plaudit.types import PlauditError

HELP = """Run a demonstration of where RLHF goes wrong: the number, its null control, a film or a plot, and what helps.

Without a name it lists the demonstrations. Each takes at most two minutes on two cores, and writes report.html.

examples:
  plaudit demo
  plaudit demo grasp
  plaudit demo hits --seed 1 --out runs/hits-1"""


@dataclass(frozen=True)
class DemoArguments:
    """`plaudit demo [NAME]`."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """Demonstration; without a name they are listed."""
    seed: int = 0
    """Seed of everything random."""
    out: Path | None = None
    """New folder; default: runs/demo-NAME, with a number if that exists."""


def demo(arguments: list[str]) -> int:
    """`plaudit demo [NAME]`."""
    parsed = parse(DemoArguments, arguments, "demo", HELP)
    if not parsed.name:
        names = list_demos()
        width = max(map(len, names))
        for name in names:
            write_line(f"  {name:<{width}}  {load_demo(name).TITLE}")
        write_line("\nplaudit demo NAME runs one and writes its report.")
        return 0
    if parsed.seed < 0:
        raise PlauditError(f"--seed must not be negative, got {parsed.seed}")
    torch.set_num_threads(1)  # small networks are faster on one
    folder = parsed.out or free_folder(f"demo-{parsed.name}")
    load_demo(parsed.name)  # an unknown name leaves no folder
    with console.status(parsed.name) as status:
        result = run_demo(parsed.name, folder, parsed.seed, status.update if console.is_terminal else say)
    write_line(describe(result))
    write_line(f"\nreport: {folder / layout.REPORT}")
    return 0
