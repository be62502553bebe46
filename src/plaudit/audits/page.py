"""An audit as a page in the style of the report, as a table in a terminal, and as a section of a run's report."""

from __future__ import annotations

import textwrap
from pathlib import Path

from markupsafe import Markup

from plaudit import layout
from plaudit.audits.audit import Audit
from plaudit.audits.finding import Effect, Finding, Verdict
from plaudit.files import replace_text
from plaudit.run.disk import disk_errors
from plaudit.run.report.page import render, write_report
from plaudit.run.report.plots import scales
from plaudit.run.report.sections import Cell, Entries, Entry, Link, Plot, Plots, Report, Section, Table, Tile, command
from plaudit.run.report.svg import BASELINE, INK, MUTED, PREFERENCE, inline, panels
from plaudit.run.report.text import plain
from plaudit.run.report.values import is_known
from plaudit.run.report.words import SPACE, UNKNOWN, duration, interval, number

SECTION, FOLLOWING = "audit", "settings"  # ids of the section in a run's report, and of the one that it precedes
SECTIONS: tuple[tuple[Verdict, str, str], ...] = (
    ("fail", "Fails", "The value is on the wrong side of a threshold that was fixed before it was measured."),
    ("warn", "Warnings", "Worth a look: a weak effect, or too little data to tell."),
    ("pass", "Passes", "Nothing is wrong here that this measure can see."),
    ("not measurable", "Not measurable here", "Each row says why, and what would make it measurable."),
)


def write_page(audit: Audit, folder: Path) -> Path:
    """Write audit.html into a folder; its path."""
    path = folder / layout.AUDIT_PAGE
    write_report(audit_report(audit), path)
    return path


def audit_report(audit: Audit) -> Report:
    """The page of an audit."""
    eyes = audit.eyes or "nobody"
    tiles = [
        Tile("Verdicts", audit.summary),
        Tile("Fresh answers by", eyes, f"{audit.pairs} pairs a measure" if audit.eyes else "nothing new was asked"),
        Tile("Audit time", duration(audit.seconds)),
    ]
    sections = [
        Section(verdict.replace(" ", "-"), heading, lead, _blocks(rows))
        for verdict, heading, lead in SECTIONS
        if (rows := [finding for finding in audit.findings if finding.verdict == verdict])
    ]
    line = f"plaudit audit {layout.shell_path(Path(audit.subject))}"
    if audit.eyes:
        line += f" --eyes {audit.eyes} --pairs {audit.pairs} --seed {audit.seed}"
    sections.append(
        Section(
            "reproduce",
            "Reproduce",
            "The same command asks the same pairs; answers that are stored are not asked again.",
            [command(line, {"plaudit": audit.version})],
        )
    )
    return Report(f"Audit of {Path(audit.subject).name}", audit.kind, describe(audit), tiles, sections)


def describe(audit: Audit) -> str:
    """One sentence: what the audit says."""
    for verdict, words in (("fail", "fails"), ("warn", "is a warning")):
        rows = [finding for finding in audit.findings if finding.verdict == verdict]
        if rows:
            rest = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
            return f"{rows[0].title} {words}{rest}: {rows[0].meaning}"
    if audit.count("pass"):
        return "Nothing is wrong that these measures can see."
    return "Nothing could be measured: each row says why."


def headline(audit: Audit, width: int = 100) -> str:
    """The rows as a table for a terminal, then what each warning and fail means and what would help."""
    lines = [f"{plain(f'Audit of {audit.subject}')}: {audit.summary}", ""]
    titles = max((len(finding.title) for finding in audit.findings), default=0)
    for finding in audit.findings:
        value = UNKNOWN if finding.value is None else f"{_value(finding)}  {_interval(finding)}"
        lines.append(plain(f"  {finding.verdict:<14}  {finding.title:<{titles}}  {value}").rstrip())
    for finding in audit.findings:
        if finding.verdict != "pass":
            text = f"{finding.title}: {finding.meaning}"
            if finding.cure is not None:
                text += f" Cure: {finding.cure.sentence} {finding.cure.setting}"
            lines += ["", *_wrap(text, width)]
            effects = finding.cure.effects if finding.cure is not None else ()
            lines += [line for effect in effects for line in _wrap(_describe_effect(effect), width, "    ")]
    return "\n".join(lines).replace(SPACE, " ")


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        plain(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent * 2,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _describe_effect(effect: Effect) -> str:
    """A cure that was tried, in one line."""
    if effect.after is None:
        return f"{effect.setting}: {effect.verdict}, because {effect.meaning.rstrip('.')}."
    price = f" Price: {'; '.join(_price(effect))}." if effect.price else ""
    return f"{effect.setting}: {effect.verdict} ({_change(effect)}). {effect.meaning}{price}"


def _change(effect: Effect) -> str:
    return f"{number(effect.before)} to {number(effect.after)}"


def _price(effect: Effect) -> list[str]:
    return [
        f"{name} not measurable, because {value}" if isinstance(value, str) else f"{name} {number(value)}"
        for name, value in effect.price.items()
    ]


def audit_section(audit: Audit) -> Section:
    """The rows in short, for the report of the run that was audited."""
    rows = [[Cell(finding.verdict), Cell(_value(finding), _interval(finding))] for finding in audit.findings]
    titles = [finding.title for finding in audit.findings]
    table = Table(["verdict", "value"], rows, titles, "Verdicts of the audit")
    link = Link(layout.AUDIT_PAGE, "What each row means, and what would help")
    return Section(SECTION, "Audit", describe(audit), [table, link])


def link_report(audit: Audit, folder: Path) -> None:
    """Put the audit's section into the report of a run, in the place of an earlier audit's; nothing without a report.

    The report is not measured again, because that takes longer than most audits.
    """
    path = folder / layout.REPORT
    if not path.exists():
        return
    with disk_errors(path):
        text = path.read_bytes().decode()
    section = _cut(render(Report("", "", "", [], [audit_section(audit)])))
    before = _cut(text)
    if before is None:
        start = text.find(f'<section id="{FOLLOWING}"')
        changed = text if start < 0 else f"{text[:start]}{section}\n\n{text[start:]}"
    else:
        changed = text.replace(before, section or "")
    with disk_errors(path):
        replace_text(path, changed)


def _cut(page: str) -> str | None:
    """The audit's section of a page; None if it has none."""
    start = page.find(f'<section id="{SECTION}"')
    end = page.find("</section>", start)
    return None if start < 0 or end < 0 else page[start : end + len("</section>")]


def _blocks(findings: list[Finding]) -> list[Entries | Plots]:
    entries = Entries([_entry(finding) for finding in findings])
    curves = [plot for finding in findings if (plot := _curve(finding)) is not None]
    return [entries, Plots(curves)] if curves else [entries]


def _entry(finding: Finding) -> Entry:
    """A row: the value, what it means, what it rests on, and the cure with its line of configuration."""
    if finding.verdict == "not measurable":
        return Entry(finding.title, finding.meaning)
    null, cure = finding.null, finding.cure
    facts = [
        ("null control", f"{number(null.value)}, {null.name}" if null is not None else ""),
        ("measured on", number(finding.n) + (f", by {finding.eye}" if finding.eye else "")),
        ("threshold", finding.threshold),
        ("cure", cure.sentence if cure is not None else ""),
        ("its cost", cure.cost if cure is not None else ""),
        *(("tried here", _describe_effect(effect)) for effect in (cure.effects if cure is not None else ())),
    ]
    return Entry(
        finding.title,
        finding.meaning,
        _value(finding),
        _interval(finding),
        [(name, text) for name, text in facts if text],
        cure.setting if cure is not None else "",
    )


def _value(finding: Finding) -> str:
    value = number(finding.value)
    return f"{value}{SPACE}{finding.unit}" if finding.unit and is_known(finding.value) else value


def _interval(finding: Finding) -> str:
    return interval(finding.interval)


def _curve(finding: Finding) -> Plot | None:
    """The curve of a finding whose details have one: ``{"curve": {"x": ..., "y": ..., "x_label": ..., ...}}``."""
    curve = finding.details.get("curve")
    if not curve:
        return None
    figure, (axes,) = panels(height=2.8)
    axes.plot(curve["x"], curve["y"], color=PREFERENCE, marker="o", markersize=3.5)
    if "null" in curve:
        axes.plot(curve["x"], curve["null"], color=BASELINE, linestyle="dashed")
    scales(axes)
    axes.set_xlabel(curve["x_label"], color=MUTED)
    axes.set_ylabel(curve["y_label"], color=INK)
    svg: Markup = inline(figure, finding.name, f"{curve['y_label']} over {curve['x_label']}")
    return Plot(finding.title, svg, finding.meaning, "Nothing was measured.")
