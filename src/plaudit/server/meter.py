"""What each person takes of a server, up to the caps: one annotator's script must not take all questions, the disk or
the model.

Numbers of a day are kept in memory: they begin again when the server starts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plaudit.server.faults import TooManyTries
from plaudit.server.settings import Caps

DAY = 86_400.0  # seconds
BURST = 40  # seconds' worth of requests that may come at once
REMEMBERED = 10_000  # people


@dataclass
class _Usage:
    """What one person took."""

    day: float  # when it began
    requests_at: float
    requests: float = 0.0  # that were not yet worked off at the permitted rate
    surplus: int = 0
    size: int = 0  # bytes
    turns: int = 0  # at once


class Meter:
    """What people take of a server. Threads may share it; ``seconds`` is a monotonic clock."""

    def __init__(self, caps: Caps | None = None, seconds: Callable[[], float] = time.monotonic) -> None:
        self.caps = caps or Caps()
        self._seconds = seconds
        self._people: dict[str, _Usage] = {}
        self._lock = threading.Lock()

    def count_request(self, person: str, size: int) -> None:
        """Count a request with a body of ``size`` bytes; raises :class:`TooManyTries` for one too many."""
        with self._lock:
            now, usage = self._usage(person)
            usage.requests = max(0.0, usage.requests - (now - usage.requests_at) * self.caps.requests)
            usage.requests_at = now
            if usage.requests >= self.caps.requests * BURST:
                raise TooManyTries(f"you send more than {self.caps.requests} requests a second: wait a moment", 1.0)
            if size and usage.size + size > self.caps.megabytes * 10**6:
                raise TooManyTries(
                    f"you have sent {self.caps.megabytes} MB today, which is the most: go on tomorrow, or ask an admin "
                    "to raise --caps.megabytes",
                    usage.day + DAY - now,
                )
            usage.requests += 1
            usage.size += size

    def is_surplus_left(self, person: str) -> bool:
        """Whether one more surplus answer of today is kept."""
        with self._lock:
            return self._usage(person)[1].surplus < self.caps.surplus

    def count_surplus(self, person: str) -> None:
        """Count a surplus answer."""
        with self._lock:
            self._usage(person)[1].surplus += 1

    def check_turns(self, person: str) -> None:
        """Raise :class:`TooManyTries` if the model writes as many responses to ``person`` as it may."""
        with self._lock:
            if self._usage(person)[1].turns >= self.caps.turns:
                raise self._too_many_turns()

    @contextmanager
    def hold_turn(self, person: str) -> Iterator[None]:
        """While the model writes to ``person``; raises as :meth:`check_turns`."""
        with self._lock:
            usage = self._usage(person)[1]
            if usage.turns >= self.caps.turns:
                raise self._too_many_turns()
            usage.turns += 1
        try:
            yield
        finally:
            with self._lock:
                usage.turns -= 1

    def _too_many_turns(self) -> TooManyTries:
        return TooManyTries(
            f"the model writes {self.caps.turns} responses to you already: wait until one has ended", 2.0
        )

    def _usage(self, person: str) -> tuple[float, _Usage]:
        now = self._seconds()
        usage = self._people.get(person)
        if usage is None:
            if len(self._people) >= REMEMBERED:
                idle = next((name for name, entry in self._people.items() if not entry.turns), None)
                self._people.pop(idle or "", None)
            usage = self._people[person] = _Usage(now, now)
        if now - usage.day >= DAY:
            usage.day, usage.surplus, usage.size = now, 0, 0
        return now, usage
