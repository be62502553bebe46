"""Consent and survey: what people tell about themselves, kept apart from their judgements."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from plaudit.feedback import consents
from plaudit.feedback.consents import Answers
from plaudit.feedback.store import Conflict, Store
from plaudit.types import PlauditError

TEXT = 100_000  # characters
FIELDS = ("choice", "text", "number")


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
        self._consented: set[tuple[str, str]] = set()  # (name, version); consent is never withdrawn

    def settings(self) -> dict[str, Any]:
        """``{"consent": {"version", "text"} | None, "survey": {"questions": [...]} | None}``."""
        with self._lock:
            if self._settings is None:
                self._settings = consents.load_settings(self._store, ("consent", "survey"))
            return dict(self._settings)

    def is_settled(self, name: str) -> bool:
        """Whether memory tells, without asking the store, that no consent is missing."""
        settings = self._settings
        consent = None if settings is None else settings["consent"]
        if consent is None or not consent["text"].strip():
            return settings is not None
        return (name, consent["version"]) in self._consented

    def is_missing(self, name: str) -> bool:
        """Whether ``name`` has yet to consent to the text as it is now."""
        consent = self.settings()["consent"]
        if consent is None or not consent["text"].strip():
            return False
        pair = (name, consent["version"])
        if pair in self._consented:
            return False
        consented = consents.has_consented(self._store, *pair)
        if consented:
            self._consented.add(pair)
        return not consented

    def give(self, name: str, version: str) -> None:
        """Record consent to ``version``; raises :class:`Conflict` when the text has changed since it was read."""
        consent = self.settings()["consent"]
        if consent is None or consent["version"] != version:
            raise Conflict("the consent text has changed: load the page again and read it")
        consents.add_consent(self._store, name, version, self._clock())
        self._consented.add((name, version))

    def forget(self, name: str) -> None:
        """Drop ``name`` from memory once its rows are gone: another person may take the name."""
        self._consented -= {pair for pair in list(self._consented) if pair[0] == name}

    def put_consent(self, actor: str, text: str) -> dict[str, str]:
        """Set the text. A changed text is a new version, to which people must consent again; "" asks for no consent."""
        if len(text) > TEXT:
            raise PlauditError(f"the consent text is longer than {TEXT:,} characters")
        now = self.settings()["consent"] or {"version": "0", "text": ""}
        if text == now["text"]:
            return {"version": str(now["version"]), "text": text}
        value = {"version": str(int(now["version"]) + 1), "text": text}
        self._save(actor, "consent", value)
        return value

    def put_survey(self, actor: str, questions: list[dict[str, Any]]) -> dict[str, Any]:
        """Set the survey's questions; raises :class:`PlauditError` for one that is malformed."""
        value = {"questions": [_survey_question(question) for question in questions]}
        names = [question["name"] for question in value["questions"]]
        if len(set(names)) < len(names):
            raise PlauditError("two questions of the survey have the same name")
        self._save(actor, "survey", value)
        return value

    def _save(self, actor: str, name: str, value: Mapping[str, Any]) -> None:
        consents.save_setting(self._store, actor, name, value, self._clock())
        with self._lock:
            self._settings = None

    def answers(self, name: str) -> dict[str, Any]:
        """The survey's answers of ``name``; {} before the first."""
        return consents.load_answers(self._store, name)

    def all_answers(self) -> list[Answers]:
        """The survey's answers of every person, by name."""
        return consents.list_answers(self._store)

    def answer(self, name: str, answers: Mapping[str, Any]) -> None:
        """Keep the answers, in place of earlier ones; raises :class:`PlauditError` for a name that is not asked."""
        survey = self.settings()["survey"] or {"questions": []}
        questions = {question["name"]: question for question in survey["questions"]}
        checked = {name: _survey_answer(questions.get(name), name, value) for name, value in answers.items()}
        consents.save_answers(self._store, name, checked, self._clock())


def _survey_question(entry: Mapping[str, Any]) -> dict[str, Any]:
    name, label, kind = (str(entry.get(key, "")).strip() for key in ("name", "label", "type"))
    if not name or not label or kind not in FIELDS or len(name) > 64 or len(label) > 500:
        raise PlauditError(
            f"a survey question has a name, a label and a type ({', '.join(FIELDS)}), got {dict(entry)!r}"
        )
    question: dict[str, Any] = {"name": name, "label": label, "type": kind}
    if kind == "choice":
        choices = entry.get("choices")
        if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(choice, str) for choice in choices):
            raise PlauditError(f"survey question {name!r} needs at least two choices, a list of texts")
        question["choices"] = choices
    return question


def _survey_answer(question: Mapping[str, Any] | None, name: str, value: Any) -> Any:
    if question is None:
        raise PlauditError(f"the survey has no question called {name!r}")
    if value is None or value == "":
        return None
    if question["type"] == "choice" and value not in question["choices"]:
        raise PlauditError(f"{name} must be one of {', '.join(question['choices'])}")
    if question["type"] == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise PlauditError(f"{name} must be a number")
    if question["type"] == "text" and not (isinstance(value, str) and len(value) <= 5000):
        raise PlauditError(f"{name} must be text of at most 5,000 characters")
    return value
