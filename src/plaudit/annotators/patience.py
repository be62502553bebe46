"""Failures of a model's server, and how long to wait for each to pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Nonsense(Exception):
    """The model's text is no usable answer; another attempt may give one."""


class ServerFailure(Exception):
    """The server gives no answer; another attempt may succeed."""


class ServerBusy(ServerFailure):
    """The server asks to wait, and may say for how many seconds."""

    def __init__(self, problem: str, after: float | None) -> None:
        super().__init__(problem)
        self.after = after


class ServerRefusal(Exception):
    """The server refuses every request: another attempt is useless."""


class UnfitPrompt(Exception):
    """The server refuses this prompt: another attempt with it is useless."""


@dataclass(frozen=True)
class Patience:
    """Number and length of the waits for a server."""

    tries: int = 4
    """Number of attempts to make one request."""
    pause: float = 1.0
    """Seconds before the second attempt; the pause doubles before each further attempt."""
    longest: float = 60.0
    """Longest pause in seconds."""
    busy: float = 300.0
    """Total seconds that a request waits for a busy server; this waiting uses up no attempts."""
    connect: float = 5.0
    """Time limit for a connection, in seconds."""
    answer: float = 60.0
    """Time limit for a whole answer, in seconds."""
    workers: int = 8
    """Number of requests that run at once."""

    def before(self, attempt: int, chance: float = 0.0, after: float | None = None) -> float:
        """Seconds before attempt 1, 2, ...: doubled, at least ``after``, and up to half more by ``chance``.

        Without chance, requests that were refused together would return together.
        """
        return max(min(self.pause * 2 ** (attempt - 1), self.longest), after or 0.0) * (1 + chance / 2)


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number or a date (RFC 9110, section 10.2.3); None if it has neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
