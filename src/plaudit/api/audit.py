"""``plaudit.audit``."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from plaudit import layout
from plaudit.annotators.own import check_annotator
from plaudit.api.console import console, quiet, say
from plaudit.api.paths import check_path
from plaudit.api.serving import web_app
from plaudit.audits.audit import Audit, run_audit
from plaudit.audits.cards import fill_cards
from plaudit.audits.page import link_report, write_page
from plaudit.audits.subject import AuditConfig, Subject, open_subject
from plaudit.feedback.store import Store
from plaudit.interfaces import Annotator
from plaudit.run.record import RunFolder
from plaudit.types import PlauditError

POLL_SECONDS = 0.5
FILES = ("text", "data", "style_pairs", "groups")  # settings that name files
PARAMETERS = ("out", "progress", "trust")  # of `audit` next to the settings
GUESSES = {"annotator": "eyes", "judge": "eyes", "labels": "pairs"}


def audit(
    run: RunFolder[Any] | str | os.PathLike[str],
    /,
    *,
    eyes: Annotator | str | None = None,
    pairs: int = 40,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    trust: bool = False,
    **settings: Any,
) -> Audit:
    """Measure where RLHF went wrong on a run, a reward model or data, as `plaudit audit` does.

    The audit's files stand in the folder that is audited: ``audit.json``, ``audit.html``, and in ``audit/`` the fresh
    answers. The same call after a stop asks only what was not answered.

    Args:
        run: a run's folder, or the run that `plaudit.train` returned; the folder of a reward model; a store, or a file
            of preferences.
        eyes: who answers fresh pairs: an object as in `plaudit.train`, or a name, such as ``"oracle"``, ``"people"``,
            ``"rule:brief"`` or ``"module:factory"``; None: nothing new is asked.
        pairs: number of fresh pairs that each measure asks about.
        seed: of the pairs.
        out: folder of the audit's files; None: the folder that is audited, or NAME-audit next to a file.
        progress: show progress on standard error.
        trust: use the programs and files that the settings of somebody else's run name.
        settings: any other field of `plaudit.audits.subject.AuditConfig`: ``measures=("agreement",)``,
            ``data=["held-out.jsonl"]``, ``cures=True``.

    Returns:
        The audit: its ``findings``, ``summary`` and ``failed``.

    Raises:
        PlauditError: there is nothing that can be audited; an unknown annotator, measure or setting.
    """
    path = run.folder if isinstance(run, RunFolder) else check_path(run, "run")
    if eyes is None or isinstance(eyes, str):
        name, instance = eyes, None
    else:
        instance = check_annotator(eyes)
        name = instance.name
    values: dict[str, Any] = {key: _as_paths(value, key) if key in FILES else value for key, value in settings.items()}
    for key in ("measures", "shift"):
        if isinstance(values.get(key), str):
            values[key] = (values[key],)
    _check_names(values)
    config = AuditConfig(eyes=name, pairs=pairs, seed=seed, **values)
    with open_subject(path, config, trust, None if out is None else check_path(out, "out")) as subject:
        subject.annotator = instance
        return write_audit(subject, console if progress else quiet)


def _check_names(settings: Mapping[str, Any]) -> None:
    names = [field.name for field in dataclasses.fields(AuditConfig)]
    for name in settings:
        if name not in names:
            nearest = (
                [GUESSES[name]] if name in GUESSES else difflib.get_close_matches(name, [*names, *PARAMETERS], n=1)
            )
            hint = f"did you mean {nearest[0]}?" if nearest else f"choose from {', '.join([*names, *PARAMETERS])}"
            raise PlauditError(f"audit has no setting {name!r}: {hint}")


def _as_paths(files: Any, name: str) -> tuple[Path, ...]:
    """One file or several, as paths."""
    paths = files if isinstance(files, list | tuple) else (files,)
    return tuple(check_path(file, name) for file in paths)


def write_audit(subject: Subject, terminal: Console = console, address: tuple[str, int] = ("127.0.0.1", 8777)) -> Audit:
    """Take the measures of a subject, and write audit.json and audit.html.

    address: host and port of the web app, if people answer.
    """
    texts = (TextColumn(text, markup=False) for text in ("{task.fields[stage]}", "{task.description}"))
    columns = (SpinnerColumn(), next(texts), BarColumn(bar_width=24), next(texts))
    bar = Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)
    with contextlib.ExitStack() as ending, bar as progress:
        task = progress.add_task("audit", total=None, stage="")

        def report_progress(line: str) -> None:
            progress.update(task, description=line)

        def report_stage(stage: str, done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, stage=stage)

        open_folders: set[Path] = set()
        waits = True  # until the user presses Ctrl-C

        def host(folder: Path) -> None:
            nonlocal waits
            if not waits:
                return
            if folder not in open_folders:
                open_folders.add(folder)
                run = subject.path if subject.path.is_dir() else None
                ending.enter_context(web_app(folder, *address, people=True, scene=run))
            waits = _wait(folder, report_progress)

        subject.host = host
        subject.report_progress = report_progress if terminal.is_terminal else _print_lines(terminal)
        subject.report_stage = report_stage
        result = run_audit(subject.check_config())
    result.write(subject.folder)
    write_page(result, subject.folder)
    link_report(result, subject.folder)
    fill_cards(result, subject.folder)
    return result


def _print_lines(terminal: Console) -> Any:
    def print_line(line: str) -> None:
        terminal.print(line, highlight=False, markup=False, soft_wrap=True)

    return print_line


def _wait(folder: Path, report_progress: Any) -> bool:
    """Wait until people have answered everything in a folder's store; False if Ctrl-C ends the wait.

    The answers so far stay, and the measures use them.
    """
    with Store.open(folder / layout.FEEDBACK, create=False) as store:
        try:
            while waiting := store.waiting():
                report_progress(f"people: {waiting} pairs to answer (Ctrl-C: continue with the answers so far)")
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            say(f"the audit continues with the answers so far; {store.waiting()} pairs stay open")
            return False
    return True
