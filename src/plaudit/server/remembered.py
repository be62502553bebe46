"""Caches of one process, so that not every request reads the store."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RecentValues(Generic[K, V]):
    """Values that were looked up within the last ``seconds``, until :meth:`forget`. Threads may share it.

    ``size`` entries at most; ``clock`` is a monotonic one.
    """

    def __init__(self, seconds: float, size: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._size, self._clock = seconds, size, clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()
        self._changes = 0

    def get(self, key: K) -> V | None:
        """The value of ``key``; None if there is none, or if it is too old."""
        with self._lock:
            entry = self._entries.get(key)
            return entry[1] if entry is not None and entry[0] > self._clock() else None

    def look_up(self, key: K, read: Callable[[], V | None]) -> V | None:
        """As :meth:`get`, else the result of ``read``, which is kept unless it is None.

        If :meth:`forget` was called while ``read`` ran, the result is not kept, because it may be out of date.
        """
        value = self.get(key)
        if value is not None:
            return value
        before = self._changes
        value = read()
        if value is not None:
            with self._lock:
                if before == self._changes:
                    self._entries.pop(key, None)
                    self._entries[key] = (self._clock() + self._seconds, value)
                while len(self._entries) > self._size:
                    self._entries.popitem(last=False)
        return value

    def forget(self) -> None:
        """Drop all values, because something has changed that the next request must see."""
        with self._lock:
            self._changes += 1
            self._entries.clear()


class Cache(Generic[K, V]):
    """The values used last, which never change, up to a total weight of ``capacity``. Threads may share it."""

    def __init__(self, capacity: int, weight: Callable[[V], int]) -> None:
        self._capacity, self._weight, self._total = capacity, weight, 0
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value of ``key``, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]

    def add(self, key: K, value: V) -> None:
        """Keep ``value``; the values unused for the longest time make room for it."""
        with self._lock:
            if key not in self._entries:
                self._entries[key] = value
                self._total += self._weight(value)
            while self._total > self._capacity and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                self._total -= self._weight(oldest)
