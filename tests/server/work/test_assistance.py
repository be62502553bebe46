"""Critiques beside questions: who sees them, what a page tells, and whether the audit finds what they do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit.annotators.assist import criticise
from plaudit.annotators.critique import Critic
from plaudit.audits.people.assistance import MEASURE
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.feedback.assistance import is_drawn
from plaudit.server.asking import Batch, ask
from plaudit.server.services import Services
from plaudit.types import PlauditError

from .conftest import Clock, Someone


class Scripted:
    """Names the fault of the worse response."""

    name = "scripted"

    def write(self, conversations: Any, seed: int) -> list[str]:
        return ["<b>too</b> short" if "worse" in messages[-1].content else "**fine**" for messages in conversations]


def fill(services: Services, clock: Clock, gold: int, share: float = 0.5) -> None:
    """Questions with a known answer, and as many others; the clock stands an hour after the critiques."""
    settings = {"gold": 0.5, "repeats": 0.0, "assistance": share}
    services.projects.create("Boss", {"name": "p", "title": "P", "kind": "comparison", "settings": settings})
    questions: list[dict[str, Any]] = [
        {
            "items": [
                {"prompt": f"prompt {number}", "response": f"{quality} {number}"} for quality in ("better", "worse")
            ]
        }
        | ({"gold": {"value": {"strength": 4}}} if number < gold else {})
        for number in range(2 * gold)
    ]
    ask(services.store, "Boss", 1.0, Batch(services.projects.get("p"), "1", questions, 1))
    clock.now = time.time() + 3600


def critic() -> Critic:
    return Critic(Scripted(), ("A good response is long.",), "ai:scripted")


def judge_all(person: Someone, p_right: float, p_assisted: float) -> list[bool]:
    """Answer everything; the better response is chosen with these probabilities. Whether each question was assisted."""
    rng, assisted = random.Random(7), []  # another seed than the server has
    while shown := person.claim("p"):
        (question,) = shown
        has_critique = question["items"][0]["critique"] is not None
        is_right = rng.random() < (p_assisted if has_critique else p_right)
        person.answer(question, {"strength": 4 if is_right else -4})
        assisted.append(has_critique)
    return assisted


def test_critiques_stand_beside_all_responses_of_a_question_or_none(
    served: Services, join: Callable[..., Someone], clock: Clock
) -> None:
    fill(served, clock, 0)
    ada = join("Ada")
    with pytest.raises(PlauditError, match="there is no project called 'q'"):
        criticise(served.store, "q", critic())
    pairs = [{"items": [{"prompt": "a", "response": "better"}, {"prompt": "a", "response": "worse"}]}]
    pairs += [
        {"items": [{"prompt": f"{n}", "response": f"better {n}"}, {"prompt": f"{n}", "response": f"worse {n}"}]}
        for n in range(39)
    ]
    ask(served.store, "Boss", 1.0, Batch(served.projects.get("p"), "1", pairs, 1))
    calls: list[tuple[int, int]] = []
    done, failures = criticise(served.store, "p", critic(), lambda *counts: calls.append(counts))
    assert done % 2 == 0 and 20 <= done <= 60 and failures == 0 and calls[-1] == (done, done)
    assert criticise(served.store, "p", critic()) == (0, 0)  # the same command again
    shown = []
    while batch := ada.claim("p"):
        shown += batch
        assert "scripted" not in str(batch) and "<b>" not in str(batch)  # blind, and no markup of the model's
        ada.answer(batch[0], {"strength": 0})
    critiques = [[item["critique"] for item in question["items"]] for question in shown]
    assert len(shown) == 40
    assert sum(pair != [None, None] for pair in critiques) == done // 2
    assert all(None not in pair or pair == [None, None] for pair in critiques)
    pair = next(pair for pair in critiques if None not in pair)
    assert set(pair) == {"<p><strong>fine</strong></p>\n", "<p>&lt;b&gt;too&lt;/b&gt; short</p>\n"}
    change = {"settings": {"assistance": 0.2}}
    projects = served.projects
    with pytest.raises(PlauditError, match="people have judged in project p"):
        projects.change("Boss", "p", change)
    assert projects.change("Boss", "p", {"settings": {"assistance": 0.5, "gold": 0.1}}).settings.gold == 0.1
    offered = {work.project.name for work in projects.open_for("Ada", "annotator")}
    assert "p-critiques" not in offered


def test_a_pair_and_its_repeat_are_drawn_alike_and_as_often_as_the_share_says() -> None:
    drawn = [is_drawn((f"{number}", "b"), 0.3) for number in range(4000)]
    assert drawn == [is_drawn(("b", f"{number}"), 0.3) for number in range(4000)]
    assert abs(sum(drawn) / 4000 - 0.3) < 0.03  # 4 standard deviations
    assert not any(is_drawn((f"{number}", "b"), 0.0) for number in range(100))
    assert all(is_drawn((f"{number}", "b"), 1.0) for number in range(100))


@pytest.mark.parametrize(
    ("p_right", "p_assisted", "verdict"),
    [pytest.param(0.5, 0.95, "pass", marks=pytest.mark.thorough), (0.95, 0.4, "fail")],
)
def test_the_audit_says_whether_critiques_help(
    served: Services,
    join: Callable[..., Someone],
    clock: Clock,
    tmp_path: Path,
    p_right: float,
    p_assisted: float,
    verdict: str,
) -> None:
    fill(served, clock, 80)
    ada = join("Ada")
    criticise(served.store, "p", critic())
    assisted = judge_all(ada, p_right, p_assisted)
    with open_subject(Path(served.config.store), AuditConfig(), target=tmp_path / "audit") as subject:
        assert MEASURE.measurable(subject) is None
        (finding,) = MEASURE.measure(subject)
    assert finding.verdict == verdict and finding.value is not None and finding.null is not None
    assert abs(finding.value - (p_assisted - p_right)) < 0.25
    assert finding.details["with"] + finding.details["without"] == finding.n <= 80 < len(assisted)
    assert abs(finding.null.value) < 0.3 and finding.interval is not None
    assert finding.interval[0] < finding.value < finding.interval[1]
