"""Jobs on several threads that the caller can leave at once: Ctrl-C does not wait for a slow server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

POLL_SECONDS = 0.2
Result = TypeVar("Result")
Job = Callable[[Any], Result]  # takes what its thread has opened


def run_jobs(
    jobs: Sequence[Job[Result]],
    open_tool: Callable[[], AbstractContextManager[Any]],
    stop: threading.Event,
    workers: int,
) -> list[Result]:
    """The result of each job, in order; the first job that fails, or Ctrl-C, ends the work and raises.

    Then ``stop`` is set: jobs must end when they can, and the caller does not wait for them. The threads are daemons,
    because the interpreter waits for an executor's threads when it ends. Each thread opens and closes its own tool:
    after another thread closes a socket, its number may belong to another file by the time it is read.
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
        except BaseException as error:  # raised again in the caller's thread
            results.put((index, None, error))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(jobs)))]
    values: dict[int, Any] = {}
    try:
        for thread in threads:
            thread.start()
        while len(values) < len(jobs):
            try:  # on Windows, Ctrl-C arrives only between two waits
                index, value, error = results.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if error is not None:
                raise error
            values[index] = value
    finally:
        stop.set()
    for thread in threads:  # they only have to close their tools
        thread.join()
    return [values[index] for index in range(len(jobs))]
