"""PRM800K: solutions of mathematical problems, each step rated by a person. Lightman et al. 2023.

A solution is the chosen one of each step's alternatives; where none was chosen, the one that a person wrote instead,
or else the first, in which the person found the error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting
from plaudit.feedback.formats._steps import mark_steps

RATINGS = {-1: "incorrect", 0: "neutral", 1: "correct"}
UNFINISHED = ("give_up", "bad_problem")


class Prm800k(Format):
    """One solution an object."""

    name = "prm800k"
    title = "PRM800K"
    suffixes = (".jsonl", ".jsonl.gz")
    lossy: ClassVar[Mapping[str, str]] = {
        "label.steps": "joined to one response, a line each; a span marks each step that is rated",
        "label.steps[].completions": "the chosen alternative; ratings of the others are counted and left out",
        "label.steps[].human_completion": "marked as correct",
        "label.finish_reason": "solutions that were given up, and bad problems, are counted and left out",
        "label.total_time, timestamp": "kept as the time when it was shown and submitted",
        "is_quality_control_question, is_initial_screening_question": "not kept: read as other solutions are",
        "question.ground_truth_*, question.pre_generated_*, generation": "not read",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A problem, and steps with labels."""
        question, label = first.get("question"), first.get("label")
        return (
            isinstance(question, Mapping) and isinstance(label, Mapping) and "problem" in question and "steps" in label
        )

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The spans over one solution."""
        label = row.object("label")
        reason = label.text("finish_reason", "")
        if reason in UNFINISHED:
            raise Empty(f"the labeler did not finish it: {reason}")
        steps = [step for step in map(_read_step, label.objects("steps")) if step is not None]
        submitted = _seconds(row)
        shown_at = max(0.0, submitted - float(label.number("total_time", 0)) / 1000)
        answer = Answer(row.text("labeler", setting.annotator), {}, None, shown_at, submitted)
        yield mark_steps(user(row.object("question").text("problem")), steps, answer, setting)


def _read_step(step: Fields) -> tuple[str, str | None] | None:
    """The text of a step and its category; None where there is no step."""
    completions, chosen = step.objects("completions", ()), step.whole("chosen_completion", None)
    if chosen is not None and not 0 <= chosen < len(completions):
        raise step.fault("chosen_completion", f"must be one of {len(completions)} completions from 0, got {chosen}")
    human = step.get("human_completion", None) if chosen is None else None
    for index, completion in enumerate(completions):
        if completion.has("rating") and (human is not None or index != (chosen or 0)):
            step.note("the rating of a step that is not in the solution is left out")
    if human is not None:
        return human if isinstance(human, str) else step.object("human_completion").text("text"), "correct"
    if not completions:
        return None
    completion = completions[chosen or 0]
    rating = completion.whole("rating", None)
    if rating is not None and rating not in RATINGS:
        raise completion.fault("rating", f"must be -1, 0 or 1, got {rating}")
    return completion.text("text"), None if rating is None else RATINGS[rating]


def _seconds(row: Fields) -> float:
    """When a solution was submitted; a time without a zone is UTC."""
    text = row.text("timestamp", "")
    if not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise row.fault("timestamp", f"must be a time such as 2023-01-22T04:34:27, got {text!r}") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


FORMAT = Prm800k()
