"""The eyes of an audit: the annotator who answers fresh pairs, and the store in which those answers stay.

Each eye has a store of its own in the folder ``audit/`` of what is audited. Training reads only the run's own store,
so fresh answers never train anything, and the run resumes and replays as before. A question is named by its contents,
and an audit draws the same pairs again. So an audit that was interrupted continues where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plaudit import layout
from plaudit.annotators.worker import drain
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Store
from plaudit.interfaces import Annotator
from plaudit.run.disk import disk_errors
from plaudit.run.stored import PEOPLE
from plaudit.types import Item, PlauditError, Question

FOLDER = "audit"  # of an audit's own files, in the folder of what is audited
ORACLE = "oracle"
Host = Callable[[Path], None]  # serves a folder's store to people, and returns when nothing is open or they leave


@dataclass(frozen=True)
class Eyes:
    """Who answers fresh pairs."""

    name: str
    folder: Path
    annotator: Annotator | None = None
    """The annotator; None: people."""
    host: Host | None = None
    """Function that lets people answer; None: they cannot answer here."""

    def ask(self, questions: Sequence[Question], items: Sequence[Item]) -> list[float | None]:
        """P[first better] of each comparison, as judged; None for can't tell, and where no answer came.

        Every answer is on the disk before this returns.

        Raises:
            PlauditError: as the annotator does; answers that came before are kept.
        """
        with self._store() as store:
            store.ask(questions, items)
            targets = _read_targets(store, questions)
            if len(targets) < len({question.id for question in questions}):
                if self.annotator is not None:
                    store.release_all(self.annotator.name)  # leases of an audit that was killed
                    drain(store, self.annotator, wait=False)
                elif self.host is not None:
                    self.host(self.folder)
                targets = _read_targets(store, questions)
        return [targets.get(question.id) for question in questions]

    def annotators(self) -> set[str]:
        """The names of those who have answered."""
        if not (self.folder / layout.FEEDBACK).exists():
            return set()
        with self._store() as store:
            return {event.judgement.annotator for event in store.events()}

    @contextmanager
    def _store(self) -> Iterator[Store]:
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with Store.open(self.folder / layout.FEEDBACK) as store:
            yield store


def open_eyes(
    name: str, folder: Path, load: Callable[[str], Annotator], host: Host | None, annotator: Annotator | None = None
) -> Eyes:
    """The eyes called ``name``, whose answers stay in a folder of ``folder``.

    Args:
        load: the annotator of a name, where it is not people.
        host: lets people answer; None: it is not possible here.
        annotator: a program's own, which answers in the place of the one that is called ``name``.

    Raises:
        PlauditError: as ``load`` does; people are to answer where there is no web app.
    """
    seat = folder / FOLDER / re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80]
    if name == PEOPLE:
        if host is None:
            raise PlauditError("people answer in the web app of `plaudit audit --eyes people`: start it there")
        return Eyes(name, seat, host=host)
    return Eyes(name, seat, load(name) if annotator is None else annotator)


def _read_targets(store: Store, questions: Sequence[Question]) -> dict[str, float | None]:
    """The targets of the questions that are answered, by id."""
    by_id = {question.id: question for question in questions}
    targets: dict[str, float | None] = {}
    for judgement in store.judgements():
        question = by_id.get(judgement.question)
        if question is not None:
            targets.setdefault(question.id, kind(question.kind).target(judgement.value))
    return targets
