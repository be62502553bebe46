"""Ctrl-C that is not lost: Python's own exception is swallowed where C code ignores what a callback raised."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from plaudit.signals import list_stopping


@contextmanager
def ctrl_c(at_once: bool = True) -> Iterator[Callable[[], None]]:
    """Yields what the caller calls between steps: it raises KeyboardInterrupt if Ctrl-C was pressed since.

    SIGTERM and SIGHUP count as Ctrl-C.

    Ctrl-C also raises where it finds the program, unless ``at_once`` is false: then the step under way is ended first,
    and a second Ctrl-C raises at once. Outside the main thread, where signals cannot be handled, nothing changes.
    """
    pressed = threading.Event()

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return

    def stop(number: int, frame: object) -> None:
        pressed_before = pressed.is_set()
        pressed.set()
        if at_once or pressed_before:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, *list_stopping())}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
