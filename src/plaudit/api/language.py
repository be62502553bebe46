"""Training a language model in a run folder: a progress bar, and the web app where people judge."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from plaudit.api.console import console, say
from plaudit.api.progress import bar
from plaudit.api.serving import web_app
from plaudit.api.settings import change_settings
from plaudit.interfaces import Annotator
from plaudit.language.best_of_n import BestOfN
from plaudit.run.interrupt import ctrl_c
from plaudit.run.language.assemble import check, pin_template, session_of
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.language.evaluate import finish
from plaudit.run.stored import CHAT
from plaudit.run.track import track_run


def train_language(
    run: ChatRun,
    annotator: Annotator | None = None,
    console: Console = console,
    address: tuple[str, int] = ("127.0.0.1", 8777),
    trackers: Sequence[str] = (),
) -> str:
    """Train, or continue, until the end; measure, and write report.html. Ctrl-C leaves a run that resumes.

    Args:
        annotator: judges in the place of the annotator that the settings name.
        console: where progress is shown.
        address: host and port of the web app, if people judge.
        trackers: where the metrics go, too, in addition to the run's trackers (:func:`plaudit.run.track.track_run`).

    Returns:
        The headline of the report.
    """
    with (
        run.training(),
        track_run(run, trackers),
        web_app(run.folder, *address, run.config.people),
        bar("loading", lines=1, verbose="improving", console=console) as progress,
        ctrl_c() as check_ctrl_c,
    ):
        session, close = session_of(run, progress, annotator)
        with contextlib.ExitStack() as ending:
            ending.callback(close)
            for _ in session.rounds():
                check_ctrl_c()
            return finish(run, session.domain, progress, BestOfN)


def create_run(
    changes: Sequence[Mapping[str, Any]], annotator: Annotator | None, folder: Path, parameters: Sequence[str] = ()
) -> ChatRun:
    """A new run with these changes of the default settings; prints remarks about them.

    parameters: as :func:`plaudit.api.settings.change_settings`.

    Raises:
        PlauditError: as :func:`check_chat`.
    """
    config = change_settings(ChatConfig(), changes, CHAT, parameters)
    config = pin_template(config)
    check_chat(config, annotator)
    return ChatRun.create(folder, config)


def check_chat(config: ChatConfig, annotator: Annotator | None = None) -> None:
    """Find faults before anything is written, and print remarks about the settings.

    Raises:
        PlauditError: as :func:`plaudit.run.language.assemble.check`.
    """
    lines = check(config, annotator)
    for line in [*config.remarks, *lines]:
        say(f"note: {line}")
