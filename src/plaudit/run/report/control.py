"""The report of a control run: its headline, and its sections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plaudit.run.report import control_plots as plots
from plaudit.run.report.calibration import reliability
from plaudit.run.report.control_data import ControlResults, HeatMaps
from plaudit.run.report.plots import calibration
from plaudit.run.report.sections import (
    Cell,
    Clips,
    Details,
    Key,
    Placeholder,
    Plot,
    Plots,
    Report,
    Section,
    Settings,
    Table,
    Tile,
    command,
    groups,
)
from plaudit.run.report.values import Record, column, is_known
from plaudit.run.report.words import SPACE, UNKNOWN, duration, interval, number, percent
from plaudit.types import Array

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


def control_report(data: ControlResults) -> Report:
    """Fill a report; a section whose data are missing says so."""
    curves = [("True return", column(data.metrics, "true_return"))]
    if data.baseline is not None:
        curves.append(("Baseline", column(data.baseline, "true_return")))
    table = _curve(data.metrics)
    settings = groups(data.settings)
    sections = [
        Section(
            "clips",
            "Before and after",
            "The same agent before it had learned anything, and at the end. It never saw the score."
            if data.clips
            else "",
            [Clips(data.clips) if data.clips else Placeholder("No clips were recorded.")],
        ),
        Section(
            "return",
            "Return",
            "The policy is trained on the predicted reward alone. The true return is measured next to it and "
            "never shown to the learner.",
            [Plots(_returns(data)), *([Details("The curve in numbers", table)] if table.rows else [])],
        ),
        Section(
            "reward-model",
            "Reward model",
            "Measured on comparisons that the model was not fitted to, cut from segments that it never saw.",
            [Plots([_accuracy(data), _calibration(data)])],
        ),
        Section(
            "learned-reward", "Learned reward against the true one", _learned_lead(data), [Plots(_reward_plots(data))]
        ),
        Section(
            "settings", "Settings", "", [Settings(settings) if settings else Placeholder("No settings were recorded.")]
        ),
        Section(
            "reproduce",
            "Reproduce",
            "On the same machine with the same versions, this gives the same run.",
            [command(data.command, data.versions)],
        ),
    ]
    return Report(data.title, data.environment, verdict(data), tiles(data), sections, curves, script=True)


def verdict(data: ControlResults) -> str:
    """One sentence: what the run reached, from how much feedback."""
    summary = data.summary
    if not is_known(summary.final_return):
        return "The final policy has not been evaluated yet."
    labels = f"{number(summary.labels)} comparisons" if is_known(summary.labels) else "comparisons"
    if is_known(summary.ratio):
        start = f"From {labels}, the policy reached {percent(summary.ratio)} of the true-reward baseline's return"
    else:
        start = f"From {labels}, the policy reached a true return of {number(summary.final_return)}"
    return f"{start}, in {duration(summary.seconds)}." if is_known(summary.seconds) else f"{start}."


def tiles(data: ControlResults) -> list[Tile]:
    """The headline numbers, in order of interest."""
    summary = data.summary
    spread = interval(summary.final_interval)
    result = [
        Tile("Final true return", number(summary.final_return), f"95{SPACE}% interval {spread}" if spread else "")
    ]
    if is_known(summary.baseline_return):
        note = f"the run reached {percent(summary.ratio)}" if is_known(summary.ratio) else "trained on the true reward"
        result.append(Tile("True-reward baseline", number(summary.baseline_return), note))
    result.append(Tile("Comparisons used", number(summary.labels), _batches(data)))
    result.append(_accuracy_tile(data))
    rate = summary.steps / summary.seconds if summary.steps and summary.seconds else None
    speed = f"{number(summary.steps)} steps, {number(rate)} per second" if is_known(rate) else ""
    result.append(Tile("Training time", duration(summary.seconds), speed))
    return result


def _batches(data: ControlResults) -> str:
    labels = column(data.metrics, "labels")
    batches = len(np.unique(labels[labels > 0]))
    return f"in {number(batches)} batches" if batches > 1 else ""


def _accuracy_tile(data: ControlResults) -> Tile:
    diagram = reliability(data.calibration)
    if diagram is None:
        return Tile("Held-out accuracy", UNKNOWN, "no held-out comparisons yet")
    return Tile("Held-out accuracy", percent(diagram.accuracy), f"on {number(int(diagram.counts.sum()))} comparisons")


def _returns(data: ControlResults) -> list[Plot]:
    key = (Key("preference", "true return, trained from comparisons"), Key("predicted", "predicted return"))
    curve = bool(np.isfinite(column(data.baseline, "true_return")).any())
    level = curve or is_known(data.summary.baseline_return)
    if level:
        key = (key[0], Key("baseline", "true return, trained on the true reward", "dashed"), key[1])
    missing = "No return was measured yet."
    steps = "The gap between the solid and the dashed line is the loss from never seeing the reward. " if curve else ""
    return [
        Plot(
            "Over environment steps",
            plots.returns(data.metrics, data.baseline, "step"),
            f"{steps}Below: the return that the reward model predicts for the same policy, in its own units. If it "
            "rises while the true return does not, the policy exploits the reward model.",
            missing,
            key,
        ),
        Plot(
            "Over comparisons",
            plots.returns(data.metrics, data.baseline, "labels", data.summary.baseline_return),
            "The last return reached with each number of comparisons. "
            + ("The dashed line is where the baseline ended; it needs no comparisons." if level else ""),
            missing,
            key,
        ),
    ]


def _accuracy(data: ControlResults) -> Plot:
    return Plot(
        "Accuracy over time",
        plots.accuracy(data.metrics),
        "Above: how often the model picks the segment that the annotator preferred. Below: its cross-entropy in nats. "
        "If the held-out line rises above the fitted one, the model overfits its comparisons.",
        "The reward model has not been fitted yet.",
        (Key("preference", "held-out comparisons"), Key("muted", "fitted comparisons", "dotted")),
    )


def _calibration(data: ControlResults) -> Plot:
    diagram = reliability(data.calibration)
    title, missing = "Calibration", "There are no held-out comparisons yet."
    if diagram is None:
        return Plot(title, None, "", missing)
    count = int(diagram.counts.sum())
    return Plot(
        title,
        calibration(diagram),
        "On the dotted line the model's confidence is right; below it, the model is overconfident. Bars are "
        f"95{SPACE}% intervals; few comparisons make them wide. Over all {number(count)}: "
        f"accuracy {percent(diagram.accuracy)}, cross-entropy {number(diagram.log_loss)} nats, "
        f"calibration error {number(diagram.error)}.",
        missing,
        (Key("preference", "held-out comparisons"), Key("muted", "perfect calibration", "dotted")),
    )


def _learned_lead(data: ControlResults) -> str:
    lead = "Preferences fix a reward only up to its zero and its scale, so compare the pattern and not the numbers."
    return f"{lead} {data.heat_maps.note}".strip() if data.heat_maps is not None else lead


def _reward_plots(data: ControlResults) -> list[Plot]:
    result = _heat_maps(data.heat_maps) if data.heat_maps is not None else []
    if data.scatter is not None or not result:
        result.append(_scatter(data))
    return result


def _heat_maps(maps: HeatMaps) -> list[Plot]:
    match_ = number(plots.correlation(maps.learned, maps.true))
    learned = plots.align(maps.learned, maps.true)
    reach = next((size for size in map(_largest, (maps.true, learned)) if size > 0), 1.0)
    key = (Key("positive", "reward", "square"), Key("negative", "penalty", "square"))
    if not np.isfinite(maps.true).all() or not np.isfinite(maps.learned).all():
        key = (*key, Key("absent", "no such state", "square"))
    return [
        Plot(
            "Learned reward",
            plots.heat_map(learned, reach, maps.x_label, maps.y_label, "learned"),
            "The learned reward of each state, shifted and scaled to the mean and the spread of the true reward. "
            f"Correlation with it: {match_}.",
            NO_LEARNED,
            key,
        ),
        Plot(
            "True reward",
            plots.heat_map(maps.true, reach, maps.x_label, maps.y_label, "true"),
            "The true reward, which the learner never saw. Look for the same places in the same colour.",
            "There is no true reward to compare with.",
            key,
        ),
    ]


def _largest(values: Array) -> float:
    fine = np.abs(values[np.isfinite(values)])
    return float(fine.max()) if fine.size else 0.0


def _scatter(data: ControlResults) -> Plot:
    points = data.scatter
    if points is None:
        return Plot("Step by step", None, "", NO_LEARNED)
    match_ = number(plots.correlation(points.learned, points.true))
    return Plot(
        "Step by step",
        plots.scatter(points),
        "Each dot is one step of the policy. A good learned reward rises from left to right. If the true reward has "
        f"few values, bars mark the median and the middle half. Correlation: {match_}.",
        NO_LEARNED,
    )


def _curve(metrics: Sequence[Record]) -> Table:
    """The curve in numbers: rows evenly spaced over the run, columns that were measured."""
    indices = np.unique(np.linspace(0, len(metrics) - 1, min(CURVE_ROWS, len(metrics))).astype(int)) if metrics else []
    columns = {name: (column(metrics, key), write) for name, (key, write) in CURVE.items()}
    finite_columns = {name: pair for name, pair in columns.items() if np.isfinite(pair[0]).any()}
    rows = [[Cell(write(float(values[index]))) for values, write in finite_columns.values()] for index in indices]
    return Table(list(finite_columns), rows if finite_columns else [])
