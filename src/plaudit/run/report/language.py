"""The report of a language run: its headline, and its sections. A section without data is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from plaudit.language.evaluation import Evaluation, Example
from plaudit.run.report import language_plots as draw
from plaudit.run.report.calibration import reliability, temperature
from plaudit.run.report.language_data import LanguageResults
from plaudit.run.report.language_plots import Line, Panel
from plaudit.run.report.language_words import relevance_remarks, table, tiles, verdict
from plaudit.run.report.plots import CHANCE, DOTTED, UNKNOWING, calibration
from plaudit.run.report.sections import (
    Details,
    Key,
    Plot,
    Plots,
    Report,
    Response,
    Sample,
    Samples,
    Section,
    Settings,
    command,
    groups,
)
from plaudit.run.report.svg import BASELINE, MUTED, PREDICTED
from plaudit.run.report.values import Record, column
from plaudit.run.report.words import SPACE, number, percent

MOST, FIRST = 8, 4  # samples, and of these the ones that need no click
FEW = 10  # rounds, below which curves are drawn over updates
WON = {1.0: "preferred to before", 0.5: "as good as before", 0.0: "worse than before"}


def language_report(data: LanguageResults) -> Report:
    """Fill a report."""
    curves = [("Held-out share", column(data.rounds, "held_out"))]
    if not draw.has(data.rounds, "held_out"):
        curves = [("Reward", column(data.rounds, "score"))]
    sections = [*_evaluation(data.evaluation), *_steps(data), *_settings(data)]
    if data.command or data.versions:
        sections.append(Section("reproduce", "Reproduce", "", [command(data.command, data.versions)]))
    return Report(
        data.title,
        data.model,
        verdict(data),
        tiles(data),
        sections,
        curves,
        remarks=[*relevance_remarks(data.evaluation), *data.remarks],
        changes=True,
    )


def _evaluation(evaluation: Evaluation | None) -> list[Section]:
    """Samples, and the table of measures."""
    if evaluation is None:
        return []
    sections = []
    samples = [_sample(row, evaluation) for row in evaluation.examples[:MOST]]
    if samples:
        first, rest = samples[:FIRST], samples[FIRST:]
        lead = "The first held-out prompts, and the first response of each policy to them. They were not selected."
        more = [Details(f"{len(rest)} more", Samples(rest))] if rest else []
        sections.append(Section("samples", "Before and after", lead, [Samples(first), *more]))
    measures = table(evaluation)
    if measures.rows:
        sections.append(Section("evaluation", "Evaluation", _method(evaluation), [measures]))
    return sections


def _settings(data: LanguageResults) -> list[Section]:
    """Counts of data, and settings."""
    lead = "All judgements and data that were read, and their use. Everything that was left out or cut is counted."
    candidates = (
        ("counts", "Judgements and data", lead, groups(data.counts)),
        ("settings", "Settings", "", groups(data.settings)),
    )
    return [Section(id, heading, lead, [Settings(rows)]) for id, heading, lead, rows in candidates if rows]


def _steps(data: LanguageResults) -> list[Section]:
    """The three steps of training; a plot without data is left out, and a step without plots."""
    steps = [
        ("Demonstrations", "The model is fitted to responses that were written for it.", [_fine_tuning(data)]),
        (
            "Reward model",
            "A score of responses is learned from what was judged. Calibration is measured on judgements of prompts "
            "that it was not fitted to.",
            [_reward(data), _held_out(data), _calibration(data)],
        ),
        (
            "Policy",
            "The policy is improved against the reward model, less lambda times its KL from its starting point. "
            "The held-out share is measured next to it and never shown to the learner.",
            [_progress(data), _overoptimisation(data), _penalty(data), _length(data), _updates(data)],
        ),
    ]
    sections = []
    for step, (name, lead, candidates) in enumerate(steps, 1):
        plots = [plot for plot in candidates if plot is not None]
        if plots:
            sections.append(Section(f"step-{step}", f"{step}. {name}", lead, [Plots(plots)]))
    return sections


def _plot(title: str, svg: Markup | None, caption: str, key: tuple[Key, ...] = ()) -> Plot | None:
    return Plot(title, svg, caption, "", key) if svg is not None else None


def _fine_tuning(data: LanguageResults) -> Plot | None:
    lines = (Line("loss"), Line("held_out_loss", BASELINE))
    svg = draw.stack("sft", data.sft, "step", "step", [Panel("loss", lines)])
    held_out = (Key("baseline", "held-out demonstrations"),) if draw.has(data.sft, "held_out_loss") else ()
    return _plot(
        "Loss",
        svg,
        "Loss of the responses alone, in nats per token; prompts are not learned.",
        (Key("preference", "fitted"), *held_out),
    )


JUDGED = "Above: how often the model puts two responses in the judged order. Below: its loss in nats."


def _reward(data: LanguageResults) -> Plot | None:
    """As it was fitted, optimiser step after optimiser step; held-out lines where the rows have them."""
    held_out = any(draw.has(data.reward, key) for key in ("holdout_loss", "holdout_accuracy"))
    style: dict[str, Any] = {"style": DOTTED, "colour": MUTED} if held_out else {}
    panels = [
        Panel("accuracy", (Line("accuracy", **style), Line("holdout_accuracy")), True, CHANCE),
        Panel("loss", (Line("loss", **style), Line("holdout_loss")), level=UNKNOWING),
    ]
    key = (Key("muted", "fitted judgements", "dotted"), Key("preference", "held-out judgements"))
    svg = draw.stack("fitting", data.reward, "step", "optimiser step", panels)
    return _plot("Fitting", svg, JUDGED, key if held_out else (Key("preference", "judgements that it is fitted to"),))


def _held_out(data: LanguageResults) -> Plot | None:
    """After each round, on judgements that the model was not fitted to."""
    panels = [
        Panel("accuracy", (Line("accuracy"),), True, CHANCE),
        Panel("loss", (Line("fit_loss", MUTED, DOTTED), Line("loss")), level=UNKNOWING),
    ]
    key = (Key("muted", "fitted judgements", "dotted"),) if draw.has(data.rounds, "fit_loss") else ()
    return _plot(
        "Round by round",
        draw.stack("held-out", data.rounds, "round", "round", panels),
        f"{JUDGED} If the lines part, the model overfits its judgements.",
        (Key("preference", "held-out judgements"), *key),
    )


def _calibration(data: LanguageResults) -> Plot | None:
    pairs = data.calibration
    if pairs is None or (diagram := reliability(pairs)) is None:
        return None
    length = ""
    if data.length_accuracy is not None:
        length = f" A rule that knows only length is right in {percent(data.length_accuracy.value)}."
    return _plot(
        "Calibration",
        calibration(diagram),
        "On the dotted line the model's confidence is right; below it, the model is overconfident. Bars are "
        f"95{SPACE}% intervals. Over all {number(int(diagram.counts.sum()))} pairs: accuracy "
        f"{percent(diagram.accuracy)}, cross-entropy {number(diagram.log_loss)} nats, calibration error "
        f"{number(diagram.error)}. Divided by {number(temperature(pairs.predicted, pairs.targets))} its scores would "
        f"be calibrated.{length}",
        (Key("preference", "held-out pairs"), Key("muted", "perfect calibration", "dotted")),
    )


def _improvements(data: LanguageResults) -> tuple[Sequence[Record], str]:
    """What is drawn over the run and what each is: rounds, or where these are few their updates."""
    if data.updates and len(data.rounds) < FEW:
        return data.updates, "update"
    return data.rounds, "round"


def _over_run(data: LanguageResults, name: str, panels: Sequence[Panel]) -> Markup | None:
    rows, unit = _improvements(data)
    return draw.stack(name, rows, unit, unit, panels)


def _progress(data: LanguageResults) -> Plot | None:
    held_out = draw.has(_improvements(data)[0], "held_out")
    lower = " Below: the share of responses that satisfy the held-out rule." if held_out else ""
    return _plot(
        "Reward and held-out share" if held_out else "Reward",
        _over_run(
            data,
            "progress",
            [Panel("reward", (Line("score", PREDICTED),)), Panel("held out", (Line("held_out"),), True)],
        ),
        "Above: the reward model's score of a response, in its own units." + lower,
    )


def _overoptimisation(data: LanguageResults) -> Plot | None:
    rows, name = _improvements(data)
    svg = draw.frontier(rows, data.evaluation)
    diamonds = data.evaluation is not None and any(
        {"kl", "share"} <= policy.measures.keys() for policy in data.evaluation.columns
    )
    key = (Key("baseline", "evaluated at the end", "square"),) if diamonds else ()
    return _plot(
        "Reward against KL",
        svg,
        f"Each dot is one {name}, the later the stronger, against the square root of its KL (Gao et al. 2022). If the "
        "reward rises while the held-out share falls, the policy exploits the reward model.",
        key,
    )


def _penalty(data: LanguageResults) -> Plot | None:
    return _plot(
        "KL and lambda",
        _over_run(
            data,
            "penalty",
            [Panel("KL, nats", (Line("kl"),)), Panel("lambda", (Line("kl_coefficient", BASELINE),))],
        ),
        "KL from the model that training started from, in nats per response, and lambda, its weight.",
    )


def _length(data: LanguageResults) -> Plot | None:
    return _plot(
        "Length",
        _over_run(
            data,
            "length",
            [Panel("tokens", (Line("tokens"),)), Panel("ended", (Line("ended", PREDICTED),), True)],
        ),
        "Mean length of a response, and the share that ended before the limit. A reward that comes from length shows "
        "here.",
    )


def _updates(data: LanguageResults) -> Plot | None:
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
        "For each update: the share of tokens whose ratio left PPO's clip, and the loss of the value function. "
        "If the entropy falls to zero, the policy always writes the same.",
    )


def _method(evaluation: Evaluation) -> str:
    """How the policies were measured, in words."""
    count = "one response" if evaluation.samples == 1 else f"{number(evaluation.samples)} responses"
    sentences = [
        f"On {number(evaluation.prompts)} prompts that training never saw, {count} to each, drawn from the same seeds. "
        f"95{SPACE}% intervals are a bootstrap over prompts, differences in pairs."
    ]
    shares = {
        policy.name: policy.measures["ended"].value for policy in evaluation.columns if "ended" in policy.measures
    }
    if shares:
        cut = ", ".join(f"{percent(1 - share)} {name}" for name, share in shares.items())
        sentences.append(f"All are written up to the same limit, which cut off: {cut}.")
    if any("retrieved" in policy.measures for policy in evaluation.columns):
        sentences.append(
            "A prompt is found if the response has more words in common with it than with any other held-out prompt. "
            "Information on the prompt: how much more probable a response makes its prompt than another one, by the "
            "first model."
        )
    if evaluation.windows:
        sentences.append(f"Unrelated text: {number(evaluation.windows)} windows, in float32.")
    if any("kl" in policy.measures for policy in evaluation.columns):
        sentences.append(f"KL is measured from {evaluation.reference}.")
    judging = evaluation.judges.get(evaluation.result or "")
    if judging is not None:
        sentences.append(f"The judge is {judging.name}: {number(judging.pairs)} pairs decided")
        sentences[-1] += f", {number(judging.undecided)} not" if judging.undecided else ""
        sentences[-1] += (
            "." if judging.flipped is None else f"; its verdict changed with the order in {percent(judging.flipped)}."
        )
    return " ".join(sentences)


def _sample(row: Example, evaluation: Evaluation) -> Sample:
    responses = []
    for index, (policy, text) in enumerate(zip(evaluation.columns, row.responses, strict=True)):
        notes = []
        if row.satisfied is not None:
            notes.append("satisfies the rule" if row.satisfied[index] else "breaks the rule")
        if not row.finished[index]:
            notes.append("cut off")
        win = row.wins[index] if index < len(row.wins) else None
        if win is not None:
            notes.append(WON.get(win, "the order decides"))
        responses.append(Response(policy.name, text, " · ".join(notes), index > 0))
    return Sample([(message.role, message.content) for message in row.prompt], responses)
