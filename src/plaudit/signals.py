"""SIGTERM and SIGHUP end a command as Ctrl-C does, so that stores are closed and runs can be resumed.

A supervisor (`systemctl stop`, a container's stop) sends the first one, and a terminal that closes the second one. Both
would end the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def list_stopping() -> list[int]:
    """The signals of STOPPING that this process does not ignore, as `nohup` ignores SIGHUP; none in other threads."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in STOPPING if signal.getsignal(number) not in (signal.SIG_IGN, None)]


@contextmanager
def stop_as_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGTERM or SIGHUP; when the block has ended, the process ends by it.

    Further ones are ignored, so that they do not interrupt the closing of files.
    """
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        if not received:
            received.append(number)
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in list_stopping()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
