"""What the pages say is run: their Python, their commands, their links and the names they give."""

import ast
import contextlib
import functools
import importlib.util
import io
import pkgutil
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from markdown_it import MarkdownIt
from markdown_it.token import Token

import plaudit
from plaudit.cli import main

from .processes import Forked, script

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = {"bash", "console", "sh", "shell"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def tokens(page: Path) -> list[Token]:
    """Every token of the page, those inside paragraphs and table cells too."""
    top = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    return [token for parent in top for token in (parent, *(parent.children or ()))]


def blocks(page: Path, kinds: set[str]) -> list[Token]:
    return [
        token
        for token in tokens(page)
        if token.type == "fence" and token.info.split()[:1] and token.info.split()[0] in kinds
    ]


def commands(program: str) -> list[tuple[str, list[str]]]:
    """(page, words) of each shell line that calls ``program``."""
    found = []
    for page in PAGES:
        for block in blocks(page, SHELL):
            for line in block.content.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words and words[0].removeprefix(".venv/bin/") == program:
                    found.append((name(page), words[1:]))
    return found


def slug(heading: str) -> str:
    """The anchor that a forge gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    sequence = tokens(page)
    return {slug(after.content) for before, after in pairwise(sequence) if before.type == "heading_open"}


def pages_with_python() -> list[ParameterSet]:
    """Pages with Python. Some train agents or language models, which takes longer than everyday tests may."""
    long = ("README.md", "docs/extend.md", "docs/own-model-and-data.md")
    return [
        pytest.param(page, id=name(page), marks=[pytest.mark.thorough] if name(page) in long else [])
        for page in PAGES
        if blocks(page, {"python"})
    ]


@pytest.mark.parametrize("page", pages_with_python())
def test_python_runs(page: Path, tmp_path: Path) -> None:
    """The blocks of a page are one script, run in an empty folder without a network.

    A block marked ```` ```python file=src/plaudit/loop.py ```` is an excerpt: it must stand in that file.
    """
    lines = ["import socket; socket.socket.connect = None"]
    for block in blocks(page, {"python"}):
        excerpt = re.search(r"file=(\S+)", block.info)
        if excerpt:
            source = (ROOT / excerpt[1]).read_text(encoding="utf-8")
            assert block.content.strip() in source, f"{name(page)}: an excerpt no longer stands in {excerpt[1]}"
            continue
        assert block.map is not None
        lines += [""] * (block.map[0] + 1 - len(lines))  # so that a traceback's lines are the page's
        lines += block.content.splitlines()
    path = tmp_path / f"{page.stem}.py"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = Forked(script, path, folder=tmp_path).wait()
    assert done.status == 0, f"{name(page)} fails:\n{done.errors}"


@functools.cache
def help_of(*subcommand: str) -> str | None:
    """What --help and, where there is more to see, --help-all print; None where there is no such subcommand."""
    text = ""
    for option in ("--help", "--help-all"):
        if option == "--help" or option in text:
            with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as stopped:
                raise SystemExit(main([*subcommand, option]))
            if stopped.value.code:
                return None
            text += output.getvalue()
    return text


@pytest.mark.parametrize(("page", "words"), commands("plaudit"))
def test_commands_exist(page: str, words: list[str]) -> None:
    """Each subcommand answers --help, and its help knows every option that the page gives it."""
    pair = words[:2] == ["train", "chat"] or words[:1] in (["tune"], ["baseline"])
    subcommand = words[:2] if pair else [word for word in words[:1] if not word.startswith("-")]
    text = help_of(*subcommand)
    assert text is not None, f"{page}: plaudit {' '.join(subcommand)} does not exist"
    known = set(re.findall(r"--[\w-]+(?:\.[\w-]+)*", text))
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"{page}: plaudit {' '.join(subcommand)} has no {', '.join(sorted(given - known))}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    given = {(page, word) for page, words in commands("make") for word in words if re.fullmatch("[a-z-]+", word)}
    unknown = sorted(pair for pair in given if pair[1] not in targets)
    assert not unknown, f"make has no such target: {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for token in tokens(page):
        link = str(token.attrGet("href") or token.attrGet("src") or "")
        if not link or re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken, f"{name(page)} links to what is not there: {broken}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_and_paths_exist(page: Path) -> None:
    """`plaudit.x.y` and `src/...`, `tests/...` in backticks are things that one can open."""
    missing = []
    for token in tokens(page):
        if token.type != "code_inline":
            continue
        if re.fullmatch(r"plaudit(\.\w+)+(\(\))?", token.content):
            try:
                pkgutil.resolve_name(token.content.removesuffix("()"))
            except (ImportError, AttributeError):
                missing.append(token.content)
        elif re.fullmatch(r"(?:src|tests|docs|benchmarks|experiments)/[\w./-]+", token.content):
            missing += [] if (ROOT / token.content).exists() else [token.content]
    assert not missing, f"{name(page)} names what does not exist: {missing}"


def test_each_limitation_has_a_short_page_with_its_picture_and_a_command() -> None:
    folder = ROOT / "docs" / "limitations"
    pages = {page.stem: page for page in folder.glob("*.md") if page.name != "README.md"}
    assert set(pages) == {picture.stem for picture in folder.glob("*.svg")} and len(pages) == 13
    for stem, page in pages.items():
        links = {str(token.attrGet("href") or token.attrGet("src") or "") for token in tokens(page)}
        assert f"{stem}.svg" in links, f"{stem}: its picture is not on its page"
        assert any(source == name(page) for source, _ in commands("plaudit")), f"{stem}: no command"
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 40, f"{stem}: over 40 lines"
        assert "prefers-color-scheme:dark" in (folder / f"{stem}.svg").read_text(encoding="utf-8")


def test_promises_of_security_name_tests_that_exist() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    missing = named - set(re.findall(r"^(?:async )?def (test_\w+)\(", sources, re.MULTILINE))
    assert len(named) >= 20 and not missing, missing


def messages() -> list[str]:
    """Every text of the source, on one line; what is filled in is a NUL."""
    texts = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return [" ".join(text.split()) for text in texts]


def test_quoted_messages_are_those_of_the_program() -> None:
    """On the page about troubles, "..." stands for what a message is filled with."""
    source = messages()
    quoted = [block.content.strip() for block in blocks(ROOT / "docs" / "troubleshooting.md", {"text"})]
    absent = []
    for line in quoted:
        pattern = re.compile(re.escape(line).replace(re.escape("..."), "(?:\0|.*\0.*|[.]{3})"))
        if not any(pattern.search(text) for text in source):
            absent.append(line)
    assert len(quoted) > 20 and not absent


def test_the_citation_and_the_package_have_one_version() -> None:
    versions = [
        re.search(r'^version(?: = "|: )([\d.]+)', (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
        for file in ("pyproject.toml", "CITATION.cff")
    ]
    assert [version and version[1] for version in versions] == [plaudit.__version__] * 2


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_the_page_lists_every_extra(page: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    rows = [line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {extra for row in rows for extra in re.findall(r"`([\w-]+)`", row.split("|")[1])}
    assert extras.keys() - listed <= {"docs", "dev"}


def test_the_reference_of_the_command_line_is_what_the_parsers_say() -> None:
    """When this fails: ``python docs/commands.py`` writes the page again."""
    pytest.importorskip("transformers")
    specification = importlib.util.spec_from_file_location("docs_commands", ROOT / "docs" / "commands.py")
    assert specification is not None and specification.loader is not None
    commands_page = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(commands_page)
    assert commands_page.PAGE.read_text(encoding="utf-8") == commands_page.page()
