"""`plaudit audit`: where RLHF went wrong on a run, a reward model or data, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from plaudit import layout
from plaudit.api.audit import write_audit
from plaudit.api.console import write_line
from plaudit.audits.page import headline
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.cli.arguments import Settings, parse

HELP = """Measure where RLHF went wrong on a run, a reward model or data, how sure that is, and what would help.

Without --eyes nothing new is asked. Fresh answers are stored at once and never train anything, so the same command
continues after a stop. The exit code is 1 if a row fails.

examples:
  plaudit audit runs/Duel
  plaudit audit runs/Duel --eyes people --pairs 40
  plaudit audit pairs.jsonl"""


@dataclass(frozen=True)
class AuditArguments(Settings[AuditConfig]):
    """`plaudit audit SUBJECT`."""

    subject: Annotated[Path, tyro.conf.Positional]
    """Run folder, folder of a reward model, store, or file of preferences."""
    out: Path | None = None
    """Folder of audit.json and audit.html; default: the folder that is audited, or NAME-audit next to a file."""
    host: str = "127.0.0.1"
    """Address of the web app, with --eyes people; 0.0.0.0 lets the whole network in."""
    port: int = 8777
    """Port of the web app, with --eyes people; 0: a free one."""
    trust: bool = False
    """Trust the addresses, programs and files outside of the run folder that its settings name, although somebody
    else made the run."""


def audit(arguments: list[str]) -> int:
    """`plaudit audit SUBJECT`."""
    parsed = parse(AuditArguments, arguments, "audit", HELP)
    with open_subject(parsed.subject, parsed.config, parsed.trust, parsed.out) as subject:
        result = write_audit(subject, address=(parsed.host, parsed.port))
        write_line(headline(result))
        write_line("")
        write_line(f"page: {subject.folder / layout.AUDIT_PAGE}")
    return 1 if result.failed else 0
