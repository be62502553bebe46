"""Faults as people and programs see them: one line and the right HTTP status, or a page if the request was for a page.

Every fault of the API is ``{"detail": "one line"}``; ``next`` names a page that solves the problem, if there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from plaudit.feedback.store import Conflict, StoreFault
from plaudit.server.render import page
from plaudit.server.security import HEADERS
from plaudit.types import PlauditError

log = logging.getLogger("plaudit.server")
RETRY_SECONDS = 2
LONGEST_PLACE = 200  # characters of the path to what is wrong in a body


class NotSignedIn(PlauditError):
    """The request brings no valid session or token: 401, and for pages a redirect to the sign-in page."""


class Forbidden(PlauditError):
    """The person may not do this: 403. ``next`` is the page that would let them."""

    def __init__(self, message: str, next: str | None = None) -> None:
        super().__init__(message)
        self.next = next


class NotFound(PlauditError):
    """The name does not exist, or it belongs to another person: 404."""


class TooManyTries(PlauditError):
    """Too many tries or requests: 429, and in how many seconds the next may follow."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Upstream(PlauditError):
    """Another server that was asked did not answer as it should: 502."""


class Fault(BaseModel):
    """A fault in one line."""

    detail: str
    next: str | None = None


STATUSES: Mapping[type[PlauditError], int] = {
    NotSignedIn: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooManyTries: 429,
    Upstream: 502,
    StoreFault: 503,
}
WORDS = {
    400: "The request is malformed, or names another host",
    401: "Not signed in",
    403: "Not allowed, or the request may be forged",
    404: "The name does not exist",
    409: "The request contradicts what is stored",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "Invalid value",
    429: "Too many tries or requests; try again after Retry-After seconds",
    502: "The model's endpoint failed",
    503: "The store cannot be reached; try again after Retry-After seconds",
}
COMMON = (400, 403, 413, 422, 429, 503)  # may come from every route


def document_faults(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route: these faults, and those that any route can have."""
    return {status: {"model": Fault, "description": WORDS[status]} for status in sorted({*COMMON, *statuses})}


def install(app: FastAPI, store: str | None = None) -> None:
    """Let ``app`` answer every exception as this module says, without the address ``store`` in any message."""
    app.state.private = store
    app.add_exception_handler(PlauditError, _plaudit)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def one_line(text: str) -> str:
    """``text`` without line breaks."""
    return " ".join(text.split())


def status_of(error: PlauditError) -> int:
    """The HTTP status that tells of ``error``."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)


def _plaudit(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlauditError)
    if isinstance(error, NotSignedIn) and not _is_api(request) and request.method == "GET":
        location = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(location, safe='/')}" if location != "/" else "/sign-in", 303)
    target = getattr(error, "next", None)
    if target is not None and not _is_api(request) and request.method == "GET":
        return RedirectResponse(target, 303)
    headers = {}
    if isinstance(error, StoreFault):
        headers["Retry-After"] = str(RETRY_SECONDS)
        log.warning("503 %s", error)
    if isinstance(error, TooManyTries):
        headers["Retry-After"] = str(max(1, round(error.seconds)))
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = "Bearer"
    return answer(request, status_of(error), _public(request, str(error)), headers, target)


def _public(request: Request, text: str) -> str:
    """A fault's message without the address of the store, which only the log tells."""
    private: str | None = request.app.state.private
    return text if private is None else text.replace(private, "the store")


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return answer(request, 422, "the body is not JSON")
    field = ".".join(str(part) for part in first["loc"] if part != "body")
    field = field if len(field) <= LONGEST_PLACE else f"{field[:LONGEST_PLACE]}..."
    return answer(request, 422, f"{field}: {first['msg']}" if field else str(first["msg"]))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase
    if error.status_code == 404 and detail == "Not Found":
        detail = "there is no such page"
    return answer(request, error.status_code, detail, error.headers)


def _bug(request: Request, error: Exception) -> Response:
    # This one is sent from outside the middleware that adds the headers; the traceback goes to the server's log.
    return answer(request, 500, "the server failed: see its log", HEADERS)


def answer(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, next: str | None = None
) -> Response:
    """JSON for the API, a page for pages."""
    detail = one_line(detail)
    if _is_api(request) or request.method not in ("GET", "HEAD"):
        body = {"detail": detail} if next is None else {"detail": detail, "next": next}
        return JSONResponse(body, status, dict(headers or {}))
    title = HTTPStatus(status).phrase if status in WORDS or status >= 500 else "This did not work"
    return page(request, "error.html", status=status, headers=headers, title=title, detail=detail)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/static/"))
