"""Projects and guidelines as the store keeps them, and how much work each project has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from plaudit.feedback import counting
from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
from plaudit.feedback.faults import stored_json
from plaudit.feedback.schema import JUDGEMENTS, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import GUIDELINES, PROJECTS
from plaudit.feedback.store import Conflict, Store


@dataclass(frozen=True)
class ProjectRow:
    """One project. ``options`` and ``settings`` are as JSON has them."""

    name: str  # Question.project
    title: str
    kind: str
    wording: str
    options: Mapping[str, Any]
    settings: Mapping[str, Any]
    created_at: float
    closed_at: float | None = None


@dataclass(frozen=True)
class Guideline:
    """One version of what annotators are told, in Markdown."""

    version: str  # Question.guideline
    text: str
    author: str
    created_at: float


# Projects


def list_projects(store: Store) -> list[ProjectRow]:
    """All projects, oldest first, closed ones too."""
    with store.database.read() as connection:
        rows = connection.execute(select(PROJECTS).order_by(PROJECTS.c.created_at, PROJECTS.c.name)).all()
    return [_project(row) for row in rows]


def load_project(store: Store, name: str) -> ProjectRow | None:
    """The project called ``name``, None if it has no row."""
    with store.database.look() as connection:
        row = connection.execute(select(PROJECTS).where(PROJECTS.c.name == name)).first()
    return None if row is None else _project(row)


def add_project(store: Store, actor: str, project: ProjectRow) -> None:
    """Store a project; raises :class:`Conflict` for a name that is taken."""
    with store.database.write() as connection:
        if not _insert(connection, project):
            raise Conflict(f"there is a project called {project.name!r} already: choose another name")
        details = {"kind": project.kind, "title": project.title}
        note(connection, project.created_at, actor, "made a project", project.name, details)


def adopt_projects(store: Store, projects: Sequence[ProjectRow]) -> None:
    """Store those of ``projects`` that have no row yet."""
    with store.database.write() as connection:
        for project in projects:
            _insert(connection, project)


def change_project(
    store: Store, actor: str, name: str, values: Mapping[str, Any], details: Mapping[str, Any], now: float
) -> None:
    """Set columns of a project, of which ``options`` and ``settings`` are objects; ``details`` go to the audit log."""
    columns = {
        column: to_json(value) if column in ("options", "settings") else value for column, value in values.items()
    }
    with store.database.write() as connection:
        if columns:
            connection.execute(update(PROJECTS).where(PROJECTS.c.name == name).values(**columns))
        note(connection, now, actor, "changed a project", name, details)


def find_orphans(store: Store) -> dict[str, str]:
    """The kind of the first question of each project that has questions and no row, by the project's name."""
    with store.database.read() as connection:
        names = set(connection.execute(select(PROJECTS.c.name)).scalars())
        orphans: dict[str, str] = {}
        after = ""
        while True:  # one step of the index a project, however many questions there are
            name = connection.execute(select(func.min(QUESTIONS.c.project)).where(QUESTIONS.c.project > after)).scalar()
            if name is None:
                return orphans
            after = name
            if name not in names:
                in_project = select(QUESTIONS.c.kind).where(QUESTIONS.c.project == name)
                orphans[name] = connection.execute(in_project.order_by(QUESTIONS.c.number).limit(1)).scalar_one()


def _insert(connection: Connection, project: ProjectRow) -> bool:
    if connection.execute(select(PROJECTS.c.name).where(PROJECTS.c.name == project.name)).first() is not None:
        return False
    columns = {"options": to_json(project.options), "settings": to_json(project.settings)}
    connection.execute(insert(PROJECTS).values(**vars(project) | columns))
    return True


def _project(row: Any) -> ProjectRow:
    texts = {"options": row.options, "settings": row.settings}
    columns = {name: stored_json(text, f"{name} of project {row.name}", dict) for name, text in texts.items()}
    return ProjectRow(**row._asdict() | columns)


# Guidelines


def list_guidelines(store: Store, project: str) -> list[Guideline]:
    """Every version of a project's guideline, newest first."""
    columns = (GUIDELINES.c.version, GUIDELINES.c.text, GUIDELINES.c.author, GUIDELINES.c.created_at)
    with store.database.look() as connection:
        rows = connection.execute(select(*columns).where(GUIDELINES.c.project == project)).all()
    return sorted((Guideline(*row) for row in rows), key=lambda guideline: int(guideline.version), reverse=True)


def add_guideline(store: Store, actor: str, project: str, text: str, now: float) -> Guideline:
    """Store a further version of a project's guideline."""
    with store.database.write() as connection:
        versions = connection.execute(select(GUIDELINES.c.version).where(GUIDELINES.c.project == project)).scalars()
        version = str(max((int(number) for number in versions), default=0) + 1)
        guideline = Guideline(version, text, actor, now)
        connection.execute(insert(GUIDELINES).values(project=project, **vars(guideline)))
        note(connection, now, actor, "wrote a guideline", project, {"version": version})
    return guideline


# Work


def count_work(store: Store, annotator: str, projects: Sequence[str]) -> list[tuple[int, int]]:
    """How many questions for training wait for ``annotator`` in each project, and how many they judged."""
    with store.database.read() as connection:
        return [
            (
                counting.offer(
                    _count_waiting(connection, annotator, project),
                    counting.count_checks(connection, annotator, project),
                ),
                _count_judged(connection, annotator, project),
            )
            for project in projects
        ]


def judging_seconds(store: Store, project: str, limit: int) -> list[float]:
    """The seconds from shown to submitted of the project's newest ``limit`` judgements, shortest first."""
    newest = (
        select((JUDGEMENTS.c.submitted_at - JUDGEMENTS.c.shown_at).label("seconds"))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(QUESTIONS.c.project == project, JUDGEMENTS.c.status != "withdrawal")
        .order_by(JUDGEMENTS.c.event.desc())
        .limit(limit)
    )
    with store.database.look() as connection:
        return sorted(connection.execute(newest).scalars())


def _count_waiting(connection: Connection, annotator: str, project: str) -> int:
    judged = select(JUDGEMENTS.c.event).where(
        JUDGEMENTS.c.question == OPEN_QUESTIONS.c.question, JUDGEMENTS.c.annotator == annotator
    )
    conditions = (OPEN_QUESTIONS.c.project == project, OPEN_QUESTIONS.c.purpose == "train", ~judged.exists())
    return connection.execute(select(func.count()).select_from(OPEN_QUESTIONS).where(*conditions)).scalar_one()


def _count_judged(connection: Connection, annotator: str, project: str) -> int:
    counted = (
        select(func.count(func.distinct(JUDGEMENTS.c.question)))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(JUDGEMENTS.c.annotator == annotator, QUESTIONS.c.project == project)
    )
    return connection.execute(counted).scalar_one()
