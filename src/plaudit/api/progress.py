"""The progress bar of what runs on language models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.api.console import console


@contextlib.contextmanager
def bar(
    first: str = "reading", lines: int = 10, verbose: str = "", console: Console = console
) -> Iterator[Callable[[str, int, int, str], None]]:
    """Yields a function that takes a stage, how much of it is done, of how much, and facts.

    On a terminal it draws a bar with the time that is left; elsewhere it prints a number of ``lines`` per stage, and
    every change of the stage ``verbose``. first: the stage shown before the first call.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task, last_mark, current_stage = progress.add_task(first, total=None, facts=""), ("", ""), ""

        def report_progress(stage: str, done: int, total: int, facts: str) -> None:
            nonlocal last_mark, current_stage
            if stage != current_stage:  # the time that is left is the stage's
                progress.reset(task)
                current_stage = stage
            progress.update(task, description=stage, completed=done, total=total, facts=facts)
            mark = (stage, facts if stage == verbose else str(lines * done // max(total, 1)))
            if not console.is_terminal and mark != last_mark:
                console.print(f"{stage:>20} {done:>5}/{total}  {facts}", highlight=False, soft_wrap=True)
                last_mark = mark

        yield report_progress
