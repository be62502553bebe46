"""The services that routes use, made once when the server starts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter
from argon2 import PasswordHasher

from plaudit import layout
from plaudit.feedback.store import Store
from plaudit.server.accounts import Accounts
from plaudit.server.consent import Consents
from plaudit.server.endpoint import Endpoint
from plaudit.server.items import Items
from plaudit.server.keyed_ids import order_of
from plaudit.server.media import Films
from plaudit.server.meter import Meter
from plaudit.server.passwords import Passwords
from plaudit.server.projects import Projects
from plaudit.server.settings import ServerConfig, create_store, secret

Clock = Callable[[], float]

JUDGING, DRAWING = 6, 2  # threads


@dataclass(frozen=True)
class Services:
    """Everything that routes use. ``clock`` is in seconds since the epoch, UTC."""

    config: ServerConfig
    store: Store
    accounts: Accounts
    projects: Projects
    consents: Consents
    secret: bytes
    clock: Clock
    meter: Meter = field(default_factory=Meter)
    films: Films = field(default_factory=Films)
    items: Items = field(default_factory=Items)
    endpoint: Endpoint | None = None  # the live model
    # Threads that judge, and that draw. Measured: with more threads each waits longer, because they take turns at the
    # interpreter and at the store. Apart from other requests, a slow one never delays a judgement.
    judging: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(JUDGING))
    drawing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(DRAWING))


def _run_of(store: str) -> Path | None:
    """The run whose store this is, where it lies in a run's folder: its settings say what draws the clips."""
    folder = Path(store.removeprefix("sqlite:///")).parent
    return folder if "://" not in store.removeprefix("sqlite:///") and (folder / layout.CONFIG).exists() else None


def build_services(
    config: ServerConfig,
    clock: Clock = time.time,
    hasher: PasswordHasher | None = None,
    rng: random.Random | None = None,
) -> Services:
    """Open the store and everything over it. ``hasher`` sets what a password costs, ``rng`` draws gold and repeats.

    Raises :class:`PlauditError` as :meth:`Store.open` and :func:`secret` do.
    """
    key = secret(config.folder)
    create_store(config.store)
    store = Store.open(config.store)
    try:
        accounts = Accounts(store, clock, Passwords(hasher), config.session_days)
        run = config.run or config.scene or _run_of(config.store)
        projects = Projects(store, clock, rng or random.Random(), run, partial(order_of, key))
        consents, endpoint = Consents(store, clock), Endpoint.from_config(config)
        return Services(config, store, accounts, projects, consents, key, clock, Meter(config.caps), endpoint=endpoint)
    except BaseException:
        store.close()
        raise
