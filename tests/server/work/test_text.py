"""Text that strangers wrote stays text: a corpus of attempts, through the function and through the API."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest

from plaudit.server.services import Services
from plaudit.server.text import TAGS, showable, to_html
from plaudit.types import Dialogue, Message

from .conftest import Someone
from .seed import ask

CORPUS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](\\x01javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "[x](//evil.example/)",
    "[x](/admin/users)",
    '[x](https://evil.example/"onmouseover=alert(1))',
    "[x](https://a.example 'title\" onmouseover=\"alert(1)')",
    "![x](https://evil.example/track.png)",
    '![x](x"onerror=alert(1))',
    "<https://evil.example/'onclick='alert(1)>",
    "<javascript:alert(1)>",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    "<div hx-get=/api/me hx-trigger=load></div>",
    "<div data-hx-on:load=alert(1)></div>",
    "<form action=https://evil.example><input name=password></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>*{display:none}</style>",
    "<base href=https://evil.example/>",
    "<p style=position:fixed;inset:0>x</p>",
    "<p class=primary id=question>x</p>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "</div></main><script>alert(1)</script>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "\u202egnp.exe<script>\u202calert(1)</script>",
    "x\ud800y\0z<script>",
    "| a | b |\n|:-|-:|\n| <img src=x onerror=alert(1)> | `x` |",
    "[a]: javascript:alert(1)\n\n[a]",
    "<template><script>alert(1)</script></template>",
    "{{ 7 * 7 }}{% include 'admin' %}",
]


class Reader(HTMLParser):
    """Which elements and attributes a browser would find."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check(html: str) -> None:
    reader = Reader()
    reader.feed(html)
    for tag, attributes in reader.found:
        assert tag in TAGS, (tag, html)
        assert set(attributes) <= {"href", "rel", "target", "start", "title"}, html
        if "href" in attributes:
            assert (attributes["href"] or "").startswith(("https://", "http://")), html
            assert attributes["target"] == "_blank" and "noopener" in (attributes["rel"] or "")


@pytest.mark.parametrize("text", CORPUS, ids=ascii)
def test_nothing_but_harmless_tags_comes_out(text: str) -> None:
    check(to_html(text))


def test_markdown_is_kept() -> None:
    html = to_html("# Birds\n\n- **tall**\n- `grey`\n\n[more](https://example.org/a?b=1&c=2)\nnext line")
    assert "<h1>Birds</h1>" in html and "<li><strong>tall</strong></li>" in html and "<code>grey</code>" in html
    assert 'href="https://example.org/a?b=1&amp;c=2"' in html and "<br>" in html


def test_offsets_hold_in_what_is_shown() -> None:
    assert len(showable("a\ud800\0\U0001f41fz")) == 5 and showable("a\ud800z")[2] == "z"


def test_hostile_items_are_inert_in_assignments(served: Services, ada: Someone) -> None:
    def hostile(number: int) -> list[Dialogue]:
        return [Dialogue((Message("user", CORPUS[number]), Message("assistant", CORPUS[-number - 1])), "m")]

    ask(served, "critique", len(CORPUS), items=hostile)
    seen = 0
    while batch := ada.claim("critique", 3):
        for shown in batch:
            (item,) = shown["items"]
            check(item["prompt"][0]["html"])
            check(item["response"]["html"])
            seen += 1
            ada.answer(shown, {"text": "Read."})  # one person may reserve so many questions only
    assert seen == len(CORPUS)


def test_hostile_words_are_inert_on_pages(served: Services, ada: Someone) -> None:
    ask(served, "critique", 1)
    served.projects.change("tests", "critique", {"title": CORPUS[0], "wording": CORPUS[1]})
    served.projects.add_guideline("tests", "critique", "\n\n".join(each for each in CORPUS if "\ud800" not in each))
    (shown,) = ada.claim("critique")
    ada.answer(shown, {"text": CORPUS[35]})
    for path in ("/", "/work/critique", "/history/critique", "/guidelines/critique"):
        text = ada.client.get(path).text
        assert "<script>alert" not in text and "<img" not in text, path


@pytest.mark.parametrize("text", ["[" * 3_000_000, "> " * 60_000, "#\n" * 50_000, "word " * 20_001])
def test_texts_that_would_take_long_are_shown_as_they_stand(text: str) -> None:
    begun = time.process_time()
    html = to_html(f"<script>\n{text}")
    assert time.process_time() - begun < 2  # 29 seconds for the first of them, by the parser
    assert html.startswith("<p>&lt;script&gt;<br>\n")
    assert "&gt;" in html and "<script" not in html and len(html) >= len(text)
