"""A team at work: people, projects that are far on, just begun and closed, judgements, and a training run beside."""

from __future__ import annotations

import json
import random
import time
import uuid
from pathlib import Path

from plaudit.feedback import codec
from plaudit.feedback.order import shown_order
from plaudit.server import backup
from plaudit.server.asking import Batch, ask
from plaudit.server.services import Services
from plaudit.types import Judgement, Question

from . import seed

GUIDELINE = """# What makes a response better

Judge **only** what you see, in this order:

1. Is it *true*?
2. Does it help with what was asked?
3. Is it as short as it can be?

> Where both are wrong, choose the one that does less harm.

| Say | When |
| --- | --- |
| tie | you would be as glad of either |
| can't tell | you would have to guess |
"""
CONSENT = """You judge what models wrote. Some of it may be **unpleasant**; you may stop at any time.

- Your answers are kept under your name.
- They train a model.
"""
SURVEY = [
    {"name": "age", "label": "How old are you?", "type": "number"},
    {"name": "english", "label": "Which English do you speak?", "type": "choice", "choices": ["first", "second"]},
    {"name": "any.thing.else", "label": "Anything else?", "type": "text"},
]
ANSWERS = ("It scatters blue light more than red.", "It mirrors the sea.", "Nobody knows for sure.")


def team(served: Services) -> str:
    """All of it; the session of Grace, who is an admin and has agreed to everything."""
    token = seed.person(served, "Grace", "admin")
    for name, role in (("Ada", "annotator"), ("Ben", "annotator"), ("Cleo", "annotator"), ("Dan", "reviewer")):
        seed.person(served, name, role)
    seed.person(served, "Eve", "red-team")
    served.accounts.change_user("Grace", "Eve", {"disabled": True})
    for name, pay in (("Ada", 18.0), ("Ben", 21.5)):
        served.accounts.change_user("Grace", name, {"pay": pay})
    served.accounts.sign_in(
        "Grace", "correct horse battery", "127.0.0.1", "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"
    )
    served.accounts.invites.make("Grace", "annotator", uses=12, words="the second group, from May on")
    served.accounts.invites.make("Grace", "reviewer")
    served.accounts.tokens.make("Grace", "nightly export", "Grace", ["read"])
    served.accounts.tokens.make("Grace", "asks questions", "Grace", ["ask", "read"], days=90.0)
    served.consents.put_consent("Grace", CONSENT)
    served.consents.give("Grace", "1")
    served.consents.put_survey("Grace", SURVEY)
    projects(served)
    backup.make(served.config.store, served.config.folder, time.time())
    return token


def projects(served: Services) -> None:
    """Projects of every state."""
    made = served.projects.create
    made("Grace", {"name": "sky", "title": "Why is the sky blue?", "kind": "comparison"})
    made("Grace", {"name": "new", "title": "Nothing asked here yet", "kind": "ranking"})
    made("Grace", {"name": "old", "title": "Last year's captions", "kind": "thumbs"})
    served.projects.change("Grace", "old", {"closed": True})
    served.projects.add_guideline("Grace", "sky", "Which is better?")
    served.projects.add_guideline("Grace", "sky", GUIDELINE)
    pairs = [
        {"items": [{"prompt": f"Why is the sky blue? ({number})", "response": each} for each in ANSWERS[:2]]}
        for number in range(60)
    ]
    for pair in pairs[:6]:
        pair["gold"] = {"value": {"strength": 4}, "note": "the other is wrong"}  # type: ignore[assignment]
    batch = Batch(served.projects.get("sky"), "2", pairs, 2)
    questions = served.store.questions(ask(served.store, "Grace", served.clock(), batch).ids)
    rng = random.Random(0)
    for name, share in (("Ada", 0.9), ("Ben", 0.8), ("Cleo", 0.6), ("Grace", 0.1)):
        said = [judge(served, each, name, rng) for each in questions if rng.random() < share]
        served.store.answer(said)


def judge(served: Services, question: Question, name: str, rng: random.Random) -> Judgement:
    """One comparison, mostly of the first; Cleo prefers what stands on the left, at once."""
    order = shown_order(question.id, name, 2)
    strength = rng.choice([4, 4, 4, 2, 0, -4, None])
    took = rng.uniform(4, 30)
    if name == "Cleo":
        strength, took = (4 if order[0] == 0 else -4), 0.4
    now = served.clock()
    identity = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return Judgement(question.id, name, {"strength": strength}, order, now - took, now - took / 2, now, identity)


def run(folder: Path, rounds: int = 30) -> Path:
    """The folder of a run in Duel that has come so far: curves that rise, and a clip."""
    folder.mkdir()
    config = {"environment": {"id": "plaudit/Duel-v0"}, "feedback": {"labels": 400}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    rng, rows = random.Random(1), []
    for each in range(rounds):
        reward = -8 + 14 * each / rounds + rng.gauss(0, 0.8)
        row = {"round": each, "step": 4000 * (each + 1), "true_return": reward, "predicted_return": reward / 9}
        rows.append(
            row
            | {"holdout_accuracy": 0.55 + 0.01 * each, "labels": 10 * each, "progress": 0.02 * each, "seconds": each}
        )
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (folder / "latest.clip").write_bytes(codec.pack(seed.duels(24)[0])[1])
    return folder
