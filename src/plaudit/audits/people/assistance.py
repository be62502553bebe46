"""5. AI assistance: are answers that were given beside a model's critiques right more often than those without?

gain = P[right | critiques] - P[right | none], on questions with a known answer. The items of a question draw whether it
has critiques, so the two shares differ by chance and by the critiques alone. Saunders et al. 2022, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from plaudit.audits.finding import Cure, Finding, Null
from plaudit.audits.people._answers import NO_ANSWERS
from plaudit.audits.subject import Subject
from plaudit.feedback.assistance import SETTING, is_drawn, load_critiques
from plaudit.feedback.events import pages
from plaudit.feedback.gold import load_values
from plaudit.feedback.kinds import Kind, kind
from plaudit.feedback.projects import ProjectRow, list_projects
from plaudit.feedback.store import Store
from plaudit.functional.calibration import share_interval
from plaudit.functional.intervals import newcombe
from plaudit.types import Array, PlauditError

FEWEST = 20  # answers on each side: with fewer the interval is wider than any effect
AHEAD = 600.0  # seconds: a page may have fetched a question before its critiques were written, and shown it after
Share = tuple[float, float, float]


class Assistance:
    """Whether critiques beside questions help people."""

    name, title, order = "assistance", "Answers beside a model's critiques", 5.3

    def measurable(self, subject: Subject) -> str | None:
        """It needs a project that shows critiques beside some of its questions."""
        if subject.store is None:
            return NO_ANSWERS
        if not _projects(subject.store):
            return "no project shows critiques beside a share of its questions: see `plaudit assist --help`"
        return None

    def measure(self, subject: Subject) -> list[Finding]:
        """The gain over all such projects; its null control deals the critiques out at random."""
        assert subject.store is not None
        rows = [row for project in _projects(subject.store) for row in _answers(subject.store, project)]
        right, has_critiques = np.array(rows, np.bool_).reshape(-1, 2).T
        counts = [int((has_critiques == side).sum()) for side in (True, False)]
        if min(counts) < FEWEST:
            raise PlauditError(
                f"there are {counts[0]} answers to gold questions with critiques and {counts[1]} without, and it needs "
                f"{FEWEST} of both: ask further gold questions"
            )
        gain, interval, shares = _gain(right, has_critiques)
        verdict = "pass" if interval[0] > 0 else "fail" if interval[1] < 0 else "warn"
        dealt = np.random.default_rng(subject.config.seed).permuted(has_critiques)
        return [
            Finding(
                self.name,
                self.title,
                verdict,
                f"Beside critiques {shares[0]:.0%} of the answers to gold questions are right, else {shares[1]:.0%}.",
                gain,
                interval,
                len(right),
                eye="the known answers",
                null=Null("critiques dealt out at random", _gain(right, dealt)[0]),
                threshold="passes if the 95 % interval is above 0, fails if it is below, warns if it holds 0",
                details={"with": counts[0], "without": counts[1]},
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """No critiques, or those of a better model."""
        if finding.verdict == "fail":
            sentence = "The critiques mislead people: show none, or those of another model, in a project of its own."
        else:
            sentence = "It does not show that the critiques help: ask further gold questions, or leave them out."
        return Cure(sentence, "people read the critiques, which takes their time", "assistance = 0 in a new project")


def _projects(store: Store) -> list[ProjectRow]:
    return [project for project in list_projects(store) if 0 < project.settings.get(SETTING, 0) < 1]


def _answers(store: Store, project: ProjectRow) -> Iterator[tuple[bool, bool]]:
    """Of each standing answer to a gold question: whether it is right, and whether it was given beside critiques."""
    share = float(project.settings[SETTING])
    gold = load_values(store)
    events = [event for page in pages(store, project.name) for event in page]
    superseded = {event["supersedes"] for event in events}
    answers = [
        event
        for event in events
        if event["question"] in gold and event["id"] not in superseded and event["status"] != "withdrawal"
    ]
    critiques = load_critiques(store, project.name, {item for event in answers for item in event["items"]})
    for event in answers:
        is_right = _is_right(kind(event["kind"]), event["value"], gold[event["question"]])
        if is_right is None:
            continue
        if not is_drawn(event["items"], share):
            yield is_right, False
        elif all(
            item in critiques and critiques[item].written_at < event["shown_at"] - AHEAD for item in event["items"]
        ):
            yield is_right, True


def _is_right(rules: Kind, value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool | None:
    """Whether an answer is the known one; None for can't tell, and where there is neither right nor wrong."""
    if not rules.compares:
        return rules.is_right(value, gold)
    choice = rules.advantage(value)
    return None if choice is None else choice == rules.advantage(gold)


def _gain(right: Array, has_critiques: Array) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """The difference of the two shares of right answers, its interval, and the shares."""
    shares: list[Share] = []
    for side in (has_critiques, ~has_critiques):
        share = float(right[side].mean())
        shares.append((share, *share_interval(share, int(side.sum()))))
    first, second = shares
    return first[0] - second[0], newcombe(second, first), (first[0], second[0])


MEASURE = Assistance()
