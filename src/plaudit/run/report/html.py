"""The report as one HTML page that asks for nothing: styles, plots, clips and script stand inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from plaudit.files import replace_file
from plaudit.run.report import plots
from plaudit.run.report.calibration import reliability
from plaudit.run.report.data import Clip, HeatMaps, Record, ReportData, column, known
from plaudit.run.report.words import SPACE, duration, number, percent, tiles, verdict
from plaudit.types import Array, PlauditError

CURVE = {  # column of the table: (key in metrics.jsonl, how to write it)
    "steps": ("step", number),
    "time": ("seconds", duration),
    "comparisons": ("labels", number),
    "true return": ("true_return", number),
    "predicted": ("predicted_return", number),
    "held-out accuracy": ("holdout_accuracy", percent),
}
CURVE_ROWS = 16
NO_LEARNED = "There is no learned reward to show yet."


@dataclass(frozen=True)
class Key:
    """One entry of a plot's key: what a colour and a line mean."""

    colour: str
    label: str
    line: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot with the words around it, or what to say in its place."""

    title: str
    svg: Markup | None
    caption: str
    missing: str
    key: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Group:
    """Settings that belong together."""

    name: str
    rows: list[tuple[str, str]]


def write_report(data: ReportData, path: Path) -> None:
    """Write the report to ``path``, as :func:`write_page`."""
    write_page(render(data), path)


def write_page(text: str, path: Path) -> None:
    """Write a page to ``path``, replacing what was there only once the new one is complete.

    Raises:
        PlauditError: the page cannot be written.
    """
    try:
        with replace_file(path) as partial:
            # A lone surrogate, from a file name that is no UTF-8, must not cost the reader the whole page.
            partial.write_bytes(text.encode("utf-8", "replace"))
    except OSError as fault:
        raise PlauditError(
            f"report: cannot write {path}: {fault.strerror}; make room or choose another folder"
        ) from fault


def render(data: ReportData) -> str:
    """The page as text. Every name and value is escaped; only our own SVG, CSS and JavaScript are not."""
    return page(
        "report.html",
        data=data,
        css=Markup(part("report.css")),
        js=Markup(part("report.js")),
        verdict=verdict(data),
        tiles=tiles(data),
        clips=_clips(data.clips),
        returns=_returns(data),
        curve=_curve(data.metrics),
        reward_model=[_accuracy(data), _calibration(data)],
        learned_lead=_learned_lead(data),
        learned=_learned(data),
        settings=groups(data.settings),
        versions=" · ".join(f"{name} {version}" for name, version in data.versions.items()),
    )


def page(template: str, **values: Any) -> str:
    """A template of this folder, filled in. What is no ``Markup`` is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(part))
    return environment.get_template(template).render(**values)


def part(name: str) -> str:
    """A file of this folder."""
    return (files("plaudit.run.report") / name).read_text("utf-8")


def groups(settings: Record) -> list[Group]:
    """Nested settings as groups of rows: plain values first, then one group per mapping, deeper ones dotted."""
    plain = [(str(name), _value(value)) for name, value in settings.items() if not isinstance(value, Mapping)]
    result = [Group("run", plain)] if plain else []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            result.append(Group(str(name), list(_flat(value))))
    return result


def _flat(settings: Record, prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _value(value)))
    return rows


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(_value, value)) or "none"
        case _:
            return str(value)


def _clips(clips: Sequence[Clip]) -> list[dict[str, str]]:
    """Pairs of before and after, side by side, as data URIs."""
    before, after = ([clip for clip in clips if clip.kind == kind] for kind in ("before", "after"))
    longest = max(len(before), len(after))
    pairs = [clip for place in range(longest) for group in (before, after) for clip in group[place : place + 1]]
    return [
        {
            "kind": clip.kind,
            "caption": clip.caption,
            "poster": "data:image/png;base64," + base64.b64encode(clip.poster).decode(),
            "webm": "data:video/webm;base64," + base64.b64encode(clip.webm).decode(),
        }
        for clip in pairs
    ]


def _returns(data: ReportData) -> list[Plot]:
    key = (Key("preference", "true return, trained from comparisons"), Key("predicted", "predicted return"))
    curve = bool(np.isfinite(column(data.baseline, "true_return")).any())
    level = curve or known(data.summary.baseline_return)
    if level:
        key = (key[0], Key("baseline", "true return, trained on the true reward", "dashed"), key[1])
    missing = "No return was measured yet."
    steps = (
        "The nearer the solid line comes to the dashed one, the less is lost by never seeing the reward. "
        if curve
        else ""
    )
    return [
        Plot(
            "Over environment steps",
            plots.returns(data.metrics, data.baseline, "step"),
            f"{steps}Below, the same policy through the reward model's eyes: a predicted return that rises while the "
            "true one does not is a reward model being fooled. Its scale is its own.",
            missing,
            key,
        ),
        Plot(
            "Over comparisons",
            plots.returns(data.metrics, data.baseline, "labels", data.summary.baseline_return),
            "What each further comparison bought: the last return reached with that many. "
            + ("The dashed line is where the baseline ended; it needs no comparisons." if level else ""),
            missing,
            key,
        ),
    ]


def _accuracy(data: ReportData) -> Plot:
    return Plot(
        "Accuracy over time",
        plots.accuracy(data.metrics),
        "Above, how often the model picks the segment that the annotator preferred. Below, its cross-entropy in nats: "
        "where the held-out line leaves the fitted one, the model is learning its comparisons by heart.",
        "The reward model has not been fitted yet.",
        (Key("preference", "held-out comparisons"), Key("muted", "fitted comparisons", "dotted")),
    )


def _calibration(data: ReportData) -> Plot:
    diagram = reliability(data.calibration) if data.calibration is not None else None
    title, missing = "Calibration", "There are no held-out comparisons yet."
    if diagram is None:
        return Plot(title, None, "", missing)
    count = int(diagram.counts.sum())
    return Plot(
        title,
        plots.calibration(diagram),
        "On the dotted line the model is as right as it claims; below it, too sure of itself. Bars are "
        f"95{SPACE}% intervals, wide where comparisons are few. Over all {number(count)}: "
        f"accuracy {percent(diagram.accuracy)}, cross-entropy {number(diagram.log_loss)} nats, "
        f"calibration error {number(diagram.error)}.",
        missing,
        (Key("preference", "held-out comparisons"), Key("muted", "perfect calibration", "dotted")),
    )


def _learned_lead(data: ReportData) -> str:
    lead = "Preferences settle a reward only up to its zero and its scale, so compare the pattern and not the numbers."
    return f"{lead} {data.heat_maps.note}".strip() if data.heat_maps is not None else lead


def _learned(data: ReportData) -> list[Plot]:
    result = _heat_maps(data.heat_maps) if data.heat_maps is not None else []
    if data.scatter is not None or not result:
        result.append(_scatter(data))
    return result


def _heat_maps(maps: HeatMaps) -> list[Plot]:
    match_ = number(plots.correlation(maps.learned, maps.true))
    learned = plots.aligned(maps.learned, maps.true)
    reach = next((size for size in map(_largest, (maps.true, learned)) if size > 0), 1.0)
    key = (Key("positive", "reward", "square"), Key("negative", "penalty", "square"))
    if not np.isfinite(maps.true).all() or not np.isfinite(maps.learned).all():
        key = (*key, Key("absent", "no such state", "square"))
    return [
        Plot(
            "Learned reward",
            plots.heat_map(learned, reach, maps.x_label, maps.y_label, "learned"),
            "What the model makes of each state, shifted and scaled to the mean and the spread of the true reward. "
            f"Correlation with it: {match_}.",
            NO_LEARNED,
            key,
        ),
        Plot(
            "True reward",
            plots.heat_map(maps.true, reach, maps.x_label, maps.y_label, "true"),
            "What the environment pays, which the learner never saw. Look for the same places in the same colour.",
            "There is no true reward to compare with.",
            key,
        ),
    ]


def _largest(values: Array) -> float:
    fine = np.abs(values[np.isfinite(values)])
    return float(fine.max()) if fine.size else 0.0


def _scatter(data: ReportData) -> Plot:
    points = data.scatter
    if points is None:
        return Plot("Step by step", None, "", NO_LEARNED)
    match_ = number(plots.correlation(points.learned, points.true))
    return Plot(
        "Step by step",
        plots.scatter(points),
        "Each dot is one step of the policy. A learned reward that serves should rise from left to right; where "
        f"the true reward has few values, bars mark the median and the middle half. Correlation: {match_}.",
        NO_LEARNED,
    )


def _curve(metrics: Sequence[Record]) -> dict[str, Any]:
    keep = np.unique(np.linspace(0, len(metrics) - 1, min(CURVE_ROWS, len(metrics))).astype(int)) if metrics else []
    columns = {name: (column(metrics, key), write) for name, (key, write) in CURVE.items()}
    known = {name: pair for name, pair in columns.items() if np.isfinite(pair[0]).any()}
    rows = [[write(float(values[place])) for values, write in known.values()] for place in keep]
    return {"names": list(known), "rows": rows if known else []}
