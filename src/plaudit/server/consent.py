"""Consent and survey: what people are asked about themselves, kept apart from what they judge."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
from plaudit.feedback.schema_people import CONSENTS, SETTINGS, SURVEY
from plaudit.feedback.store import Conflict, Store
from plaudit.types import PlauditError

TEXT = 100_000  # characters
FIELDS = ("choice", "text", "number")


@dataclass(frozen=True)
class Answers:
    """What one person said in the survey."""

    annotator: str  # Judgement.annotator
    given_at: float  # seconds since the epoch, UTC
    answers: dict[str, Any]


class Consents:
    """The consent text with its versions, who gave it, the survey's questions and answers.

    The text stands in ``settings`` as ``consent`` = {"version", "text"}, the survey as ``survey`` = {"questions":
    [{"name", "label", "type": "choice" | "text" | "number", "choices"?}]}; answers are voluntary.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._settings: dict[str, Any] | None = None
        self._given: set[tuple[str, str]] = set()  # (name, version); what was given once stays given

    def settings(self) -> dict[str, Any]:
        """``{"consent": {"version", "text"} | None, "survey": {"questions": [...]} | None}``."""
        with self._lock:
            if self._settings is None:
                names = ("consent", "survey")
                with self._store.database.look() as connection:
                    rows = connection.execute(select(SETTINGS).where(SETTINGS.c.name.in_(names))).all()
                self._settings = {name: None for name in names} | {row.name: json.loads(row.value) for row in rows}
            return dict(self._settings)

    def surely(self, name: str) -> bool:
        """Whether it is known without asking the store that nothing is missing."""
        settings = self._settings
        consent = None if settings is None else settings["consent"]
        if consent is None or not consent["text"].strip():
            return settings is not None
        return (name, consent["version"]) in self._given

    def missing(self, name: str) -> bool:
        """Whether ``name`` has yet to consent to the text as it is now."""
        consent = self.settings()["consent"]
        if consent is None or not consent["text"].strip():
            return False
        pair = (name, consent["version"])
        if pair in self._given:
            return False
        where = (CONSENTS.c.user == name) & (CONSENTS.c.version == pair[1])
        with self._store.database.look() as connection:
            given = connection.execute(select(CONSENTS.c.given_at).where(where)).first() is not None
        if given:
            self._given.add(pair)
        return not given

    def give(self, name: str, version: str) -> None:
        """Record consent to ``version``; raises :class:`Conflict` when the text has changed since it was read."""
        consent = self.settings()["consent"]
        if consent is None or consent["version"] != version:
            raise Conflict("the consent text has changed: load the page again and read it")
        row = {"user": name, "version": version}
        with self._store.database.write() as connection:
            found = select(CONSENTS.c.version).filter_by(**row)
            if connection.execute(found).first() is None:
                connection.execute(insert(CONSENTS).values(**row, given_at=self._clock()))
                note(connection, self._clock(), name, "consent", name, {"version": version})
        self._given.add((name, version))

    def forget(self, name: str) -> None:
        """Remember nothing of ``name``, whose rows are gone: somebody else may take the name."""
        self._given -= {pair for pair in list(self._given) if pair[0] == name}

    def put_consent(self, who: str, text: str) -> dict[str, str]:
        """Set the text; another text is another version, and everybody is asked again. "" asks nobody."""
        if len(text) > TEXT:
            raise PlauditError(f"the consent text is longer than {TEXT:,} characters")
        now = self.settings()["consent"] or {"version": "0", "text": ""}
        if text == now["text"]:
            return {"version": str(now["version"]), "text": text}
        value = {"version": str(int(now["version"]) + 1), "text": text}
        self._put(who, "consent", value)
        return value

    def put_survey(self, who: str, questions: list[dict[str, Any]]) -> dict[str, Any]:
        """Set the survey's questions; raises :class:`PlauditError` for one that is malformed."""
        value = {"questions": [_survey_question(each) for each in questions]}
        names = [each["name"] for each in value["questions"]]
        if len(set(names)) < len(names):
            raise PlauditError("two questions of the survey have the same name")
        self._put(who, "survey", value)
        return value

    def _put(self, who: str, name: str, value: Mapping[str, Any]) -> None:
        with self._store.database.write() as connection:
            replace(connection, name, value)
            note(connection, self._clock(), who, f"set {name}", name, {"version": value.get("version", "")})
        with self._lock:
            self._settings = None

    def answers(self, name: str) -> dict[str, Any]:
        """What ``name`` said in the survey; {} for nothing."""
        with self._store.database.read() as connection:
            found = connection.execute(select(SURVEY.c.answers).where(SURVEY.c.user == name)).scalar()
        return {} if found is None else json.loads(found)

    def everybody(self) -> list[Answers]:
        """What everybody said in the survey, by name."""
        found = select(SURVEY).order_by(SURVEY.c.user)
        with self._store.database.read() as connection:
            rows = connection.execute(found).all()
        return [Answers(row.user, row.given_at, json.loads(row.answers)) for row in rows]

    def answer(self, name: str, answers: Mapping[str, Any]) -> None:
        """Keep the answers, in place of earlier ones; raises :class:`PlauditError` for a name that is not asked."""
        survey = self.settings()["survey"] or {"questions": []}
        known = {each["name"]: each for each in survey["questions"]}
        kept = {name: _survey_answer(known.get(name), name, value) for name, value in answers.items()}
        with self._store.database.write() as connection:
            connection.execute(delete(SURVEY).where(SURVEY.c.user == name))
            connection.execute(insert(SURVEY).values(user=name, answers=to_json(kept), given_at=self._clock()))


def replace(connection: Connection, name: str, value: Mapping[str, Any]) -> None:
    """Set a row of ``settings``."""
    connection.execute(delete(SETTINGS).where(SETTINGS.c.name == name))
    connection.execute(insert(SETTINGS).values(name=name, value=to_json(value)))


def _survey_question(given: Mapping[str, Any]) -> dict[str, Any]:
    name, label, kind = (str(given.get(key, "")).strip() for key in ("name", "label", "type"))
    if not name or not label or kind not in FIELDS or len(name) > 64 or len(label) > 500:
        raise PlauditError(
            f"a survey question has a name, a label and a type ({', '.join(FIELDS)}), got {dict(given)!r}"
        )
    question: dict[str, Any] = {"name": name, "label": label, "type": kind}
    if kind == "choice":
        choices = given.get("choices")
        if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(each, str) for each in choices):
            raise PlauditError(f"survey question {name!r} needs at least two choices, a list of texts")
        question["choices"] = choices
    return question


def _survey_answer(question: Mapping[str, Any] | None, name: str, value: Any) -> Any:
    if question is None:
        raise PlauditError(f"the survey asks nothing called {name!r}")
    if value is None or value == "":
        return None
    if question["type"] == "choice" and value not in question["choices"]:
        raise PlauditError(f"{name} must be one of {', '.join(question['choices'])}")
    if question["type"] == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise PlauditError(f"{name} must be a number")
    if question["type"] == "text" and not (isinstance(value, str) and len(value) <= 5000):
        raise PlauditError(f"{name} must be text of at most 5,000 characters")
    return value
