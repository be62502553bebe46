"""A project for each kind of feedback, with questions to answer."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np

import plaudit.control.environments  # noqa: F401  (registers plaudit/*)
from plaudit.annotators.assist import criticise
from plaudit.annotators.critique import Critic
from plaudit.feedback.kinds import KINDS, kind, ranking
from plaudit.server.services import Services
from plaudit.types import Dialogue, Item, Message, Question, Segment, Source

STORY = "A heron stood in the shallows. It waited. \U0001f41f A fish came, and the heron struck; it missed."
OPTIONS: dict[str, dict[str, Any]] = {
    "conversation": {"turns": 2},
    "ranking": {"ratings": True, "ideal": True, "flags": list(ranking.FLAGS)},
    "rating": {"scales": {"coherence": [0, 4], "helpfulness": [0, 4]}},
}


@functools.cache
def duels(count: int, length: int = 25) -> tuple[Segment, ...]:
    """Stretches of random play."""
    env: Any = gymnasium.make_vec("plaudit/Duel-v0", count, vectorization_mode="vector_entry_point").unwrapped
    observations, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    seen, acted, states = [], [], []
    for _ in range(length):
        seen.append(observations)
        states.append(env.states())
        acted.append(rng.integers(0, 3, count))
        observations, *_ = env.step(acted[-1])
    along = (np.stack(each, axis=1) for each in (seen, acted, states))
    return tuple(Segment(*each, source=Source(0, row, 0)) for row, each in enumerate(zip(*along, strict=True)))


def dialogue(number: int, response: str | None, model: str = "secret-model-7b") -> Dialogue:
    """A question about birds, and perhaps an answer."""
    begin = (Message("user", f"Tell me a **story** about a heron, number {number}."),)
    if response is None:
        return Dialogue(begin)
    return Dialogue((*begin, Message("assistant", response)), model)


def items_of(name: str, number: int) -> list[Item]:
    """The items of one question of a kind."""
    if name == "comparison":
        return list(duels(2 * 12)[2 * number : 2 * number + 2])
    if name in ("conversation", "chat"):
        return [Dialogue((Message("system", f"Be brief. ({number})"), Message("user", "What is a heron?")))]
    if name == "demonstration":
        return [dialogue(number, None)]
    count = {"ranking": 4, "regeneration": 2, "side-by-side": 2}.get(name, 1)
    texts = [STORY, f"{STORY} It flew off.", "Herons are birds.\n\n- tall\n- grey", "I cannot tell stories."]
    return [dialogue(number, texts[each]) for each in range(count)]


def ask(served: Services, name: str, count: int = 3, project: str | None = None, **how: Any) -> list[Question]:
    """A project called ``project`` (or as the kind) with ``count`` questions of the kind ``name``."""
    of, where = kind(name), project or name
    options = how.pop("options", OPTIONS.get(name, {}))
    settings = {"repeats": 0.0, "gold": 0.0, **how.pop("settings", {})}
    if name == "comparison":
        settings.setdefault("environment", "Duel")
    wording = served.projects.create(
        "tests", {"name": where, "title": f"{of.title}s", "kind": name, "options": options, "settings": settings}
    ).wording
    questions, items = [], []
    for number in range(count):
        fresh = how["items"](number) if "items" in how else items_of(name, number)
        items += fresh
        questions.append(
            Question(name, tuple(each.id for each in fresh), wording, project=where, options=dict(options))
        )
    served.store.ask(questions, items, how.get("wanted", 1))
    return questions


class Scripted:
    """A model that writes critiques."""

    name = "scripted"

    def write(self, conversations: Any, seed: int) -> list[str]:
        """The same about every response."""
        return ["The heron **strikes** too late, and the story ends before the reader knows why."] * len(conversations)


def everything(served: Services) -> None:
    """A project for each kind, and for the variants that look different."""
    clips = {"environment": "Duel"}
    for name in KINDS:
        ask(served, name, 12)
    text: dict[str, Any] = {"items": lambda n: items_of("side-by-side", n), "settings": {"environment": None}}
    ask(served, "comparison", 12, "texts", options={"scale": "eight"}, **text)
    ask(served, "comparison", 30, "clips", items=lambda n: list(duels(60)[2 * n : 2 * n + 2]))
    ask(served, "comparison", 40, "many", items=lambda n: list(duels(80)[2 * n : 2 * n + 2]))
    ask(served, "comparison", 4, "guided")
    ask(served, "spans", 10, "stretches", items=lambda n: [duels(24)[n]], settings=clips)
    red = {"red_team": True, "turns": 1}
    ask(served, "conversation", 2, "red", options=red, settings={"roles": ["annotator"]})
    ask(served, "conversation", 2, "faulty")
    ask(served, "chat", 2, "beside", options={"side_by_side": True})
    assisted: dict[str, Any] = text | {"settings": {"environment": None, "assistance": 1.0}}
    ask(served, "comparison", 4, "assisted", **assisted)
    criticise(served.store, "assisted", Critic(Scripted(), ("A good story is calm.",), "ai:scripted"))
    served.projects.add_guideline("tests", "guided", "Look *twice*.")


def person(served: Services, name: str = "Ada", role: str = "annotator") -> str:
    """Somebody who has joined; a session's token."""
    invite = served.accounts.invites.make("tests", role)
    return served.accounts.join(invite, name, "correct horse battery", "127.0.0.1", "tests")
