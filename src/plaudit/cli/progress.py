"""A bar of what is under way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.cli.arguments import console


@contextlib.contextmanager
def bar(first: str = "reading", lines: int = 10, every: str = "") -> Iterator[Callable[[str, int, int, str], None]]:
    """Yields what is told a stage, how much of it is done, of how much, and facts.

    A bar with the time that is left where there is a terminal; where there is none, so many lines of each stage, and
    all of the stage ``every``. first: what is under way until something is told.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task, said, stage_now = progress.add_task(first, total=None, facts=""), ("", ""), ""

        def told(stage: str, done: int, total: int, facts: str) -> None:
            nonlocal said, stage_now
            if stage != stage_now:  # the time that is left is the stage's
                progress.reset(task)
                stage_now = stage
            progress.update(task, description=stage, completed=done, total=total, facts=facts)
            mark = (stage, facts if stage == every else str(lines * done // max(total, 1)))
            if not console.is_terminal and mark != said:
                console.print(f"{stage:>20} {done:>5}/{total}  {facts}", highlight=False, soft_wrap=True)
                said = mark

        yield told
