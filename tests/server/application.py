"""The application as tests call it: with the routes of one application for all.

FastAPI prepares every route at an application's first request, which takes a quarter of a second. What it prepares
holds nothing of the server: a route takes its services from the application that was asked.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from plaudit.server.app import create_app
from plaudit.server.services import Services

ROUTES: list[Any] = []


def application(services: Services) -> FastAPI:
    """What ``create_app`` makes of ``services``."""
    app = create_app(services.config, services)
    if not ROUTES:
        ROUTES.extend(app.router.routes)
    app.router.routes[:] = ROUTES
    return app
