"""What an annotator's script can find out: which model wrote a response, and which question is a check.

The tests play the attacker, who knows Plaudit's code, the texts and the names of all models that may have written them.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.order import shown_order
from plaudit.server.asking import Batch, ask
from plaudit.server.keyed_ids import hide_id, order_of, reveal_id
from plaudit.server.projects import Projects
from plaudit.server.services import Services
from plaudit.types import Dialogue, Message, Question

from .conftest import Someone

MODELS = [f"model-{number}" for number in range(16)]
PAIRS = list(itertools.permutations(MODELS, 2))
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


def response(number: int, side: int) -> str:
    return f"answer {number} {'ab'[side]}"


def fill(served: Services, gold_share: float, n_plain: int, n_gold: int) -> None:
    """A project whose responses come from random models, with checks among its questions."""
    settings = {"gold": gold_share, "repeats": 0.0}
    served.projects.create("Boss", {"name": "p", "title": "P", "kind": "comparison", "settings": settings})
    rng = random.Random(0)
    questions: list[dict[str, Any]] = []
    for number in range(n_plain + n_gold):
        first, second = rng.sample(MODELS, 2)
        items = [
            {"prompt": f"prompt {number}", "response": response(number, side), "model": model}
            for side, model in enumerate((first, second))
        ]
        gold = {"gold": {"value": {"strength": 4}}} if number >= n_plain else {}
        questions.append({"items": items} | gold)
    ask(served.store, "Boss", 1.0, Batch(served.projects.get("p"), "1", questions, 1))


def candidates(shown: dict[str, Any]) -> Iterator[tuple[tuple[str, str], list[str], str]]:
    """For each pair of models: the ids that the items and the question would have."""
    number = int(shown["items"][0]["response"]["text"].split()[1])
    ids = {
        (side, model): Dialogue(
            (Message("user", f"prompt {number}"), Message("assistant", response(number, side))), model
        ).id
        for side in (0, 1)
        for model in MODELS
    }
    for models in PAIRS:
        items = [ids[side, model] for side, model in enumerate(models)]
        question = Question("comparison", tuple(items), shown["wording"], "1", 0, "p", {})
        yield models, items, question.id


def test_no_id_and_no_order_tells_which_models_wrote_the_responses(served: Services, ada: Someone) -> None:
    """65 questions, 16 names of models: the attacker finds no id, and an order that fits as often as a coin's."""
    fill(served, 0.0, 65, 0)
    fitting = total = 0
    for _ in range(65):
        (shown,) = ada.claim("p")
        reply = ada.answer(shown, {"strength": 4})
        history = ada.get("/api/work/history", project="p", limit=1)
        seen = json.dumps([shown, reply, history])
        true = served.store.items(served.store.questions([stored_id(served, shown)])[0].items)
        models = tuple(item.model for item in true if isinstance(item, Dialogue))
        for pair, items, question in candidates(shown):
            assert question not in seen and not any(item in seen for item in items)
            if pair == models:
                fitting += tuple(shown["order"]) == shown_order(question, "Ada", 2)
                total += 1
    assert total == 65 and 17 <= fitting <= 48  # a coin is outside in one of 10,000 cases


def stored_id(served: Services, shown: dict[str, Any]) -> str:
    return reveal_id(served.secret, "Ada", "question", shown["question"])


def test_guessed_ids_are_answered_alike_whether_they_exist_or_not(served: Services, ada: Someone) -> None:
    """Otherwise a script would ask for the ids of all candidates, and see which of them the server knows."""
    fill(served, 0.0, 1, 0)
    (shown,) = ada.claim("p")
    stored = stored_id(served, shown)
    (item, _) = served.store.questions([stored])[0].items
    for guess in (stored, item, "0" * 32):
        for path, body in (
            ("answer", {"judgement": "7b0d5ad8-3ff5-4b3f-8b4d-9f7e4b3f2a10", "value": {"strength": 4}}),
            ("draft", {"body": {"text": "half"}}),
        ):
            call = ada.client.put if path == "draft" else ada.client.post
            answer = call(f"/api/work/{path}", json={"question": guess, "lease": shown["lease"]} | body)
            problem = {
                "answer": "the lease is another question's: load the page again",
                "draft": f"the store has no question {guess!r} for you: load the page again",
            }[path]
            assert (answer.status_code, answer.json()["detail"]) == (422, problem)
        film = ada.client.get(f"/api/items/{guess}/film.webp", params={"project": "p", "key": "0" * 32})
        assert (film.status_code, film.json()["detail"]) == (403, "this clip was not given to you: load the page again")


def test_two_people_see_different_ids_of_the_same_question(served: Services, ada: Someone, ben: Someone) -> None:
    fill(served, 0.0, 1, 0)
    (first,) = ada.claim("p")
    ada.post("/api/work/release", lease=first["lease"])
    (second,) = ben.claim("p")
    assert first["question"] != second["question"]
    body = {"question": first["question"], "lease": second["lease"], "value": {"strength": 4}}
    body["judgement"] = "7b0d5ad8-3ff5-4b3f-8b4d-9f7e4b3f2a11"
    assert ben.refused("/api/work/answer", **body)[0] == 422
    assert [one["question"] for one in ada.claim("p")] == []  # it is Ben's now
    ben.post("/api/work/release", lease=second["lease"])
    assert [one["question"] for one in ada.claim("p")] == [first["question"]]  # the same at each look


def test_claims_and_counts_do_not_tell_checks_from_questions(served: Services, ada: Someone) -> None:
    """Each claim is full, each answer is counted, and a check may stand at each place of a claim."""
    fill(served, 0.3, 60, 40)
    before = ada.get("/api/work/progress", project="p")
    places: list[tuple[int, bool]] = []
    for _ in range(16):
        batch = ada.claim("p", 3)
        assert len(batch) == 3 and ada.get("/api/work/progress", project="p") == before
        assert len({one["lease"].partition(".")[0] for one in batch}) == 1
        for place, shown in enumerate(batch):
            is_check = int(shown["items"][0]["response"]["text"].split()[1]) >= 60
            places.append((place, is_check))
            ada.answer(shown, {"strength": 4})
            after = ada.get("/api/work/progress", project="p")
            assert (after["done"], after["waiting"]) == (before["done"] + 1, before["waiting"] - 1)
            before = after
    checks = [place for place, is_check in places if is_check]
    assert 4 <= len(checks) <= 28 and len(set(checks)) > 1


def test_the_end_of_the_queue_tells_no_check(served: Services, ada: Someone) -> None:
    """When no question for training waits, no check comes either: the page says that none waits, too."""
    fill(served, 0.5, 2, 9)
    (project,) = ada.get("/api/projects")
    assert project["waiting"] == ada.get("/api/work/progress", project="p")["waiting"] == 2
    kinds = []
    while batch := ada.claim("p"):
        assert ada.get("/api/work/progress", project="p")["waiting"] >= 1
        (project,) = ada.get("/api/projects")
        assert project["waiting"] >= 1
        kinds.append(int(batch[0]["items"][0]["response"]["text"].split()[1]) >= 2)
        ada.answer(batch[0], {"strength": 4})
    assert kinds.count(False) == 2 and kinds[-1] is False
    assert all(ada.claim("p", 3) == [] for _ in range(20))
    assert ada.get("/api/work/progress", project="p") == {"done": len(kinds), "waiting": 0}


def test_a_claim_takes_checks_and_fills_up_with_training(served: Services, ada: Someone) -> None:
    fill(served, 0.0, 2, 1)
    claims = Projects(served.store, served.clock, random.Random(0)).next_claims("Ada", "p", 3)
    assert [claim.purposes for claim in claims] == [("train",)]
    served.projects.change("Boss", "p", {"settings": {"gold": 0.5}})
    sizes = set()
    for _ in range(12):
        batch = ada.claim("p", 3)
        sizes.add(len(batch))
        ada.post("/api/work/release", leases=[one["lease"] for one in batch])
    assert max(sizes) == 3  # two for training and the check


@given(IDS, st.text(), st.sampled_from(["question", "item"]))
def test_a_keyed_id_turns_back_with_its_key_only(identity: str, person: str, purpose: Any) -> None:
    shown = hide_id(b"key", person, purpose, identity)
    assert len(shown) == 32 and reveal_id(b"key", person, purpose, shown) == identity
    others = ((b"yek", person, purpose), (b"key", f"{person}.", purpose))
    assert all(reveal_id(*other, shown) != identity for other in others)


@pytest.mark.parametrize("text", ["", "none", "A" * 32, "a" * 31, "a" * 33, "a" * 31 + "\n"])
def test_what_is_no_id_stays_as_it_is(text: str) -> None:
    assert hide_id(b"key", "Ada", "question", text) == reveal_id(b"key", "Ada", "question", text) == text


def test_the_order_is_drawn_for_each_person_and_fixed_where_the_kind_says_so() -> None:
    question = Question("comparison", ("a", "b"), "Which?")
    orders = [order_of(b"key", question, f"person {number}") for number in range(40)]
    assert set(orders) == {(0, 1), (1, 0)}
    assert order_of(b"key", Question("thumbs", ("a",), "?"), "Ada") == (0,)
