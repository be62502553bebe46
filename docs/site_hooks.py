"""What mkdocs does beyond its own: pages from the root of the checkout, and no links to files outside of the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PROJECT = {  # pages of the site whose files are outside of docs/
    **{name: ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LOG.md")},
    "results.md": ROOT / "benchmarks" / "README.md",
}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages of the project."""
    for name, source in PROJECT.items():
        files.append(File.generated(config, name, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Excerpts lose the name of their file, and a link to a file outside of the site becomes its text."""
    source = PROJECT.get(page.file.src_uri, ROOT / "docs" / page.file.src_uri)
    pages = {path: name for name, path in PROJECT.items()}

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match.groups(default="")
        path = (source.parent / target).resolve()
        name = pages.get(path) or (path.is_relative_to(ROOT / "docs") and path.relative_to(ROOT / "docs").as_posix())
        if not name or files.get_file_from_path(name) is None:
            return text
        return f"[{text}]({posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    return LINK.sub(link, re.sub(r"^(```python) file=\S+$", r"\1", markdown, flags=re.MULTILINE))
