"""Projects: what a team wants judged, by which guideline, by which roles, and which question comes next."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit import layout
from plaudit.feedback import projects, repeats
from plaudit.feedback.assistance import has_answers
from plaudit.feedback.codec import to_json
from plaudit.feedback.kinds import kind
from plaudit.feedback.order import Order, order_by_id
from plaudit.feedback.projects import Guideline, ProjectRow
from plaudit.feedback.queue import Claim
from plaudit.feedback.store import Conflict, Store
from plaudit.server.faults import Forbidden, NotFound
from plaudit.server.media import Scene
from plaudit.server.names import check_project_name
from plaudit.server.project_settings import ProjectSettings, check_options, default_wording
from plaudit.server.remembered import RecentValues
from plaudit.types import PlauditError, Question

REMEMBERED = 2.0  # seconds that a project is not looked up again; what this process changes holds at once
MEDIAN = 60.0  # seconds that a median time is not taken again
RECENT = 500  # judgements that it is taken of
SHORTEST_LEASE = 120.0
GUIDELINE = 200_000  # characters


@dataclass(frozen=True)
class Project:
    """One project."""

    name: str  # Question.project
    title: str
    kind: str
    wording: str
    options: Mapping[str, Any]
    settings: ProjectSettings
    created_at: float
    closed_at: float | None


@dataclass(frozen=True)
class Work:
    """A project that a person can work on."""

    project: Project
    waiting: int  # questions for training that wait for this person
    judged: int  # by this person


class Projects:
    """The projects of one store. ``rng`` decides when a gold question or a repeat comes; ``clock`` as elsewhere;
    ``order`` draws the sides on which an annotator sees the items.

    Questions whose project has no row, as a training run asks them, get one when they are first seen: its kind is
    theirs, and its title is the environment of ``run``, the run folder, if there is one.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        rng: random.Random | None = None,
        run: Path | None = None,
        order: Order = order_by_id,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng or random.Random()
        self._order = order
        self.run = run
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, Project]] = {}
        self._medians: dict[str, tuple[float, float]] = {}
        self._guidelines: RecentValues[tuple[str, str | None], tuple[Guideline | None]] = RecentValues(REMEMBERED)
        self._of_run = Scene()  # what draws its clips, once it has said
        self._adopt()

    # Projects

    def list(self) -> list[Project]:
        """All of them, oldest first, closed ones too."""
        self._adopt()
        return [_project(row) for row in projects.list_projects(self._store)]

    def get(self, name: str) -> Project:
        """The project called ``name``; raises :class:`NotFound`."""
        moment = time.monotonic()
        with self._lock:
            entry = self._cache.get(name)
        if entry is not None and entry[0] > moment:
            return entry[1]
        row = projects.load_project(self._store, name)
        if row is None:
            self._adopt()
            row = projects.load_project(self._store, name)
        if row is None:
            raise NotFound(f"there is no project called {name[:80]!r}")
        project = _project(row)
        with self._lock:
            self._cache[name] = (moment + REMEMBERED, project)
        return project

    def create(self, actor: str, fields: Mapping[str, Any]) -> Project:
        """A new project out of name, title, kind, wording?, options? and settings?.

        Raises :class:`PlauditError` for what its kind refuses, :class:`Conflict` for a name that is taken.
        """
        name, feedback_kind = check_project_name(fields["name"]), kind(fields["kind"])
        settings = ProjectSettings.from_dict(fields.get("settings") or {})
        row = ProjectRow(
            name=name,
            title=_title(fields["title"]),
            kind=feedback_kind.name,
            wording=_wording(fields.get("wording") or default_wording(feedback_kind, settings.environment is not None)),
            options=_options(feedback_kind.name, fields.get("options") or {}),
            settings=settings.to_dict(),
            created_at=self._clock(),
        )
        projects.add_project(self._store, actor, row)
        return self._forget(name)

    def change(self, actor: str, name: str, fields: Mapping[str, Any]) -> Project:
        """Change title, wording, options, settings or ``closed``, where given; what was asked before stays as it is."""
        project = self.get(name)
        values: dict[str, Any] = {}
        if "title" in fields:
            values["title"] = _title(fields["title"])
        if "wording" in fields:
            values["wording"] = _wording(fields["wording"])
        if "options" in fields:
            values["options"] = _options(project.kind, fields["options"])
        if "settings" in fields:
            merged = project.settings.to_dict() | dict(fields["settings"])
            settings = ProjectSettings.from_dict(merged)
            if settings.assistance != project.settings.assistance and has_answers(self._store, name):
                raise Conflict(
                    f"people have judged in project {name}: another share of critiques would hide who saw them; "
                    "make another project"
                )
            values["settings"] = settings.to_dict()
        if "closed" in fields:
            values["closed_at"] = self._clock() if fields["closed"] else None
        projects.change_project(self._store, actor, name, values, dict(fields), self._clock())
        return self._forget(name)

    def _forget(self, name: str) -> Project:
        with self._lock:
            self._cache.pop(name, None)
            self._medians.pop(name, None)
        return self.get(name)

    def _adopt(self) -> None:
        """Make a row for each project that has questions and no row, and for a training run that has not asked yet."""
        orphans = projects.find_orphans(self._store)
        if self.run is not None and "default" not in orphans and projects.load_project(self._store, "default") is None:
            orphans["default"] = "comparison"
        if not orphans:
            return
        environment = self._run_scene().environment  # kept with the project: a copy of the store still knows it
        settings = ProjectSettings(repeats=0.0, gold=0.0, environment=environment).to_dict()
        title = (environment or "Comparisons").rsplit("/", 1)[-1].removesuffix("-v0")
        rows = [
            ProjectRow(
                name=name,
                title=title if name == "default" else name,
                kind=kind_name,
                wording=kind(kind_name).wording,
                options={},
                settings=settings,
                created_at=self._clock(),
            )
            for name, kind_name in orphans.items()
        ]
        projects.adopt_projects(self._store, rows)

    def scene(self, name: str) -> Scene:
        """The scene that draws this project's clips; without an environment they are drawn as pixels."""
        settings = self.get(name).settings
        run, options = self._run_scene(), settings.environment_options
        # Modules are imported because the run's owner named them; an admin of a project cannot name one.
        return Scene(
            settings.environment or run.environment,
            to_json(options) if options or settings.environment not in (None, run.environment) else run.options,
            run.imports,
        )

    def _run_scene(self) -> Scene:
        """The scene of the training run, if there is one."""
        if self.run is None or self._of_run.environment is not None:
            return self._of_run
        try:
            self._of_run = Scene.of_run(json.loads((self.run / layout.CONFIG).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, PlauditError):
            return Scene()  # the projects' titles and clips do without it
        return self._of_run

    # Guidelines

    def guidelines(self, name: str) -> list[Guideline]:
        """Every version, newest first."""
        self.get(name)
        return projects.list_guidelines(self._store, name)

    def guideline(self, name: str, version: str | None = None) -> Guideline | None:
        """One version, the newest by default; None where nothing was written."""

        def read() -> tuple[Guideline | None]:
            return (
                next((guideline for guideline in self.guidelines(name) if version in (None, guideline.version)), None),
            )

        entry = self._guidelines.look_up((name, version), read)
        return None if entry is None else entry[0]

    def add_guideline(self, actor: str, name: str, text: str) -> Guideline:
        """A further version, which questions asked from now on carry."""
        if not text.strip() or len(text) > GUIDELINE:
            raise PlauditError(f"a guideline has 1 to {GUIDELINE:,} characters")
        self.get(name)
        guideline = projects.add_guideline(self._store, actor, name, text, self._clock())
        self._guidelines.forget()
        return guideline

    # Work

    def may_work(self, project: Project, role: str) -> bool:
        """Whether people of this role are asked."""
        return role in project.settings.roles_for(project.options)

    def for_view(self, name: str, role: str, reads: bool) -> Project:
        """The project, if this role is asked or may read; :class:`NotFound` as if there were none."""
        project = self.get(name)
        if not reads and not self.may_work(project, role):
            raise NotFound(f"there is no project called {name[:80]!r}")
        return project

    def for_work(self, name: str, role: str) -> Project:
        """The project, open and for this role; raises :class:`NotFound`, :class:`Forbidden` or :class:`Conflict`."""
        project = self.get(name)
        if not self.may_work(project, role):
            raise Forbidden(f"project {name} is not for the role {role}: ask an admin")
        if project.closed_at is not None:
            raise Conflict(f"project {name} is closed: its judgements are kept")
        return project

    def open_for(self, annotator: str, role: str) -> list[Work]:
        """The open projects for people of this role, with how much waits for ``annotator`` in each."""
        offered = [project for project in self.list() if project.closed_at is None and self.may_work(project, role)]
        counts = projects.count_work(self._store, annotator, [project.name for project in offered])
        return [Work(project, *count) for project, count in zip(offered, counts, strict=True)]

    def lease_seconds(self, name: str) -> float:
        """How long a question of this project is reserved: as set, else three times the median time, at least 2 min."""
        project = self.get(name)
        if project.settings.lease_seconds is not None:
            return project.settings.lease_seconds
        moment = time.monotonic()
        with self._lock:
            entry = self._medians.get(name)
        if entry is None or entry[0] < moment:
            entry = (moment + MEDIAN, self._median(name))
            with self._lock:
                self._medians[name] = entry
        return max(SHORTEST_LEASE, 3 * entry[1])

    def _median(self, name: str) -> float:
        seconds = projects.judging_seconds(self._store, name, RECENT)
        return min(seconds[len(seconds) // 2], 3600.0) if seconds else 0.0

    def next_claims(self, annotator: str, name: str, count: int = 1) -> list[Claim]:
        """The claims to offer next, for :meth:`Store.turn`: a repeat that is due, then gold, then training up to
        ``count`` in all.

        Gold comes by chance, so that annotators cannot tell when. A repeat is due ten judgements of the annotator
        after its original.
        """
        settings = self.get(name).settings
        claims = [Claim(annotator, count, name)]
        n_gold = sum(self._rng.random() < settings.gold for _ in range(count)) if settings.gold > 0 else 0
        if n_gold > 0:  # with nothing else to judge, each question would be known as a check
            claims.insert(0, Claim(annotator, n_gold, name, ("gold",), beside_training=True))
        if settings.repeats > 0 and repeats.is_due(self._store, annotator, name):
            claims.insert(0, Claim(annotator, 1, name, ("repeat",)))
        return claims

    def after_answer(self, annotator: str, question: Question) -> bool:
        """Now and then ask the same again with the sides changed, of the same person; whether it did.

        To be called once for each new judgement that supersedes none.
        """
        share = self.get(question.project).settings.repeats
        if share <= 0 or not repeats.can_repeat(question, annotator, self._order):
            return False
        # Half of all questions would be shown on other sides when asked again, so those come twice as often.
        if self._rng.random() >= 2 * share:
            return False
        return repeats.ask_again(self._store, annotator, question)


def _project(row: ProjectRow) -> Project:
    columns: dict[str, Any] = vars(row) | {"settings": ProjectSettings.from_dict(row.settings)}
    return Project(**columns)


def _title(text: str) -> str:
    if not text.strip() or len(text) > 200:
        raise PlauditError("a project's title has 1 to 200 characters")
    return text.strip()


def _wording(text: str) -> str:
    if not text.strip() or len(text) > 2000:
        raise PlauditError("a wording has 1 to 2,000 characters")
    return text.strip()


def _options(kind_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the kind takes: tried on a question with as many items as its example has."""
    check_options(options)
    items = tuple(f"item {number}" for number in range(kind(kind_name).example_items))
    kind(kind_name).check(Question(kind_name, items, "trial", options=options))
    return dict(options)
