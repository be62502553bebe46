"""What an audit says in the cards of the models that it looked at."""

from __future__ import annotations

import re
from pathlib import Path

from plaudit.audits.audit import Audit
from plaudit.files import replace_text
from plaudit.run.cards import CARD
from plaudit.run.disk import disk_errors

SECTION = re.compile(r"(?<=\n## Audit\n\n).*?(?=\n\n## |\Z)", re.DOTALL)
MARK = 'tags: ["plaudit"'  # in the front of every card that Plaudit writes


def describe_audit(audit: Audit) -> list[str]:
    """Lines of a card: the verdicts, whose eye they rest on, and what each warning and fail says."""
    eyes = f"fresh answers by {audit.eyes}" if audit.eyes else "no fresh answers"
    rows = [finding for finding in audit.findings if finding.verdict in ("fail", "warn")]
    return [
        f"- `plaudit audit`, {eyes}: {audit.summary}",
        *(f"- {row.verdict}: {row.title}. {' '.join(row.meaning.split())}" for row in rows),
    ]


def fill_cards(audit: Audit, folder: Path) -> None:
    """Write the audit into the cards of a run's folder and of its models; other README.md stay as they are."""
    lines = "\n".join(describe_audit(audit))
    for path in (folder / CARD, *folder.glob(f"*/{CARD}")):
        with disk_errors(path):
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            if MARK in text and (card := SECTION.sub(lambda match: lines, text, count=1)) != text:
                replace_text(path, card)
