"""The framework of audits: discovery, findings as JSON, one row that fails alone, answers that stay."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plaudit import layout
from plaudit.audits import audit as auditing
from plaudit.audits.audit import Audit, read_audit, run_audit
from plaudit.audits.cards import fill_cards
from plaudit.audits.eyes import open_eyes
from plaudit.audits.finding import Cure, Effect, Finding, Null, not_measurable
from plaudit.audits.measure import FAMILIES, discover
from plaudit.audits.page import audit_report, headline, write_page
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.feedback.store import Store
from plaudit.run.cards import ModelCard
from plaudit.types import Answer, Dialogue, Judgement, Message, PlauditError

FINDING = Finding(
    "gap",
    "Gap <b>",
    "fail",
    "It gaps.",
    0.5,
    (0.4, math.inf),
    40,
    "nats",
    "oracle",
    Null("shuffled", 0.01),
    "fails above 0.1",
    Cure(
        "Ask more.",
        "10 answers",
        "--labels 20",
        effects=(
            Effect("--reward.clamp", "It falls.", 0.5, 0.125, True, {"seconds": 2.0, "return": "it needs a new run"}),
            Effect("--labels 20", "it needs new answers"),
        ),
    ),
    {"curve": {"x": [0, 1], "y": [0.0, 1.0], "x_label": "steps", "y_label": "return"}},
)


def dialogues(count: int) -> list[Dialogue]:
    return [Dialogue((Message("user", "Hello?"), Message("assistant", f"Answer {index}."))) for index in range(count)]


class Judge:
    """Prefers the first, and fails at its third question if it is told to."""

    name = "judge"

    def __init__(self, fails: bool = False) -> None:
        self.count, self.fails = 0, fails

    def judge(self, question: Any, items: Any) -> Answer:
        self.count += 1
        if self.fails and self.count == 3:
            raise PlauditError("the judge is ill")
        return Answer({"strength": 4})


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Q{i}", "chosen": "a good answer", "rejected": f"bad {i}"} for i in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_finding_survives_json_and_checks_itself() -> None:
    assert Finding.from_json(json.loads(json.dumps(FINDING.to_json()))) == FINDING
    row = not_measurable("x", "X", "no\nreason")
    assert Finding.from_json(row.to_json()) == row and row.meaning == "no reason"
    for change in ({"verdict": "good"}, {"value": None}, {"value": math.nan}, {"interval": (1.0, 0.0)}, {"n": -1}):
        with pytest.raises(ValueError, match=r"Finding"):
            Finding(**{**{name: getattr(FINDING, name) for name in FINDING.to_json()}, **change})
    with pytest.raises(PlauditError, match="audit again"):
        Finding.from_json({"name": "x"})


def test_measures_are_discovered_in_their_order_and_follow_the_protocol() -> None:
    for kind in FAMILIES:
        measures = discover(kind)
        assert [measure.order for measure in measures] == sorted(measure.order for measure in measures)
        for measure in measures:
            assert measure.name == measure.name.lower() and measure.title
            assert all(callable(getattr(measure, name)) for name in ("measurable", "measure", "cure"))
    assert [measure.name for measure in discover("control", ["agreement"])] == ["agreement"]
    with pytest.raises(PlauditError, match="choose from"):
        discover("control", ["nonsense"])


def test_a_measure_that_raises_is_a_row_and_the_others_follow(
    tmp_path: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(name: str, reason: str | None, result: Any) -> Any:
        def measure(subject: Any) -> list[Finding]:
            if isinstance(result, Exception):
                raise result
            return [result]

        return SimpleNamespace(
            name=name, title=name, measurable=lambda subject: reason, measure=measure, cure=lambda subject, row: None
        )

    measures = [
        build("a", None, ZeroDivisionError("division\nby zero")),
        build("b", "there is nothing", None),
        build("c", None, PlauditError("mend it")),
        build("d", None, FINDING),
    ]
    monkeypatch.setattr(auditing, "discover", lambda kind, names: measures)
    rows: list[Finding] = []
    with open_subject(pairs_file, AuditConfig()) as subject:
        assert len(subject.records) == 3 and subject.eyes is None and not subject.same_eyes
        audit = run_audit(subject, rows.append)
    assert list(audit.findings) == rows
    assert [row.meaning for row in rows] == [
        "ZeroDivisionError: division by zero",
        "there is nothing",
        "mend it",
        "It gaps.",
    ]
    assert audit.summary == "1 fail, 3 not measurable" and audit.failed
    audit.write(tmp_path)
    assert read_audit(tmp_path) == audit
    text = write_page(audit, tmp_path).read_text(encoding="utf-8")
    assert "Gap &lt;b&gt;" in text and "--labels 20" in text and "<svg" in text
    assert "Gap <b> fails: It gaps." in audit_report(audit).verdict
    lines = headline(audit)
    assert "Cure: Ask more. --labels 20" in lines
    words = " ".join(lines.split())
    assert "--reward.clamp: helps (0.50 to 0.12). It falls." in words
    assert "seconds 2; return not measurable, because it needs a new run." in words
    assert "--labels 20: not measurable, because it needs new answers." in words
    assert "tried here" in text and "does not help" not in text


def test_a_damaged_or_newer_audit_is_one_line(tmp_path: Path) -> None:
    assert read_audit(tmp_path) is None
    Audit("x", "feedback", None, 40, 0, 1.0, ()).write(tmp_path)
    content = json.loads((tmp_path / layout.AUDIT).read_text(encoding="utf-8"))
    (tmp_path / layout.AUDIT).write_text(json.dumps(content | {"schema": 1}), encoding="utf-8")
    assert read_audit(tmp_path) is not None
    for change in ({"schema": 3}, {"seed": "?", "more": 1}, {"findings": [{}]}):
        (tmp_path / layout.AUDIT).write_text(json.dumps(content | change), encoding="utf-8")
        with pytest.raises(PlauditError, match="audit again"):
            read_audit(tmp_path)


def test_cures_are_tried_one_by_one(tmp_path: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helps = Effect("--labels 20", "It falls.", 0.5, 0.25, True)

    def fail() -> list[Effect]:
        raise PlauditError("there are no answers")

    def divide() -> list[Effect]:
        raise ZeroDivisionError("x\ny")

    cures = [Cure("A", measure=lambda: [helps]), Cure("B", setting="b", measure=fail), Cure("C", measure=divide), None]
    cures.append(Cure("E", obstacle="it needs a new run"))
    rows = [dataclasses.replace(FINDING, name=str(number), cure=None) for number in range(len(cures))]
    measure = SimpleNamespace(
        name="a", title="a", measurable=lambda s: None, measure=lambda s: rows, cure=lambda s, row: cures[int(row.name)]
    )
    monkeypatch.setattr(auditing, "discover", lambda kind, names: [measure])
    stages: list[tuple[str, int, int]] = []
    with open_subject(pairs_file, AuditConfig(cures=True)) as subject:
        subject.report_stage = lambda *stage: stages.append(stage)
        audit = run_audit(subject)
    assert stages == [("measures", 0, 1), *(("cures", number, 4) for number in range(4))]
    effects = [row.cure and row.cure.effects for row in audit.findings]
    assert effects[0] == (helps,) and effects[3] is None
    assert [row[0].meaning for row in (*effects[1:3], effects[4]) if row] == [
        "there are no answers",
        "ZeroDivisionError: x y",
        "it needs a new run",
    ]
    audit.write(tmp_path)
    assert read_audit(tmp_path) == audit
    with open_subject(pairs_file, AuditConfig()) as subject:
        assert all(row.cure is None or not row.cure.effects for row in run_audit(subject).findings)
    for values in ({"before": 1.0}, {"helps": True}, {"before": math.nan, "after": 0.0}, {"price": {"x": math.inf}}):
        with pytest.raises(ValueError, match="Effect"):
            Effect("x", "y", **values)  # type: ignore[arg-type]


def test_fresh_answers_stay_and_only_what_is_missing_is_asked(tmp_path: Path) -> None:
    items = dialogues(8)
    questions = [COMPARISON.question(items[2 * i].id, items[2 * i + 1].id) for i in range(4)]
    ill = Judge(fails=True)
    eyes = open_eyes("judge", tmp_path, lambda name: ill, None)
    with pytest.raises(PlauditError, match="ill"):
        eyes.ask(questions, items)
    well = Judge()
    eyes = open_eyes("judge", tmp_path, lambda name: well, None)
    assert eyes.ask(questions, items) == [1.0] * 4 and well.count == 2
    assert eyes.ask(questions[:1], items) == [1.0] and well.count == 2 and eyes.annotators() == {"judge"}
    other = Judge()
    assert open_eyes("module:other", tmp_path, lambda name: other, None).ask(questions, items) == [1.0] * 4
    assert other.count == 4  # another eye does not take over what the first one said


def test_people_who_leave_leave_their_answers(tmp_path: Path) -> None:
    items = dialogues(4)
    questions = [COMPARISON.question(items[0].id, items[1].id), COMPARISON.question(items[2].id, items[3].id)]

    def host(folder: Path) -> None:
        with Store.open(folder / layout.FEEDBACK) as store:
            (lease,) = store.claim("ann")
            store.answer([Judgement(lease.question.id, "ann", {"strength": -4}, (0, 1), 1.0, 2.0, 3.0, "id")])

    eyes = open_eyes("people", tmp_path, lambda name: Judge(), host)
    assert eyes.ask(questions, items) == [0.0, None] and eyes.annotators() == {"ann"}
    with pytest.raises(PlauditError, match="--eyes people"):
        open_eyes("people", tmp_path, lambda name: Judge(), None)


def test_what_cannot_be_audited_is_one_line(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none", "there is no"), (tmp_path, "holds no run")):
        with pytest.raises(PlauditError, match=message):
            open_subject(path, AuditConfig())
    with pytest.raises(PlauditError, match="pairs"):
        AuditConfig(pairs=1)
    with pytest.raises(PlauditError, match="seed"):
        AuditConfig(seed=-1)
    assert AuditConfig(eyes="human").eyes == "people"


def test_cards_say_what_an_audit_found(tmp_path: Path) -> None:
    """Those of the run and of its models, again after each audit; a README of somebody else's stays as it is."""
    card = ModelCard("mine", None, "sft", ["- None"], ["- None"], {}, [])
    foreign = "# Mine\n\n## Audit\n\nNone.\n"
    for folder in (tmp_path / "policy", tmp_path / "notes"):
        folder.mkdir()
    (tmp_path / "README.md").write_text(card.text(), encoding="utf-8")
    (tmp_path / "policy" / "README.md").write_text(card.text(), encoding="utf-8")
    (tmp_path / "notes" / "README.md").write_text(foreign, encoding="utf-8")
    passed = dataclasses.replace(FINDING, verdict="pass", cure=None)
    for findings, words in (((FINDING,), "1 fail"), ((passed, FINDING), "1 pass"), ((passed,), "1 pass")):
        audit = Audit("x", "chat", "oracle", 40, 0, 1.0, findings)
        fill_cards(audit, tmp_path)
        for folder in (tmp_path, tmp_path / "policy"):
            text = (folder / "README.md").read_text("utf-8")
            before, _, rest = text.partition("## Audit\n\n")
            section, _, after = rest.partition("\n\n## Limits")
            assert words in section and "fresh answers by oracle" in section and "None was run" not in text
            assert ("- fail: Gap <b>. It gaps." in section) == (FINDING in findings)
            assert card.text().startswith(before) and card.text().endswith(after)
    assert (tmp_path / "notes" / "README.md").read_text("utf-8") == foreign
