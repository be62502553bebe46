"""Run by a test as a process of its own: fill the store PATH until files may not grow beyond LIMIT bytes.

Prints each acknowledged judgement's id; ends as the command line does: one line on stderr, exit code 2.
"""

from __future__ import annotations

import resource
import sys
import uuid

import numpy as np

from plaudit.feedback.store import Store
from plaudit.types import Judgement, PlauditError, Question, Segment


def fill(path: str) -> None:
    rng = np.random.default_rng(0)
    with Store.open(path) as store:
        while True:
            segments = [Segment(rng.random((25, 6)), np.zeros(25)) for _ in range(4)]
            names = [segment.id for segment in segments]
            questions = [
                Question("comparison", (names[0], names[1]), "Which?"),
                Question("comparison", (names[2], names[3]), "?"),
            ]
            store.ask(questions, segments)
            judgements = [
                Judgement(each.id, "ann", {"strength": 1}, (0, 1), 0.0, 1.0, 2.0, str(uuid.uuid4()))
                for each in questions
            ]
            for receipt in store.answer(judgements):
                print(receipt.id, flush=True)


if __name__ == "__main__":
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        fill(sys.argv[1])
    except PlauditError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
