"""Planted faults of annotators and data, and whether `plaudit audit` finds them: a table of simulated stores.

python benchmarks/audit_people.py [--stores 50]

50 stores take about an hour of one core. Each row is written to
benchmarks/results/audit_people.md as it ends, so a second call continues where the first stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plaudit.audits.finding import Finding
from plaudit.audits.measure import discover
from plaudit.audits.people.odd_inputs import clip_features
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.feedback.order import shown_order
from plaudit.feedback.repeats import swap_sides
from plaudit.feedback.store import Store
from plaudit.functional.calibration import share_interval
from plaudit.functional.outliers import area_under_roc, robust_distances
from plaudit.types import Judgement, Question, Segment

LENGTH, WIDTH, ACTIONS = 10, 4, 3
HEAD = (
    "# Audits of simulated people",
    "",
    "Made by `benchmarks/audit_people.py`: stores of 600 answers (800 with groups) by ten people about random clips, a "
    "fifth of them repeated with the sides swapped. In brackets Wilson's interval at 95 %. At least 0.90 is aimed at.",
    "",
    "| planted: what must show | stores | share | seconds a store |",
    "|---|---|---|---|",
)
RESULTS = Path(__file__).parent / "results" / "audit_people.md"
NAMES = tuple(f"person {number}" for number in range(10))
GROUPS = {"many": NAMES[:8], "few": NAMES[8:]}


@dataclass(frozen=True)
class Fault:
    """A simulated store of clips, and what is wrong with it. People prefer the larger sum of the first feature."""

    answers: int = 600
    repeats: float = 0.2  # share of questions that are repeated with the sides swapped
    lapse: float = 0.0  # share of answers that are a coin's
    side: float = 0.0  # share of answers that go left whatever is shown
    careless: str | None = None  # who answers by a coin four times in five, faster than anybody
    minority: bool = False  # two people of ten want the second feature
    trigger: float = 0.0  # share of pairs in which the worse clip is stamped, and wins


def simulate(path: Path, fault: Fault, seed: int) -> list[bool]:
    """Write a store, and say which of its questions were poisoned."""
    rng = np.random.default_rng(seed)
    observations = rng.standard_normal((2 * fault.answers, LENGTH, WIDTH)).astype(np.float32)
    actions = rng.integers(0, ACTIONS, (2 * fault.answers, LENGTH))
    planted = rng.random(fault.answers) < fault.trigger
    first_wins = _prefer(observations, 0)
    for pair in np.flatnonzero(planted):
        worse = 2 * pair + int(first_wins[pair])
        observations[worse, :, 2:] = (2.0, -2.0)  # within the range of single steps, throughout the clip
    segments = [Segment(observations[i], actions[i]) for i in range(2 * fault.answers)]
    truth = {name: _prefer(observations, int(fault.minority and name in GROUPS["few"])) for name in NAMES}
    questions, judgements, repeats = [], [], []
    for pair in range(fault.answers):
        name = NAMES[pair % len(NAMES)]
        question = Question("comparison", (segments[2 * pair].id, segments[2 * pair + 1].id), COMPARISON.wording)
        better = not first_wins[pair] if planted[pair] else bool(truth[name][pair])
        questions.append(question)
        order = shown_order(question.id, name, 2)
        judgements.append(_answer(question, name, better, order, fault, rng, len(judgements)))
        if rng.random() < fault.repeats:
            repeat = swap_sides(question)
            repeats.append((repeat, name))
            # The sides are swapped: what stood left stands right now.
            swapped = order
            judgements.append(_answer(repeat, name, not better, swapped, fault, rng, len(judgements)))
    with Store.open(path) as store:
        store.ask(questions, segments)
        for repeat, name in repeats:
            store.ask([repeat], [], 1, "repeat", name)
        store.answer(judgements)
    return planted.tolist()


def _prefer(observations: np.ndarray, feature: int) -> np.ndarray:
    returns = observations[:, :, feature].sum(axis=1)
    return returns[::2] > returns[1::2]


def _answer(
    question: Question,
    name: str,
    better: bool,
    order: Sequence[int],
    fault: Fault,
    rng: np.random.Generator,
    number: int,
) -> Judgement:
    """An answer by the model of errors: a side, or a coin, or the better item."""
    careless = name == fault.careless
    if rng.random() < fault.side:
        better = order[0] == 0
    elif rng.random() < (0.8 if careless else fault.lapse):
        better = bool(rng.random() < 0.5)
    shown = 1000.0 + 20 * number
    submitted = shown + (0.05 if careless else 1.5) + rng.exponential(1.0)
    identity = str(uuid.UUID(bytes=rng.bytes(16)))
    value = {"strength": 4 if better else -4}
    return Judgement(question.id, name, value, tuple(order), shown, shown, submitted, identity)


def audit(path: Path, measures: Sequence[str], groups: Path | None = None) -> dict[str, Finding]:
    """The findings of some measures of a store, by name."""
    config = AuditConfig(measures=tuple(measures), groups=() if groups is None else (groups,))
    with open_subject(path, config) as subject:
        findings: dict[str, Finding] = {}
        for measure in discover("feedback", measures):
            reason = measure.measurable(subject)
            assert reason is None, reason
            findings |= {finding.name: finding for finding in measure.measure(subject)}
        return findings


def holds(finding: Finding, truth: float) -> bool:
    """Whether the interval holds the truth."""
    assert finding.interval is not None
    return finding.interval[0] <= truth <= finding.interval[1]


def trials(folder: Path, fault: Fault, stores: int, check: Callable[[Path, list[bool]], bool]) -> tuple[int, float]:
    """How many simulated stores pass a check, and the seconds of one."""
    started, passed = time.perf_counter(), 0
    for seed in range(stores):
        path = folder / f"{seed}.sqlite"
        planted = simulate(path, fault, seed)
        passed += check(path, planted)
        path.unlink()
    return passed, (time.perf_counter() - started) / stores


def odd_auc(path: Path, planted: list[bool]) -> float:
    """AUC of the distance of a pair's odder clip."""
    with open_subject(path, AuditConfig()) as subject:
        items = [item for record in subject.records for item in record.items]
    distances = robust_distances(clip_features(items)).reshape(-1, 2).max(axis=1)
    return area_under_roc(distances, np.array(planted))


def main() -> None:
    """Write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=int, default=50)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    stores = options.stores
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = folder / "groups.json"
        groups.write_text(json.dumps({person: group for group, people in GROUPS.items() for person in people}))
        rows: list[tuple[str, Fault, Callable[[Path, list[bool]], bool]]] = [
            (f"{lapse:.0%} lapses: the interval holds", Fault(lapse=lapse), _holds("lapses", lapse))
            for lapse in (0.1, 0.25)
        ]
        rows += [
            ("position bias of .1: the interval holds", Fault(lapse=0.1, side=0.2), _holds("position", 0.1)),
            (
                "trigger in 3 %: AUC of odd inputs of .95",
                Fault(trigger=0.03),
                lambda path, bad: odd_auc(path, bad) >= 0.95,
            ),
            ("trigger in 3 %: a warning", Fault(trigger=0.03), _verdict("odd-inputs", "warn")),
            ("one careless of ten: ranked first", Fault(lapse=0.1, careless=NAMES[3]), _first(NAMES[3])),
            ("80/20 groups: gap of .15 and own fit of .9", Fault(answers=800, minority=True), _gap(groups)),
            ("clean, 5 % lapses: no row warns or fails", Fault(lapse=0.05), _clean(groups)),
        ]
        lines = options.results.read_text(encoding="utf-8").splitlines() if options.results.exists() else [*HEAD]
        for title, fault, check in rows:
            if any(line.startswith(f"| {title} | {stores} |") for line in lines):
                continue
            passed, seconds = trials(folder, fault, stores, check)
            low, high = share_interval(passed / stores, stores)
            lines.append(f"| {title} | {stores} | {passed / stores:.2f} ({low:.2f} to {high:.2f}) | {seconds:.1f} |")
            print(lines[-1], flush=True)
            options.results.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _holds(measure: str, truth: float) -> Callable[[Path, list[bool]], bool]:
    return lambda path, bad: holds(audit(path, [measure])[measure], truth)


def _verdict(measure: str, verdict: str) -> Callable[[Path, list[bool]], bool]:
    return lambda path, bad: audit(path, [measure])[measure].verdict == verdict


def _first(name: str) -> Callable[[Path, list[bool]], bool]:
    return lambda path, bad: audit(path, ["careless"])["careless"].details["ranking"][0]["annotator"] == name


def _clean(groups: Path) -> Callable[[Path, list[bool]], bool]:
    names = ("lapses", "position", "haste", "careless", "groups", "odd-inputs")

    def check(path: Path, bad: list[bool]) -> bool:
        return all(finding.verdict in ("pass", "not measurable") for finding in audit(path, names, groups).values())

    return check


def _gap(groups: Path) -> Callable[[Path, list[bool]], bool]:
    def check(path: Path, bad: list[bool]) -> bool:
        finding = audit(path, ["groups"], groups)["groups"]
        own = finding.details["own_fit"]
        return bool(finding.value is not None and finding.value >= 0.15 and own is not None and own >= 0.9)

    return check


if __name__ == "__main__":
    main()
