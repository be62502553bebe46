"""Text of people and models made fit to be shown: Markdown to a small set of harmless HTML.

Two locks on one door: the Markdown parser knows no raw HTML and no images, and what it makes is then cut down to the
tags and attributes listed here. Links leave the page, and lead to http and https addresses only.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt

TAGS = frozenset({"a", "blockquote", "br", "code", "del", "em", "hr", "li", "ol", "p", "pre", "s", "strong", "ul"}) | {
    *("h1", "h2", "h3", "h4", "h5", "h6"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
SCHEMES = ("http://", "https://")
REMEMBERED = 4096  # rendered texts; one is shown to several people, and to one person again

LONGEST = 100_000  # characters of a text that is parsed as Markdown
MOST_MARKS = 20_000  # characters that can be markup; the parser takes some 20 microseconds for each

_MARK = re.compile(r"[^\w\s]|\n")
_UNSENDABLE = re.compile("[\ud800-\udfff\0]")

# breaks: a line break in the text stays one.
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
_MARKDOWN.disable("image")


def showable(text: str) -> str:
    """``text`` as UTF-8 can carry it, character for character, so that offsets into it still hold."""
    return _UNSENDABLE.sub("\ufffd", text)


def to_html(markdown: str) -> str:
    """``markdown`` as harmless HTML; a text that would take long is shown as it stands."""
    if len(markdown) > LONGEST or len(_MARK.findall(markdown)) > MOST_MARKS:
        return "<p>" + html.escape(showable(markdown)).replace("\n", "<br>\n") + "</p>\n"
    return _render(markdown)


@lru_cache(REMEMBERED)
def _render(markdown: str) -> str:
    dirty = _MARKDOWN.render(showable(markdown))
    return nh3.clean(
        dirty,
        tags=set(TAGS),
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=_keep_external_links,
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _keep_external_links(tag: str, attribute: str, value: str) -> str | None:
    """Links within this site are dropped too: a text must not send people to its pages."""
    if attribute == "href" and not value.lower().startswith(SCHEMES):
        return None
    return value
