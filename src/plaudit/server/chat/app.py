"""The application of the page: one page, one request for responses, the app's styles, and its checks of requests.

There is no store and there are no accounts. A link with a random token, which only the terminal shows, opens the page
in a browser; the browser then holds a session that ends with the process.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from pydantic import Field
from starlette.responses import HTMLResponse, RedirectResponse, StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from plaudit.server import faults
from plaudit.server.api.bodies import Body
from plaudit.server.api.live import TALK, MessageText, TalkTurn
from plaudit.server.api.work import storable
from plaudit.server.chat.models import Models, Response, Sampling, Worker
from plaudit.server.faults import Forbidden, Upstream
from plaudit.server.render import STATIC, page
from plaudit.server.security import Security, csrf_token
from plaudit.server.streaming import HEADERS, end_with_fault, event, merge
from plaudit.server.text import showable, to_html
from plaudit.types import Message, PlauditError

router = APIRouter()
SECONDS = 86400  # that a browser keeps its session, which ends with the process in any case


@dataclass(frozen=True)
class Local:
    """The address of a server for this machine alone, and its secrets."""

    port: int
    token: str  # of the link that opens the page
    session: str  # of browsers that opened it
    secret: bytes
    host: str = "127.0.0.1"
    public_url: None = None
    secure: bool = False

    @classmethod
    def create(cls, port: int) -> Local:
        """An address with new secrets."""
        return cls(port, secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_bytes(32))

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; browsers share cookies between the ports of a machine."""
        return f"plaudit_chat_{self.port}"

    @property
    def link(self) -> str:
        """The link that opens the page."""
        return f"http://{self.host}:{self.port}/open/{self.token}"


class Part(Body):
    """The turns of the conversation with one model so far."""

    model: int = Field(ge=0)
    turns: list[TalkTurn] = Field([], max_length=400)


class TurnBody(Body):
    """A message to one model, or to two at once, each with a conversation of its own."""

    parts: list[Part] = Field(min_length=1, max_length=2)
    say: MessageText
    system: str = Field("", max_length=TALK)
    tokens: int = Field(ge=1)
    temperature: float = Field(ge=0, le=2)
    seed: int | None = Field(None, ge=0, lt=2**63)


@dataclass(frozen=True)
class Services:
    """Everything that the routes use."""

    address: Local
    models: Models
    worker: Worker


def create_chat_app(services: Services) -> FastAPI:
    """The page as an ASGI application."""
    app = FastAPI(title="Plaudit", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.chat = services
    faults.install(app)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    address = services.address
    app.add_middleware(Security, config=address, secret=address.secret, may_ask=_no_large_bodies, cookie=address.cookie)
    return app


async def _services_of(request: Request) -> Services:
    services: Services = request.app.state.chat
    return services


ChatServices = Annotated[Services, Depends(_services_of)]


async def _session_of(request: Request, services: ChatServices) -> str:
    """The session of a browser that opened the link; raises :class:`Forbidden` for any other."""
    session = request.cookies.get(services.address.cookie, "")
    if not hmac.compare_digest(session.encode("utf-8", "replace"), services.address.session.encode()):
        raise Forbidden("open the link that plaudit chat printed in the terminal")
    return session


Session = Annotated[str, Depends(_session_of)]


@router.get("/open/{token}", response_model=None)
async def open_page(token: Annotated[str, Path(max_length=200)], services: ChatServices) -> RedirectResponse:
    """Let the browser in that has the link."""
    address = services.address
    if not hmac.compare_digest(token.encode("utf-8", "replace"), address.token.encode()):
        raise Forbidden("this link is not the one that plaudit chat printed last: open that one")
    response = RedirectResponse("/", 303)
    response.set_cookie(address.cookie, address.session, max_age=SECONDS, httponly=True, samesite="lax")
    return response


@router.get("/", response_model=None)
async def show(request: Request, session: Session, services: ChatServices) -> HTMLResponse:
    """The page."""
    models = services.models
    setup = {"models": [model.name for model in models.models], "is_scored": models.score is not None}
    csrf = csrf_token(services.address.secret, session)
    return page(request, "chat/dialogue.html", chat=models, setup=setup, csrf=csrf)


@router.post("/api/turn", response_model=None)
async def turn(body: TurnBody, _: Session, services: ChatServices) -> StreamingResponse:
    """Responses as they are written, as server-sent events.

    `piece` {side, text}, `response` {side, text, html, tokens, is_complete, omitted}, `score` {side, score},
    `fault` {side, detail}, `end` {}.
    """
    _check(body, services.models)
    events = end_with_fault(_events(body, services.models, services.worker), len(body.parts))
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


async def _no_large_bodies(scope: Scope) -> bool:
    return False


def _check(body: TurnBody, models: Models) -> None:
    """Raise :class:`PlauditError` for what no model could answer."""
    if any(part.model >= len(models.models) for part in body.parts):
        raise PlauditError("there is no such model: load the page again")
    if body.tokens >= models.window:
        raise PlauditError(
            f"a response of {body.tokens} tokens does not fit the model's window of {models.window}: lower the limit"
        )
    storable([body.system, body.say, *(spoken.content for part in body.parts for spoken in part.turns)])
    for part in body.parts:
        if sum(len(spoken.content) for spoken in part.turns) + len(body.say) > TALK:
            raise PlauditError("this conversation has become too long: begin a new one")


async def _events(body: TurnBody, models: Models, worker: Worker) -> AsyncGenerator[str]:
    """The events for the page while the models write."""
    opening = [Message("system", body.system)] if body.system.strip() else []
    conversations = [
        [*opening, *(Message(spoken.role, spoken.content) for spoken in part.turns), Message("user", body.say)]
        for part in body.parts
    ]
    seed = secrets.randbelow(2**31) if body.seed is None else body.seed
    sampling = Sampling(body.tokens, body.temperature, seed)
    streams = [
        worker.iterate(models.models[part.model].write(conversation, sampling))
        for part, conversation in zip(body.parts, conversations, strict=True)
    ]
    async with aclosing(merge(streams)) as values:
        async for side, value in values:
            if isinstance(value, str):
                if value:
                    yield event("piece", side=side, text=showable(value))
            elif isinstance(value, Response):
                yield _response_event(side, value)
                if models.score is not None:
                    yield await _score_event(side, worker, models, conversations[side], value.text)
            elif isinstance(value, Upstream):
                yield event("fault", side=side, detail=str(value))
    yield event("end")


def _response_event(side: int, response: Response) -> str:
    text = showable(response.text)
    facts = {"tokens": response.tokens, "is_complete": response.is_complete, "omitted": response.omitted}
    return event("response", side=side, text=text, html=to_html(text), **facts)


async def _score_event(side: int, worker: Worker, models: Models, conversation: list[Message], text: str) -> str:
    try:
        return event("score", side=side, score=await worker.call(models.score, conversation, text))  # type: ignore[arg-type]
    except Upstream as error:  # the response stands without its score
        return event("fault", side=side, detail=f"the reward model: {error}")
