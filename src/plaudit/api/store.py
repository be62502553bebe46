"""``plaudit.Store``: the judgements of a store as a table."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from plaudit import layout
from plaudit.api.paths import check_path
from plaudit.feedback import store as feedback
from plaudit.feedback.cards import card_path, dataset_card, write_card
from plaudit.feedback.formats import Record, find_format
from plaudit.feedback.formats.outgoing import Choice, ExportSummary, check_project, export_file, in_force
from plaudit.feedback.kinds import kind
from plaudit.resource import Resource
from plaudit.types import Dialogue, Item, Judgement, PlauditError

if TYPE_CHECKING:  # neither is a dependency
    import datasets  # pyright: ignore[reportMissingImports]
    import pandas as pd

    from plaudit.run.record import RunFolder  # imports torch


@dataclass(frozen=True)
class Judgements:
    """Judgements in force, a row each, in the order in which the questions were asked.

    A row is a dict with

    - ``judgement``, ``question``: their ids;
    - ``kind``, ``project``, ``round``, ``wording``: of the question;
    - ``annotator``, ``rationale``: who judged, and why (None: not said);
    - ``answer``: the answer as JSON text, in the form that `docs/kinds.md` gives for the kind;
    - ``preference``: P[the first item is better] as judged, from 0 to 1; None for can't tell, and for kinds that do not
      compare two items;
    - ``items``: ids of the K items; ``conversations``: a list of messages ``{"role", "content"}`` for each, or None for
      clips; ``models``: which model wrote each response (None: unknown);
    - ``order``: positions of the items as they were shown;
    - ``shown_at``, ``submitted_at``: seconds since the epoch, UTC.
    """

    rows: tuple[dict[str, Any], ...]

    def __repr__(self) -> str:
        kinds = Counter(row["kind"] for row in self.rows)
        return f"Judgements({', '.join(f'{count} {name}' for name, count in kinds.items()) or 'none'})"

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Judgements: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Judgements:
        """A row, or some of them, by position."""
        return Judgements(self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def to_list(self) -> list[dict[str, Any]]:
        """The rows as a list."""
        return list(self.rows)

    def to_pandas(self) -> pd.DataFrame:
        """A pandas DataFrame with a column for each field; raises `PlauditError` if pandas is not installed."""
        try:
            import pandas as pd
        except ImportError as error:
            raise PlauditError("to_pandas needs pandas: pip install pandas") from error
        return pd.DataFrame(list(self.rows), columns=list(COLUMNS))

    def to_dataset(self) -> datasets.Dataset:
        """A Dataset of Hugging Face's datasets; raises `PlauditError` if that is not installed."""
        try:
            import datasets  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise PlauditError("to_dataset needs datasets: pip install datasets") from error
        return datasets.Dataset.from_dict({name: [row[name] for row in self.rows] for name in COLUMNS})


COLUMNS = (
    "judgement",
    "question",
    "kind",
    "project",
    "round",
    "wording",
    "annotator",
    "rationale",
    "answer",
    "preference",
    "items",
    "conversations",
    "models",
    "order",
    "shown_at",
    "submitted_at",
)


class Store(Resource):
    """A feedback store, to be read by a program. A context manager that closes it.

    Args:
        store: a file, such as ``"collect/feedback.sqlite"``; a folder that holds ``feedback.sqlite``, such as a run's;
            the run that `plaudit.train` returned; or ``postgresql://USER@HOST/NAME``.

    Raises:
        PlauditError: there is no such store, or it is damaged, locked or from a newer version.
    """

    def __init__(self, store: RunFolder[Any] | str | os.PathLike[str]) -> None:
        location: Any = getattr(store, "folder", store)
        path = check_path(location, "store")  # which may be a URL, too
        if path.is_dir() and (path / layout.FEEDBACK).exists():
            location = path / layout.FEEDBACK
        self._store = feedback.Store.open(location, create=False)

    def __repr__(self) -> str:
        return f"Store({self._store.database.name!r})"

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        self._store.close()

    def judgements(self, *kinds: str, project: str | None = None) -> Judgements:
        """The judgements that count: not withdrawn, not replaced by a later one, and not checks of annotators.

        Args:
            kinds: only questions of these kinds, such as ``"comparison"``; none given: all.
            project: only this project's questions; None: of all projects.

        Raises:
            PlauditError: there is no such kind or project, or the store cannot be read.
        """
        _check_project(self._store, project)
        return judgements_of(self._store, kinds, project)

    def export(
        self,
        file: str | os.PathLike[str],
        format: str = "preference",
        *,
        project: str | None = None,
        card: bool = False,
        license: str | None = None,
    ) -> int:
        """Write the judgements to a file, as `plaudit export` does.

        Args:
            file: a path that ends in .jsonl, .json, .jsonl.gz or .json.gz; an older file is replaced.
            format: ``"preference"`` is what DPO trainers read (prompt, chosen, rejected); ``"plaudit"`` loses nothing;
                `docs/formats.md` lists the others.
            project: only this project's questions; None: of all projects.
            card: also write a data set card next to the file: ``pairs.README.md`` for ``pairs.jsonl``.
            license: the licence that the card names, such as ``"cc-by-4.0"``; None: not stated.

        Returns:
            The number of objects in the file.

        Raises:
            PlauditError: there is no such format or project, or the file cannot be written.
        """
        path = check_path(file, "file")
        _check_project(self._store, project)
        return export_with_card(self._store, path, format, Choice(project), card, license)


def _check_project(store: feedback.Store, project: object) -> None:
    if project is not None and not isinstance(project, str):
        raise PlauditError(f"project must be the name of a project, or None, got {project!r}")
    check_project(store, project)


def export_with_card(
    store: feedback.Store, path: Path, format: str, choice: Choice, card: bool, license: str | None
) -> int:
    """As `Store.export`."""
    if license is not None and not card:
        raise PlauditError("license is for the card: add card=True")
    form = find_format(format)
    result = export_file(store, path, form, choice)
    if card:
        write_card(card_path(path), dataset_card(store, path, form.name, result, choice, license))
    if not result.objects and result.left.reasons:
        reasons = "; ".join(f"{count} {reason}" for reason, count in result.left.reasons.items())
        warnings.warn(
            f"{path} holds nothing, because {form.name} cannot express the judgements: {reasons}", stacklevel=3
        )
    return result.objects


def judgements_of(store: feedback.Store, kinds: tuple[str, ...], project: str | None) -> Judgements:
    """As `Store.judgements`."""
    for name in kinds:
        if not isinstance(name, str):
            raise PlauditError(f"kinds must be texts, as in judgements('comparison', 'ranking'), got {name!r}")
        kind(name)
    records = in_force(store, Choice(project, kinds), ExportSummary(), lambda done, total: None)
    return Judgements(tuple(row for record in records for row in _rows(record)))


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    question = record.question
    assert question is not None  # in_force yields questions with their judgements
    common = {
        "question": question.id,
        "kind": question.kind,
        "project": question.project,
        "round": question.round,
        "wording": question.wording,
        "items": list(question.items),
        "conversations": [_messages(item) for item in record.items],
        "models": [item.model if isinstance(item, Dialogue) else None for item in record.items],
    }
    for judgement in record.judgements:
        yield common | {
            "judgement": judgement.id,
            "annotator": judgement.annotator,
            "rationale": judgement.rationale,
            "answer": json.dumps(dict(judgement.value), ensure_ascii=False),
            "preference": _preference(question.kind, judgement),
            "order": list(judgement.order),
            "shown_at": judgement.shown_at,
            "submitted_at": judgement.submitted_at,
        }


def _preference(name: str, judgement: Judgement) -> float | None:
    rules = kind(name)
    return rules.target(judgement.value) if rules.compares else None


def _messages(item: Item) -> list[dict[str, str]] | None:
    if not isinstance(item, Dialogue):
        return None
    return [{"role": message.role, "content": message.content} for message in item.messages]
