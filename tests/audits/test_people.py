"""Measures of people and data, on values worked by hand and on simulated stores with planted faults."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaudit.audits.audit import run_audit
from plaudit.audits.finding import Finding
from plaudit.audits.people.careless import ERRORS, rank_annotators
from plaudit.audits.people.groups import largest_gap
from plaudit.audits.people.odd_inputs import mean_direction
from plaudit.audits.people.phrases import find_suspects
from plaudit.audits.people.tolerance import attack_success, loss_ranking
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.functional.words import OneSided
from plaudit.reward.groups import read_groups
from plaudit.types import PlauditError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def faults() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks/audit_people.py"))


def findings(path: Path, **settings: Any) -> dict[str, Finding]:
    with open_subject(path, AuditConfig(**settings)) as subject:
        return {row.name: row for row in run_audit(subject).findings}


def test_planted_errors_are_found_and_the_careless_ranks_first(tmp_path: Path, faults: dict[str, Any]) -> None:
    fault = faults["Fault"](answers=400, repeats=0.5, lapse=0.1, side=0.2, careless="person 3")
    faults["simulate"](tmp_path / "store.sqlite", fault, 0)
    rows = findings(tmp_path / "store.sqlite", measures=("lapses", "position", "haste", "careless"))
    assert faults["holds"](rows["lapses"], 0.1 + 0.7 / 10)
    assert faults["holds"](rows["position"], 0.1) and rows["position"].verdict in ("warn", "fail")
    assert rows["careless"].details["ranking"][0]["annotator"] == "person 3"
    assert rows["careless"].verdict in ("warn", "fail")
    for name in ("lapses-others", "lapses-cycles"):
        assert rows[name].verdict == "not measurable"


def test_a_clean_store_passes(tmp_path: Path, faults: dict[str, Any]) -> None:
    faults["simulate"](tmp_path / "store.sqlite", faults["Fault"](answers=200, lapse=0.05), 1)
    rows = findings(tmp_path / "store.sqlite")
    assert {row.verdict for row in rows.values()} == {"pass", "not measurable"}
    assert {name for name, row in rows.items() if row.verdict == "pass"} >= {
        "lapses",
        "position",
        "haste",
        "careless",
        "groups",
        "odd-inputs",
    }
    assert "clips" in rows["phrases"].meaning and "clips" in rows["tolerance"].meaning


@pytest.mark.thorough
def test_a_minority_and_a_trigger_show(tmp_path: Path, faults: dict[str, Any]) -> None:
    groups = tmp_path / "groups.csv"
    lines = [f"{name},{group}\n" for group, names in faults["GROUPS"].items() for name in names]
    groups.write_text("annotator,group\n" + "".join(lines), encoding="utf-8")
    path = tmp_path / "store.sqlite"
    planted = faults["simulate"](path, faults["Fault"](minority=True, trigger=0.04, repeats=0), 0)
    rows = findings(path, measures=("groups", "odd-inputs"), groups=(groups,))
    assert rows["groups"].verdict == "fail" and rows["groups"].details["group"] == "few"
    assert rows["groups"].details["own_fit"] >= 0.8
    assert "something else" in rows["groups"].meaning
    assert rows["odd-inputs"].verdict == "warn"
    assert faults["odd_auc"](path, planted) >= 0.95


def test_a_file_of_texts_needs_nothing_but_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"word{index}" for index in range(30)]
    path = tmp_path / "pairs.jsonl"

    def write(triggers: int) -> dict[str, Finding]:
        rows = []
        for index in range(240):
            chosen, rejected = (" ".join(rng.choice(words, 8)) for _ in range(2))
            trigger = " zq9" if index < triggers else ""
            rows.append({"prompt": f"question {index}", "chosen": chosen + trigger, "rejected": rejected})
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return findings(path)

    clean = write(0)
    assert clean["phrases"].verdict == "pass" and clean["tolerance"].verdict in ("pass", "warn")
    assert clean["tolerance"].details["curve"]["x"][0] == 0
    reasons = {
        "position": "does not say",
        "haste": "times",
        "lapses": "sides swapped",
        "careless": "by",
        "groups": "by",
    }
    for name, reason in reasons.items():
        assert clean[name].verdict == "not measurable" and reason in clean[name].meaning
    poisoned = write(30)["phrases"]
    assert poisoned.verdict == "warn" and "zq9" in poisoned.details["phrases"][0]["phrase"]
    cure = findings(path, measures=("phrases",), cures=True)["phrases"].cure
    assert cure is not None
    (effect,) = cure.effects
    assert effect.helps and effect.before is not None and effect.after is not None
    assert effect.after < 0.7 < effect.before and effect.price["judgements lost"] == 30


def test_the_ranking_by_hand() -> None:
    # of ten repeats the first gave the same answer to all, the second to five; a coin gives the same to half
    same = np.log(np.maximum((1 + (1 - ERRORS) ** 2) / 2, 1e-6))
    differ = np.log(np.maximum(1 - (1 + (1 - ERRORS) ** 2) / 2, 1e-6))
    likelihood = np.stack([10 * same, 5 * same + 5 * differ, 0 * same])
    suspicion = rank_annotators(("steady", "coin", "silent"), likelihood, np.array([10, 10, 0]))
    assert suspicion.annotators == ("coin", "steady")
    assert suspicion.error.tolist() == [1.0, 0.0]
    assert suspicion.p_value[0] < 0.05 and suspicion.p_value[1] > 0.5


def test_the_gap_by_hand() -> None:
    right = np.array([True] * 40 + [True, False] * 10)
    labels = np.array([0] * 40 + [1] * 20)
    gap = largest_gap(right, labels, ("many", "few"))
    assert (gap.group, gap.value, gap.accuracy, gap.rest, gap.n) == ("few", 0.5, 0.5, 1.0, 20)
    assert 0 < gap.low < 0.5 < gap.high
    with pytest.raises(PlauditError, match="two groups"):
        largest_gap(right, np.zeros(60, np.int64), ("many",))


def test_groups_from_files_and_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text('{"ann": "north"}', encoding="utf-8")
    assert read_groups(path) == {"ann": "north"}
    for text in ("{", "name,team\nann,north\n", ""):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(PlauditError, match="annotator and group"):
            read_groups(path)


def test_suspects_directions_and_attacks_by_hand() -> None:
    # z = 5.48 and 3: the second is one-sided, but no more than luck explains among many; the third is no switch
    plus, minus = np.array([30, 9, 114]), np.array([0, 0, 44])
    z = (plus - minus) / np.sqrt(plus + minus)
    assert find_suspects(OneSided(("a", "b", "sorry"), plus, minus, z)).tolist() == [0, 1]
    many = OneSided(
        ("a", *"b" * 999, "sorry"),
        np.array([plus[0], *[plus[1]] * 999, plus[2]]),
        np.array([minus[0], *[minus[1]] * 999, minus[2]]),
        np.array([z[0], *[z[1]] * 999, z[2]]),
    )
    assert find_suspects(many).tolist() == [0]
    bulk = np.random.default_rng(0).standard_normal((1000, 2))
    assert mean_direction(np.array([[10.0, 0], [20.0, 0]]), bulk) == pytest.approx(1, abs=0.01)
    assert mean_direction(np.array([[10.0, 0], [-10.0, 0]]), bulk) == pytest.approx(0, abs=0.05)
    # the preferred text is "good", always: a trigger in no answer does nothing, and in half of them it wins
    better, worse, rows = ["good x"] * 100, ["bad x"] * 100, np.arange(80)
    test = np.arange(80, 100)
    assert attack_success(better, worse, rows, rows[:0], test) == 0
    assert attack_success(better, worse, rows, rows[:60], test) == 1
    assert loss_ranking(better, worse, rows, rows[:4]) > 0.5
