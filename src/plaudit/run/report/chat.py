"""The report of a language run as one HTML page that asks for nothing and runs nothing.

What a model wrote, and what people asked it, is text of strangers: it is escaped, kept from changing the direction of
what stands around it, and the page's policy forbids scripts altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

from markupsafe import Markup

from plaudit.language.evaluation import Evaluation, Example
from plaudit.run.report import chat_plots as draw
from plaudit.run.report import plots
from plaudit.run.report.calibration import reliability, temperature
from plaudit.run.report.chat_data import ChatReportData
from plaudit.run.report.chat_plots import Line, Panel
from plaudit.run.report.chat_words import headline, table, tiles, verdict
from plaudit.run.report.data import Record
from plaudit.run.report.html import Key, Plot, groups, page, part, write_page
from plaudit.run.report.plots import DOTTED
from plaudit.run.report.svg import BASELINE, MUTED, PREDICTED
from plaudit.run.report.words import SPACE, number, percent

__all__ = ["ChatReportData", "headline", "render", "write_report"]

SHOWN = 8
FEW = 10  # rounds, below which curves are drawn over updates
WON = {1.0: "preferred to before", 0.5: "as good as before", 0.0: "worse than before"}
CHANCE = (0.5, "chance")
UNKNOWING = (log(2), "ln 2: knows nothing")


@dataclass(frozen=True)
class Response:
    """What one policy answered, and what is said about it."""

    policy: str
    text: str
    notes: str
    new: bool  # not of the policy that training started from


@dataclass(frozen=True)
class Sample:
    """A prompt and the responses to it, side by side."""

    prompt: Sequence[tuple[str, str]]  # role and text
    responses: Sequence[Response]


def write_report(data: ChatReportData, path: Path) -> None:
    """Write the report to ``path``, replacing what was there only once the new page is complete.

    Raises:
        PlauditError: the page cannot be written.
    """
    write_page(render(data), path)


def render(data: ChatReportData) -> str:
    """The page as text. Every name, value and text is escaped; only our own SVG and CSS are not."""
    found = data.evaluation
    return page(
        "chat.html",
        data=data,
        css=Markup(part("report.css") + part("chat.css")),
        verdict=verdict(data),
        tiles=tiles(data),
        steps=[(name, lead, plots) for name, lead, plots in _steps(data) if plots],
        evaluated=_evaluated(found),
        columns=[each.name for each in found.columns] if found else [],
        table=table(found) if found else [],
        samples=[_sample(each, found) for each in found.examples[:SHOWN]] if found else [],
        counts=groups(data.counts),
        settings=groups(data.settings),
        versions=" · ".join(f"{name} {version}" for name, version in data.versions.items()),
    )


def _steps(data: ChatReportData) -> list[tuple[str, str, list[Plot]]]:
    """Heading, lead and plots of each of the three steps; a plot without data is left out."""
    steps = [
        ("1. Demonstrations", "The model is fitted to responses that were written for it.", [_fine_tuning(data)]),
        (
            "2. Reward model",
            "A score of responses is learned from what was judged. Calibration is measured on judgements of prompts "
            "that it was not fitted to.",
            [_reward(data), _held_out(data), _calibration(data)],
        ),
        (
            "3. Policy",
            "The policy is improved against the reward model, less lambda times its distance from where it started. "
            "The held-out share is measured beside it and never shown to the learner.",
            [_progress(data), _overoptimisation(data), _penalty(data), _length(data), _updates(data)],
        ),
    ]
    return [(name, lead, [each for each in found if each is not None]) for name, lead, found in steps]


def _plot(title: str, svg: Markup | None, caption: str, key: tuple[Key, ...] = ()) -> Plot | None:
    return Plot(title, svg, caption, "", key) if svg is not None else None


def _fine_tuning(data: ChatReportData) -> Plot | None:
    lines = (Line("loss"), Line("held_out_loss", BASELINE))
    svg = draw.stack("sft", data.sft, "step", "step", [Panel("loss", lines)])
    other = (Key("baseline", "held-out demonstrations"),) if draw.has(data.sft, "held_out_loss") else ()
    return _plot(
        "Loss",
        svg,
        "Of the responses alone, in nats a token; prompts are not learned.",
        (Key("preference", "fitted"), *other),
    )


JUDGED = "Above, how often the model puts two responses in the order that was judged. Below, its loss in nats."


def _reward(data: ChatReportData) -> Plot | None:
    """As it was fitted, optimiser step after optimiser step; held-out lines where the rows have them."""
    out = any(draw.has(data.reward, key) for key in ("holdout_loss", "holdout_accuracy"))
    fitted: dict[str, Any] = {"style": DOTTED, "colour": MUTED} if out else {}
    panels = [
        Panel("accuracy", (Line("accuracy", **fitted), Line("holdout_accuracy")), True, CHANCE),
        Panel("loss", (Line("loss", **fitted), Line("holdout_loss")), level=UNKNOWING),
    ]
    key = (Key("muted", "fitted judgements", "dotted"), Key("preference", "held-out judgements"))
    svg = draw.stack("fitting", data.reward, "step", "optimiser step", panels)
    return _plot("Fitting", svg, JUDGED, key if out else (Key("preference", "judgements that it is fitted to"),))


def _held_out(data: ChatReportData) -> Plot | None:
    """After each round, on judgements that the model was not fitted to."""
    panels = [
        Panel("accuracy", (Line("accuracy"),), True, CHANCE),
        Panel("loss", (Line("fit_loss", MUTED, DOTTED), Line("loss")), level=UNKNOWING),
    ]
    fitted = (Key("muted", "fitted judgements", "dotted"),) if draw.has(data.rounds, "fit_loss") else ()
    return _plot(
        "Round by round",
        draw.stack("held-out", data.rounds, "round", "round", panels),
        f"{JUDGED} Where the lines part, the model is learning its judgements by heart.",
        (Key("preference", "held-out judgements"), *fitted),
    )


def _calibration(data: ChatReportData) -> Plot | None:
    pairs = data.calibration
    if pairs is None or (diagram := reliability(pairs)) is None:
        return None
    length = ""
    if data.length_accuracy is not None:
        length = f" A rule that knows nothing but length is right in {percent(data.length_accuracy.value)}."
    return _plot(
        "Calibration",
        plots.calibration(diagram),
        "On the dotted line the model is as right as it claims; below it, too sure of itself. Bars are "
        f"95{SPACE}% intervals. Over all {number(int(diagram.counts.sum()))} pairs: accuracy "
        f"{percent(diagram.accuracy)}, cross-entropy {number(diagram.log_loss)} nats, calibration error "
        f"{number(diagram.error)}. Divided by {number(temperature(pairs.predicted, pairs.targets))} its scores would "
        f"be calibrated.{length}",
        (Key("preference", "held-out pairs"), Key("muted", "perfect calibration", "dotted")),
    )


def _improvements(data: ChatReportData) -> tuple[Sequence[Record], str]:
    """What is drawn over the run and what each is: rounds, or where these are few their updates."""
    if data.updates and len(data.rounds) < FEW:
        return data.updates, "update"
    return data.rounds, "round"


def _over_run(data: ChatReportData, name: str, wanted: Sequence[Panel]) -> Markup | None:
    rows, across = _improvements(data)
    return draw.stack(name, rows, across, across, wanted)


def _progress(data: ChatReportData) -> Plot | None:
    held = draw.has(_improvements(data)[0], "held_out")
    below = " Below, the share of responses that satisfy the held-out rule." if held else ""
    return _plot(
        "Reward and held-out share" if held else "Reward",
        _over_run(
            data,
            "progress",
            [Panel("reward", (Line("score", PREDICTED),)), Panel("held out", (Line("held_out"),), True)],
        ),
        "Above, what the reward model gives a response, in its own units." + below,
    )


def _overoptimisation(data: ChatReportData) -> Plot | None:
    rows, name = _improvements(data)
    svg = draw.frontier(rows, data.evaluation)
    diamonds = data.evaluation is not None and any(
        "kl" in each.measures and "share" in each.measures for each in data.evaluation.columns
    )
    key = (Key("baseline", "evaluated at the end", "square"),) if diamonds else ()
    return _plot(
        "What distance buys",
        svg,
        f"Each dot is one {name}, the later the stronger, against the square root of its KL (Gao et al. 2022). Reward "
        "that rises on while the held-out share falls is a reward model being fooled.",
        key,
    )


def _penalty(data: ChatReportData) -> Plot | None:
    return _plot(
        "Distance and lambda",
        _over_run(
            data,
            "penalty",
            [Panel("KL, nats", (Line("kl"),)), Panel("lambda", (Line("kl_coefficient", BASELINE),))],
        ),
        "KL from the model that training started from, in nats a response, and the weight that holds it.",
    )


def _length(data: ChatReportData) -> Plot | None:
    return _plot(
        "Length",
        _over_run(
            data,
            "length",
            [Panel("tokens", (Line("tokens"),)), Panel("ended", (Line("ended", PREDICTED),), True)],
        ),
        "Mean length of a response, and the share that ended by itself and not by the limit. Reward that comes "
        "from length shows here.",
    )


def _updates(data: ChatReportData) -> Plot | None:
    return _plot(
        "Updates",
        _over_run(
            data,
            "updates",
            [
                Panel("entropy", (Line("entropy"),)),
                Panel("clipped", (Line("clipped", BASELINE),), True),
                Panel("value loss", (Line("value_loss", MUTED),)),
            ],
        ),
        "What an update did: the share of tokens whose ratio left PPO's clip, and the loss of the value function. "
        "Entropy that falls to nothing is a policy that always says the same.",
    )


def _evaluated(found: Evaluation | None) -> str:
    """How it was measured, in words."""
    if found is None:
        return ""
    each = "one response" if found.samples == 1 else f"{number(found.samples)} responses"
    said = [
        f"On {number(found.prompts)} prompts that training never saw, {each} to each, drawn from the same seeds. "
        f"95{SPACE}% intervals are a bootstrap over prompts, differences in pairs."
    ]
    if found.windows:
        said.append(f"Unrelated text: {number(found.windows)} windows, in float32.")
    if any("kl" in each.measures for each in found.columns):
        said.append(f"KL is measured from {found.reference}.")
    judging = found.judges.get(found.result or "")
    if judging is not None:
        said.append(f"The judge is {judging.name}: {number(judging.pairs)} pairs decided")
        said[-1] += f", {number(judging.undecided)} not" if judging.undecided else ""
        said[-1] += (
            "." if judging.flipped is None else f"; it changed its mind with the order in {percent(judging.flipped)}."
        )
    return " ".join(said)


def _sample(shown: Example, found: Evaluation) -> Sample:
    responses = []
    for place, (column, text) in enumerate(zip(found.columns, shown.responses, strict=True)):
        notes = []
        if shown.satisfied is not None:
            notes.append("satisfies the rule" if shown.satisfied[place] else "breaks the rule")
        if not shown.finished[place]:
            notes.append("cut off")
        won = shown.wins[place] if place < len(shown.wins) else None
        if won is not None:
            notes.append(WON.get(won, "the judge wavers"))
        responses.append(Response(column.name, text, " · ".join(notes), place > 0))
    return Sample([(each.role, each.content) for each in shown.prompt], responses)
