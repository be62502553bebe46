"""6. Groups: does one reward serve all annotators, or only the many?

A model of all answers is asked about answers that it was not fitted to: gap = its accuracy on the others' answers minus
that on a group's. Where the group's own model is right, and the common one is not, tastes differ; where neither is,
answers are noisy. It needs no truth, but a group for each annotator: `--groups`, or each annotator is one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plaudit.audits.finding import Cure, Effect, Finding, Null
from plaudit.audits.people._answers import Pairs, missing_answers, read_pairs
from plaudit.audits.people._cures import try_models
from plaudit.audits.people._groups import group_of_each
from plaudit.audits.people._held_out import (
    clip_models,
    predict_held_out,
    predict_texts,
    predict_unseen_pairs,
    prompt_folds,
    segments_of,
)
from plaudit.audits.subject import Subject
from plaudit.feedback.quality import rates
from plaudit.functional.intervals import newcombe
from plaudit.run.stored import CONTROL
from plaudit.types import Array, PlauditError

GAP = 0.15  # seen between a majority of 80 % and its minority, whose tastes agree on half of all pairs
LEVEL = 0.95
BETTER = 0.05  # of accuracy: what a group's own model gains where its taste is another
FEWEST = 20  # held-out answers of a group
SHUFFLES = 20
CLUSTERS = 2  # of a mixture that is tried where each annotator is a group


@dataclass(frozen=True)
class Gap:
    """How much worse a model of all serves one group than the rest."""

    group: str
    value: float  # accuracy on the rest minus accuracy on the group
    low: float  # of an interval that holds for all groups together
    high: float
    accuracy: float
    rest: float
    n: int


class Groups:
    """Whether one reward serves every group of annotators."""

    name, title, order = "groups", "Groups of annotators", 6

    def measurable(self, subject: Subject) -> str | None:
        """It needs answers."""
        return missing_answers(subject)

    def measure(self, subject: Subject) -> list[Finding]:
        """The group that a model of all serves worst, and how well its own model would; groups shuffled is the null."""
        pairs = read_pairs(subject)
        labels, names = group_of_each(subject, pairs)
        predicted = predict_held_out(subject)
        mask = np.isfinite(predicted)
        right = ((predicted > 0.5) == pairs.first_better)[mask]
        gap = largest_gap(right, labels[mask], names)
        own_fit = own_accuracy(pairs.take(np.flatnonzero(labels == names.index(gap.group))), subject.config.seed)
        rng = np.random.default_rng(subject.config.seed)
        null = np.mean([largest_gap(right, rng.permutation(labels[mask]), names).value for _ in range(SHUFFLES)])
        is_shown = gap.low > 0
        meaning = (
            f"A model of all answers is right about {gap.accuracy:.0%} of {gap.group}'s held-out answers and "
            f"{gap.rest:.0%} of the others'."
        )
        if own_fit is not None and is_shown:
            taste = "want something else" if own_fit > gap.accuracy + BETTER else "give noisy answers, or too few"
            meaning += f" Fitted to {gap.group}'s answers alone it is right about {own_fit:.0%}: they {taste}."
        return [
            Finding(
                self.name,
                self.title,
                "fail" if is_shown and gap.value >= GAP else "warn" if is_shown else "pass",
                meaning,
                gap.value,
                (gap.low, gap.high),
                gap.n,
                eye="the annotators' own held-out answers",
                null=Null("groups shuffled among answers, the largest gap", float(null)),
                threshold=f"warns if the interval (95 % for all groups) is above 0, fails if the gap is {GAP}, too",
                details={
                    "group": gap.group,
                    "own_fit": own_fit,
                    "groups": {name: int((labels == i).sum()) for i, name in enumerate(names)},
                },
            )
        ]

    def cure(self, subject: Subject, finding: Finding) -> Cure:
        """Weights, or a reward for each group."""
        group = finding.details["group"]
        measure = functools.partial(try_groups, subject, group)
        if subject.kind == CONTROL:
            return Cure(
                f"Fit a reward for each group, and choose whose the policy maximises; now {group} is served worst. "
                "Where tastes exclude each other, no one reward serves both.",
                "the groups whose reward the policy does not maximise are served no better",
                "--reward.objective heads --reward.groups groups.csv --reward.aim GROUP",
                measure,
            )
        return Cure(
            f"Collect more answers of {group}, or let each group's answers weigh alike. Where tastes exclude each "
            "other, train one reward for each group and say whose it is.",
            f"accuracy on the others falls where {group} wants the opposite",
            "plaudit.feedback.quality.rake (weights), or one project for each group (plaudit export --project)",
            measure,
        )


def try_groups(subject: Subject, group: str) -> list[Effect]:
    """What the worst-group objective, a head for each group and a mixture do to the gap of a group.

    Raises:
        PlauditError: the answers are about clips of pictures.
    """
    pairs, seed = read_pairs(subject), subject.config.seed
    labels, names = group_of_each(subject, pairs)
    member = labels == names.index(group)

    def gap(right: Array, rows: Array) -> float:
        in_group, rest = member[rows], (labels >= 0)[rows] & ~member[rows]
        return float(right[rest].mean() - right[in_group].mean())

    if pairs.texts is not None:
        models = text_models(pairs, labels, seed)
    else:
        models = clip_settings(pairs, labels, len(names) if subject.config.groups else CLUSTERS, seed)
    return try_models(subject, pairs, models, member, gap)


def clip_settings(pairs: Pairs, labels: Array, clusters: int, seed: int) -> dict[str, Callable[[], Array]]:
    """Predictions of clips under each objective of ``--reward.objective``, the run's first."""
    segments, clips = segments_of(pairs), clip_models()
    people = [pairs.annotators[index] for index in pairs.annotator]
    # groups may be called anything, so their numbers are the names here
    numbers = [str(label) for label in labels]
    heads = tuple(f"{number}={number}" for number in sorted(set(numbers)) if number != "-1")
    predict = functools.partial(clips.predict, segments, pairs.first_better, seed)
    return {
        "one reward of all answers": predict,
        "--reward.objective worst-group": functools.partial(
            predict, numbers, objective="worst-group", groups=tuple(f"{number}={number}" for number in set(numbers))
        ),
        "--reward.objective heads": functools.partial(predict, numbers, objective="heads", groups=heads),
        f"--reward.objective mixture --reward.clusters {clusters}": functools.partial(
            predict, people, objective="mixture", clusters=clusters
        ),
    }


def text_models(pairs: Pairs, labels: Array, seed: int) -> dict[str, Callable[[], Array]]:
    """Predictions of texts by one linear model, by one in which groups weigh alike, and by one for each group."""
    texts, folds = pairs.texts or [], prompt_folds(pairs, seed)
    counts = np.bincount(labels + 1)[labels + 1]
    equal_weights = len(labels) / (len(np.unique(labels)) * counts)

    def by_group() -> Array:
        predicted = np.full(len(labels), np.nan)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            chosen = [texts[row] for row in rows]
            predicted[rows] = predict_texts(chosen, pairs.first_better[rows], folds[rows])
        return predicted

    return {
        "one model of all answers": lambda: predict_texts(texts, pairs.first_better, folds),
        "groups that weigh alike": lambda: predict_texts(texts, pairs.first_better, folds, equal_weights),
        "a model for each group": by_group,
    }


def largest_gap(right: Array, labels: Array, names: tuple[str, ...]) -> Gap:
    """The group whose answers a model gets wrong most, beside the rest.

    right: (N,) bool. labels: (N,) int, -1 for none. The intervals of G groups are at 1 - 0.05 / G (Bonferroni).

    Raises:
        PlauditError: fewer than two groups have enough answers.
    """
    level = 1 - (1 - LEVEL) / max(len(names), 1)
    gaps: list[Gap] = []
    grouped = labels >= 0
    for index, name in enumerate(names):
        member = labels == index
        counts = (int((grouped & ~member).sum()), int(member.sum()))
        if min(counts) < FEWEST:
            continue
        hits = (int(right[grouped & ~member].sum()), int(right[member].sum()))
        rest, group = rates(np.array(hits), np.array(counts), level)
        low, high = newcombe((group.rate, group.low, group.high), (rest.rate, rest.low, rest.high))
        gaps.append(Gap(name, rest.rate - group.rate, low, high, group.rate, rest.rate, counts[1]))
    if len(names) < 2 or not gaps:
        raise PlauditError(f"it needs two groups with {FEWEST} held-out answers each: {len(names)} have any")
    return max(gaps, key=lambda gap: gap.low)


def own_accuracy(pairs: Pairs, seed: int) -> float | None:
    """Held-out accuracy of a model of these answers alone; None if they are too few."""
    try:
        predicted = predict_unseen_pairs(pairs, seed)
    except PlauditError:
        return None
    mask = np.isfinite(predicted)
    return float(((predicted > 0.5) == pairs.first_better)[mask].mean())


MEASURE = Groups()
