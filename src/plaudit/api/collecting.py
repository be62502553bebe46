"""``plaudit.collect``: the web app on this machine, in the background, and the questions that a program asks in it."""

from __future__ import annotations

import atexit
import difflib
import math
import os
import shutil
import sys
import time
import webbrowser
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit import layout
from plaudit.api.console import console, say
from plaudit.api.paths import check_path
from plaudit.api.store import Judgements, export_with_card, judgements_of
from plaudit.feedback.events import count_questions
from plaudit.feedback.formats.outgoing import Choice
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Store
from plaudit.resource import Resource
from plaudit.run.disk import disk_errors
from plaudit.server.asking import Batch, ask
from plaudit.server.faults import NotFound
from plaudit.server.projects import Project, Projects, check_project_name
from plaudit.server.serve import ServerProcess, find_server, serve_beside
from plaudit.server.settings import ServerConfig, check_links
from plaudit.types import PlauditError

Text = str | Sequence[Mapping[str, str]]  # plain text, or messages with role and content
PROJECT = "questions"  # the project that a program's questions belong to
ACTOR = "(program)"  # who asked, in the audit log
POLL_SECONDS = 0.5
PARAMETERS = ("models", "wording", "judgements")  # of every question, next to the options of its kind


class WebApp(Resource):
    """The web app in the background; a context manager that stops it. It also stops when the program ends.

    Each method that asks returns at once with the question's id. A prompt is a text, which is one message of a user, or
    a list of messages ``{"role", "content"}``.

    Attributes:
        url: the address of the app.
        invitation: the link that makes the first admin, with a name and password of their own; None once there is one.
    """

    def __init__(self, folder: Path, process: ServerProcess | None, url: str, store: str, project: str) -> None:
        self.url, self.invitation = url, process.links.admin if process is not None else None
        self._process, self._project = process, project
        self._log = folder / "log.txt"
        self._store = Store.open(store)
        self._projects = Projects(self._store, time.time)
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def close(self) -> None:
        """Stop the app if this program started it; everything said is kept. Closing twice is harmless."""
        atexit.unregister(self.close)
        if self._process is not None:
            self._process.close()
        self._store.close()

    # Asking

    def ask(
        self,
        kind_name: str,
        prompt: Text,
        responses: Sequence[str] = (),
        *,
        models: Sequence[str | None] | None = None,
        wording: str | None = None,
        judgements: int = 1,
        **options: Any,
    ) -> str:
        """Ask a question of any kind that does not need a live model.

        Args:
            kind_name: ``"comparison"``, ``"ranking"``, ...; `docs/kinds.md` lists them.
            prompt: what the responses answer.
            responses: the responses that are judged; none for a demonstration.
            models: who wrote each response; annotators do not see it.
            wording: the words that people read; None: those of the kind.
            judgements: number of people who are to answer.
            options: those of the kind, such as ``scale="eight"``.

        Returns:
            The question's id. The same question, asked again, has the same id and is asked once.

        Raises:
            PlauditError: the kind is unknown or refuses the question.
        """
        if kind(kind_name).live:
            raise PlauditError(f"a {kind_name} needs a live model: run `plaudit collect --endpoint URL`, and ask there")
        items = _items(prompt, responses, models)
        if type(judgements) is not int or judgements < 1:
            raise PlauditError(f"judgements must be a number of people, at least 1, got {judgements!r}")
        record = {"kind": kind_name, "items": items, "wording": wording, "options": options}
        batch = Batch(self._ensure_project(kind_name), "1", [record], judgements)
        try:
            return ask(self._store, ACTOR, time.time(), batch).ids[0]
        except PlauditError as error:
            nearest = [difflib.get_close_matches(name, PARAMETERS, n=1, cutoff=0.7) for name in options]
            hint = next((f"; did you mean {names[0]}?" for names in nearest if names), "")
            raise PlauditError(str(error).removeprefix("question 1: ") + hint) from error

    def compare(self, prompt: Text, responses: Sequence[str], **more: Any) -> str:
        """Ask which of two responses is better; ``scale="eight"``: on a scale from A to B. As `ask`."""
        return self.ask("comparison", prompt, responses, **more)

    def side_by_side(self, prompt: Text, original: str, new: str, **more: Any) -> str:
        """Ask whether the original response or a new one is better, or neither. As `ask`."""
        return self.ask("side-by-side", prompt, [original, new], **more)

    def compare_regenerated(self, prompt: Text, earlier: str, new: str, **more: Any) -> str:
        """Ask whether a regenerated response is better than the earlier one, worse or the same. As `ask`."""
        return self.ask("regeneration", prompt, [earlier, new], **more)

    def rank(self, prompt: Text, responses: Sequence[str], **more: Any) -> str:
        """Ask for a ranking, with ties, of two to nine responses. As `ask`."""
        return self.ask("ranking", prompt, responses, **more)

    def rate(self, prompt: Text, response: str, **more: Any) -> str:
        """Ask for ratings of a response; ``scales={"helpful": [0, 4]}`` names the scales. As `ask`."""
        return self.ask("rating", prompt, [response], **more)

    def thumbs(self, prompt: Text, response: str, **more: Any) -> str:
        """Ask for a thumb up or down, with ``tags``. As `ask`."""
        return self.ask("thumbs", prompt, [response], **more)

    def mark(self, prompt: Text, response: str, **more: Any) -> str:
        """Ask for faults to be marked in a response, each with one of ``categories``. As `ask`."""
        return self.ask("spans", prompt, [response], **more)

    def critique(self, prompt: Text, response: str, **more: Any) -> str:
        """Ask what is good about a response and what should be better. As `ask`."""
        return self.ask("critique", prompt, [response], **more)

    def correct(self, prompt: Text, response: str, **more: Any) -> str:
        """Ask for a response to be edited until it is right. As `ask`."""
        return self.ask("correction", prompt, [response], **more)

    def demonstrate(self, prompt: Text, **more: Any) -> str:
        """Ask for the ideal response to a prompt. As `ask`."""
        return self.ask("demonstration", prompt, **more)

    # Answers

    def waiting(self) -> int:
        """The number of questions that want further judgements."""
        return count_questions(self._store, self._project)[1]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all questions are answered; on a terminal a bar shows how many are, and how fast they come.

        Ctrl-C ends the waiting only: the app still runs and everything said is kept.

        Args:
            timeout: seconds after which the waiting ends; None: never.

        Returns:
            Whether all are answered.

        Raises:
            PlauditError: the app has stopped.
        """
        if timeout is not None and (not isinstance(timeout, int | float) or math.isnan(timeout)):
            raise PlauditError(f"timeout must be a number of seconds, or None, got {timeout!r}")
        start = time.monotonic()
        facts = (MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        columns = (TextColumn("answers"), BarColumn(bar_width=24), *facts)
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            total, first_open = count_questions(self._store, self._project)
            task = progress.add_task("answers", total=total, completed=total - first_open, rate="")
            while True:
                total, still_open = count_questions(self._store, self._project)
                seconds = max(time.monotonic() - start, 1e-9)
                rate = f"{60 * (first_open - still_open) / seconds:.1f}/min"
                progress.update(task, total=total, completed=total - still_open, rate=rate)
                if not still_open:
                    return True
                if timeout is not None and seconds >= timeout:
                    return False
                if not self._serves():
                    raise PlauditError(f"the web app has stopped: see {self._log}")
                time.sleep(POLL_SECONDS if timeout is None else min(POLL_SECONDS, max(timeout - seconds, 0)))

    def _serves(self) -> bool:
        """Whether the app still runs: the one of this program, or the one that it joined."""
        return find_server(self._log.parent) is not None if self._process is None else self._process.running

    def judgements(self, *kinds: str) -> Judgements:
        """The judgements so far, as `plaudit.Store.judgements` gives them."""
        return judgements_of(self._store, kinds, self._project)

    def export(
        self,
        file: str | os.PathLike[str],
        format: str = "preference",
        *,
        card: bool = False,
        license: str | None = None,
    ) -> int:
        """Write the judgements so far to a file, and with ``card`` a data set card; see `plaudit.Store.export`."""
        return export_with_card(self._store, check_path(file, "file"), format, Choice(self._project), card, license)

    def _ensure_project(self, kind_name: str) -> Project:
        """The project of this program's questions; the first question decides which kind it is called by."""
        try:
            return self._projects.get(self._project)
        except NotFound:
            settings = {"repeats": 0.0, "gold": 0.0}  # each person is asked once, what the program asked
            fields = {"name": self._project, "title": self._project.capitalize(), "kind": kind_name}
            return self._projects.create(ACTOR, fields | {"settings": settings})


def collect(
    folder: str | os.PathLike[str] = "collect",
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    project: str = PROJECT,
    browser: bool = True,
) -> WebApp:
    """Start the web app in which people judge, in the background, and open it in the browser if there is one.

    The first time, the page asks for a name and a password of one's own: there is no default password. If the app of
    `plaudit collect` serves the folder already, that one is used.

    Args:
        folder: holds the store (feedback.sqlite), the server's secret and its log.
        host: address to listen at; ``"0.0.0.0"`` lets other machines in.
        port: port to listen at; 0: a free one.
        project: name of the project that the questions belong to.
        browser: open the page; the address is printed in any case.

    Raises:
        PlauditError: the port is taken, the store cannot be opened, or the folder cannot be written.
    """
    path = check_path(folder, "folder")
    check_project_name(project)
    store = str(path / layout.FEEDBACK)
    config = ServerConfig(store=store, folder=path, host=host, port=port)
    created = not path.exists()
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    check_links(path)
    running = find_server(path)
    if running is not None:
        app = WebApp(path, None, f"{running.url}/", running.store, project)
    else:
        try:
            process = serve_beside(config, path / "log.txt")
        except PlauditError:
            if created and not (path / layout.FEEDBACK).exists():
                shutil.rmtree(path, ignore_errors=True)  # so that a port that is taken leaves nothing behind
            raise
        try:
            app = WebApp(path, process, process.links.url, store, project)
        except BaseException:
            process.close()
            raise
    if app.invitation is not None:
        say(f"judge here (the link makes you its admin, once): {app.invitation}")
    say(f"{'later' if app.invitation else 'judge'} at {app.url}")
    if browser and has_screen():
        webbrowser.open(app.invitation or app.url)
    return app


def has_screen(platform: str = sys.platform, variables: Callable[[str], str | None] = os.environ.get) -> bool:
    """Whether a browser can show a page here: elsewhere, a text browser would take the terminal."""
    return platform in ("darwin", "win32") or bool(variables("DISPLAY") or variables("WAYLAND_DISPLAY"))


def _items(prompt: Text, responses: Sequence[str], models: Sequence[str | None] | None) -> list[dict[str, Any]]:
    """The items of a question as `Batch` has them."""
    messages = _messages(prompt)
    responses = [_response(response) for response in _texts(responses, "responses", (str, list, tuple))]
    repeated = next((text for position, text in enumerate(responses) if text in responses[:position]), None)
    if repeated is not None:
        raise PlauditError(f"two responses are the same ({repeated[:40]!r}): nothing can be compared with itself")
    names = [None] * len(responses) if models is None else _texts(models, "models", (str, NoneType))
    if len(names) != len(responses):
        raise PlauditError(f"there are {len(responses)} responses and {len(names)} models: name one for each")
    if not responses:
        return [{"messages": messages}]
    return [
        {"messages": [*messages, {"role": "assistant", "content": response}], "model": name}
        for response, name in zip(responses, names, strict=True)
    ]


def _response(response: object) -> str:
    """A response as text: a list of one message of the assistant is taken as well, as TRL has it."""
    if isinstance(response, list | tuple) and len(response) == 1 and isinstance(response[0], Mapping):
        response = response[0].get("content") if response[0].get("role", "assistant") == "assistant" else None
    if not isinstance(response, str):
        raise PlauditError(
            f"a response must be a text, or a list of one message of the assistant, got {response!r:.80}"
        )
    return response


def _messages(prompt: Text) -> list[dict[str, Any]]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    turns: object = prompt
    if not isinstance(turns, list | tuple) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise PlauditError(f"prompt must be a text, or a list of messages with role and content, got {prompt!r:.80}")
    return [dict(turn) for turn in prompt]


def _texts(values: object, parameter: str, types: tuple[type, ...] = (str,)) -> list[Any]:
    """What a caller gave as a list of texts, as one."""
    if isinstance(values, str):
        raise PlauditError(f"{parameter} must be a list of texts, got one text")
    texts = list(values) if isinstance(values, Iterable) else None
    if texts is None or not all(isinstance(text, types) for text in texts):
        raise PlauditError(f"{parameter} must be a list of texts, got {' '.join(repr(values).split()):.80}")
    return texts
