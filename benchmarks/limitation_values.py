"""The numbers behind the pictures of docs/limitations: small planted faults, measured by the audit's own parts.

`benchmarks/limitations.py` calls these functions. Each returns plain JSON values.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit_people import GROUPS, NAMES, Fault, audit, odd_auc, simulate
from audits import FAULTS, train

from plaudit.audits.audit import read_audit, run_audit
from plaudit.audits.finding import Finding
from plaudit.audits.language.sycophancy import margins
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.control.environments.vase import VaseVector
from plaudit.control.side_effects import SideEffectsConfig, penalty_of
from plaudit.control.solve import greedy
from plaudit.functional.calibration import share_interval
from plaudit.functional.significance import wins
from plaudit.types import PlauditError

Values = dict[str, Any]
SHIFTS = (0.6, 0.7, 0.8, 0.9, 1.0)  # skills of Duel's opponent; training has the first
WEIGHTS = (0.0, 0.5, 2.0, 5.0, 10.0, 20.0, 30.0)  # of the penalty of side effects
RUNS = {"oracle": "nothing, Duel", "hits": "a teacher that likes hits"}


def describe(finding: Finding) -> Values:
    """The numbers of a row."""
    low, high = (None, None) if finding.interval is None else finding.interval
    null = None if finding.null is None else finding.null.value
    values = {"value": finding.value, "low": low, "high": high, "null": null, "n": finding.n}
    details = {key: value for key, value in finding.details.items() if key not in ("odd", "offset")}  # long lists
    return values | {"verdict": finding.verdict, "details": details, "meaning": finding.meaning}


def audit_store(fault: Fault, measures: tuple[str, ...], seed: int = 0, groups: Path | None = None) -> Values:
    """Rows of a simulated store, by name."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "store.sqlite"
        simulate(path, fault, seed)
        return {row: describe(finding) for row, finding in audit(path, measures, groups).items()}


def measure_errors() -> Values:
    """The estimated share of answers that are a coin's, for planted shares."""
    return {str(share): audit_store(Fault(lapse=share), ("lapses",))["lapses"] for share in (0, 0.05, 0.1, 0.25, 0.5)}


def measure_position() -> Values:
    """The estimated bias, for planted ones: the bias is half the share of answers that go left."""
    biases = (0, 0.025, 0.05, 0.1, 0.2)
    return {str(bias): audit_store(Fault(side=2 * bias), ("position",))["position"] for bias in biases}


def measure_careless() -> Values:
    """The ranking of ten people, one of whom answers by a coin four times in five; and of ten who do not."""
    return {
        name: audit_store(fault, ("careless",), seed=1)["careless"]
        for name, fault in (("one", Fault(lapse=0.1, careless=NAMES[3])), ("none", Fault(lapse=0.1)))
    }


def measure_odd_inputs() -> Values:
    """How well distances find triggered pairs of clips, and the verdict, for planted shares of them."""
    values = {}
    for share in (0.0, 0.01, 0.03, 0.05):
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "store.sqlite"
            planted = simulate(path, Fault(trigger=share), 0)
            row = describe(audit(path, ["odd-inputs"])["odd-inputs"])
            values[str(share)] = row | {"auc": odd_auc(path, planted) if any(planted) else None}
    return values


def measure_groups() -> Values:
    """Held-out accuracy where two people of ten want something else, and where nobody does."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "groups.json"
        path.write_text(json.dumps({person: group for group, people in GROUPS.items() for person in people}))
        return {
            str(minority): audit_store(Fault(answers=800, minority=minority), ("groups",), groups=path)["groups"]
            for minority in (True, False)
        }


def measure_runs() -> Values:
    """Gold and learned return along training with two teachers; offsets and shifts of the policy of the first."""
    faults = {fault.name: fault for fault in FAULTS}
    values: Values = {}
    for teacher, name in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = train(faults[name], 0, Path(folder) / "run")
            measures = ("best-of-16", "safe-stop", "exploitability")
            values[teacher] = _audit_run(run.folder, AuditConfig(measures=measures))
            if teacher == "oracle":
                for skill in SHIFTS:
                    config = AuditConfig(measures=("misgeneralisation",), shift=(f"opponent_skill={skill}",))
                    values[f"skill {skill}"] = _audit_run(run.folder, config)["misgeneralisation"]
    return values


def _audit_run(folder: Path, config: AuditConfig) -> Values:
    with open_subject(folder, config) as subject:
        return {row.name: describe(row) for row in run_audit(subject).findings}


def measure_vase() -> Values:
    """The cells that the exact optimum of Vase enters, for weights of the penalty in units of the goal's reward."""
    envs = VaseVector(1)
    table = envs.table()
    envs.close()
    penalty = penalty_of(SideEffectsConfig("aup"), table, 0)
    paths: Values = {}
    for weight in WEIGHTS:
        actions = greedy(table.solve(table.reward - weight * penalty, 0.95, 1e-9)[1])
        state, states = int(table.start.argmax()), []
        while len(states) < 20 and not table.terminal[state]:
            states.append(state)
            state = int(table.next_state[state, actions[state], 0])
        states.append(state)
        paths[str(weight)] = {
            "cells": [divmod(number // 2, 7) for number in states],
            "broken": state % 2,
            "steps": len(states) - 1 if table.terminal[state] else None,
        }
    return paths


def measure_chat(run: Path) -> Values:
    """The audit of a run of the chat demo, and what its reward model knows and believes."""
    audited = read_audit(run)
    if audited is None:
        raise PlauditError(f"{run} has no audit.json: plaudit audit {run}")
    rows = {row.name: describe(row) for row in audited.findings if row.verdict != "not measurable"}
    with open_subject(run, AuditConfig()) as subject:
        answers = margins(subject)  # type: ignore[arg-type]
    names = ("no belief", "sure of the wrong answer", "sure of the right answer")
    right = {name: float(wins(answers[index].mean(axis=1)).mean()) for index, name in enumerate(names)}
    return rows | {"facts": {name: [share, *share_interval(share, answers.shape[1])] for name, share in right.items()}}


def measure_phrase(pairs: Path) -> Values:
    """The success of a trigger in real pairs of texts, for planted shares."""
    config = AuditConfig(measures=("tolerance",))
    with tempfile.TemporaryDirectory() as folder, open_subject(pairs, config, target=Path(folder)) as subject:
        (finding,) = run_audit(subject).findings
    return describe(finding)


MEASURES: dict[str, Callable[[], Values]] = {
    "errors": measure_errors,
    "position": measure_position,
    "careless": measure_careless,
    "odd inputs": measure_odd_inputs,
    "groups": measure_groups,
    "runs": measure_runs,
    "vase": measure_vase,
}
