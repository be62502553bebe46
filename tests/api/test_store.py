"""plaudit.Store: the judgements that count, as rows, as a DataFrame, as a Dataset and as a file."""

from __future__ import annotations

import json
import sys
import types
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import plaudit
from plaudit.feedback import store as feedback
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question, Segment


def response(text: str, model: str | None = None) -> Dialogue:
    return Dialogue((Message("user", "Why?"), Message("assistant", text)), model)


def judge(question: Question, value: dict[str, Any], annotator: str = "ann", **more: Any) -> Judgement:
    times = {"shown_at": 10.0, "first_input_at": 11.0, "submitted_at": 12.5}
    order = tuple(reversed(range(len(question.items))))
    return Judgement(question.id, annotator, value, order, id=str(uuid.uuid4()), **times, **more)


@pytest.fixture
def path(tmp_path: Path, empty_file: Path) -> Path:
    """Two comparisons (one judged twice, one edited), a rating, a clip, and a gold question."""
    path = tmp_path / "feedback.sqlite"
    path.write_bytes(empty_file.read_bytes())
    texts = [response("Because.", "a"), response("It is so.", "b"), response("No idea.")]
    clips = [Segment(np.full((2, 1), number, np.float32), np.zeros(2, np.int64)) for number in (1, 2)]
    pair = Question("comparison", (texts[0].id, texts[1].id), "Which?", project="talk")
    second = Question("comparison", (texts[1].id, texts[2].id), "Which?", round=2, project="talk")
    rating = Question("rating", (texts[0].id,), "Rate.")
    clip = Question("comparison", (clips[0].id, clips[1].id), "Which clip?")
    gold = Question("comparison", (texts[2].id, texts[0].id), "Which?")
    with feedback.Store.open(path) as store:
        store.ask([pair, second, rating, clip], [*texts, *clips], judgements_wanted=2)
        store.ask([gold], [], purpose="gold")
        first = judge(second, {"strength": 4})
        store.answer(
            [
                judge(pair, {"strength": 4}),
                judge(pair, {"strength": None}, "bob", rationale="Both."),
                first,
                judge(rating, {"ratings": {"overall quality": 6}}),
                judge(clip, {"strength": -2}),
                judge(gold, {"strength": 4}),
            ]
        )
        store.answer([judge(second, {"strength": -4}, supersedes=first.id)])
    return path


def test_the_rows_are_the_judgements_that_count(path: Path, tmp_path: Path) -> None:
    with plaudit.Store(path) as store:
        rows = list(store.judgements())
        assert len(store.judgements()) == 5 and len(store.judgements(project="talk")) == 3
        calls: tuple[Callable[..., object], ...] = (store.judgements, partial(store.export, tmp_path / "never.jsonl"))
        for call in calls:
            with pytest.raises(PlauditError, match=r"has no project called 'tlak': choose from .*talk$"):
                call(project="tlak")
        assert not (tmp_path / "never.jsonl").exists()
        assert [row["kind"] for row in store.judgements("rating")] == ["rating"]
        with pytest.raises(PlauditError, match="no kind of feedback called 'rank'"):
            store.judgements("rank")
    with plaudit.Store(path.parent) as store:  # a folder that holds it, such as a run's
        judgements = store.judgements()
        assert repr(store) == f"Store({str(path)!r})" and repr(judgements) == "Judgements(4 comparison, 1 rating)"
        assert judgements[0] == rows[0] and judgements[1:3].to_list() == rows[1:3]
    facts = [(row["annotator"], row["preference"], row["project"], row["round"]) for row in rows]
    assert facts == [
        ("ann", 1.0, "talk", 0),
        ("bob", None, "talk", 0),
        ("ann", 0.0, "talk", 2),
        ("ann", None, "default", 0),
        ("ann", 0.25, "default", 0),
    ]
    assert rows[0]["conversations"][1] == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "It is so."},
    ]
    assert rows[0]["models"] == ["a", "b"] and rows[2]["models"] == ["b", None] and rows[0]["order"] == [1, 0]
    assert rows[4]["conversations"] == [None, None] and len(rows[4]["items"]) == 2
    assert json.loads(rows[3]["answer"]) == {"ratings": {"overall quality": 6}}
    assert rows[1]["rationale"] == "Both." and rows[0]["submitted_at"] - rows[0]["shown_at"] == 2.5


def test_a_data_frame(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with plaudit.Store(path) as store:
        frame = store.judgements().to_pandas()
        empty = store.judgements("critique").to_pandas()
        with monkeypatch.context() as patch, pytest.raises(PlauditError, match="to_pandas needs pandas: pip install"):
            patch.setitem(sys.modules, "pandas", None)
            store.judgements().to_pandas()
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == list(empty.columns) and len(empty) == 0
    assert frame.groupby("annotator").size().to_dict() == {"ann": 4, "bob": 1}
    assert np.nanmean(frame["preference"].to_numpy(float)) == pytest.approx(1.25 / 3)
    with pytest.raises(PlauditError, match="there is no"):
        plaudit.Store(tmp_path / "nowhere.sqlite")


def test_a_dataset(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of one type each, as Arrow wants them; the library itself is tried in test_examples.py."""
    made: list[dict[str, list[Any]]] = []

    class Dataset:
        from_dict: Callable[..., Any] = staticmethod(lambda columns: made.append(columns) or "a dataset")

    with plaudit.Store(path) as store:
        monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(Dataset=Dataset))
        assert store.judgements().to_dataset() == "a dataset"
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(PlauditError, match="to_dataset needs datasets: pip install datasets"):
            store.judgements().to_dataset()
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(made[0])
    assert table.num_rows == 5 and table.schema.field("preference").type == arrow.float64()


def test_a_file_of_pairs(path: Path, tmp_path: Path) -> None:
    with plaudit.Store(path) as store:
        assert store.export(tmp_path / "pairs.jsonl") == 2
        assert store.export(tmp_path / "all.json", "plaudit", project="talk") > 5
        with pytest.raises(
            PlauditError, match=r"there is no format called 'dpo': did you mean preference\? Choose from"
        ):
            store.export(tmp_path / "x.jsonl", "dpo")
        with pytest.warns(
            UserWarning, match=r"prose.jsonl holds nothing, because messages cannot express the judgements: \d"
        ):
            assert store.export(tmp_path / "prose.jsonl", "messages") == 0
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs] == [
        ("Because.", "It is so."),
        ("No idea.", "It is so."),
    ]
