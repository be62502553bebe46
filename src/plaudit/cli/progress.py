"""A bar of what is under way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.cli.arguments import console


@contextlib.contextmanager
def bar() -> Iterator[Callable[[str, int, int, str], None]]:
    """Yields what is told a stage, how much of it is done, of how much, and facts.

    A bar with the time that is left where there is a terminal; ten lines of each stage where there is none.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task, said, stage_now = progress.add_task("reading", total=None, facts=""), ("", -1), ""

        def told(stage: str, done: int, total: int, facts: str) -> None:
            nonlocal said, stage_now
            if stage != stage_now:  # the time that is left is the stage's
                progress.reset(task)
                stage_now = stage
            progress.update(task, description=stage, completed=done, total=total, facts=facts)
            tenth = (stage, 10 * done // max(total, 1))
            if not console.is_terminal and tenth != said:
                console.print(f"{stage:>10} {done:>6}/{total}  {facts}", highlight=False, soft_wrap=True)
                said = tenth

        yield told
