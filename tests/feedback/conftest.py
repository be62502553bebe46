"""Builders that the tests of the store and of the queue share."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Store
from plaudit.types import Judgement, Question, Segment, Source


class Make:
    """Small nouns, different each time, the same in every run."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.rows = 0

    def segments(self, count: int, length: int = 25, width: int = 6) -> list[Segment]:
        """``count`` segments of ``length`` steps with ``width`` floats each."""
        self.rows += count
        return [
            Segment(
                self.rng.standard_normal((length, width)).astype(np.float32),
                self.rng.integers(0, 3, length),
                source=Source(7, self.rows + row, 3),
            )
            for row in range(count)
        ]

    def pairs(self, count: int, round: int = 0) -> tuple[list[Question], list[Segment]]:
        """``count`` comparisons and their two segments each."""
        segments = self.segments(2 * count, length=2, width=1)
        comparison = kind("comparison")
        names = [(first.id, second.id) for first, second in zip(segments[::2], segments[1::2], strict=True)]
        return [Question("comparison", pair, comparison.wording, round=round) for pair in names], segments

    def judgement(
        self, question: Question | str, annotator: str = "ann", strength: int | None = 4, **more: Any
    ) -> Judgement:
        """A comparison's judgement; ``more`` replaces any field."""
        fields: dict[str, Any] = {
            "question": question if isinstance(question, str) else question.id,
            "annotator": annotator,
            "value": {"strength": strength},
            "order": (1, 0),
            "shown_at": 100.25,
            "first_input_at": 101.5,
            "submitted_at": 102.125,
            "id": str(uuid.uuid4()),
        }
        return Judgement(**(fields | more))

    def withdrawal(self, of: Judgement, **more: Any) -> Judgement:
        """The event that withdraws ``of``."""
        return self.judgement(of.question, of.annotator, value={"withdrawn": True}, supersedes=of.id, **more)


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test of SQLite alone may put its file."""
    return tmp_path / "feedback.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    """Where an empty store may be opened: the test runs once on each database."""
    if request.param == "sqlite":
        return str(shutil.copyfile(request.getfixturevalue("empty_file"), request.getfixturevalue("path")))
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    with Store.open(address) as opened:
        yield opened
