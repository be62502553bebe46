"""Run by tests as a process of its own: starts annotators on the store PATH, to be killed at any moment.

Each line on stdin is "NAME FILE LEASE_SECONDS BATCH PAUSE": a child (forked here, where no store is open) drains the
queue as NAME, and writes each judgement's id to FILE, only after it was acknowledged. Its process id goes to stdout.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid

from plaudit.feedback.store import Store
from plaudit.types import Judgement


def drain(path: str, name: str, report: str, lease_seconds: float, batch: int, pause: float) -> None:
    acknowledged = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Store.open(path, create=False) as store:
        while store.open_count():
            leases = store.claim(name, batch, lease_seconds)
            time.sleep(pause if leases else 0.02)
            now = time.time()
            receipts = store.answer(
                [
                    Judgement(each.question.id, name, {"strength": 4}, (0, 1), now, now, now, str(uuid.uuid4()))
                    for each in leases
                ]
            )
            os.write(acknowledged, "".join(f"{receipt.id} {receipt.status}\n" for receipt in receipts).encode())


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin:
        name, report, *numbers = line.split()
        child = os.fork()
        if child == 0:
            drain(sys.argv[1], name, report, float(numbers[0]), int(numbers[1]), float(numbers[2]))
            os._exit(0)
        print(child, flush=True)
