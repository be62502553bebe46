"""Work on several threads, which whoever waits for it may leave at once: Ctrl-C does not wait for a slow server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

POLL_SECONDS = 0.2
Result = TypeVar("Result")
Job = Callable[[Any], Result]  # of what its thread has opened


def run_jobs(
    jobs: Sequence[Job[Result]],
    open_tool: Callable[[], AbstractContextManager[Any]],
    stop: threading.Event,
    workers: int,
) -> list[Result]:
    """What each job gives, in their order; the first that fails, or Ctrl-C, ends it and raises.

    Then ``stop`` is set, at which jobs are to end when they can; nobody waits for them. The threads are daemons, for
    those of an executor are waited for when the interpreter ends. Each opens what it works with and closes it itself:
    a socket that another thread closes may be somebody else's file by the time that it is read.
    """
    waiting: SimpleQueue[int] = SimpleQueue()
    for index in range(len(jobs)):
        waiting.put(index)
    results: SimpleQueue[tuple[int, Result | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        index = -1
        try:
            with open_tool() as tool:
                while not stop.is_set():
                    index = waiting.get_nowait()
                    results.put((index, jobs[index](tool), None))
        except Empty:
            return
        except BaseException as error:  # it is raised again where somebody waits for it
            results.put((index, None, error))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(jobs)))]
    values: dict[int, Any] = {}
    try:
        for thread in threads:
            thread.start()
        while len(values) < len(jobs):
            try:  # on Windows Ctrl-C is heard between two waits alone
                index, value, error = results.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if error is not None:
                raise error
            values[index] = value
    finally:
        stop.set()
    for thread in threads:  # they have nothing left to do but to close
        thread.join()
    return [values[index] for index in range(len(jobs))]
