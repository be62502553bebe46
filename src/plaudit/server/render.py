"""Pages out of templates. Everything is escaped; a name that a template uses and that was not set is an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


def moment(seconds: float | None) -> str:
    """A time as the admin pages write it: 2026-03-14 09:26 UTC; a dash for none."""
    return "\N{EN DASH}" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def thousands(number: int) -> str:
    """1234 as 1,234."""
    return f"{number:,}"


def percent(share: float) -> str:
    """0.726 as 73 %."""
    return f"{100 * share:.0f} %"


def money(amount: float | None, digits: int = 2) -> str:
    """An amount in whatever currency the team thinks in; a dash for none."""
    return "\N{EN DASH}" if amount is None else f"{amount:,.{digits}f}"


TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters.update({function.__name__: function for function in (moment, thousands, percent, money)})


def page(
    request: Request,
    template: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """``templates/TEMPLATE`` as a response. ``person`` and ``section`` are None unless ``context`` has them."""
    person = getattr(request.state, "person", None)
    text = TEMPLATES.get_template(template).render({"person": person, "section": None, "request": request, **context})
    return HTMLResponse(text, status, dict(headers or {}))
