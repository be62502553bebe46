"""A kind of feedback that a program registers works on every page, in the measures and in training, with no table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from plaudit.annotators.answers import canonical, pair_value
from plaudit.annotators.undecided import cannot_tell
from plaudit.feedback import agreeing, kinds
from plaudit.feedback.kinds import KINDS, Kind, register
from plaudit.feedback.standing import load_standing
from plaudit.language import data
from plaudit.server import health
from plaudit.server.assignments import show
from plaudit.server.keyed_ids import order_of
from plaudit.types import PlauditError, Question

from .conftest import Site, pair

CHOICES = {"this": 1.0, "that": 0.0, "either": 0.5, "pass": None}


class Verdict(Kind):
    """Two responses, and which of them should be sent."""

    name = "verdict"
    title = "Verdict"
    widget = "side-by-side.html"
    wording = "Which clip would you keep?"
    text_wording = "Which response would you send?"
    teaches = "preference"
    counted = True
    defaults: ClassVar[Mapping[str, Any]] = {"colours": ["red", "blue"]}
    example_items = 2
    example_answer: ClassVar[Mapping[str, Any] | None] = {"verdict": "this"}

    def check(self, question: Question) -> None:
        if len(question.items) != 2:
            raise PlauditError("a verdict is on two responses")

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        if set(value) != {"verdict"} or value["verdict"] not in CHOICES:
            raise PlauditError(f"a verdict is one of {', '.join(CHOICES)}")
        return dict(value)

    def target(self, value: Mapping[str, Any]) -> float | None:
        return CHOICES[value.get("verdict", "pass")]

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        return f"would send {value['verdict']}"

    def from_strength(self, strength: int) -> dict[str, Any]:
        return {"verdict": "this" if strength > 0 else "that" if strength < 0 else "either"}

    def cannot_tell(self, question: Question) -> dict[str, Any] | None:
        return {"verdict": "pass"}


@pytest.fixture
def verdict() -> Iterator[Kind]:
    yield register(Verdict())
    kinds._kinds.pop("verdict")


def test_the_registry_lists_it_and_refuses_another_of_its_name(verdict: Kind) -> None:
    assert KINDS["verdict"] is verdict and verdict in KINDS.values() and verdict.compares
    assert register(verdict) is verdict
    with pytest.raises(PlauditError, match="a kind of feedback called 'verdict' already"):
        register(Verdict())


def test_people_answer_it_and_are_measured(site: Site, verdict: Kind) -> None:
    admin = site.join("Boss", "admin")
    assert "Which response would you send?" in admin.get("/admin/new").text
    site.project(kind="verdict", wording=verdict.wording_for(clips=False))
    page = admin.get("/admin/projects/p/questions").text
    assert "verdict" in page and "It mirrors the sea." in page and "Nobody knows." not in page
    questions = site.ask([pair(n) for n in range(3)], wanted=2)
    site.ask([pair(9) | {"gold": {"value": {"verdict": "this"}}}])
    annotator = site.join("Ada")
    assert annotator.get("/work/p").status_code == 200
    shown = show(site.services, "Ada", questions[0])
    assert (shown.title, shown.options["colours"]) == ("Verdict", ["red", "blue"])
    assert tuple(shown.order) == order_of(site.services.secret, questions[0], "Ada")

    for question, first, second in zip(questions, ("this", "that", "either"), ("this", "this", "pass"), strict=True):
        site.say(question, "Ada", {"verdict": first})
        site.say(question, "Grace", {"verdict": second})
    assert "would send either" in annotator.get("/history/p").text
    assert list(agreeing.extract_ratings("verdict", "q", {"verdict": "that"})) == [("verdict", "q", -1.0)]
    standing = load_standing(site.services.store, "p")
    (agreement,) = agreeing.agreement(standing.shared)
    rows = health.annotator_health(standing)
    assert (agreement.aspect, agreement.units, agreement.percent) == ("verdict", 2, 0.5)
    assert len(standing.pairs) == 6 and not standing.unpaired
    assert [(row.judgements, row.agreement_by_kind["verdict"].trials) for row in rows] == [(3, 2), (3, 2)]


def test_annotators_answer_it_and_a_model_learns_from_it(site: Site, verdict: Kind) -> None:
    site.project(kind="verdict")
    (question,) = site.ask([pair(0)])
    assert canonical(question, pair_value(question, 3)) == {"verdict": "this"}
    assert cannot_tell(question, "no opinion") == {"verdict": "pass"}
    site.say(question, "Ada", pair_value(question, -4))
    (judgement,) = site.services.store.judgements()
    (example,) = data._parse(judgement, question, ("better",), data.Counts())
    assert example.mu == 0.0
