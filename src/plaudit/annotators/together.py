"""Work on several threads, which whoever waits for it may leave at once: Ctrl-C does not wait for a slow server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

POLL_SECONDS = 0.2
Found = TypeVar("Found")
Job = Callable[[Any], Found]  # of what its thread has opened


def together(
    jobs: Sequence[Job[Found]], opened: Callable[[], AbstractContextManager[Any]], stop: threading.Event, workers: int
) -> list[Found]:
    """What each job gives, in their order; the first that fails, or Ctrl-C, ends it and raises.

    Then ``stop`` is set, at which jobs are to end when they can; nobody waits for them. The threads are daemons, for
    those of an executor are waited for when the interpreter ends. Each opens what it works with and closes it itself:
    a socket that another thread closes may be somebody else's file by the time that it is read.
    """
    waiting: SimpleQueue[int] = SimpleQueue()
    for place in range(len(jobs)):
        waiting.put(place)
    results: SimpleQueue[tuple[int, Found | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        place = -1
        try:
            with opened() as tool:
                while not stop.is_set():
                    place = waiting.get_nowait()
                    results.put((place, jobs[place](tool), None))
        except Empty:
            return
        except BaseException as error:  # it is raised again where somebody waits for it
            results.put((place, None, error))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(jobs)))]
    found: dict[int, Any] = {}
    try:
        for each in threads:
            each.start()
        while len(found) < len(jobs):
            try:  # on Windows Ctrl-C is heard between two waits alone
                place, value, error = results.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if error is not None:
                raise error
            found[place] = value
    finally:
        stop.set()
    for each in threads:  # they have nothing left to do but to close
        each.join()
    return [found[place] for place in range(len(jobs))]
