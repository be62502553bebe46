"""Slower and slower after failures: in memory, bounded, by a clock that does not jump."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


def network(address: str) -> str:
    """The address of an IPv4 client, or the /64 network of an IPv6 client, which has all addresses in it."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


@dataclass
class _Tries:
    failures: int = 0
    last: float = 0.0


class Throttle:
    """The first ``free`` failures of a key cost nothing; after the next ones it waits 1, 2, 4, ... seconds.

    It never waits longer than ``longest`` seconds, so that an attacker cannot lock others out for good. ``size`` keys
    are remembered, the latest ones. ``seconds`` is a monotonic clock.
    """

    def __init__(
        self, free: int, longest: float, size: int = 10_000, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self.free, self.longest, self.size = free, longest, size
        self._seconds = seconds
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Seconds until ``key`` may try again; 0.0 for now."""
        with self._lock:
            return self._wait(key)

    def attempt(self, key: str) -> float:
        """Count a try as failed before it is made, else tries made at once would all be free; 0.0.

        Where ``key`` has to wait, nothing is counted, and the seconds are returned.
        """
        with self._lock:
            wait = self._wait(key)
            if wait == 0:
                self._count(key)
            return wait

    def count_failure(self, key: str) -> None:
        """Count a failure."""
        with self._lock:
            self._count(key)

    def forget_failures(self, key: str) -> None:
        """Forget the failures of ``key``."""
        with self._lock:
            self._tries.pop(key, None)

    def _wait(self, key: str) -> float:
        tries = self._tries.get(key)
        if tries is None or tries.failures <= self.free:
            return 0.0
        return max(0.0, tries.last + self._pause(tries.failures) - self._seconds())

    def _count(self, key: str) -> None:
        now = self._seconds()
        tries = self._tries.pop(key, None) or _Tries()
        if now - tries.last > 4 * self.longest:
            tries = _Tries()  # long ago: forgotten
        self._tries[key] = _Tries(tries.failures + 1, now)
        while len(self._tries) > self.size:
            self._tries.popitem(last=False)

    def _pause(self, failures: int) -> float:
        return min(self.longest, 2.0 ** min(failures - self.free - 1, 30))
