"""Projects: what a team wants judged, under which guideline, by whom, and which question somebody gets next."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from plaudit import layout
from plaudit.feedback import repeats
from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
from plaudit.feedback.kinds import kind
from plaudit.feedback.queue import Claim
from plaudit.feedback.schema import JUDGEMENTS, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import GUIDELINES, PROJECTS
from plaudit.feedback.store import Conflict, Store
from plaudit.server.faults import Forbidden, NotFound
from plaudit.server.media import Scene
from plaudit.server.names import check_project_name
from plaudit.server.project_settings import ProjectSettings, check_options, default_wording
from plaudit.server.remembered import Recent
from plaudit.types import PlauditError, Question

REMEMBERED = 2.0  # seconds that a project is not looked up again; what this process changes holds at once
MEDIAN = 60.0  # seconds that a median time is not taken again
RECENT = 500  # judgements that it is taken of
SHORTEST_LEASE = 120.0
GUIDELINE = 200_000  # characters


@dataclass(frozen=True)
class Project:
    """One project, as it stands in the store."""

    name: str  # Question.project
    title: str
    kind: str
    wording: str
    options: Mapping[str, Any]
    settings: ProjectSettings
    created_at: float
    closed_at: float | None


@dataclass(frozen=True)
class Guideline:
    """One version of what annotators are told, in Markdown."""

    version: str  # Question.guideline
    text: str
    author: str
    created_at: float


@dataclass(frozen=True)
class Work:
    """A project that somebody can work on."""

    project: Project
    waiting: int  # questions for training that wait for this person
    judged: int  # by this person


class Projects:
    """The projects of one store. ``rng`` decides when a gold question or a repeat comes; ``clock`` as elsewhere.

    Questions whose project has no row, as a training run asks them, get one when they are first seen: its kind is
    theirs, and its title is the environment of ``run``, the run folder, where there is one.
    """

    def __init__(
        self, store: Store, clock: Callable[[], float], rng: random.Random | None = None, run: Path | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng or random.Random()
        self.run = run
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Project]] = {}
        self._medians: dict[str, tuple[float, float]] = {}
        self._guidelines: Recent[tuple[str, str | None], tuple[Guideline | None]] = Recent(REMEMBERED)
        self._of_run: str | None = None  # its environment, once it has said
        self._adopt()

    # Projects

    def list(self) -> list[Project]:
        """All of them, oldest first, closed ones too."""
        self._adopt()
        with self._store.database.read() as connection:
            rows = connection.execute(select(PROJECTS).order_by(PROJECTS.c.created_at, PROJECTS.c.name)).all()
        return [_project(row) for row in rows]

    def get(self, name: str) -> Project:
        """The project called ``name``; raises :class:`NotFound`."""
        moment = time.monotonic()
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[0] > moment:
            return known[1]
        row = self._row(name)
        if row is None:
            self._adopt()
            row = self._row(name)
        if row is None:
            raise NotFound(f"there is no project called {name[:80]!r}")
        project = _project(row)
        with self._lock:
            self._known[name] = (moment + REMEMBERED, project)
        return project

    def _row(self, name: str) -> Any | None:
        with self._store.database.look() as connection:
            return connection.execute(select(PROJECTS).where(PROJECTS.c.name == name)).first()

    def create(self, by: str, given: Mapping[str, Any]) -> Project:
        """A new project out of name, title, kind, wording?, options? and settings?.

        Raises :class:`PlauditError` for what its kind refuses, :class:`Conflict` for a name that is taken.
        """
        name, of = check_project_name(given["name"]), kind(given["kind"])
        settings = ProjectSettings.of(given.get("settings") or {})
        row = {
            "name": name,
            "title": _title(given["title"]),
            "kind": of.name,
            "wording": _wording(given.get("wording") or default_wording(of, settings.environment is not None)),
            "options": to_json(_options(of.name, given.get("options") or {})),
            "settings": to_json(settings.to_dict()),
            "created_at": self._clock(),
        }
        with self._store.database.write() as connection:
            if connection.execute(select(PROJECTS.c.name).where(PROJECTS.c.name == name)).first() is not None:
                raise Conflict(f"there is a project called {name!r} already: choose another name")
            connection.execute(insert(PROJECTS).values(**row))
            note(connection, self._clock(), by, "made a project", name, {"kind": of.name, "title": row["title"]})
        return self._forget(name)

    def change(self, by: str, name: str, given: Mapping[str, Any]) -> Project:
        """Change title, wording, options, settings or ``closed``, where given; what was asked before stays as it is."""
        project = self.get(name)
        values: dict[str, Any] = {}
        if "title" in given:
            values["title"] = _title(given["title"])
        if "wording" in given:
            values["wording"] = _wording(given["wording"])
        if "options" in given:
            values["options"] = to_json(_options(project.kind, given["options"]))
        if "settings" in given:
            merged = project.settings.to_dict() | dict(given["settings"])
            values["settings"] = to_json(ProjectSettings.of(merged).to_dict())
        if "closed" in given:
            values["closed_at"] = self._clock() if given["closed"] else None
        with self._store.database.write() as connection:
            if values:
                connection.execute(update(PROJECTS).where(PROJECTS.c.name == name).values(**values))
            note(connection, self._clock(), by, "changed a project", name, dict(given))
        return self._forget(name)

    def _forget(self, name: str) -> Project:
        with self._lock:
            self._known.pop(name, None)
            self._medians.pop(name, None)
        return self.get(name)

    def _adopt(self) -> None:
        """A row for each project that has questions and none, and for the run beside, which may not have asked yet."""
        with self._store.database.read() as connection:
            orphans = [(name, of) for name in _distinct(connection) if (of := _kind_of(connection, name)) is not None]
        if self.run is not None and "default" not in dict(orphans) and self._row("default") is None:
            orphans.append(("default", "comparison"))
        if not orphans:
            return
        of_run = self._environment()  # kept with the project: a copy of the store still knows it
        adopted = ProjectSettings(repeats=0.0, gold=0.0, environment=of_run)
        title = (of_run or "Comparisons").rsplit("/", 1)[-1].removesuffix("-v0")
        with self._store.database.write() as connection:
            for name, of in orphans:
                if connection.execute(select(PROJECTS.c.name).where(PROJECTS.c.name == name)).first() is None:
                    row = {
                        "name": name,
                        "title": title if name == "default" else name,
                        "kind": of,
                        "wording": kind(of).wording,
                        "settings": to_json(adopted.to_dict()),
                        "created_at": self._clock(),
                    }
                    connection.execute(insert(PROJECTS).values(**row))

    def scene(self, name: str) -> Scene:
        """What draws this project's clips; pixels only where nobody has said."""
        settings = self.get(name).settings
        return Scene(settings.environment or self._environment(), to_json(settings.environment_options))

    def _environment(self) -> str | None:
        """What the run beside is training on."""
        if self.run is None or self._of_run is not None:
            return self._of_run
        try:
            config = json.loads((self.run / layout.CONFIG).read_text(encoding="utf-8"))
            self._of_run = str(config["environment"]["id"])
            return self._of_run
        except (OSError, ValueError, KeyError, TypeError):
            return None  # a title is all that it is wanted for

    # Guidelines

    def guidelines(self, name: str) -> list[Guideline]:
        """Every version, newest first."""
        self.get(name)
        columns = (GUIDELINES.c.version, GUIDELINES.c.text, GUIDELINES.c.author, GUIDELINES.c.created_at)
        with self._store.database.look() as connection:
            rows = connection.execute(select(*columns).where(GUIDELINES.c.project == name)).all()
        return sorted((Guideline(*row) for row in rows), key=lambda each: int(each.version), reverse=True)

    def guideline(self, name: str, version: str | None = None) -> Guideline | None:
        """One version, the newest by default; None where nothing was written."""

        def read() -> tuple[Guideline | None]:
            return (next((each for each in self.guidelines(name) if version in (None, each.version)), None),)

        found = self._guidelines.look_up((name, version), read)
        return None if found is None else found[0]

    def add_guideline(self, by: str, name: str, text: str) -> Guideline:
        """A further version, which questions asked from now on carry."""
        if not text.strip() or len(text) > GUIDELINE:
            raise PlauditError(f"a guideline has 1 to {GUIDELINE:,} characters")
        self.get(name)
        with self._store.database.write() as connection:
            versions = connection.execute(select(GUIDELINES.c.version).where(GUIDELINES.c.project == name)).scalars()
            version = str(max((int(each) for each in versions), default=0) + 1)
            now = self._clock()
            row = {"project": name, "version": version, "text": text, "author": by, "created_at": now}
            connection.execute(insert(GUIDELINES).values(**row))
            note(connection, now, by, "wrote a guideline", name, {"version": version})
        self._guidelines.forget()
        return Guideline(version, text, by, now)

    # Work

    def may_work(self, project: Project, role: str) -> bool:
        """Whether somebody of this role is to be asked."""
        return role in project.settings.roles_for(project.options)

    def for_work(self, name: str, role: str) -> Project:
        """The project, open and for this role; raises :class:`NotFound`, :class:`Forbidden` or :class:`Conflict`."""
        project = self.get(name)
        if not self.may_work(project, role):
            raise Forbidden(f"project {name} is not for the role {role}: ask an admin")
        if project.closed_at is not None:
            raise Conflict(f"project {name} is closed: everything said there is kept")
        return project

    def open_for(self, annotator: str, role: str) -> list[Work]:
        """The open projects for somebody of this role, with how much waits for them in each."""
        mine = [each for each in self.list() if each.closed_at is None and self.may_work(each, role)]
        with self._store.database.read() as connection:
            return [
                Work(each, _waiting(connection, annotator, each.name), _judged(connection, annotator, each.name))
                for each in mine
            ]

    def lease_seconds(self, name: str) -> float:
        """How long a question of this project is reserved: as set, else three times the median time, at least 2 min."""
        project = self.get(name)
        if project.settings.lease_seconds is not None:
            return project.settings.lease_seconds
        moment = time.monotonic()
        with self._lock:
            known = self._medians.get(name)
        if known is None or known[0] < moment:
            known = (moment + MEDIAN, self._median(name))
            with self._lock:
                self._medians[name] = known
        return max(SHORTEST_LEASE, 3 * known[1])

    def _median(self, name: str) -> float:
        recent = (
            select((JUDGEMENTS.c.submitted_at - JUDGEMENTS.c.shown_at).label("took"))
            .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
            .where(QUESTIONS.c.project == name, JUDGEMENTS.c.status != "withdrawal")
            .order_by(JUDGEMENTS.c.event.desc())
            .limit(RECENT)
        )
        with self._store.database.look() as connection:
            took = sorted(connection.execute(recent).scalars())
        return min(took[len(took) // 2], 3600.0) if took else 0.0

    def next_claims(self, annotator: str, name: str, count: int = 1) -> list[Claim]:
        """What to offer next, for :meth:`Store.turn`: a repeat that is due, now and then gold, else up to ``count``.

        Gold comes by chance, so that nobody can tell when. A repeat is due ten of the person's judgements after its
        original.
        """
        settings = self.get(name).settings
        claims = [Claim(annotator, count, name)]
        if settings.gold > 0 and self._rng.random() < settings.gold:
            claims.insert(0, Claim(annotator, 1, name, ("gold",)))
        if settings.repeats > 0 and repeats.is_due(self._store, annotator, name):
            claims.insert(0, Claim(annotator, 1, name, ("repeat",)))
        return claims

    def after_answer(self, annotator: str, question: Question) -> bool:
        """Now and then ask the same again with the sides changed, of the same person; whether it did.

        To be called once for each new judgement that supersedes none.
        """
        share = self.get(question.project).settings.repeats
        if share <= 0 or not repeats.can_repeat(question, annotator):
            return False
        # Half of all questions would be shown on other sides when asked again, so those come twice as often.
        if self._rng.random() >= 2 * share:
            return False
        return repeats.ask_again(self._store, annotator, question)


def _distinct(connection: Connection) -> list[str]:
    """Projects that questions name and that have no row."""
    known = set(connection.execute(select(PROJECTS.c.name)).scalars())
    found: list[str] = []
    after = ""
    while True:  # one step of the index a project, however many questions there are
        name = connection.execute(select(func.min(QUESTIONS.c.project)).where(QUESTIONS.c.project > after)).scalar()
        if name is None:
            return [each for each in found if each not in known]
        found.append(name)
        after = name


def _kind_of(connection: Connection, project: str) -> str | None:
    first = select(QUESTIONS.c.kind).where(QUESTIONS.c.project == project).order_by(QUESTIONS.c.number).limit(1)
    return connection.execute(first).scalar()


def _waiting(connection: Connection, annotator: str, project: str) -> int:
    judged = select(JUDGEMENTS.c.event).where(
        JUDGEMENTS.c.question == OPEN_QUESTIONS.c.question, JUDGEMENTS.c.annotator == annotator
    )
    where = (OPEN_QUESTIONS.c.project == project, OPEN_QUESTIONS.c.purpose == "train", ~judged.exists())
    return connection.execute(select(func.count()).select_from(OPEN_QUESTIONS).where(*where)).scalar_one()


def _judged(connection: Connection, annotator: str, project: str) -> int:
    counted = (
        select(func.count(func.distinct(JUDGEMENTS.c.question)))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(JUDGEMENTS.c.annotator == annotator, QUESTIONS.c.project == project)
    )
    return connection.execute(counted).scalar_one()


def _project(row: Any) -> Project:
    return Project(
        row.name,
        row.title,
        row.kind,
        row.wording,
        json.loads(row.options),
        ProjectSettings.of(json.loads(row.settings)),
        row.created_at,
        row.closed_at,
    )


def _title(given: str) -> str:
    if not given.strip() or len(given) > 200:
        raise PlauditError("a project's title has 1 to 200 characters")
    return given.strip()


def _wording(given: str) -> str:
    if not given.strip() or len(given) > 2000:
        raise PlauditError("a wording has 1 to 2,000 characters")
    return given.strip()


def _options(of: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the kind takes: tried on a question with as many items as it needs."""
    check_options(given)
    for count in range(1, 10):
        trial = Question(of, tuple(f"item {each}" for each in range(count)), "trial", options=given)
        try:
            kind(of).check(trial)
        except PlauditError as error:
            if "item" in str(error) and count < 9 and "option" not in str(error):
                continue
            raise
        return dict(given)
    return dict(given)
