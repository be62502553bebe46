"""How each annotator is doing: one row of shares with intervals, and flags in plain words where chance is no excuse.

A flag needs two things: a share beyond a limit that matters, and a test that honest luck does not explain. The tests of
all annotators and all faults are corrected together (Holm 1979). Shape letters: ``N`` comparisons, ``A`` annotators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from plaudit.feedback.quality.conduct import Counts, Evidence, conduct
from plaudit.feedback.quality.rates import Rate, binomial_test, holm, rates
from plaudit.feedback.quality.surprise import lapse_rates, residuals
from plaudit.feedback.quality.tables import Comparisons
from plaudit.types import Array, PlauditError


@dataclass(frozen=True)
class Limits:
    """How far a habit may go before it is a fault, and the certainty that a flag needs."""

    level: float = 0.05
    """Probability that any annotator at all is flagged although every annotator keeps within the limits. The tests of
    counts are exact; those against the reward model hold for many answers, if the model is right."""
    side: float = 0.05
    """Largest distance of the left rate from one half."""
    consistency: float = 0.7
    """Smallest share of swapped repeats that get the same answer."""
    gold: float = 0.7
    """Smallest share of gold questions that are answered right."""
    too_fast: float = 0.1
    """Largest share of answers that came too fast."""
    most_frequent: float = 0.9
    """Largest share of one and the same answer (left, right, tie or can't tell)."""
    tie: float = 0.6
    """Largest share of ties. About 31 % of arena votes are ties."""
    cant_tell: float = 0.5
    """Largest share of can't tell."""
    lapse: float = 0.5
    """Largest share of answers that are as good as a coin toss."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            highest = 0.5 if field.name == "side" else 1
            if not 0 < value < highest:
                raise PlauditError(f"Limits.{field.name} must lie strictly between 0 and {highest}, got {value}")


@dataclass(frozen=True)
class Health:
    """One annotator. A rate with no trials is NaN: there was nothing to measure."""

    annotator: str
    answers: int  # can't tell included
    left: Rate  # of decisive answers, those that chose the side shown left
    left_p_value: float  # exact two-sided binomial test against one half, not corrected
    consistency: Rate  # of repeats with sides swapped, those with the same answer
    gold: Rate  # of gold questions answered, those answered right; can't tell is no answer
    too_fast: Rate
    most_frequent: Rate  # the most frequent answer as it was given: left, right, tie or can't tell
    tie: Rate  # of answers other than can't tell
    cant_tell: Rate
    negative_log_likelihood: float  # under the reward model, mean for each decisive answer, nats
    residual_z: float  # against the other annotators; high is more surprising
    lapse: float  # share of answers that are a coin's, by maximum likelihood
    lapse_low: float
    lapse_high: float
    flags: tuple[str, ...]  # in plain words; () when nothing is wrong


def health(
    comparisons: Comparisons,
    evidence: Evidence | None = None,
    limits: Limits | None = None,
    more_counts: Mapping[str, Counts] | None = None,
) -> list[Health]:
    """One :class:`Health` for each annotator, in the order of ``comparisons.annotators``.

    ``more_counts`` adds successes and trials, (A,) each, of answers that compare no two, by the name of the rate.

    Rows of ``comparisons`` are in order of time: a repeat is compared with the same person's previous answer to the
    same two items, and counts when the items had changed sides in between.
    PlauditError: evidence of another length, or that cannot be.
    """
    evidence, limits = evidence or Evidence(), limits or Limits()
    evidence.check(len(comparisons.choice))
    missing = np.full(len(comparisons.choice), np.nan)
    probability = missing if evidence.probability is None else evidence.probability
    surprise = residuals(comparisons, probability)
    lapses = lapse_rates(comparisons, probability, limits.lapse)
    counts = conduct(comparisons, evidence)
    for name, (hits, trials) in (more_counts or {}).items():
        if name not in counts or hits.shape != trials.shape or hits.shape != counts[name][0].shape:
            raise PlauditError(f"more_counts[{name!r}] must be counts of a rate of Health, one for each annotator")
        counts[name] = (counts[name][0] + hits, counts[name][1] + trials)
    left_p_value = binomial_test(*counts["left"])
    columns = {name: rates(*pair) for name, pair in counts.items()}
    rows = [
        Health(
            annotator=name,
            answers=columns["cant_tell"][row].trials,
            left_p_value=float(left_p_value[row]),
            negative_log_likelihood=float(surprise.negative_log_likelihood[row]),
            residual_z=float(surprise.z[row]),
            lapse=float(lapses.rate[row]),
            lapse_low=float(lapses.low[row]),
            lapse_high=float(lapses.high[row]),
            flags=(),
            **{key: column[row] for key, column in columns.items()},
        )
        for row, name in enumerate(comparisons.annotators)
    ]
    luck = _luck(counts, limits)
    luck |= {"residual": surprise.p_value, "lapse": lapses.p_value}
    # All annotators and all faults are one family: with 300 people and nine tests each, luck alone would flag many.
    faulty = holm(np.stack(list(luck.values()))) < limits.level
    flags = [
        tuple(WORDS[name](row) for name, hit in zip(luck, column, strict=True) if hit)
        for row, column in zip(rows, faulty.T, strict=True)
    ]
    return [replace(row, flags=words) for row, words in zip(rows, flags, strict=True)]


def _luck(counts: dict[str, Counts], limits: Limits) -> dict[str, Array]:
    """p-values (A,): how likely counts so bad are for somebody just at the limit. NaN where nothing was counted."""
    hits, trials = counts["left"]
    # Twice, because the side was not named beforehand.
    one_sided = binomial_test(np.maximum(hits, trials - hits), trials, 0.5 + limits.side, "greater")
    luck = {"left": np.minimum(2 * one_sided, 1.0)}
    for name in ("consistency", "gold"):
        luck[name] = binomial_test(*counts[name], getattr(limits, name), "less")
    for name in ("too_fast", "most_frequent", "tie", "cant_tell"):
        luck[name] = binomial_test(*counts[name], getattr(limits, name), "greater")
    return luck


def _fraction(rate: Rate) -> str:
    return f"{rate.successes} of {rate.trials} ({rate.rate:.0%})"


def _side(row: Health) -> str:
    if row.left.rate >= 0.5:
        return f"chose the left side in {_fraction(row.left)} decisions"
    right = replace(row.left, successes=row.left.trials - row.left.successes, rate=1 - row.left.rate)
    return f"chose the right side in {_fraction(right)} decisions"


WORDS: dict[str, Callable[[Health], str]] = {
    "left": _side,
    "consistency": lambda row: f"gave the same answer to only {_fraction(row.consistency)} repeats with sides swapped",
    "gold": lambda row: f"answered only {_fraction(row.gold)} gold questions right",
    "too_fast": lambda row: f"answered {_fraction(row.too_fast)} questions faster than they can be taken in",
    "most_frequent": lambda row: f"gave one and the same answer to {_fraction(row.most_frequent)} questions",
    "tie": lambda row: f"called {_fraction(row.tie)} comparisons a tie",
    "cant_tell": lambda row: f"could not tell in {_fraction(row.cant_tell)} comparisons",
    "residual": lambda row: f"goes against the reward model more than others do (z = {row.residual_z:.1f})",
    "lapse": lambda row: f"answers like a coin {row.lapse:.0%} of the time (at least {row.lapse_low:.0%})",
}
