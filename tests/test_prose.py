"""The pages are written for a reader: each names its reader first, and no sentence has more than 40 words."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LOG.md", "benchmarks/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LONGEST = 40  # words
READERS = (
    "admin",
    "annotator",
    "contributor",
    "developer",
    "engineer",
    "maintainer",
    "operator",
    "researcher",
    "student",
    "teacher",
    "user",
)
READER = re.compile(rf"\b(?:you|(?:{'|'.join(READERS)})s?)\b", re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z\"'(]|code\b)")


def passages(markdown: str) -> Iterator[tuple[str, str]]:
    """(tag, text) of each heading, paragraph and table cell; tag is h1, h2, p, td, th. Code counts as one word."""
    text = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for opening, content in pairwise(tokens):
        if content.type == "inline":
            yield opening.tag, "".join(map(plain_text, content.children or ())).strip()


def plain_text(token: Token) -> str:
    """The words of a part of a paragraph, without markup and without pictures."""
    if token.type == "code_inline":
        return "code"
    return " " if token.type in ("softbreak", "hardbreak") else token.content if token.type == "text" else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_can_be_read(page: Path) -> None:
    texts = list(passages(page.read_text(encoding="utf-8")))
    first = next((text for tag, text in texts if tag == "p" and text), "")
    assert READER.search(first), f"the first paragraph names no reader: {first!r}"
    sentences = [sentence for _, text in texts for sentence in SENTENCE_END.split(text)]
    long = [sentence for sentence in sentences if len(sentence.split()) > LONGEST]
    assert not long, f"more than {LONGEST} words in a sentence: {long}"


def test_a_sentence_ends_where_its_reader_would_say() -> None:
    page = "# For you\n\nOne `x. Y` two. Three\nfour ![a picture](p.svg)\n\n| a cell. Another |\n|---|\n| b |\n"
    split = [SENTENCE_END.split(text) for _, text in passages(page)]
    assert split == [["For you"], ["One code two.", "Three four"], ["a cell.", "Another"], ["b"]]
