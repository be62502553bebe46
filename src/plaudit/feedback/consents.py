"""Consent and the survey as the store keeps them: the settings of both, who consented, and what people answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select

from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
from plaudit.feedback.faults import stored_json
from plaudit.feedback.schema_people import CONSENTS, SETTINGS, SURVEY
from plaudit.feedback.store import Store


@dataclass(frozen=True)
class Answers:
    """One person's answers in the survey."""

    annotator: str  # Judgement.annotator
    given_at: float  # seconds since the epoch, UTC
    answers: dict[str, Any]


def load_settings(store: Store, names: Sequence[str]) -> dict[str, Any]:
    """The settings called ``names``; None for one that was never set."""
    with store.database.look() as connection:
        rows = connection.execute(select(SETTINGS).where(SETTINGS.c.name.in_(names))).all()
    return {name: None for name in names} | {
        row.name: stored_json(row.value, f"setting {row.name}", object) for row in rows
    }


def save_setting(store: Store, actor: str, name: str, value: Mapping[str, Any], now: float) -> None:
    """Store a setting in place of the one before, and note its version in the audit log."""
    with store.database.write() as connection:
        connection.execute(delete(SETTINGS).where(SETTINGS.c.name == name))
        connection.execute(insert(SETTINGS).values(name=name, value=to_json(value)))
        note(connection, now, actor, f"set {name}", name, {"version": value.get("version", "")})


def has_consented(store: Store, user: str, version: str) -> bool:
    """Whether ``user`` consented to this version of the text."""
    condition = (CONSENTS.c.user == user) & (CONSENTS.c.version == version)
    with store.database.look() as connection:
        return connection.execute(select(CONSENTS.c.given_at).where(condition)).first() is not None


def add_consent(store: Store, user: str, version: str, now: float) -> None:
    """Record that ``user`` consents to this version; a second time changes nothing."""
    row = {"user": user, "version": version}
    with store.database.write() as connection:
        if connection.execute(select(CONSENTS.c.version).filter_by(**row)).first() is None:
            connection.execute(insert(CONSENTS).values(**row, given_at=now))
            note(connection, now, user, "consent", user, {"version": version})


def load_answers(store: Store, user: str) -> dict[str, Any]:
    """The survey's answers of ``user``; {} before the first."""
    with store.database.read() as connection:
        text = connection.execute(select(SURVEY.c.answers).where(SURVEY.c.user == user)).scalar()
    return {} if text is None else stored_json(text, f"answers of {user} in the survey", dict)


def list_answers(store: Store) -> list[Answers]:
    """The survey's answers of every person, by name."""
    with store.database.read() as connection:
        rows = connection.execute(select(SURVEY).order_by(SURVEY.c.user)).all()
    return [
        Answers(row.user, row.given_at, stored_json(row.answers, f"answers of {row.user} in the survey", dict))
        for row in rows
    ]


def save_answers(store: Store, user: str, answers: Mapping[str, Any], now: float) -> None:
    """Store the survey's answers of ``user`` in place of earlier ones."""
    with store.database.write() as connection:
        connection.execute(delete(SURVEY).where(SURVEY.c.user == user))
        connection.execute(insert(SURVEY).values(user=user, answers=to_json(answers), given_at=now))
