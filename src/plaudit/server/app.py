"""The application: every route of the API and every page, behind the checks of ``security``."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

from plaudit import __version__
from plaudit.server import faults
from plaudit.server.api import admin, auth, items, live, projects, run, work
from plaudit.server.identity import may_ask
from plaudit.server.pages import account as account_pages
from plaudit.server.pages import admin as admin_pages
from plaudit.server.pages import run as run_pages
from plaudit.server.pages import work as work_pages
from plaudit.server.render import STATIC
from plaudit.server.security import COOKIE, Security, cookie_name
from plaudit.server.services import Services, build_services
from plaudit.server.settings import ServerConfig

# Routes are tried in this order: first those that are asked for at each judgement.
API: tuple[APIRouter, ...] = tuple(module.router for module in (work, items, auth, live, projects, admin, run))
PAGES: tuple[APIRouter, ...] = (account_pages.router, work_pages.router, admin_pages.router, run_pages.router)

DESCRIPTION = (
    "Plaudit's pages use this API for everything. Programs send `Authorization: Bearer plt_...`, a token "
    'that an admin makes. Errors are `{"detail": "one line"}`.'
)


def create_app(config: ServerConfig, services: Services | None = None) -> FastAPI:
    """The server of ``config`` as an ASGI application. ``services`` replaces what :func:`build_services` makes.

    Raises :class:`PlauditError` when the store or the secret cannot be opened.
    """
    shared = services is not None
    services = services or build_services(config)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if not shared:  # else the caller that opened the store closes it
            services.store.close()

    app = FastAPI(
        title="Plaudit",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = services
    faults.install(app, services.store.database.name)
    for router in API:
        app.include_router(router, prefix="/api")
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    # What a browser may not guess has to be right, and some systems' tables are not.
    mimetypes.add_type("text/javascript", ".js")
    mimetypes.add_type("image/svg+xml", ".svg")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    cookie = cookie_name(COOKIE, services.config.secure)
    app.add_middleware(Security, config=services.config, secret=services.secret, may_ask=may_ask, cookie=cookie)
    return app
