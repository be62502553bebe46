"""An audit: every measure in turn, and audit.json, which holds what they said."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit import __version__, layout
from plaudit.audits.finding import VERDICTS, Cure, Effect, Finding, Verdict, not_measurable
from plaudit.audits.measure import Measure, discover
from plaudit.audits.subject import Subject
from plaudit.extensions import one_line
from plaudit.files import replace_text
from plaudit.run.disk import disk_errors
from plaudit.run.record import read_json
from plaudit.types import PlauditError, shorten

SCHEMA = 2  # of audit.json; raised when an older program could not read a newer file
READABLE = (1, SCHEMA)  # 1: cures have no effects


@dataclass(frozen=True)
class Audit:
    """What an audit of a run, a model or data says.

    Attributes:
        subject: what was audited.
        kind: ``"control"``, ``"chat"``, ``"reward"`` or ``"feedback"``.
        eyes: who answered fresh pairs; None if nothing was asked.
        pairs: fresh pairs that each measure asked about.
        seed: of the pairs.
        seconds: what the audit took.
        findings: the rows.
        version: of Plaudit.
    """

    subject: str
    kind: str
    eyes: str | None
    pairs: int
    seed: int
    seconds: float
    findings: tuple[Finding, ...]
    version: str = __version__

    def count(self, verdict: Verdict) -> int:
        """Number of rows with a verdict."""
        return Counter(finding.verdict for finding in self.findings)[verdict]

    @property
    def summary(self) -> str:
        """The verdicts in one line: ``"3 pass, 1 fail"``."""
        counts = [f"{self.count(verdict)} {verdict}" for verdict in VERDICTS if self.count(verdict)]
        return ", ".join(counts) or "nothing was measured"

    @property
    def failed(self) -> bool:
        """Whether a row fails."""
        return self.count("fail") > 0

    def write(self, folder: Path) -> Path:
        """Write audit.json into a folder; its path."""
        path = folder / layout.AUDIT
        content: dict[str, Any] = {"schema": SCHEMA}
        for field in dataclasses.fields(self):
            content[field.name] = getattr(self, field.name)
        content["findings"] = [finding.to_json() for finding in self.findings]
        with disk_errors(path):
            replace_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
        return path


def read_audit(folder: Path) -> Audit | None:
    """The audit in a folder; None if there is none.

    Raises:
        PlauditError: audit.json is damaged, or of a newer version.
    """
    path = folder / layout.AUDIT
    if not path.exists():
        return None
    content = read_json(path, "audit again")
    if content.pop("schema", None) not in READABLE:
        raise PlauditError(f"{path} is of another version of Plaudit: audit again")
    try:
        rows: list[Mapping[str, Any]] = content.pop("findings")
        return Audit(findings=tuple(Finding.from_json(row) for row in rows), **content)
    except (TypeError, LookupError, AttributeError) as error:
        raise PlauditError(f"{path} is damaged ({shorten(str(error))}): audit again") from error


def run_audit(subject: Subject, report_row: Callable[[Finding], object] = lambda finding: None) -> Audit:
    """Take every measure. One that raises is a row that is not measurable, and the others follow.

    report_row: called with each row as it is known.
    """
    started, findings = time.perf_counter(), []
    measures = discover(subject.kind, subject.config.measures)
    for number, measure in enumerate(measures):
        subject.report_stage("measures", number, len(measures))
        subject.report_progress(measure.title)
        for finding in _examine(measure, subject):
            findings.append(finding)
            report_row(finding)
    if subject.config.cures:
        findings = _try_cures(subject, findings)
    config, seconds = subject.config, round(time.perf_counter() - started, 1)
    name = str(subject.path)
    return Audit(name, subject.kind, config.eyes, config.pairs, config.seed, seconds, tuple(findings))


def _try_cures(subject: Subject, findings: list[Finding]) -> list[Finding]:
    """The rows with what their cures changed. A cure that raises is not measurable, and the others follow."""
    rows, number, total = [], 0, sum(finding.cure is not None for finding in findings)
    for finding in findings:
        if finding.cure is not None:
            subject.report_stage("cures", number, total)
            subject.report_progress(f"cures of: {finding.title}")
            number += 1
            finding = dataclasses.replace(finding, cure=_try(finding.cure))
        rows.append(finding)
    return rows


def _try(cure: Cure) -> Cure:
    if cure.measure is None:
        effects: Sequence[Effect] = [Effect(cure.setting, cure.obstacle)]
    else:
        try:
            effects = cure.measure()
        except PlauditError as error:
            effects = [Effect(cure.setting, shorten(str(error)))]
        except Exception as error:  # whatever goes wrong with one cure, the others are tried
            effects = [Effect(cure.setting, one_line(error))]
    return dataclasses.replace(cure, effects=tuple(effects))


def _examine(measure: Measure[Any], subject: Subject) -> Iterator[Finding]:
    try:
        reason = measure.measurable(subject)
        findings = [not_measurable(measure.name, measure.title, reason)] if reason else measure.measure(subject)
    except PlauditError as error:
        findings = [not_measurable(measure.name, measure.title, str(error))]
    except Exception as error:  # whatever goes wrong in one measure, the others are taken
        findings = [not_measurable(measure.name, measure.title, one_line(error))]
    for finding in findings:
        cure = measure.cure(subject, finding) if finding.verdict in ("warn", "fail") else None
        yield finding if cure is None else dataclasses.replace(finding, cure=cure)
