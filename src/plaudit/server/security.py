"""Checks before every route: host, forged requests, size of bodies; and the headers of every answer.

A page of another site can make a browser send a request with our cookie, so a request that changes something must show
that it comes from our own pages: by Origin (or Referer) and Sec-Fetch-Site where the browser sends them, else by the
token that our pages hold. A Bearer token is never sent by a browser on its own, so programs need none of that.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaudit.server.settings import WILDCARDS, Address

COOKIE = "plaudit_session"
HOST_PREFIX = "__Host-"  # browsers keep such a cookie from subdomains and from http
BROWSER = "plaudit_browser"  # cookie of a browser in which somebody signed in before
SAFE = ("GET", "HEAD", "OPTIONS")
BODY = 2**20  # bytes
ASKING, LARGE = "/questions", 64 * 2**20  # paths that end so take more from those who may ask: items come along
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def cookie_name(name: str, secure: bool) -> str:
    """The name of a cookie; under https no other host of the domain can set it."""
    return f"{HOST_PREFIX}{name}" if secure else name


def csrf_token(secret: bytes, session: str) -> str:
    """The token in our pages of this session, which other sites cannot know."""
    text = session.encode("utf-8", "replace")
    return hashlib.blake2b(text, key=secret, person=b"plaudit-csrf", digest_size=24).hexdigest()


def browser_token(secret: bytes, name: str, browser: str) -> str:
    """What proves that ``name`` signed in before in the browser with that random id: the id and a keyed hash."""
    text = f"{browser} {name}".encode("utf-8", "replace")
    return f"{browser}.{hashlib.blake2b(text, key=secret, person=b'plaudit-browser', digest_size=24).hexdigest()}"


def known_browser(secret: bytes, name: str, token: str | None) -> str | None:
    """The id of a browser by its :func:`browser_token` for ``name``; None if the token is for somebody else."""
    browser = (token or "").partition(".")[0]
    expected = browser_token(secret, name, browser)
    return browser if browser and hmac.compare_digest(expected.encode(), (token or "").encode()) else None


class Security:
    """The middleware; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        config: Address,
        secret: bytes,
        may_ask: Callable[[Scope], Awaitable[bool]],
        cookie: str = COOKIE,
    ) -> None:
        self.app = app
        self.cookie = cookie  # of the session
        self.may_ask = may_ask  # whether the sender may ask questions
        self.config = config
        self.secret = secret
        self.hosts = _hosts(config)
        headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if config.secure else {})
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.names = {name for name, _ in self.headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path: str = scope["path"]
        cache_control = b"no-cache" if path.startswith("/static/") else b"no-store"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                response_headers = [(name.lower(), value) for name, value in message["headers"]]
                added = [*self.headers]
                if not any(name == b"cache-control" for name, _ in response_headers):
                    added.append((b"cache-control", cache_control))
                message["headers"] = [header for header in response_headers if header[0] not in self.names] + added
            await send(message)

        limit = LARGE if path.endswith(ASKING) else BODY
        refused = self._refusal(scope, headers, limit)
        # A body is read and parsed before its route looks at who sent it: strangers could keep the server busy.
        if refused is None and limit > BODY and not await self.may_ask(scope):
            limit = BODY
            refused = self._refusal(scope, headers, limit)
        if refused is not None:
            status, detail = refused
            await JSONResponse({"detail": detail}, status)(scope, receive, send_with_headers)
            return
        await self.app(scope, _limit(receive, limit), send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> tuple[int, str] | None:
        """Status and reason, or None where the request may pass."""
        host = headers.get("host", "")
        if not self._known_host(host):
            return 400, "this server is not known by that host name: use the address that it printed"
        if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may believe the other one
            return 400, "Content-Length and Transfer-Encoding exclude each other: send one of them"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "Content-Length must be a number"
        if int(length) > limit:
            return 413, f"the body is larger than {limit // 2**20} MiB: send less at a time"
        if scope["method"] in SAFE or headers.get("authorization", "").lower().startswith("bearer "):
            return None
        return self._check_origin(scope, headers, host)

    def _check_origin(self, scope: Scope, headers: Headers, host: str) -> tuple[int, str] | None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is None and "referer" in headers:
            parts = urlsplit(headers["referer"])
            origin = f"{parts.scheme}://{parts.netloc}"
        if origin is not None and origin.lower() not in self._origins(scope, host):
            return 403, "refused: the request comes from another site"
        if site is not None and site not in ("same-origin", "none"):
            return 403, "refused: the request comes from another site"
        session = HTTPConnection(scope).cookies.get(self.cookie)  # as routes parse it, where several headers hold some
        if origin is None and session is not None:  # every browser of today sends an Origin with what changes something
            token = headers.get("x-csrf-token", "")
            if not hmac.compare_digest(token.encode(), csrf_token(self.secret, session).encode()):
                return 403, "refused: X-CSRF-Token is missing or wrong; load the page again"
        return None

    def _origins(self, scope: Scope, host: str) -> set[str]:
        local_origin = f"{scope.get('scheme', 'http')}://{host}".lower()
        if self.config.public_url is None:
            return {local_origin}
        public = self.config.public_url.rstrip("/").lower()
        return {public} if urlsplit(public).netloc == host.lower() else {public, local_origin}

    def _known_host(self, host: str) -> bool:
        """Whether the Host header names this server: another site's name that resolves to us is not ours."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None:
            return False
        return name in self.hosts or (self.config.host in WILDCARDS and _is_address(name))


def _hosts(config: Address) -> set[str]:
    hosts = {"localhost", "127.0.0.1", "::1", config.host.lower()} - set(WILDCARDS)
    if config.public_url is not None:
        hosts.add(str(urlsplit(config.public_url).hostname))
    if config.host in WILDCARDS:
        hostname = socket.gethostname().lower()
        hosts |= {hostname, f"{hostname}.local"}
    return hosts


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _limit(receive: Receive, limit: int) -> Receive:
    """``receive`` that stops at ``limit`` bytes, for bodies that do not say how long they are."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, f"the body is larger than {limit // 2**20} MiB: send less at a time")
        return message

    return receive_limited
