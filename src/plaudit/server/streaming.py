"""Streams to a page: several responses at once, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from plaudit.server.faults import Upstream

Value = TypeVar("Value")
BROKEN = "the response could not be read: try again, or tell an admin"
log = logging.getLogger("plaudit.server")
HEADERS = {"X-Accel-Buffering": "no"}  # a reverse proxy must not hold the pieces back


def event(name: str, **data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


async def end_with_fault(events: AsyncGenerator[str], sides: int) -> AsyncGenerator[str]:
    """The events for a page. If they break off, the page is told for each of the ``sides`` responses, and the log."""
    try:
        async with aclosing(events):
            async for text in events:
                yield text
    except Exception:
        log.exception("a stream to a page failed")
        for side in range(sides):
            yield event("fault", side=side, detail=BROKEN)
        yield event("end")


async def merge(streams: Sequence[AsyncGenerator[Value]]) -> AsyncGenerator[tuple[int, Value | Upstream | None]]:
    """The values of all streams as they come, each with its stream's index; None, or :class:`Upstream`, ends a stream.

    Any other exception of a stream ends it, too: it goes to the log, and :class:`Upstream` to the page. If the
    generator is closed first (the page has gone), the streams are closed.
    """
    queue: asyncio.Queue[tuple[int, Value | Upstream | None]] = asyncio.Queue(64)

    async def forward(index: int) -> None:
        try:
            async with aclosing(streams[index]) as values:
                async for value in values:
                    await queue.put((index, value))
            await queue.put((index, None))
        except Upstream as error:
            await queue.put((index, error))
        except Exception:  # otherwise the page would wait for ever
            log.exception("a stream to a page failed")
            await queue.put((index, Upstream(BROKEN)))

    tasks = [asyncio.create_task(forward(index)) for index in range(len(streams))]
    running = len(streams)
    try:
        while running:
            index, value = await queue.get()
            running -= value is None or isinstance(value, Upstream)
            yield index, value
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
