"""plaudit.collect: the app in the background, questions of every kind, and what people said, as a file."""

from __future__ import annotations

import io
import json
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

import httpx
from rich.console import Console

import plaudit
from plaudit.api import collecting
from plaudit.api.collecting import WebApp, has_screen
from plaudit.feedback.kinds import KINDS
from plaudit.server.keyed_ids import reveal_id
from plaudit.types import PlauditError

from ..conftest import forking_servers
from ..processes import Forked, script

PAIR = ["The moon pulls.", "Water moves."]


class Browser:
    """A person at the page: joins by the invitation, and answers."""

    def __init__(self, app: WebApp) -> None:
        assert app.invitation is not None
        origin = app.url.rstrip("/")
        self.client = httpx.Client(base_url=origin, headers={"Origin": origin}, trust_env=False)
        token = app.invitation.rsplit("/", 1)[-1]
        self.post("/api/join", token=token, name="ada", password="correct horse battery")

    def post(self, path: str, **body: Any) -> httpx.Response:
        answer = self.client.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer

    def judge(self, *values: dict[str, Any], project: str = "questions") -> list[dict[str, Any]]:
        """Answer what comes next; returns the questions as they were shown."""
        questions = []
        for value in values:
            (question,) = self.post("/api/work/claim", project=project).json()
            questions.append(question)
            answer = {"judgement": str(uuid.uuid4()), "question": question["question"], "lease": question["lease"]}
            self.post("/api/work/answer", value=value, **answer)
        return questions


@pytest.fixture(scope="module")
def opened() -> Iterator[list[str]]:
    """The addresses that were opened in a browser."""
    addresses: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collecting.webbrowser, "open", addresses.append)
        patch.setattr(collecting, "has_screen", lambda: True)
        patch.setattr(collecting, "POLL_SECONDS", 0.02)
        yield addresses


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "collect"


@pytest.fixture(scope="module")
def app(opened: list[str], folder: Path) -> Iterator[WebApp]:
    with forking_servers():
        app = plaudit.collect(folder)
    with app:
        yield app
    app.close()  # again is harmless


@pytest.fixture(scope="module")
def person(app: WebApp) -> Iterator[Browser]:
    browser = Browser(app)
    yield browser
    browser.client.close()


def test_from_two_responses_to_a_file_of_pairs(app: WebApp, person: Browser, opened: list[str], tmp_path: Path) -> None:
    assert opened == [app.invitation] and app.url.startswith("http://127.0.0.1:")
    identity = app.compare("Explain tides.", PAIR, models=["a", "b"])
    assert app.compare("Explain tides.", PAIR, models=["a", "b"]) == identity and app.waiting() == 1
    assert not app.wait(timeout=0.05)
    answering = threading.Timer(0.1, lambda: person.judge({"strength": 4}))
    answering.start()
    assert app.wait(timeout=30) and app.waiting() == 0
    answering.join()
    assert app.export(tmp_path / "pairs.jsonl") == 1
    (pair,) = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert pair == {
        "prompt": [{"role": "user", "content": "Explain tides."}],
        "chosen": [{"role": "assistant", "content": "The moon pulls."}],
        "rejected": [{"role": "assistant", "content": "Water moves."}],
    }
    (row,) = app.judgements("comparison")
    assert (row["annotator"], row["models"], row["question"]) == ("ada", ["a", "b"], identity)


def test_every_kind_that_needs_no_live_model(app: WebApp, person: Browser, folder: Path) -> None:
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    asked = {
        app.compare(prompt, PAIR, scale="eight"): {"strength": -1},
        app.side_by_side(prompt, *PAIR): {"choice": "new"},
        app.compare_regenerated(prompt, *PAIR): {"choice": "same"},
        app.rank(prompt, [*PAIR, "So."], ratings=False): {"ranks": [1, 2, 2]},
        app.rate(prompt, "So.", scales={"helpful": [0, 4]}): {"ratings": {"helpful": 3}},
        app.thumbs(prompt, "So.", tags=["rude"]): {"thumb": "down", "tags": ["rude"]},
        app.mark(prompt, "So.", categories=["dull"]): {
            "spans": [{"start": 0, "end": 2, "category": "dull", "note": ""}]
        },
        app.critique(prompt, "So.", wording="What is wrong here?"): {"text": "It says nothing."},
        app.correct(prompt, "So."): {"text": "So it is."},
        app.demonstrate(prompt): {"text": "Because of the moon."},
    }
    assert app.waiting() == len(asked) == 10
    shown = person.judge(*asked.values())
    (secret,) = folder.rglob("secret")
    stored = [reveal_id(secret.read_bytes(), "ada", "question", question["question"]) for question in shown]
    assert stored == list(asked) and app.wait()  # the program has the stored ids, the page keyed ones
    assert {question["kind"] for question in shown} == {name for name, kind in KINDS.items() if not kind.live}
    assert shown[7]["wording"] == "What is wrong here?" and shown[4]["options"] == {"scales": {"helpful": [0, 4]}}
    rows = {row["question"]: row for row in app.judgements()}
    assert all(json.loads(rows[identity]["answer"]).items() >= value.items() for identity, value in asked.items())
    assert all(row["conversations"][0][0]["role"] == "system" for row in list(rows.values())[1:])


def test_questions_that_cannot_be_are_one_line(app: WebApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    untyped: Any = app
    library: Any = plaudit
    calls: list[tuple[Callable[..., object], str]] = [
        (lambda: untyped.compare("Why?", ["one"]), "a comparison needs two items"),
        (lambda: untyped.compare("Why?", "ab"), "responses must be a list of texts"),
        *(
            (lambda wrong=wrong: untyped.compare("Why?", wrong), "responses must be a list of texts")
            for wrong in (None, 3, ["a", None])
        ),
        (lambda: untyped.compare("Why?", ["So.", "So."]), "two responses are the same"),
        *(
            (lambda wrong=wrong: untyped.demonstrate(wrong), "prompt must be a text, or a list of messages")
            for wrong in (None, 3, [], ["Why?"], {"role": "user", "content": "Why?"})
        ),
        (lambda: untyped.compare("Why?", PAIR, models=["a"]), "2 responses and 1 models"),
        (lambda: untyped.compare("Why?", PAIR, models="ab"), "models must be a list of texts, got one text"),
        *(
            (lambda count=count: untyped.compare("Why?", PAIR, judgements=count), "at least 1")
            for count in (0, "3", None)
        ),
        (lambda: untyped.compare("Why?", PAIR, model="a"), r"no option 'model': there is scale; did you mean models\?"),
        (
            lambda: untyped.rate("Why?", ["So."]),
            r"a response must be a text, or a list of one message .*, got \['So.'\]",
        ),
        (lambda: untyped.wait("3"), "timeout must be a number of seconds"),
        (lambda: untyped.wait(float("nan")), "timeout must be a number of seconds"),
        (lambda: untyped.export(None), "file must be a path"),
        (lambda: untyped.export(""), "file must be a path"),
        (lambda: untyped.judgements(["comparison"]), r"judgements\('comparison', 'ranking'\), got \['comparison'\]"),
        (lambda: library.collect(None), "folder must be a path"),
        (lambda: library.collect("never", project=None), "a project's name has"),
        (lambda: library.collect("never", port="x"), "port must be a number in 0..65535, got 'x'"),
        (lambda: library.collect("never", host=None), "host must be an address"),
        (lambda: library.Store(None), "store must be a path"),
        (lambda: untyped.export("pairs.parquet"), "only JSON is written: end the name in .jsonl"),
        (lambda: library.Store(""), "store must be a path"),
        (lambda: untyped.compare("Why?", PAIR, scale="nine"), "scale"),
        (lambda: untyped.compare("Why?", PAIR, stars=5), "stars"),
        (lambda: untyped.ask("chat", "Why?"), "needs a live model"),
        (lambda: untyped.ask("poem", "Why?"), "no kind of feedback called 'poem'"),
        (lambda: untyped.ask("demonstration", [{"role": "judge", "content": ""}]), "role is system, user or assistant"),
    ]
    for call, message in calls:
        with pytest.raises(PlauditError, match=message) as fault:
            call()
        assert "\n" not in str(fault.value) and not str(fault.value).startswith("question")
    assert app.waiting() == 0 and not Path("never").exists()


def test_a_second_program_joins_the_app_that_serves(
    app: WebApp, person: Browser, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is invited twice, and closing leaves the app to the first."""
    folder = Path(app._log).parent
    opened.clear()
    with plaudit.collect(folder, project="more", browser=False) as second:
        assert (second.url, second.invitation, opened) == (app.url, None, [])
        second.compare("Which?", PAIR)
        assert (second.waiting(), app.waiting()) == (1, 0)
        person.judge({"strength": 0}, project="more")
        assert second.wait(timeout=5) and len(second.judgements()) == 1
    assert capsys.readouterr().err == f"judge at {app.url}\n"
    assert httpx.get(app.url, trust_env=False).status_code < 400


@pytest.mark.usefixtures("opened", "forked_servers")
def test_the_bar_and_an_app_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(collecting, "console", Console(force_terminal=True, width=100, file=screen))
    with plaudit.collect(tmp_path / "collect", browser=False) as app:
        app.compare("Which?", PAIR)
        assert not app.wait(timeout=0.3)
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
        assert "answers" in shown and "0/1" in shown and "0.0/min" in shown
        monkeypatch.setattr(collecting, "console", Console(quiet=True))
        assert app._process is not None and repr(app) == f"WebApp({app.url!r})"
        second = plaudit.collect(tmp_path / "collect", browser=False)
        app._process.process.kill()
        with pytest.raises(PlauditError, match=r"the web app has stopped: see .*log\.txt"):
            app.wait(timeout=30)
        with second, pytest.raises(PlauditError, match="the web app has stopped"):  # which is not its own
            second.wait(timeout=30)


PROGRAM = """
import plaudit
app = plaudit.collect("collect", browser=False)
app.compare("Which?", ["a", "b"])
print(app.url, flush=True)
try:
    app.wait()
except KeyboardInterrupt:
    print("stopped", app.waiting(), flush=True)
"""


def collect_in_script(path: Path) -> None:
    """Run a program whose web app is forked, too."""
    with forking_servers():
        script(path)


def test_ctrl_c_ends_the_waiting_and_the_end_of_the_program_the_app(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    program = Forked(collect_in_script, tmp_path / "program.py", folder=tmp_path)
    deadline = time.monotonic() + 200
    while "\n" not in program.output and time.monotonic() < deadline:
        time.sleep(0.05)
    url = program.output.strip()
    assert httpx.get(url, trust_env=False).status_code < 400
    program.signal(signal.SIGINT)
    result = program.wait(30)
    assert result.output == f"{url}\nstopped 1\n" and result.status == 0, result.errors
    deadline = time.monotonic() + 60
    with pytest.raises(httpx.ConnectError):  # the server ends when its parent does, however that ends
        while time.monotonic() < deadline:
            httpx.get(url, trust_env=False)
            time.sleep(0.05)


def test_where_there_is_a_screen() -> None:
    assert has_screen("darwin", {}.get) and has_screen("win32", {}.get)
    assert not has_screen("linux", {}.get)
    assert has_screen("linux", {"DISPLAY": ":0"}.get) and has_screen("linux", {"WAYLAND_DISPLAY": "wayland-0"}.get)
