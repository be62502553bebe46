"""What the pages about collecting show: examples of each kind, calls of the API, units and proxies."""

from __future__ import annotations

import configparser
import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import tyro
from markdown_it import MarkdownIt

from plaudit.feedback.formats import FORMATS
from plaudit.feedback.kinds import KINDS
from plaudit.server import api
from plaudit.server.command import CollectArguments
from plaudit.server.services import build_services
from plaudit.server.settings import ServerConfig
from plaudit.types import Question

from .server.serving import serving

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "kinds.md").read_text(encoding="utf-8")
APP = Path(api.__file__).parents[1]  # the web app, with its templates and scripts
APP_PAGES = [
    "chat",
    "collecting",
    "deployment",
    "first-judgements",
    "judging",
    "runs",
    "security",
    "train-beside-people",
    "troubleshooting",
    "tutorial-study",
]


def section(name: str) -> str:
    """What the page says of a kind."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/kinds.md has no section {name}"
    return found[1]


def code(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_stored_of_a_kind_is_in_canonical_form(name: str) -> None:
    (block,) = code(section(name), "json")
    shown = json.loads(block)
    assert shown["kind"] == name
    items = tuple(f"item {number}" for number in range(len(shown["order"])))
    question = Question(name, items, KINDS[name].wording, options=shown["options"])
    KINDS[name].check(question)
    assert sorted(shown["order"]) == list(range(len(items)))
    stored = KINDS[name].validate(shown["value"], question)
    assert {key: stored[key] for key in shown["value"]} == shown["value"]
    left_out = {key: value for key, value in stored.items() if key not in shown["value"]}
    assert not any(left_out.values()), f"the example leaves out {left_out}"


@pytest.mark.parametrize("name", KINDS)
def test_the_exports_of_a_kind_are_those_that_take_it(name: str) -> None:
    line = re.search(r"^\*\*Exports\*\*: (.*?)\n\n", section(name), re.MULTILINE | re.DOTALL)
    assert line
    assert re.findall(r"`([\w-]+)`", line[1]) == sorted(
        (each.name for each in FORMATS.values() if name in each.kinds), key=lambda each: (each != "plaudit", each)
    )


@pytest.mark.parametrize(
    ("page", "count"),
    [
        ("docs/kinds.md", len(KINDS)),
        ("docs/runs.md", 1),
        ("README.md", 3),
        ("docs/first-judgements.md", 1),
        ("docs/tutorial-study.md", 1),
    ],
)
def test_pictures_are_there_light_and_dark(page: str, count: int) -> None:
    path = DOCS.parent / page
    blocks = re.findall(r"<picture>(.*?)</picture>", path.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == count
    for block in blocks:
        dark, light = re.search(r'srcset="([^"]+)"', block), re.search(r'src="([^"]+)"', block)
        assert dark and light and dark[1] == light[1].replace("light", "dark")
        assert all((path.parent / each[1]).is_file() for each in (dark, light)), block


@pytest.mark.parametrize("page", ["judging.md", "collecting.md", "first-judgements.md", "tutorial-study.md"])
def test_words_of_the_app_are_quoted_as_they_stand_there(page: str) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    quoted = set(re.findall(r'"([A-Z][^"\n]{2,40})"', text))
    server = DOCS.parent / "src" / "plaudit" / "server"
    files = [*(server / "templates").rglob("*.html"), *(server / "static").glob("*.js")]
    app = "\n".join(each.read_text(encoding="utf-8") for each in files)
    assert len(quoted) > 5 and [each for each in quoted if each not in app] == []


def test_the_questions_of_the_page_can_be_asked_and_its_calls_work(server: tuple[str, str], tmp_path: Path) -> None:
    url, token = server
    questions_page, calls_page = (
        (DOCS / name).read_text(encoding="utf-8") for name in ("collecting.md", "http-api.md")
    )
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    (calls,) = [block for block in code(calls_page, "bash") if "curl" in block]
    replies = []
    for line in calls.replace("\\\n", " ").splitlines():
        words = [word.replace("$PLAUDIT_TOKEN", token) for word in shlex.split(line)]
        words = [word.replace("http://127.0.0.1:8777", url) for word in words]
        done = subprocess.run([*words, "--noproxy", "*"], capture_output=True, text=True, timeout=60, check=True)
        replies.append(done.stdout)
    assert json.loads(replies[0])["settings"]["judgements_wanted"] == 2
    assert json.loads(replies[1])["new"] == 1
    assert replies[2] == ""  # nothing has been said yet

    questions = tmp_path / "questions.jsonl"
    lines = [json.dumps(json.loads(block)) for block in code(questions_page, "json")]
    questions.write_text("\n".join(lines), encoding="utf-8")
    environment = {**os.environ, "PLAUDIT_TOKEN": token, "no_proxy": "*"}
    command = [sys.executable, str(DOCS / "ask.py"), url, "lakes", str(questions)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["1 new of 2 questions", "0 of 1 done"]  # the other one is gold
    again = subprocess.run([*command[:-2], "seas", command[-1]], env=environment, capture_output=True, text=True)
    assert again.returncode == 1 and "404: there is no project called 'seas'" in again.stderr


@pytest.mark.thorough
def test_a_study_is_rehearsed_as_the_page_says(
    server: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, token = server
    monkeypatch.chdir(tmp_path)
    (block,) = code((DOCS / "tutorial-study.md").read_text(encoding="utf-8"), "python")
    exec(block.replace("220", "11"), {})
    questions = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text(encoding="utf-8").splitlines()]

    def post(path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urlopen(Request(f"{url}/api{path}", json.dumps(body).encode(), headers), timeout=60) as response:
            return json.load(response)

    settings = {"judgements_wanted": 3, "gold": 0.2, "repeats": 0.1}
    post("/projects", {"name": "sums", "title": "Sums", "kind": "comparison", "settings": settings})
    assert post("/projects/sums/questions", {"questions": questions})["new"] == 11
    invitation = post("/admin/invites", {"uses": 4})["link"].rpartition("/")[2]

    def run(script: str, *arguments: str) -> list[str]:
        command = [sys.executable, str(DOCS / script), *arguments]
        completed = subprocess.run(command, env={**os.environ, "no_proxy": "*"}, capture_output=True, text=True)
        assert (completed.returncode, completed.stderr) == (0, "")
        return completed.stdout.splitlines()

    (summary,) = run("stand_ins.py", f"{url}/join/{invitation}", "sums", "4", "0.01")
    assert re.fullmatch(r"4 stand-ins gave \d+ judgements, \d+ to \d+ each", summary)
    size, result, agreement = run("study.py", str(tmp_path / "feedback.sqlite"), "sums", "large", "small")
    assert size.startswith("10 questions, 30 judgements by ") and result.startswith("large preferred to small: ")
    assert re.fullmatch(r"same answer: [\d.]+%; alpha -?[\d.]+ \(-?[\d.]+ to -?[\d.]+\)", agreement)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A server's address, and the token of an admin."""
    config = ServerConfig(str(tmp_path / "feedback.sqlite"), tmp_path / "server", port=0)
    served = build_services(config)
    accounts = served.accounts
    accounts.join(accounts.invites.make("tests", "admin"), "Ada", "correct horse battery", "127.0.0.1", "tests")
    token = accounts.tokens.make("Ada", "script", "Ada", ["ask", "read", "admin"])
    served.store.close()
    with serving(config) as url:
        yield url, token


def units() -> list[Any]:
    found = []
    for path in sorted((DOCS / "deployment").glob("*.service")):
        unit = configparser.ConfigParser(interpolation=None, strict=False)
        unit.optionxform = str  # type: ignore[assignment]  # names of settings keep their case
        unit.read(path, encoding="utf-8")
        found.append(pytest.param(unit["Service"]["ExecStart"], id=path.name))
    return found


@pytest.mark.parametrize("command", units())
def test_a_unit_starts_what_the_command_line_takes(command: str) -> None:
    program, subcommand, *options = shlex.split(command)
    assert (Path(program).name, subcommand) == ("plaudit", "collect")
    arguments = tyro.cli(CollectArguments, args=options)
    assert str(arguments.folder) == "/var/lib/plaudit"
    assert arguments.config().secure or arguments.backup


def test_units_are_sound_as_far_as_systemd_can_tell(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    for path in (DOCS / "deployment").glob("plaudit*.*"):
        text = path.read_text(encoding="utf-8").replace("/opt/plaudit/bin/plaudit", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    for path in sorted(tmp_path.glob("plaudit*")):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
        complaints = [line for line in (done.stdout + done.stderr).splitlines() if "plaudit" in line]
        assert complaints == [] and done.returncode == 0, done.stdout + done.stderr


def test_the_page_lists_every_route() -> None:
    routes = set()
    for module in pkgutil.iter_modules(api.__path__):
        router = getattr(importlib.import_module(f"{api.__name__}.{module.name}"), "router", None)
        for route in router.routes if router is not None else []:
            routes |= {f"{method} /api{route.path}" for method in route.methods}
    page = (DOCS / "http-api.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| `([A-Z]+ \S+)` \|", page.partition("\n## All routes\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert sorted(listed) == sorted(routes)


@pytest.mark.parametrize("page", APP_PAGES)
def test_quoted_words_of_the_app_stand_in_the_app(page: str) -> None:
    """A page names a button, a tab or a heading in quotes, as "Ask"."""
    files = [*(APP / "templates").rglob("*.html"), *(APP / "static").glob("*.js")]
    words = " ".join(" ".join(file.read_text(encoding="utf-8").split()) for file in files)
    parsed = MarkdownIt("commonmark").enable("table").parse((DOCS / f"{page}.md").read_text(encoding="utf-8"))
    texts = [
        "".join(child.content if child.type == "text" else " " for child in block.children or ()) for block in parsed
    ]
    quoted = {label for text in texts for label in re.findall(r'"([A-Z][^"]*)"', text)}
    absent = [label for label in sorted(quoted) if not re.search(rf"(?<![\w-]){re.escape(label)}(?![\w-])", words)]
    assert not absent, f"docs/{page}.md names what the app does not show: {absent}"
