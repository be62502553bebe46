"""Where reward and feedback meet: which questions to ask next, and what the answers say to the reward model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from plaudit.feedback.asking import AskConfig
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.feedback.select import propose
from plaudit.feedback.store import Store
from plaudit.reward.fit import Comparisons, bootstrap_weights
from plaudit.types import Array, Judgement, PlauditError, Segment, Trajectory

Critic = Callable[[Array], Array]


@dataclass(frozen=True)
class FeedbackConfig(AskConfig):
    """The number of questions about pairs of clips, their times, and how they are chosen."""

    method: Literal["uniform", "disagreement", "entropy", "k-center"] = "disagreement"
    """How questions are chosen from the candidates."""
    length: int = 25
    """Number of steps in a clip."""
    pool: int = 10
    """Candidates drawn for every question asked."""
    wording: str = COMPARISON.wording
    """Words shown to annotators and stored with every question. Other words make people compare something else."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1:
            raise PlauditError(f"length must be at least 1 step, got {self.length}")
        if self.pool < 1:
            raise PlauditError(f"pool must be at least 1 candidate per question, got {self.pool}")


class Feedback:
    """The loop's view of the store: it asks, and reads what was judged. It never sees who judges, or how."""

    def __init__(
        self,
        store: Store,
        config: FeedbackConfig,
        keep: Callable[[Sequence[Segment], int], None],
        settle: Callable[[], object],
    ) -> None:
        """keep: called with segments about to be asked (an oracle's truth is written down there).
        settle: called after asking; drains the queue where annotators live in this process."""
        self.store, self.config, self.keep, self.settle = store, config, keep, settle
        self.n_asked = 0
        self.usable = 0  # answers in force that say something, when comparisons() last looked
        self.fingerprint = 0  # of exactly those that it gave back
        self._rows: list[str] = []  # judgement ids, in the order of the buffers' rows
        self._observations: Array = np.empty((0, 2))
        self._actions: Array = np.empty((0, 2))

    @property
    def rows(self) -> Sequence[str]:
        """Ids of the judgements that :meth:`comparisons` gave last, in the order of its rows."""
        return self._rows

    def due(self, step: int, total: int) -> int:
        """Questions to ask now, after ``step`` of ``total`` environment steps."""
        return self.config.due(step, total) - self.n_asked

    def ask(self, experience: Trajectory, per_step: Array, count: int, round: int, rng: np.random.Generator) -> None:
        """Choose ``count`` pairs of clips from recent experience and put them into the queue.

        per_step: (M, B, T) raw rewards of each member, from which disagreement is computed.
        """
        config = self.config
        if experience.states is not None and len(experience.states) < len(experience.mask):  # only these are filmed
            per_step = per_step[:, : len(experience.states)]
            experience = experience.first_rows(len(experience.states))
        pairs = propose(config.method, experience, per_step, config.length, count, rng, config.pool)
        items = [segment for pair in pairs for segment in pair]
        questions = [COMPARISON.question(first.id, second.id, round, config.wording) for first, second in pairs]
        self.keep(items, round)
        self.store.ask(questions, items)
        self.n_asked += len(pairs)  # fewer than were due where experience repeats itself; the rest stay due
        self.settle()

    def judgements(self, round: int | None, last_event: int | None = None) -> list[Judgement]:
        """Judgements in force: on questions asked up to ``round``, or that had arrived by event ``until``.

        Either way in a reproducible order: that of the questions, or that of arrival.
        """
        return self.store.judgements(round) if last_event is None else self.store.list_arrived(last_event)

    def comparisons(
        self,
        round: int | None,
        members: int,
        seed: int,
        critic: Critic | None,
        latest: int | None,
        last_event: int | None,
    ) -> Comparisons:
        """Training data for the reward model: ties count one half, can't-tell drops out.

        critic: V of a batch of observations, for the preference models that need it. round, until: as for
        :meth:`judgements`.
        """
        judged = [(judgement, COMPARISON.target(judgement.value)) for judgement in self.judgements(round, last_event)]
        informative = [(judgement, mu) for judgement, mu in judged if mu is not None]
        usable = informative[-(latest or 0) :]
        ids = [judgement.id for judgement, _ in usable]
        self.usable, self.fingerprint = len(informative), _fingerprint(ids)
        questions = self.store.questions([judgement.question for judgement, _ in usable])
        items = [(question.items[0], question.items[1]) for question in questions]
        observations, actions = self._arrays(ids, items)
        values = None
        if critic is not None and len(usable):
            ends = observations[:, :, [0, -1]]
            values = critic(ends.reshape(-1, *ends.shape[3:])).reshape(len(usable), 2, 2)
        mu = np.array([mu for _, mu in usable], np.float32)
        annotators = tuple(judgement.annotator for judgement, _ in usable)
        return Comparisons(observations, actions, mu, bootstrap_weights(items, members, seed), values, annotators)

    def _arrays(self, ids: list[str], items: list[tuple[str, str]]) -> tuple[Array, Array]:
        """Segments as contiguous (N, 2, L, ...) arrays; only rows that are new since the last call are read."""
        stored = len(self._rows) if ids[: len(self._rows)] == self._rows else 0
        segments = self.store.segments([segment for pair in items[stored:] for segment in pair])
        if segments and len(ids) > len(self._observations):
            first = segments[0]
            capacity = max(self.config.labels, len(ids))  # untouched pages cost nothing
            observations = np.empty((capacity, 2, *first.observations.shape), first.observations.dtype)
            actions = np.empty((capacity, 2, *first.actions.shape), first.actions.dtype)
            if stored:
                observations[:stored], actions[:stored] = self._observations[:stored], self._actions[:stored]
            self._observations, self._actions = observations, actions
        for index, segment in enumerate(segments):
            self._observations[stored + index // 2, index % 2] = segment.observations
            self._actions[stored + index // 2, index % 2] = segment.actions
        self._rows = ids
        return self._observations[: len(ids)], self._actions[: len(ids)]


def _fingerprint(ids: Sequence[str]) -> int:
    """63 bits of the BLAKE2b hash of judgement ids, which fit into an int64 tensor of a checkpoint."""
    digest = hashlib.blake2b("\x1f".join(ids).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
