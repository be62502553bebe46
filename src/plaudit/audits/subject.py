"""What is audited: a run, a reward model, a store or a file of preferences. It is opened as far as it is used."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from plaudit import layout
from plaudit.audits.eyes import FOLDER, Eyes, Host, open_eyes
from plaudit.feedback.formats import Record
from plaudit.feedback.formats.incoming import import_file
from plaudit.feedback.formats.outgoing import Choice, ExportSummary, in_force
from plaudit.feedback.store import Store
from plaudit.interfaces import Annotator
from plaudit.resource import Resource
from plaudit.run.disk import disk_errors
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, CONTROL, PEOPLE, annotator_name
from plaudit.types import PlauditError

REWARD, FEEDBACK = "reward", "feedback"  # kinds of subject besides CONTROL and CHAT
SQLITE = b"SQLite format 3\0"
IMPORTED = "imported.sqlite"  # a file of preferences, as a store
MOST_PAIRS = 10_000
T = TypeVar("T")


@dataclass(frozen=True)
class AuditConfig:
    """What an audit asks, whom, and of which files."""

    eyes: str | None = None
    """Annotator of fresh pairs: people (in the web app); oracle or another simulated annotator; ai:... or rule:... for
    texts; or your own as MODULE:FACTORY. None: nothing new is asked."""
    pairs: int = 40
    """Number of fresh pairs that each measure asks about."""
    seed: int = 0
    """Seed of the pairs, and of everything else that is drawn."""
    measures: tuple[str, ...] = ()
    """Measures to take, by name; none given: all."""
    text: tuple[Path, ...] = ()
    """File of text whose likelihood is compared before and after training."""
    data: tuple[Path, ...] = ()
    """File of feedback that was held out, in any format that `plaudit import` reads."""
    style_pairs: tuple[Path, ...] = ()
    """File of pairs that differ in style, such as RM-Bench's."""
    groups: tuple[Path, ...] = ()
    """File with each annotator's group: a CSV with the columns annotator and group, or a JSON object; without it each
    annotator is a group."""
    shift: tuple[str, ...] = ()
    """Argument of the environment that is changed to test the policy elsewhere, as KEY=VALUE."""
    deep: bool = False
    """Take the measures that take minutes, too."""
    trust_remote_code: bool = False
    """Run Python code that a model's author put next to the weights, with the rights of this process."""
    cures: bool = False
    """Try the cures of rows that warn or fail, as far as that needs no new answers and no new run: what they buy and
    what they cost. It takes minutes."""

    def __post_init__(self) -> None:
        if self.eyes is not None:
            object.__setattr__(self, "eyes", annotator_name(self.eyes))
        for name in ("pairs", "seed"):
            if type(getattr(self, name)) is not int:
                raise PlauditError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if not 2 <= self.pairs <= MOST_PAIRS:
            raise PlauditError(f"pairs must be 2 to {MOST_PAIRS:,}, got {self.pairs}")
        if self.seed < 0:
            raise PlauditError(f"seed must not be negative, got {self.seed}")


class Subject(Resource):
    """What is audited, whatever it is; the classes of agents and of language models add their own.

    Attributes:
        path: what the user named.
        kind: ``"control"``, ``"chat"``, ``"reward"`` (a reward model of texts) or ``"feedback"`` (a store or a file).
        folder: where the audit's files stand.
        config: the audit's settings.
    """

    def __init__(self, path: Path, kind: str, folder: Path, config: AuditConfig) -> None:
        self.path, self.kind, self.folder, self.config = path, kind, folder, config
        self.host: Host | None = None  # lets people answer
        self.annotator: Annotator | None = None  # a program's own, which answers in the place of a named one
        self.report_progress: Callable[[str], None] = lambda line: None
        self.report_stage: Callable[[str, int, int], None] = lambda stage, done, total: None  # for a progress bar
        self.resources = ExitStack()
        self._results: dict[str, Any] = {}

    def close(self) -> None:
        """Close what was opened."""
        self.resources.close()

    def check(self, trust: bool) -> None:
        """Raise :class:`PlauditError` if the subject is somebody else's and names programs or files."""

    def check_config(self) -> Self:
        """Raise :class:`PlauditError` if the annotator of fresh pairs is unknown; the subject itself otherwise."""
        if self.missing_eyes is None:
            assert self.eyes is not None  # it raises if there is no such annotator
        return self

    def share(self, name: str, compute: Callable[[], T]) -> T:
        """The value of ``compute()``, computed once for all measures that share it under ``name``."""
        if name not in self._results:
            self._results[name] = compute()
        return self._results[name]

    # Fresh answers

    @cached_property
    def eyes(self) -> Eyes | None:
        """Who answers fresh pairs; None: nothing new may be asked."""
        name = self.config.eyes
        return None if name is None else open_eyes(name, self.folder, self.load_annotator, self.host, self.annotator)

    def load_annotator(self, name: str) -> Annotator:
        """The annotator of that name, for this kind of subject."""
        raise PlauditError(f"{self.path} has nothing to ask {name} about: leave out --eyes")

    @property
    def missing_eyes(self) -> str | None:
        """Why no fresh pair can be asked; None if it can."""
        if self.config.eyes is None:
            return "it needs fresh answers: name who gives them with --eyes (people, oracle, ai:..., MODULE:FACTORY)"
        return None

    # Feedback

    @cached_property
    def store_path(self) -> Path | None:
        """The store of the feedback; None if there is none. A file of preferences is imported into one first."""
        if self.kind != FEEDBACK or self.path.is_dir():
            path = self.path / layout.FEEDBACK
            return path if path.exists() else None
        if _is_store(self.path):
            return self.path
        target = self.folder / FOLDER / IMPORTED
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
        with Store.open(target) as store:
            import_file(store, self.path)
        return target

    @cached_property
    def store(self) -> Store | None:
        """The store of the feedback, open; None if there is none."""
        if self.store_path is None:
            return None
        return self.resources.enter_context(Store.open(self.store_path, create=False))

    @cached_property
    def records(self) -> list[Record]:
        """The questions with the judgements in force on them and their items, in the order of asking."""
        if self.store is None:
            return []
        return list(in_force(self.store, Choice(), ExportSummary(), lambda done, total: None))

    @cached_property
    def annotators(self) -> set[str]:
        """The names of everybody who has judged for the run."""
        return set() if self.store is None else {event.judgement.annotator for event in self.store.events()}

    @cached_property
    def same_eyes(self) -> bool:
        """Whether those who answer fresh pairs are those who judged for the run: they cannot see their own error.

        People are the same if one name is the same.
        """
        if self.eyes is None:
            return False
        names = {self.config.eyes} if self.config.eyes != PEOPLE else self.eyes.annotators()
        return bool(names & self.annotators)


CLASSES = {  # modules are imported when they are used, because torch and transformers take seconds
    CONTROL: ("plaudit.audits.agents", "AgentSubject"),
    CHAT: ("plaudit.audits.texts", "TextSubject"),
    REWARD: ("plaudit.audits.texts", "TextSubject"),
    FEEDBACK: ("plaudit.audits.subject", "Subject"),
}


def open_subject(path: Path, config: AuditConfig, trust: bool = False, target: Path | None = None) -> Subject:
    """What ``path`` names, ready to be audited.

    Args:
        trust: use the programs and files that the settings of somebody else's run name.
        target: folder of the audit's files; None: the folder that is audited, or NAME-audit next to a file.

    Raises:
        PlauditError: there is nothing that can be audited.
    """
    kind = _kind(path)
    for file in (*config.text, *config.data, *config.style_pairs, *config.groups):
        if not file.exists():
            raise PlauditError(f"there is no file {file}: check the path")
    folder = target or (path if path.is_dir() else path.with_name(f"{path.name.partition('.')[0]}-audit"))
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    module, name = CLASSES[kind]
    try:
        subject = getattr(importlib.import_module(module), name)(path, kind, folder, config)
    except ModuleNotFoundError as error:
        raise PlauditError(f"an audit of {path} needs {error.name}: pip install -e '.[language]'") from error
    subject.check(trust)
    return subject


def _kind(path: Path) -> str:
    if not path.exists():
        raise PlauditError(f"there is no {path}: name a run, a reward model, a store or a file of preferences")
    if path.is_file():
        return FEEDBACK
    if (path / layout.CONFIG).exists():
        if not _is_run(path / layout.CONFIG):
            return REWARD
        kind = kind_of(path)
        if kind not in (CONTROL, CHAT, REWARD):
            raise PlauditError(f"{path} holds a run of {kind}, which learned no reward: there is nothing to audit")
        return kind
    if (path / layout.FEEDBACK).exists():
        return FEEDBACK
    raise PlauditError(f"{path} holds no run, no reward model and no {layout.FEEDBACK}: name a folder that does")


def _is_run(path: Path) -> bool:
    """Whether a config.json is that of a run, and not of a model."""
    with disk_errors(path):
        text = path.read_bytes()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return True  # kind_of says what is wrong with it
    return not isinstance(content, dict) or "format" in content or "architectures" not in content


def _is_store(path: Path) -> bool:
    with disk_errors(path), path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE
