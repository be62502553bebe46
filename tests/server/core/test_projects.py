"""Projects: what is asked, under which guideline, of whom, and what comes next."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from plaudit.control.registry import resolve
from plaudit.feedback import repeats
from plaudit.feedback.kinds import KINDS
from plaudit.feedback.queue import Claim
from plaudit.feedback.store import Conflict, Store
from plaudit.server.faults import Forbidden
from plaudit.server.keyed_ids import order_of
from plaudit.server.media import Scene
from plaudit.server.projects import Projects
from plaudit.types import Dialogue, Message, PlauditError, Question

from .conftest import Site, pair, told

NEW = {"name": "helpful", "title": "Helpful answers", "kind": "comparison"}


@pytest.fixture
def site(any_site: Site) -> Site:
    return any_site


def test_a_project_is_made_changed_and_closed(site: Site) -> None:
    boss = site.join("Boss", "admin")
    made = boss.post("/api/projects", json=NEW | {"options": {"scale": "eight"}, "settings": {"gold": 0.1}})
    assert made.status_code == 201
    fields = made.json()
    assert fields["wording"] == "Which response is better?" and fields["options"] == {"scale": "eight"}
    assert fields["settings"]["gold"] == 0.1 and fields["settings"]["repeats"] == 0.05
    told(boss.post("/api/projects", json=NEW), 409)
    changed = boss.patch("/api/projects/helpful", json={"title": "Kind answers", "settings": {"repeats": 0}}).json()
    assert changed["title"] == "Kind answers" and changed["settings"]["gold"] == 0.1
    assert changed["settings"]["repeats"] == 0
    assert boss.patch("/api/projects/helpful", json={"closed": True}).json()["closed_at"] == site.clock.now
    assert boss.patch("/api/projects/helpful", json={"closed": False}).json()["closed_at"] is None
    told(boss.patch("/api/projects/none", json={}), 404)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "../secret"},
        {"name": "x" * 65},
        {"title": " "},
        {"kind": "telepathy"},
        {"options": {"colour": "red"}},
        {"options": {"scale": "nine"}},
        {"settings": {"gold": 0.9}},
        {"settings": {"gold": True}},
        {"settings": {"roles": ["king"]}},
        {"settings": {"roles": []}},
        {"settings": {"judgements_wanted": 0}},
        {"settings": {"lease_seconds": 1}},
        {"settings": {"speed": 3}},
        {"surprise": 1},
    ],
)
def test_a_project_that_cannot_be_is_refused(site: Site, wrong: dict[str, Any]) -> None:
    told(site.join("Boss", "admin").post("/api/projects", json=NEW | wrong), 422)
    assert site.services.projects.list() == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_a_project(site: Site, kind: str) -> None:
    site.project(kind=kind)
    assert site.services.projects.get("p").kind == kind


def test_a_red_team_project_is_for_the_red_team(site: Site) -> None:
    site.project("talk", kind="conversation", options={"red_team": True})
    site.project("other", settings={"roles": ["reviewer"]})
    projects = site.services.projects
    assert [each.project.name for each in projects.open_for("Eve", "red-team")] == ["talk"]
    assert [each.project.name for each in projects.open_for("Ada", "annotator")] == []
    assert {each.project.name for each in projects.open_for("Rev", "reviewer")} == {"talk", "other"}
    with pytest.raises(Forbidden):
        projects.for_work("talk", "annotator")
    ada = site.join("Ada")
    assert ada.get("/api/projects").json() == []
    told(ada.get("/api/projects/talk/guidelines"), 403)


def test_a_closed_project_gives_no_work(site: Site) -> None:
    site.project()
    site.services.projects.change("Boss", "p", {"closed": True})
    assert site.services.projects.open_for("Ada", "annotator") == []
    with pytest.raises(Conflict, match="closed"):
        site.services.projects.for_work("p", "annotator")


def test_what_waits_is_counted_for_each_person(site: Site) -> None:
    site.project()
    questions = site.ask([pair(n) for n in range(3)], wanted=2)
    site.say(questions[0], "Ada", {"strength": 4})
    (work,) = site.services.projects.open_for("Ada", "annotator")
    assert (work.waiting, work.judged) == (2, 1)
    ada = site.join("Grace")
    (listed,) = ada.get("/api/projects").json()
    assert (listed["waiting"], listed["judged"]) == (3, 0)


def test_guidelines_have_versions_and_questions_carry_theirs(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    body = {"questions": [pair(0)]}
    first = boss.post("/api/projects/p/questions", json=body).json()["ids"]
    for text in ("# One", "# Two"):
        assert boss.post("/api/projects/p/guidelines", json={"text": text}).status_code == 201
    for number in range(3, 12):
        site.services.projects.add_guideline("Boss", "p", f"# {number}")
    second = boss.post("/api/projects/p/questions", json=body).json()
    assert second["new"] == 1
    asked = site.services.store.questions([*first, *second["ids"]])
    assert [each.guideline for each in asked] == ["1", "11"]
    versions = site.join("Ada").get("/api/projects/p/guidelines").json()
    assert [each["version"] for each in versions] == [str(n) for n in range(11, 0, -1)]
    found = site.services.projects.guideline("p", "2")
    assert found is not None and found.text == "# Two"
    told(boss.post("/api/projects/p/guidelines", json={"text": " "}), 422)


# Asking


def test_asking_puts_texts_and_questions_into_the_store(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.project(settings={"judgements_wanted": 3})
    talk = [{"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Yes."}]
    stored = Dialogue((Message("user", "hi"), Message("assistant", "ho")), "secret-model")
    site.services.store.add_items([stored])
    questions = [pair(0), {"items": [{"messages": talk, "model": "m"}, stored.id], "wording": "Which one?"}]
    answer = boss.post("/api/projects/p/questions", json={"questions": questions})
    assert answer.status_code == 201 and answer.json()["new"] == 2
    again = boss.post("/api/projects/p/questions", json={"questions": questions}).json()
    assert again["new"] == 0 and again["ids"] == answer.json()["ids"]
    first, second = site.services.store.questions(answer.json()["ids"])
    assert second.wording == "Which one?" and second.items[1] == stored.id and first.project == "p"
    progress = boss.get("/api/projects/p/progress").json()
    assert progress["queues"][0]["open"] == 2


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({}, "items must be a list"),
        ({"items": [1, 2]}, "items\\[0\\] must be"),
        ({"items": [{"prompt": "a"}]}, "two items"),
        ({"items": [{"prompt": "a", "answer": "b"}] * 2}, "no field 'answer'"),
        ({"items": [{"prompt": 3}] * 2}, "content is text"),
        ({"items": [{"messages": [{"role": "god", "content": ""}]}] * 2}, "role"),
        ({"items": [{"messages": []}] * 2}, "at least one message"),
        ({"items": [{"messages": 3}] * 2}, "messages must be a list"),
        ({"items": [{"prompt": "a"}, {"prompt": "a"}]}, "repeats an item"),
        (pair(1) | {"options": {"x": 1}}, "no option"),
        (pair(1) | {"options": 3}, "options must be an object"),
        (pair(1) | {"kind": "telepathy"}, "no kind"),
        (pair(1) | {"gold": 4}, "gold must be"),
        (pair(1) | {"gold": {"value": {"strength": 9}}}, "strength"),
        (pair(1) | {"surprise": 4}, "no field 'surprise'"),
        ({"items": ["f" * 32, "e" * 32]}, "no item"),
    ],
)
def test_a_question_that_is_wrong_names_itself_and_nothing_is_asked(
    site: Site, wrong: dict[str, Any], match: str
) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    answer = boss.post("/api/projects/p/questions", json={"questions": [pair(0), wrong]})
    detail = told(answer, 422)
    assert __import__("re").search(match, detail), detail
    if "no item" not in match:
        assert detail.startswith("question 2: ")
    assert site.services.store.counts().questions == 0


def test_gold_is_for_everybody_and_cannot_be_swapped_for_training(site: Site) -> None:
    site.project()
    (gold,) = site.ask([pair(0) | {"gold": {"value": {"strength": 4}, "note": "obvious"}}])
    for name in ("Ada", "Grace", "Hedy"):
        (lease,) = site.services.store.claim(Claim(name, 1, "p", ("gold",)))
        assert lease.question == gold
        site.say(gold, name, {"strength": 4})
    assert site.services.store.judgements() == []  # nothing to train on
    with pytest.raises(Conflict, match="asked before as gold"):
        site.ask([pair(0)])
    site.ask([pair(1)])
    with pytest.raises(Conflict, match="asked before as train"):
        site.ask([pair(1) | {"gold": {"value": {"strength": 4}}}])
    with pytest.raises(Conflict, match="asked twice"):
        site.ask([pair(2), pair(2) | {"gold": {"value": {"strength": 4}}}])


def test_only_some_may_ask(site: Site) -> None:
    site.project()
    for role in ("annotator", "reviewer"):
        told(site.join(role, role).post("/api/projects/p/questions", json={"questions": [pair(0)]}), 403)
    site.join("Boss", "admin")
    token = site.services.accounts.tokens.make("Boss", "asker", "Boss", ["ask"])
    program = site.program(token)
    assert program.post("/api/projects/p/questions", json={"questions": [pair(0)]}).status_code == 201
    told(program.get("/api/projects/p/progress"), 403)


# What comes next


def test_without_shares_there_is_training_only(site: Site) -> None:
    site.project(settings={"gold": 0, "repeats": 0})
    assert site.services.projects.next_claims("Ada", "p", 3) == [Claim("Ada", 3, "p")]


def test_gold_comes_by_chance_in_its_share(site: Site) -> None:
    site.project(settings={"gold": 0.2, "repeats": 0})
    projects = Projects(site.services.store, site.clock, random.Random(1))
    drawn = [projects.next_claims("Ada", "p") for _ in range(2000)]
    share = sum(each[0].purposes == ("gold",) for each in drawn) / len(drawn)
    assert 0.17 < share < 0.23  # +- 3 standard deviations
    assert all(each[-1] == Claim("Ada", 1, "p") for each in drawn)  # where there is no gold, training


def repeatable(site: Site, questions: list[Question], annotator: str) -> Question:
    order = partial(order_of, site.services.secret)
    return next(each for each in questions if repeats.can_repeat(each, annotator, order))


def test_a_repeat_shows_the_other_sides_ten_judgements_later(site: Site) -> None:
    site.project(settings={"gold": 0, "repeats": 0.5})
    questions = site.ask([pair(n) for n in range(30)])
    original = repeatable(site, questions, "Ada")
    site.say(original, "Ada", {"strength": 4})
    projects = site.services.projects
    assert projects.after_answer("Ada", original)  # a share of a half: every question that can be
    assert not projects.after_answer("Ada", original)  # and only once
    others = [each for each in questions if each != original]
    for number, each in enumerate(others[:12]):
        due = projects.next_claims("Ada", "p")[0].purposes == ("repeat",)
        assert due == (number >= 10), number
        site.say(each, "Ada", {"strength": 4})
    assert projects.next_claims("Grace", "p")[0].purposes == ("train",)
    wanted = projects.next_claims("Ada", "p")
    (lease,) = site.services.store.turn([], [], wanted)[1]
    assert lease.question == repeats.swap_sides(original)
    secret = site.services.secret
    shown = [each.items[order_of(secret, each, "Ada")[0]] for each in (original, lease.question)]
    assert shown[0] != shown[1]
    # While it is leased it is not due again; a repeat is itself never repeated.
    assert projects.next_claims("Ada", "p")[0].purposes == ("train",)
    site.say(lease.question, "Ada", {"strength": -4})
    assert not repeats.ask_again(site.services.store, "Ada", lease.question)


def test_half_of_all_pairs_can_be_repeated_and_the_share_is_kept(site: Site) -> None:
    site.project(settings={"gold": 0, "repeats": 0.1})
    questions = site.ask([pair(n) for n in range(400)])
    projects = Projects(site.services.store, site.clock, random.Random(2))
    asked = sum(projects.after_answer("Ada", each) for each in questions)
    assert 22 < asked < 58  # 40 +- 3 standard deviations


def test_only_pairs_are_repeated(site: Site) -> None:
    site.project("rank", kind="ranking")
    three = {"items": [{"prompt": "a", "response": str(n)} for n in range(3)]}
    (question,) = site.ask([three], "rank")
    assert not repeats.can_repeat(question, "Ada")


def test_a_lease_is_three_times_the_median_and_two_minutes_at_least(site: Site) -> None:
    site.project()
    projects = site.services.projects
    assert projects.lease_seconds("p") == 120
    questions = site.ask([pair(n) for n in range(3)])
    for question, took in zip(questions, (10.0, 100.0, 1000.0), strict=True):
        site.say(question, "Ada", {"strength": 4}, took=took)
    fresh = Projects(site.services.store, site.clock)  # a median is taken once a minute
    assert fresh.lease_seconds("p") == 300
    projects.change("Boss", "p", {"settings": {"lease_seconds": 45}})
    assert projects.lease_seconds("p") == 45


# Stores that a run has filled


def asked_by_a_run(path: Path) -> None:
    texts = [Dialogue((Message("user", "?"), Message("assistant", each))) for each in "ab"]
    with Store.open(path) as store:
        store.ask([Question("comparison", (texts[0].id, texts[1].id), "Which?")], texts)


def test_questions_without_a_project_get_one(make_site: Callable[..., Site], tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite"
    asked_by_a_run(path)
    site = make_site(store=str(path))
    (project,) = site.services.projects.list()
    assert (project.name, project.title, project.kind) == ("default", "Comparisons", "comparison")
    assert project.settings.gold == project.settings.repeats == 0  # a run's budget of labels is the run's


def test_a_store_in_a_runs_folder_knows_what_draws_its_clips(make_site: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"environment": {"id": "Rally"}}))
    asked_by_a_run(tmp_path / "feedback.sqlite")
    site = make_site(store=str(tmp_path / "feedback.sqlite"))
    assert site.services.projects.scene("default") == Scene("Rally")
    (tmp_path / "config.json").unlink()
    later = make_site(store=str(tmp_path / "feedback.sqlite"))  # a copy that lies elsewhere
    assert later.services.projects.scene("default").environment == "Rally"


def test_a_run_names_the_module_of_its_environment(make_site: Callable[..., Site], tmp_path: Path) -> None:
    environment = {"id": "FlatLake-v0", "imports": ["lakes"], "kwargs": ["size=3"]}
    (tmp_path / "config.json").write_text(json.dumps({"environment": environment}))
    site = make_site(store=str(tmp_path / "feedback.sqlite"), run=tmp_path)
    projects = site.services.projects
    assert projects.scene("default") == Scene("FlatLake-v0", '{"size": 3}', ("lakes",))
    projects.change("Ada", "default", {"settings": {"environment": "os:Duel"}})
    assert projects.scene("default") == Scene("os:Duel", "{}", ("lakes",))
    with pytest.raises(PlauditError, match="unknown environment 'os:Duel'"):
        resolve("os:Duel")  # an admin of a project cannot have a module imported


def test_a_run_beside_has_its_project_before_it_has_asked(make_site: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"environment": {"id": "Duel"}}))
    path = tmp_path / "feedback.sqlite"
    site = make_site(store=str(path), run=tmp_path)
    assert site.services.projects.get("default").title == "Duel"
    asked_by_a_run(path)
    assert [each.project.name for each in site.services.projects.open_for("Ada", "annotator")] == ["default"]
