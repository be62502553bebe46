"""Cards in Hugging Face's form: the README.md that stands next to a data set or a model, and what a store says for it.

A card names numbers only. It has no name of an annotator, because cards are published.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from plaudit.feedback.agreeing import Agreement, agreement
from plaudit.feedback.formats.outgoing import Choice, ExportSummary
from plaudit.feedback.rows import is_superseded
from plaudit.feedback.schema import JUDGEMENTS, QUESTIONS
from plaudit.feedback.schema_people import USERS
from plaudit.feedback.standing import load_shared
from plaudit.feedback.store import Store
from plaudit.files import replace_text
from plaudit.types import PlauditError

NOT_STATED = "not stated"
SIMULATED = ("oracle", "mistake", "noisy", "myopic", "skip", "equal", "random")  # annotators that know the true reward
PERSON, MODEL, PROGRAM = "people with an account", "language models", "programs"
SIMULATION, UNKNOWN_SORT = "simulated annotators", "named in a file or by a program, sort not stated"


@dataclass(frozen=True)
class Summary:
    """The judgements in force of a store that are for training, in numbers."""

    judgements: Mapping[str, int]  # by kind
    questions: int  # that have such a judgement
    annotators: Mapping[str, int]  # by sort
    judgements_by_sort: Mapping[str, int]
    first: float | None  # seconds since the epoch, UTC
    last: float | None
    agreement: tuple[tuple[str, Agreement], ...]  # with the project

    @property
    def total(self) -> int:
        """The number of judgements."""
        return sum(self.judgements.values())


def sort_of(annotator: str, people: Collection[str] = ()) -> str:
    """The sort of an annotator, by name. people: names of accounts."""
    if annotator in people:
        return PERSON
    for start, sort in (("ai:", MODEL), ("rule:", PROGRAM), ("program:", PROGRAM)):
        if annotator.startswith(start):
            return sort
    return SIMULATION if annotator in SIMULATED else UNKNOWN_SORT


def summarise(store: Store, choice: Choice | None = None) -> Summary:
    """Count what `plaudit export` takes: judgements that are accepted, in force, and not checks of annotators."""
    choice = choice or Choice()
    condition = (JUDGEMENTS.c.status == "accepted") & ~is_superseded() & (QUESTIONS.c.purpose == "train")
    if choice.project is not None:
        condition &= QUESTIONS.c.project == choice.project
    if choice.kinds:
        condition &= QUESTIONS.c.kind.in_(choice.kinds)
    counted = JUDGEMENTS.join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
    submitted = JUDGEMENTS.c.submitted_at
    with store.database.read() as connection:
        kinds = connection.execute(
            select(QUESTIONS.c.kind, func.count()).select_from(counted).where(condition).group_by(QUESTIONS.c.kind)
        ).all()
        annotators = connection.execute(
            select(JUDGEMENTS.c.annotator, func.count())
            .select_from(counted)
            .where(condition)
            .group_by(JUDGEMENTS.c.annotator)
        ).all()
        questions, first, last = connection.execute(
            select(func.count(func.distinct(QUESTIONS.c.number)), func.min(submitted), func.max(submitted))
            .select_from(counted)
            .where(condition)
        ).one()
        people = set(connection.execute(select(USERS.c.name)).scalars())
        projects = connection.execute(select(QUESTIONS.c.project).distinct().order_by(QUESTIONS.c.project)).scalars()
        names = [name for name in projects if choice.project in (None, name)]
    by_sort: dict[str, list[int]] = {}
    for name, count in annotators:
        by_sort.setdefault(sort_of(name, people), []).append(count)
    measured = [(name, row) for name in names for row in agreement(load_shared(store, name))]
    if choice.kinds:
        measured = [(name, row) for name, row in measured if row.aspect.split(":")[0] in choice.kinds]
    return Summary(
        dict(sorted((kind, count) for kind, count in kinds)),
        questions,
        {sort: len(counts) for sort, counts in sorted(by_sort.items())},
        {sort: sum(counts) for sort, counts in sorted(by_sort.items())},
        first,
        last,
        tuple((name, row) for name, row in measured if row.percent is not None),
    )


def combine(summaries: Sequence[Summary]) -> Summary:
    """Several stores as one; an annotator of two stores counts twice."""

    def total(name: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for summary in summaries:
            for key, count in getattr(summary, name).items():
                counts[key] = counts.get(key, 0) + count
        return dict(sorted(counts.items()))

    return Summary(
        total("judgements"),
        sum(summary.questions for summary in summaries),
        total("annotators"),
        total("judgements_by_sort"),
        min((summary.first for summary in summaries if summary.first is not None), default=None),
        max((summary.last for summary in summaries if summary.last is not None), default=None),
        tuple(row for summary in summaries for row in summary.agreement),
    )


# The text


def render(front: Mapping[str, object], title: str, sections: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A card: YAML front matter, a title, and sections of lines; a section without lines is left out."""
    parts = ["---", *_yaml(front), "---", "", f"# {title}", ""]
    for heading, lines in sections:
        if lines:
            parts += [f"## {heading}", "", *lines, ""]
    return "\n".join(parts)


def _yaml(front: Mapping[str, object]) -> list[str]:
    """YAML whose values are JSON, which YAML includes; None and empty lists are left out."""
    return [
        f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in front.items() if value not in (None, [])
    ]


def describe_judgements(summary: Summary) -> list[str]:
    """Lines on how many judgements there are, of what kind, and from when."""
    if not summary.total:
        return ["- Judgements: none"]
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary.judgements.items())
    lines = [f"- In force: {_judgements(summary.total)} on {summary.questions:,} questions ({kinds})"]
    if summary.first is not None and summary.last is not None:
        lines.append(f"- Submitted: {_day(summary.first)} to {_day(summary.last)} (UTC)")
    return lines


def describe_annotators(summary: Summary) -> list[str]:
    """Lines on how many annotators of what sort there were, and how far they agree."""
    lines = [
        f"- {sort[0].upper()}{sort[1:]}: {count:,}, with {_judgements(summary.judgements_by_sort[sort])}"
        for sort, count in summary.annotators.items()
    ]
    for project, row in summary.agreement:
        interval = "" if row.low is None or row.high is None else f", 95 % interval {row.low:.2f} to {row.high:.2f}"
        alpha = "" if row.alpha is None else f"; Krippendorff's alpha {row.alpha:.2f}{interval}"
        lines.append(
            f"- Agreement in project {project}, {row.aspect}: {100 * (row.percent or 0):.0f} % of pairs of judgements "
            f"are equal{alpha} (n = {row.units:,} questions or parts with at least two judgements)"
        )
    if summary.total and not summary.agreement:
        lines.append("- Agreement: not measured, because no two annotators answered the same question")
    return lines


def _judgements(count: int) -> str:
    return f"{count:,} judgement{'' if count == 1 else 's'}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def dataset_card(
    store: Store, path: Path, form: str, result: ExportSummary, choice: Choice | None = None, license: str | None = None
) -> str:
    """The card of a file that was exported from ``store``. license: an id of Hugging Face's list; None: not stated."""
    summary = summarise(store, choice)
    front = {
        "license": license or "unknown",
        "tags": ["plaudit", "human-feedback", *([] if form == "plaudit" else [form])],
        "configs": [{"config_name": "default", "data_files": path.name}],
    }
    data = [
        f"- File: `{path.name}`, format {form} of Plaudit, {result.objects:,} objects",
        f"- Licence: {license or NOT_STATED}",
    ]
    if choice is not None and choice.project is not None:
        data.append(f"- Project: {choice.project}")
    limits = [f"- {_judgements(count)} left out of the file: {reason}" for reason, count in _left_out(result)]
    if SIMULATION in summary.annotators or PROGRAM in summary.annotators or MODEL in summary.annotators:
        limits.append("- Some judgements were made by programs or simulated annotators, not by people")
    if form == "plaudit":
        limits.append("- The file has every judgement ever submitted; the numbers above are of those in force")
        limits.append("- The file has the names of annotators")
    return render(
        front,
        path.name,
        [
            ("Data", data),
            ("Judgements", describe_judgements(summary)),
            ("Annotators", describe_annotators(summary)),
            ("Known limits", limits or ["- None was recorded"]),
        ],
    )


def _left_out(result: ExportSummary) -> list[tuple[str, int]]:
    reasons = [("superseded, withdrawn or surplus", result.not_in_force), ("they check annotators", result.checks)]
    return [*((reason, count) for reason, count in reasons if count), *result.left.reasons.most_common()]


def card_path(path: Path) -> Path:
    """Where the card of an exported file stands: pairs.README.md next to pairs.jsonl.gz."""
    return path.with_name(f"{path.name.split('.')[0]}.README.md")


def write_card(path: Path, text: str) -> None:
    """Write a card.

    Raises:
        PlauditError: the file cannot be written.
    """
    try:
        replace_text(path, text)
    except OSError as error:
        raise PlauditError(f"cannot write {path}: {error.strerror}") from error
