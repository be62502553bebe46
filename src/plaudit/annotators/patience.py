"""What may go wrong at a model's address, and how long to wait for it to pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Nonsense(Exception):
    """What the model says is no answer: asked again, it may be one."""


class Failed(Exception):
    """The server gives no answer: asked again, it may."""


class Busy(Failed):
    """The server asks to wait, as it may say for how many seconds."""

    def __init__(self, problem: str, after: float | None) -> None:
        super().__init__(problem)
        self.after = after


class Refused(Exception):
    """An answer that will be the same however often one asks."""


class Unfit(Exception):
    """So will this one, for the prompt at hand."""


@dataclass(frozen=True)
class Patience:
    """How often and how long to wait."""

    tries: int = 4
    """Attempts of one request."""
    pause: float = 1.0
    """Seconds before the second attempt; doubled before each that follows."""
    longest: float = 60.0
    """Seconds of such a pause at most."""
    busy: float = 300.0
    """Seconds in all for which a request waits while a server says that it is busy; that takes none of its tries."""
    connect: float = 5.0
    """Seconds to be reached."""
    answer: float = 60.0
    """Seconds for a whole answer."""
    workers: int = 8
    """Requests under way at once."""

    def before(self, attempt: int, chance: float = 0.0, after: float | None = None) -> float:
        """Seconds before attempt 1, 2, ...: doubled, and no less than asked for; up to half more by ``chance``.

        Requests that were turned away together shall not come back together.
        """
        return max(min(self.pause * 2 ** (attempt - 1), self.longest), after or 0.0) * (1 + chance / 2)


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number or a date (RFC 9110, section 10.2.3); None: it does not."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
