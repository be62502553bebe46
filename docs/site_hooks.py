"""What mkdocs does beyond its own: pages from the root of the checkout, and no links to files outside of the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LOG.md")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages of the project."""
    for name in PROJECT:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Excerpts lose the name of their file, and a link to a file outside of the site becomes its text."""
    folder = ROOT if page.file.src_uri in PROJECT else ROOT / "docs"

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match.groups(default="")
        path = (folder / target).resolve()
        for base in (ROOT / "docs", ROOT):
            if path.is_relative_to(base) and files.get_file_from_path(path.relative_to(base).as_posix()) is not None:
                return f"[{text}]({path.relative_to(base).as_posix()}{anchor})"
        return text

    return LINK.sub(link, re.sub(r"^(```python) file=\S+$", r"\1", markdown, flags=re.MULTILINE))
