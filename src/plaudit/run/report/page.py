"""A report as one HTML page that asks for nothing: styles, plots, clips and script stand inside it.

What a model wrote and what people asked it is text of strangers. It is escaped, it cannot change the direction of the
text around it, and the page's policy forbids scripts unless the report allows our own.
"""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from plaudit.files import replace_file
from plaudit.run.report.sections import Report
from plaudit.types import PlauditError


def write_report(report: Report, path: Path) -> None:
    """Write the page to ``path``, replacing an older one only once the new one is complete.

    Raises:
        PlauditError: the page cannot be written.
    """
    text = render(report)
    try:
        with replace_file(path) as partial:
            # A lone surrogate, from a file name that is no UTF-8, must not cost the reader the whole page.
            partial.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise PlauditError(
            f"report: cannot write {path}: {error.strerror}; make room or choose another folder"
        ) from error


def render(report: Report) -> str:
    """The page as text. Every name, value and text is escaped; only our own SVG, CSS and JavaScript are not."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_source))
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    styles, script = Markup(_source("report.css")), Markup(_source("report.js"))
    return environment.get_template("page.html").render(report=report, styles=styles, script=script)


def _source(name: str) -> str:
    """A file of this folder."""
    return (files("plaudit.run.report") / name).read_text("utf-8")
