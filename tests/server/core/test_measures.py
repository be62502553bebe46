"""Progress, pay, agreement, health and export, on counts that can be checked by hand."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select

from plaudit.feedback import agreeing, events, measures, repeats
from plaudit.feedback.formats.incoming import import_file
from plaudit.feedback.order import shown_order
from plaudit.feedback.schema import JUDGEMENTS, QUESTION_ITEMS, QUESTIONS
from plaudit.feedback.standing import load_shared, load_standing
from plaudit.feedback.store import Store
from plaudit.server import export, health
from plaudit.server.api.projects import HealthOut
from plaudit.types import Segment

from .conftest import Site, pair, told


@pytest.fixture
def site(any_site: Site) -> Site:
    return any_site


def test_progress_counts_what_is_open_leased_and_done(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    questions = site.ask([pair(n) for n in range(4)], wanted=2)
    site.ask([pair(9) | {"gold": {"value": {"strength": 4}}}])
    site.project("other")
    site.ask([pair(0)], "other")
    site.say(questions[0], "Ada", {"strength": 4})
    site.say(questions[0], "Grace", {"strength": 4})
    site.say(questions[0], "Hedy", {"strength": 4})  # a third of two
    first = site.say(questions[1], "Ada", {"strength": 4})
    site.say(questions[1], "Ada", {"strength": -4}, supersedes=first)  # an edit counts once
    undone = site.say(questions[2], "Ada", {"strength": 4})
    site.say(questions[2], "Ada", {"withdrawn": True}, supersedes=undone)
    site.services.store.claim("Eve", 2, now=site.clock.now)
    found = boss.get("/api/projects/p/progress").json()
    train, gold, repeat = found["queues"]
    counts = {"questions": 4, "open": 3, "leased": 2, "done": 1, "judgements": 3, "surplus": 1}
    assert {name: train[name] for name in counts} == counts
    assert (gold["questions"], gold["open"], gold["judgements"], repeat["questions"]) == (1, 1, 0, 0)
    assert found["annotators"] == 3 and found["last_at"] == site.clock.now
    told(boss.get("/api/projects/none/progress"), 404)


def test_pay_is_time_at_work_five_minutes_an_answer_at_most(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.join("Ada")
    boss.patch("/api/admin/users/Ada", json={"pay": 36.0})
    site.project()
    questions = site.ask([pair(n) for n in range(6)])
    now = site.clock.now

    def at(question: int, who: str, shown: float, submitted: float) -> None:
        times = {"shown_at": now + shown, "first_input_at": now + shown, "submitted_at": now + submitted}
        site.say(questions[question], who, {"strength": 4}, **times)

    at(0, "Ada", 0, 60)
    at(1, "Ada", 30, 90)  # overlaps: 30 s count
    at(2, "Ada", 100, 1000)  # away: 300 s count
    at(3, "Ada", 2000, 2110)
    at(4, "Grace", 0, 60)  # at the same time, and somebody else
    ada, grace = boss.get("/api/projects/p/pay").json()
    assert (ada["annotator"], ada["judgements"]) == ("Ada", 4)
    assert ada["minutes"] == pytest.approx(500 / 60, abs=1e-6)
    assert ada["cost"] == pytest.approx(5.0, abs=1e-6) and ada["cost_per_judgement"] == pytest.approx(1.25, abs=1e-6)
    assert grace == {
        "annotator": "Grace",
        "judgements": 1,
        "minutes": 1.0,
        "pay": None,
        "cost": None,
        "cost_per_judgement": None,
    }


def test_agreement_of_comparisons_worked_by_hand(site: Site) -> None:
    """Four pairs, two people: alike on three. n = 8, with 5 firsts and 3 seconds.

    D_o = 2 (1, 2) pairs / 8 = 1/4; D_e = 2 * 5 * 3 / (8 * 7) = 15/28; alpha = 1 - 28/60 = 8/15.
    """
    boss = site.join("Boss", "admin")
    site.project(settings={"judgements_wanted": 2})
    questions = site.ask([pair(n) for n in range(6)], wanted=2)
    for number, (ada, grace) in enumerate([(4, 2), (1, 4), (-4, -1), (4, -4)]):
        site.say(questions[number], "Ada", {"strength": ada})
        site.say(questions[number], "Grace", {"strength": grace})
    site.say(questions[4], "Ada", {"strength": 4})
    site.say(questions[4], "Grace", {"strength": None})  # can't tell is no opinion
    site.say(questions[5], "Ada", {"strength": 4})
    (row,) = boss.get("/api/projects/p/agreement").json()
    assert (row["what"], row["things"], row["judgements"], row["problem"]) == ("comparison", 4, 8, None)
    assert row["percent"] == 0.75 and row["alpha"] == pytest.approx(8 / 15)
    assert row["low"] <= row["alpha"] <= row["high"]
    assert row == boss.get("/api/projects/p/agreement").json()[0]  # the interval is drawn with a fixed seed


def test_agreement_of_rankings_ratings_and_thumbs(site: Site) -> None:
    response = [{"prompt": "a", "response": str(n)} for n in range(3)]
    site.project(settings={"judgements_wanted": 2})
    ranking, rating, thumbs, critique = site.ask(
        [
            {"items": response, "kind": "ranking"},
            {"items": response[:1], "kind": "rating"},
            {"items": response[:1], "kind": "thumbs"},
            {"items": response[:1], "kind": "critique"},
        ],
        wanted=2,
    )
    for who, ranks, stars in (("Ada", [1, 2, 2], 3), ("Grace", [1, 2, 3], 4)):
        site.say(ranking, who, {"ranks": ranks})
        site.say(rating, who, {"ratings": {"overall quality": stars}})
        site.say(thumbs, who, {"thumb": "up"})
        site.say(critique, who, {"text": "good"})
    found = {each.aspect: each for each in agreeing.agreement(load_shared(site.services.store, "p"))}
    assert found["ranking: pairs"].percent == pytest.approx(2 / 3)  # two of three pairs are judged alike
    assert found["rating: overall quality"].percent == 0
    assert "one category" in str(found["thumbs"].problem)
    assert "not compared" in str(found["critique"].problem)


def test_agreement_says_what_is_missing(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    assert boss.get("/api/projects/p/agreement").json() == []
    site.say(site.ask([pair(0)])[0], "Ada", {"strength": 4})
    (row,) = boss.get("/api/projects/p/agreement").json()
    assert row["alpha"] is None and "two people" in row["problem"]


def health_of(site: Site) -> dict[str, HealthOut]:
    rows = site.join("Boss", "admin").get("/api/projects/p/health").json()
    return {row["annotator"]: HealthOut(**row) for row in rows}


def test_health_counts_sides_gold_haste_and_repeats(site: Site) -> None:
    site.project(settings={"repeats": 0.5})
    plain = site.ask([pair(n, words=20) for n in range(60)], wanted=9)  # 40 words: 3.2 s at least
    gold = site.ask([pair(100 + n, words=20) | {"gold": {"value": {"strength": 4}}} for n in range(20)])
    for question in plain:
        left = 4 if shown_order(question.id, "Larry", 2)[0] == 0 else -4
        site.say(question, "Larry", {"strength": left}, took=0.5)
        site.say(question, "Ada", {"strength": 4}, took=10.0)
        if repeats.can_repeat(question, "Ada"):
            assert repeats.ask_again(site.services.store, "Ada", question)
            site.say(repeats.swap_sides(question), "Ada", {"strength": -2})  # the same item, the other way round
    for number, question in enumerate(gold):
        site.say(question, "Ada", {"strength": 4 if number < 15 else -4})
    rows = health_of(site)
    ada, larry = rows["Ada"], rows["Larry"]
    assert (larry.left.share, larry.left.trials) == (1.0, 60)
    assert (larry.too_fast.share, ada.too_fast.share) == (1.0, 0.0)
    assert (ada.gold.share, ada.gold.trials) == (0.75, 20)
    assert ada.consistency.share == 1.0 and ada.consistency.trials == ada.answers - 80
    assert larry.consistency.share is None and larry.consistency.trials == 0
    assert any("left side" in each for each in larry.flags) and any("faster" in each for each in larry.flags)
    assert ada.flags == []


def test_health_reads_the_length_of_clips(site: Site) -> None:
    site.project()
    rng = np.random.default_rng(0)
    clips = [Segment(rng.standard_normal((60, 3)).astype(np.float32), np.zeros(60, dtype=np.int64)) for _ in range(2)]
    site.services.store.add_items(clips)  # 60 frames at no more than 30 a second: a second has to be seen
    (question,) = site.ask([{"items": [each.id for each in clips]}], wanted=2)
    site.say(question, "Ada", {"strength": 4}, took=1.1)
    site.say(question, "Larry", {"strength": 4}, took=0.9)
    rows = health_of(site)
    assert (rows["Ada"].too_fast.share, rows["Larry"].too_fast.share) == (0.0, 1.0)


def test_health_counts_every_kind(site: Site) -> None:
    """Gold of thumbs, rankings and ratings; haste; agreement with others by kind: two pairs of answers a thing."""
    site.project(kind="ranking", settings={"judgements_wanted": 9})
    texts = [{"prompt": "a", "response": f"{n} " * 25} for n in range(3)]  # 25 words: 2 s at least
    known = {"thumbs": {"thumb": "up"}, "ranking": {"ranks": [1, 2, 2]}, "rating": {"ratings": {"overall quality": 5}}}
    gold = {
        of: site.ask([{"kind": of, "items": texts if of == "ranking" else texts[:1], "gold": {"value": value}}])[0]
        for of, value in known.items()
    }
    plain = site.ask(
        [{"kind": "thumbs", "items": [{"prompt": "b", "response": f"{n} " * 25}]} for n in range(4)], wanted=9
    )
    critique = site.ask([{"kind": "critique", "items": texts[:1]}], wanted=9)[0]
    for who, thumb, ranks, points in (
        ("Ada", "up", [1, 2, 2], 6),
        ("Grace", "up", [1, 2, 3], 3),
        ("Hedy", "down", [1, 2, 2], 5),
    ):
        site.say(gold["thumbs"], who, {"thumb": thumb}, took=1.9)
        site.say(gold["ranking"], who, {"ranks": ranks}, took=6.1)
        site.say(gold["rating"], who, {"ratings": {"overall quality": points}}, took=2.1)
        for number, each in enumerate(plain):
            site.say(each, who, {"thumb": "up" if number or who != "Ada" else "down"}, took=2.1)
    site.say(critique, "Ada", {"text": "good"}, took=1.0)
    rows = health_of(site)
    ada, grace, hedy = (rows[name] for name in ("Ada", "Grace", "Hedy"))
    assert [(each.judgements, each.answers) for each in (ada, grace, hedy)] == [(8, 0), (7, 0), (7, 0)]
    assert [(each.gold.share, each.gold.trials) for each in (ada, grace, hedy)] == [(1.0, 3), (1 / 3, 3), (2 / 3, 3)]
    assert ada.too_fast.trials == 8 and ada.too_fast.share == 2 / 8 and grace.too_fast.share == 1 / 7
    assert ada.left.trials == 0 and ada.lapse.source is None
    # thumbs: four plain and one gold, two others each; Ada differs on one from both, Hedy on gold from both
    assert (ada.agreement_by_kind["thumbs"].share, ada.agreement_by_kind["thumbs"].trials) == (7 / 10, 10)
    assert grace.agreement_by_kind["thumbs"].share == 8 / 10
    assert ada.agreement_by_kind["ranking"].share == 5 / 6  # of three pairs; Grace alone has no tie at the end
    assert ada.agreement_by_kind["rating"].share == 0
    assert ada.agreement.trials == 18


def lapsing(site: Site, people: int = 4, count: int = 60) -> None:
    """All say the same of ``count`` pairs, but for Larry, who goes against them at each fourth: a lapse of 1/2."""
    site.project()
    for number, question in enumerate(site.ask([pair(n) for n in range(count)], wanted=9)):
        strength = 4 if number % 3 else -4
        for each in range(people - 1):
            site.say(question, f"Ada {each}", {"strength": strength})
        site.say(question, "Larry", {"strength": strength if number % 4 else -strength})


def test_a_lapse_rate_by_what_the_others_say(site: Site) -> None:
    lapsing(site)
    rows = health_of(site)
    assert {each.lapse.source for each in rows.values()} == {"other annotators"}
    assert rows["Larry"].lapse.share == pytest.approx(0.5, abs=0.02)
    assert max(row.lapse.share or 0 for name, row in rows.items() if name != "Larry") < 0.05


def test_a_lapse_rate_by_the_reward_model_of_the_run(make_site: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"environment": {"id": "Duel"}}))
    site = make_site(run=tmp_path)
    lapsing(site)
    with site.services.store.database.read() as connection:
        said = {row.id: row for row in connection.execute(select(JUDGEMENTS))}
    best = {row.question: json.loads(row.value)["strength"] > 0 for row in said.values() if row.annotator == "Ada 0"}
    expected = {name: 0.95 if best[row.question] else 0.05 for name, row in said.items()}
    (tmp_path / "predictions.json").write_text(json.dumps(expected))
    boss = site.join("Boss", "admin")
    rows = {row["annotator"]: HealthOut(**row) for row in boss.get("/api/projects/p/health").json()}
    assert {each.lapse.source for each in rows.values()} == {"reward model"}
    larry = rows["Larry"].lapse
    assert larry.share == pytest.approx(0.2 / 0.45)  # 0.75 = 0.95 (1 - lapse) + lapse / 2
    assert larry.low is not None and larry.high is not None and larry.low < 0.2 / 0.45 < larry.high
    assert rows["Ada 0"].lapse.share == 0 and (rows["Larry"].residual_z or 0) > (rows["Ada 0"].residual_z or 0)
    assert "By the reward model" in boss.get("/admin/projects/p/quality").text
    (tmp_path / "predictions.json").write_text("[1")
    assert "predictions.json cannot be read" in told(boss.get("/api/projects/p/health"), 422)


def test_health_of_nobody_is_empty(site: Site) -> None:
    site.project()
    assert health_of(site) == {}


def test_reviewers_read_and_annotators_do_not(site: Site) -> None:
    site.project()
    reviewer, ada = site.join("Rev", "reviewer"), site.join("Ada")
    for path in ("projects/p/progress", "projects/p/agreement", "projects/p/health", "projects/p/pay", "export/p"):
        assert reviewer.get(f"/api/{path}").status_code == 200
        told(ada.get(f"/api/{path}"), 403)


def test_export_is_every_event_in_order(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    site.project("other")
    monkeypatch.setattr(events, "PAGE", 2)  # several pages
    questions = site.ask([pair(n) for n in range(4)])
    first = site.say(questions[0], "Ada", {"strength": 4}, rationale="caf\u00e9")
    site.say(questions[0], "Ada", {"withdrawn": True}, supersedes=first)
    for each in questions[1:]:
        site.say(each, "Grace", {"strength": -1})
    site.say(site.ask([pair(0)], "other")[0], "Ada", {"strength": 4})
    answer = boss.get("/api/export/p")
    assert answer.headers["content-type"].startswith("application/jsonl")
    assert answer.headers["content-disposition"] == 'attachment; filename="p.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["event"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["status"] for row in rows] == ["accepted", "withdrawal", "accepted", "accepted", "accepted"]
    assert rows[1]["supersedes"] == first and rows[0]["rationale"] == "caf\u00e9"
    assert tuple(rows[0]["items"]) == questions[0].items and rows[0]["question"] == questions[0].id
    assert rows[0]["order"] == list(shown_order(questions[0].id, "Ada", 2))


def test_export_in_the_formats_that_others_read(site: Site, tmp_path: Path) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    questions = site.ask([pair(n) for n in range(3)])
    first = site.say(questions[0], "Ada", {"strength": 4})
    site.say(questions[0], "Ada", {"strength": -4}, supersedes=first)
    site.say(questions[1], "Ada", {"strength": 4})
    answer = boss.get("/api/export/p", params={"format": "preference"})
    assert answer.headers["content-disposition"] == 'attachment; filename="p-preference.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["chosen"][0]["content"].split()[0] for row in rows] == ["bad", "good"]
    everything = boss.get("/api/export/p", params={"format": "plaudit"})
    path = tmp_path / "p.jsonl"
    path.write_bytes(everything.content)
    with Store.open(tmp_path / "copy.sqlite") as copy:
        assert import_file(copy, path).accepted == 3  # the edited one too
        assert [dict(each.value) for each in copy.judgements()] == [{"strength": -4}, {"strength": 4}]
    whole = boss.get("/api/export/p", params={"format": "label-studio"})
    assert whole.headers["content-type"].startswith("application/json")
    assert whole.headers["content-disposition"] == 'attachment; filename="p-label-studio.json"' and whole.json()


def test_export_refuses_what_it_cannot_write(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    site.ask([pair(0)])
    assert "no format called 'xml'" in told(boss.get("/api/export/p", params={"format": "xml"}), 422)
    assert "cannot express comparison" in told(boss.get("/api/export/p", params={"format": "helpsteer2"}), 422)
    told(boss.get("/api/export/p", params={"format": "minari"}), 422)  # only read
    document = boss.get("/api/openapi.json").json()["paths"]["/api/export/{project}"]["get"]
    (parameter,) = [each for each in document["parameters"] if each["name"] == "format"]
    assert {"events", "plaudit", "preference"} <= set(parameter["schema"]["enum"])
    assert "minari" not in parameter["schema"]["enum"]
    page = boss.get("/admin/projects/p").text
    assert '<option value="preference">' in page and "helpsteer2" not in page


def fill(site: Site, count: int) -> None:
    """``count`` judgements by fifty people on as many questions / 2, entered in bulk."""
    site.project("big", settings={"judgements_wanted": 2})
    store, texts = site.services.store, site.ask([pair(n) for n in range(200)], "big")
    numbers = range(10_000, 10_000 + count // 2)
    with store.database.write() as connection:
        common: dict[str, Any] = {"kind": "comparison", "wording": "Which?", "guideline": "1", "round": 0, "wanted": 2}
        rows = [{"number": n, "id": f"q{n}", "project": "big", **common} for n in numbers]
        connection.execute(insert(QUESTIONS), rows)
        items = [
            {"question": n, "position": position, "segment": texts[n % 200].items[position]}
            for n in numbers
            for position in (0, 1)
        ]
        connection.execute(insert(QUESTION_ITEMS), items)
        said = [
            {
                "id": str(uuid.UUID(int=2 * n + turn)),
                "question": n,
                "annotator": f"person {(n + 7 * turn) % 50}",
                "value": json.dumps({"strength": (4, -4, 0)[n % 3]}),
                "shown_order": "[0, 1]" if n % 2 else "[1, 0]",
                "shown_at": float(4 * n),
                "first_input_at": float(4 * n),
                "submitted_at": float(4 * n + 4),
                "status": "accepted",
            }
            for n in numbers
            for turn in (0, 1)
        ]
        connection.execute(insert(JUDGEMENTS), said)


@pytest.mark.parametrize("count", [4_000, pytest.param(20_000, marks=pytest.mark.thorough)])
def test_counting_and_export_do_not_slow_down_with_size(site: Site, count: int) -> None:
    """Without type checks 100,000 judgements take four seconds to measure and two to export."""
    fill(site, count)
    began = time.process_time()
    store = site.services.store
    assert measures.progress(store, "big", site.clock()).train.judgements == count
    assert len(measures.pay(store, "big")) == 50
    (agreement,) = agreeing.agreement(load_shared(store, "big"))
    assert agreement.units == count // 2 and agreement.alpha == pytest.approx(1)
    assert len(health.annotator_health(load_standing(store, "big"))) == 50
    chunks = [chunk.count(b"\n") for chunk in export.lines(site.services.store, "big")]
    assert sum(chunks) == count and max(chunks) <= events.PAGE  # no more than a page is held at a time
    assert time.process_time() - began < max(15.0, 0.0015 * count)  # of the processor: others may be busy, too
