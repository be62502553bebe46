"""The corpus of ``payloads`` in every place of a store that text of people, models and admins can reach."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from plaudit.feedback.kinds import KINDS, kind
from plaudit.feedback.order import shown_order
from plaudit.feedback.schema_people import DRAFTS
from plaudit.server.services import Services
from plaudit.types import Dialogue, Judgement, Message, Question

from .payloads import ALL, CORPUS, X, names
from .seed import ask, person

EVIL, *OTHERS = names()
THREAD = tuple(Message("user" if place % 2 else "assistant", text) for place, text in enumerate(CORPUS))
OPTIONS: dict[str, dict[str, Any]] = {
    "chat": {"tags": CORPUS},
    "conversation": {"turns": 3, "red_team": True, "tags": CORPUS},
    "ranking": {"ratings": True, "ideal": True, "flags": CORPUS[:20]},
    "rating": {"scales": {each: [0, 2] for each in CORPUS[:25]}},
    "spans": {"categories": CORPUS},
    "thumbs": {"tags": CORPUS},
}
DRAWN = f"<b>x</b><img src=x onerror={X}><svg onload={X}><a href=javascript:{X} onclick={X}>x</a>"


def hostile(served: Services) -> str:
    """All of it; the session of an admin whose name is an attempt, too."""
    token = person(served, EVIL, "admin")
    for place, each in enumerate(OTHERS):
        person(served, each, ("annotator", "reviewer", "red-team")[place % 3])
        served.accounts.tokens.make(EVIL, each, each, ["read"])
    for each in CORPUS:
        served.accounts.invites.make(EVIL, "annotator", words=each[:500])
        served.accounts.sign_in(EVIL, "correct horse battery", each, each)  # an address and a browser's name
    served.consents.put_consent(EVIL, ALL)
    served.consents.give(EVIL, "1")
    fields = [{"name": f"a{number}", "label": each[:500], "type": "text"} for number, each in enumerate(CORPUS)]
    questions: list[dict[str, Any]] = [*fields]
    questions.append({"name": "b", "label": "x", "type": "choice", "choices": list(CORPUS)})
    served.consents.put_survey(EVIL, questions)
    served.consents.answer(EVIL, {"b": CORPUS[0]} | {f"a{n}": each for n, each in enumerate(CORPUS)})
    for number, each in enumerate(CORPUS):
        about = {"name": f"n{number}", "title": each[:200], "wording": each[:2000], "kind": "critique"}
        served.projects.create(EVIL, about)
    for name in KINDS:
        work(served, name)
    said(served)
    compared(served)
    ask(served, "conversation", 1, "talk", options={"turns": 50})
    return token


def dialogues(name: str, number: int) -> list[Dialogue]:
    """Every attempt as a turn of what was said before, and together in the response."""
    if name in ("chat", "conversation"):
        return [Dialogue((Message("system", ALL), *THREAD, Message("user", f"{CORPUS[0]} {number}")))]
    if name == "demonstration":
        return [Dialogue((*THREAD, Message("user", f"{ALL} {number}")))]
    count = {"ranking": 9, "comparison": 2, "regeneration": 2, "side-by-side": 2}.get(name, 1)
    parts = ["\n\n".join(CORPUS[place::count]) for place in range(count)]
    opening = (*THREAD, Message("user", str(number)))
    return [Dialogue((*opening, Message("assistant", part)), CORPUS[0]) for part in parts]


def work(served: Services, name: str) -> None:
    """A project of a kind with two questions, a guideline, and a draft of the first question."""
    options = {each: list(of) if isinstance(of, tuple) else of for each, of in OPTIONS.get(name, {}).items()}
    created = {"name": name, "title": CORPUS[0], "wording": ALL[:2000], "kind": name, "options": options}
    served.projects.create(EVIL, created | {"settings": {"repeats": 0, "gold": 0}})
    served.projects.add_guideline(EVIL, name, ALL)
    for number in range(2):
        items = dialogues(name, number)
        wording = CORPUS[number] if number else ALL[:2000]
        question = Question(name, tuple(each.id for each in items), wording, project=name, options=options)
        served.store.ask([question], items)
        response = {"text": ALL, "html": DRAWN, "proof": CORPUS[0]}
        draft = {"text": ALL, "thumb": "down", "tags": list(CORPUS), "typed": ALL, "comment": ALL, "proof": CORPUS[1]}
        if name == "conversation":
            turns = [{"role": "user", "content": ALL}, {"role": "assistant", "content": ALL, "html": DRAWN}]
            draft |= {"turns": turns, "pending": {"say": ALL, "responses": [response, response]}, "judgements": []}
        if name == "chat":
            draft |= {"last": {"say": ALL, "response": response}, "newer": response}
        if name not in ("ranking", "rating", "spans"):
            row = {"user": EVIL, "question": question.id, "body": json.dumps(draft), "saved_at": served.clock()}
            with served.store.database.write() as connection:
                connection.execute(insert(DRAFTS).values(**row))


def judged(question: Question, value: dict[str, Any], annotator: str = EVIL) -> Judgement:
    now = time.time()
    order = shown_order(question.id, annotator, len(question.items))
    return Judgement(question.id, annotator, value, order, now, now, now, str(uuid.uuid4()), rationale=CORPUS[0])


def said(served: Services) -> None:
    """Every attempt as something that was said: written, as a tag, a scale, a category and a comment."""
    options = {name: {k: list(v) if isinstance(v, tuple) else v for k, v in of.items()} for name, of in OPTIONS.items()}
    values: list[tuple[str, dict[str, Any]]] = [("critique", {"text": each}) for each in CORPUS]
    values.append(("thumbs", {"thumb": "down", "tags": list(CORPUS), "text": ALL}))
    values.append(("rating", {"ratings": {each: 1 for each in CORPUS[:25]}}))
    spans = [{"start": 0, "end": 1, "category": each, "note": each} for each in CORPUS]
    values.append(("spans", {"spans": spans}))
    values.append(("conversation", {"comparisons": ["x"], "comment": ALL, "success": 1, "tags": list(CORPUS)}))
    served.projects.create(EVIL, {"name": "said", "title": CORPUS[1], "kind": "critique", "wording": CORPUS[2]})
    for number, (name, value) in enumerate(values):
        items = [Dialogue((Message("user", f"{number}"), Message("assistant", ALL)))]
        question = Question(name, (items[0].id,), CORPUS[3], project="said", options=options.get(name, {}))
        served.store.ask([question], items)
        served.store.answer([judged(question, kind(name).validate(value, question))])


def compared(served: Services) -> None:
    """Comparisons by people whose names are attempts: what the pages on progress, pay and quality show."""
    served.projects.create(EVIL, {"name": "compared", "title": CORPUS[4], "kind": "comparison", "wording": CORPUS[5]})
    for number in range(12):
        items = [Dialogue((Message("user", str(number)), Message("assistant", each))) for each in ("x", "y")]
        question = Question("comparison", (items[0].id, items[1].id), CORPUS[6], project="compared")
        served.store.ask([question], items, 9)
        for each in (EVIL, OTHERS[0], OTHERS[1]):
            left = 4 if shown_order(question.id, each, 2)[0] == 0 else -4
            served.store.answer([judged(question, {"strength": left}, each)])
    for each in OTHERS:
        served.accounts.change_user(EVIL, each, {"pay": 10})


def run(folder: Path) -> Path:
    """A run whose environment is an attempt."""
    folder.mkdir()
    config = {"environment": {"id": CORPUS[10]}, "feedback": {"labels": 9}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    row = {"round": 0, "step": 1, "progress": 0.1, "seconds": 1, "predicted_return": 1}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return folder
