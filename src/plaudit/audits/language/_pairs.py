"""Pairs of responses that a reward model of texts is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from plaudit.audits.people._answers import decisions
from plaudit.audits.texts import TextSubject
from plaudit.feedback.formats import Record
from plaudit.feedback.formats.incoming import Reader
from plaudit.functional.significance import wins
from plaudit.types import Array, Dialogue, Message, PlauditError

LONGEST = 4000  # characters of a conversation: what is longer takes seconds on a CPU
PROMPTS = 200  # that a measure asks about: they bound its time
FEWEST = 20
NO_DATA = "it needs pairs of responses: name a file of them with --data"

Prompt = tuple[Message, ...]


@dataclass(frozen=True)
class TextPair:
    """A prompt, the response that people preferred, and the other one."""

    prompt: Prompt
    chosen: str
    rejected: str


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """``N`` pairs with the rewards of both responses, (N,) each."""

    pairs: Sequence[TextPair]
    chosen: Array
    rejected: Array
    eye: str

    @property
    def right(self) -> Array:
        """(N,): 1 where the preferred response has the higher reward, one half where both have the same."""
        return wins(self.chosen - self.rejected)

    @property
    def spread(self) -> float:
        """Standard deviation of all rewards; 1 if they are all equal."""
        return float(np.concatenate([self.chosen, self.rejected]).std()) or 1.0


def missing_pairs(subject: TextSubject) -> str | None:
    """Why no pair can be scored; None if some can."""
    if not subject.config.data and subject.store_path is None:
        return subject.missing_reward or NO_DATA
    return subject.missing_reward


def read_text_pairs(subject: TextSubject) -> tuple[list[TextPair], str]:
    """All pairs that are short enough, in an order drawn by the audit's seed, and whose eye they are.

    They are those of ``--data``, or else those that the run has stored, which its reward model was fitted to.

    Raises:
        PlauditError: there are too few; a file cannot be read.
    """

    def read() -> tuple[list[TextPair], str]:
        files = subject.config.data
        if files:
            records = [record for path in files for _, record in Reader(path).records()]
            eye = f"the annotators of {', '.join(path.name for path in files)}"
        else:
            records, eye = subject.records, "the run's own annotators, whose answers it was fitted to"
        pairs = [pair for record in records for pair in decided_pairs(record)]
        short = [pair for pair in pairs if length_of(pair) <= LONGEST]
        if len(short) < FEWEST:
            reason = f"there are {len(short)} decided pairs of responses to one prompt, and it needs {FEWEST}"
            raise PlauditError(f"{reason}: name a file of more with --data")
        order = np.random.default_rng(subject.config.seed).permutation(len(short))
        return [short[index] for index in order], eye

    return subject.share("text pairs", read)


def decided_pairs(record: Record) -> list[TextPair]:
    """The decisions in a record between two responses to one prompt."""
    if len(record.items) != 2:
        return []
    first, second = record.items
    if not isinstance(first, Dialogue) or not isinstance(second, Dialogue) or first.prompt != second.prompt:
        return []
    texts = [first.response or "", second.response or ""]
    if not first.prompt or not all(text.strip() for text in texts):
        return []
    return [TextPair(first.prompt, *(texts if better else texts[::-1])) for better, _ in decisions(record)]


def length_of(pair: TextPair) -> int:
    """Characters of the longer conversation."""
    return sum(len(message.content) for message in pair.prompt) + max(len(pair.chosen), len(pair.rejected))


def score_responses(subject: TextSubject, prompts: Sequence[Prompt], responses: Sequence[str]) -> Array:
    """Rewards (B,) of responses to prompts."""
    return subject.score(turns_of(prompts), list(responses)).astype(np.float64)


def turns_of(prompts: Sequence[Prompt]) -> list[list[dict[str, str]]]:
    """Prompts as the reward model takes them."""
    return [[{"role": message.role, "content": message.content} for message in prompt] for prompt in prompts]


def score_pairs(subject: TextSubject) -> ScoredPairs:
    """The first pairs of :func:`read_text_pairs` with their rewards, scored once for all measures."""

    def score() -> ScoredPairs:
        pairs, eye = read_text_pairs(subject)
        pairs = pairs[:PROMPTS]
        subject.report_progress(f"scoring {len(pairs)} pairs")
        prompts = [pair.prompt for pair in pairs]
        responses = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        scores = score_responses(subject, prompts * 2, responses)
        return ScoredPairs(pairs, scores[: len(pairs)], scores[len(pairs) :], eye)

    return subject.share("scored pairs", score)


def first_pairs(scored: ScoredPairs, count: int) -> ScoredPairs:
    """The first ``count`` of scored pairs."""
    return replace(scored, pairs=scored.pairs[:count], chosen=scored.chosen[:count], rejected=scored.rejected[:count])
