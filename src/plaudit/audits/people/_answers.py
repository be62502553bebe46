"""The answers of a store as the measures of people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from sqlalchemy import select

from plaudit.audits.subject import FEEDBACK, Subject
from plaudit.feedback.formats import Record
from plaudit.feedback.kinds import kind
from plaudit.feedback.quality import Comparisons
from plaudit.feedback.quality.tables import number
from plaudit.feedback.schema_people import USERS
from plaudit.feedback.standing import StandingJudgements, load_standing
from plaudit.types import Array, Dialogue, Item, PlauditError, Segment

MOST_PAIRS = 3000  # the latest ones: a fit to them takes seconds
PROGRAM_SECONDS = 0.2  # nobody sees two items, decides and presses a key within this time
PROGRAMS = ("ai:", "rule:")  # beginnings of names; the modules that define them import torch
NO_ANSWERS = "there are no stored answers: name a run, a store or a file that has some"
NO_PAIRS = "no stored answer says which of two items is better"


@dataclass(frozen=True, eq=False)
class Answers:
    """All standing answers, repeats and gold questions included.

    Attributes:
        standing: as stored, in order of arrival.
        table: those that compare two items, (N,).
        left_first: (N,) bool, the first item was shown on the left.
        accounts: names of the store's users, who are people.
        programs_answer: a run's own annotator may have answered under any name, so only users count as people.
    """

    standing: StandingJudgements
    table: Comparisons
    left_first: Array
    accounts: frozenset[str]
    programs_answer: bool

    @cached_property
    def seconds(self) -> dict[str, Array]:
        """Seconds from shown to submitted, of each annotator's answers whose times are known."""
        times: dict[str, list[float]] = {}
        for row in (*self.standing.pairs, *self.standing.unpaired):
            if row.seconds > 0:
                times.setdefault(row.annotator, []).append(row.seconds)
        return {name: np.array(column) for name, column in times.items()}

    @cached_property
    def people(self) -> set[str]:
        """Annotators with known times who have an account, or in a store of unknown origin are slow enough."""
        return {
            name
            for name, column in self.seconds.items()
            if name in self.accounts
            or (
                not self.programs_answer
                and not name.startswith(PROGRAMS)
                and np.quantile(column, 0.9) >= PROGRAM_SECONDS
            )
        }

    @property
    def timed(self) -> StandingJudgements:
        """The answers of people whose times are known."""
        pairs, unpaired = (
            [row for row in rows if row.annotator in self.people and row.seconds > 0]
            for rows in (self.standing.pairs, self.standing.unpaired)
        )
        return replace(self.standing, pairs=pairs, unpaired=unpaired)


def read_answers(subject: Subject) -> Answers:
    """All answers of a subject.

    Raises:
        PlauditError: there is none that compares two items.
    """

    def read() -> Answers:
        if subject.store is None:
            raise PlauditError(NO_ANSWERS)
        standing = load_standing(subject.store, None)
        rows = standing.pairs
        if not rows:
            raise PlauditError(NO_PAIRS)
        choices = [kind(row.kind).advantage(json.loads(row.value)) for row in rows]
        table = Comparisons.from_names(
            [row.first for row in rows],
            [row.second for row in rows],
            [np.nan if choice is None else choice for choice in choices],
            [row.annotator for row in rows],
        )
        left_first = np.array([row.shown_order[1] == "0" for row in rows], dtype=np.bool_)
        with subject.store.database.read() as connection:
            accounts = frozenset(connection.execute(select(USERS.c.name)).scalars())
        return Answers(standing, table, left_first, accounts, subject.kind != FEEDBACK)

    return subject.share("answers", read)


@dataclass(frozen=True, eq=False)
class Pairs:
    """``N`` decisions of the feedback that trains: which of two items an annotator prefers.

    Attributes:
        items: the two items of each.
        first_better: (N,) bool.
        annotator: (N,) int, into ``annotators``.
        annotators: names.
    """

    items: Sequence[tuple[Item, Item]]
    first_better: Array
    annotator: Array
    annotators: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def texts(self) -> list[tuple[str, str]] | None:
        """The two responses of each pair; None if they are clips."""
        if not all(isinstance(item, Dialogue) for pair in self.items for item in pair):
            return None
        first, second = ([text_of(pair[side]) for pair in self.items] for side in (0, 1))
        return list(zip(first, second, strict=True))

    @property
    def preferred(self) -> tuple[list[str], list[str]]:
        """Of texts, the preferred ones and the others."""
        pairs = self.texts
        assert pairs is not None
        ordered = [pair if first else pair[::-1] for pair, first in zip(pairs, self.first_better, strict=True)]
        return [pair[0] for pair in ordered], [pair[1] for pair in ordered]

    def take(self, rows: Array) -> Pairs:
        """The pairs (K,) in that order."""
        items = [self.items[row] for row in rows]
        return Pairs(items, self.first_better[rows], self.annotator[rows], self.annotators)


def text_of(item: Item) -> str:
    """The last message of a dialogue."""
    assert isinstance(item, Dialogue)
    return item.messages[-1].content


def decisions(record: Record) -> Iterator[tuple[bool, str]]:
    """Whether the first of a record's two items was preferred, and by whom; nothing for ties and other questions."""
    question = record.question
    if question is None or len(record.items) != 2 or not kind(question.kind).compares:
        return
    for judgement in record.judgements:
        choice = kind(question.kind).advantage(judgement.value)
        if choice:
            yield choice > 0, judgement.annotator


def read_pairs(subject: Subject) -> Pairs:
    """The latest decisions of a subject's feedback, without repeats and gold questions.

    Raises:
        PlauditError: there is none.
    """

    def read() -> Pairs:
        items: list[tuple[Item, Item]] = []
        first_better: list[bool] = []
        annotators: list[str] = []
        for record in subject.records:
            for first_is_better, annotator in decisions(record):
                items.append((record.items[0], record.items[1]))
                first_better.append(first_is_better)
                annotators.append(annotator)
        if not items:
            raise PlauditError(NO_ANSWERS if not subject.records else NO_PAIRS)
        column, names = number(annotators)
        return Pairs(items, np.array(first_better), column, names).take(np.arange(len(items))[-MOST_PAIRS:])

    return subject.share("pairs", read)


def missing_answers(subject: Subject) -> str | None:
    """Why nothing can be said about answers; None if it can."""
    return NO_ANSWERS if subject.store is None else None


def is_clip(item: Item) -> bool:
    """Whether an item is a clip with plain observations, and not pictures."""
    return isinstance(item, Segment) and item.observations.ndim <= 2
