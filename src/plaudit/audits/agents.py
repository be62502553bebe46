"""A run on an environment, as an audit looks at it: its checkpoints, fresh experience of each, and fresh pairs."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, cast

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.annotators.own import control_annotator
from plaudit.annotators.truth import Ledger
from plaudit.audits.subject import Subject
from plaudit.control.collect import VectorCollector
from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd
from plaudit.control.film import Film, needs_film
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.networks import ActorCritic
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.feedback.select import cut_indices, segment_sums, segments
from plaudit.interfaces import Annotator
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.run.control.assemble import torch_threads
from plaudit.run.control.config import Run
from plaudit.run.control.look import policy_of, reward_model_of
from plaudit.run.stored import PEOPLE
from plaudit.types import Array, PlauditError, Segment, Trajectory, TrueReward

SEED = 2**21  # far from the seeds of training and of the report
ROWS, ROWS_ONE_BY_ONE = 64, 16  # environments of a rollout: stepped together, or one by one in Python
FILMED_STEPS = 4 * 1000  # frames of a rollout, of the rows that are filmed
LONGEST = 1000  # steps of a rollout where episodes have no end, or a late one


def horizon_of(envs: VectorEnv, most: int = LONGEST) -> int:
    """Steps of an episode, at most ``most``."""
    return min(int(getattr(envs, "horizon", 0) or most), most)


@dataclass(frozen=True, eq=False)
class Clips:
    """``N`` clips with their returns by the learned reward and by the environment's."""

    segments: Sequence[Segment]
    learned: Array  # (N,) float64
    true: Array  # (N,) float64

    def __len__(self) -> int:
        return len(self.segments)


@dataclass(frozen=True, eq=False)
class Rollout:
    """Fresh experience of one checkpoint's policy, with rewards of each step (B, T)."""

    trajectory: Trajectory
    learned: Array  # by the final reward model
    true: Array
    episodes: Array  # (E,) true returns; of the rows if no episode ended

    def clips(self, length: int, count: int, rng: np.random.Generator) -> Clips:
        """At most ``count`` different clips, uniform over all that there are."""
        trajectory = self.trajectory
        if trajectory.states is not None and len(trajectory.states) < len(trajectory.mask):  # only these are filmed
            trajectory = trajectory.first_rows(len(trajectory.states))
        rows, starts = cut_indices(trajectory, length, count, rng)
        returns = [segment_sums(rewards, rows, starts, length) for rewards in (self.learned, self.true)]
        return Clips(segments(trajectory, rows, starts, length), *returns)


class AgentSubject(Subject):
    """A run on an environment."""

    @cached_property
    def run(self) -> Run:
        """The run."""
        return Run.open(self.path)

    def check(self, trust: bool) -> None:
        """Raise :class:`PlauditError` if a stranger's run names programs or files, or has no checkpoint."""
        self.run.check_trust(trust)
        self.run.load()
        self.resources.enter_context(torch_threads(1))  # small networks act faster on one

    @property
    def length(self) -> int:
        """Steps in a clip, as people saw them."""
        return self.run.config.feedback.length

    @cached_property
    def checkpoints(self) -> list[Path]:
        """Paths of the checkpoints, oldest first; the last is the final policy."""
        return self.run.checkpoints()

    def step_of(self, checkpoint: Path) -> int:
        """Environment steps after which a checkpoint was written."""
        round = int(checkpoint.stem)
        return next((int(row["step"]) for row in self.run.metrics() if row["round"] == round and row.get("step")), 0)

    def load_annotator(self, name: str) -> Annotator:
        """A simulated annotator, which sees the environment's reward, or a user's own."""
        return control_annotator(name, self.ledger, self.config.seed)

    @cached_property
    def ledger(self) -> Ledger:
        """The true rewards of fresh rollouts, for simulated annotators."""
        return Ledger(size=1000)

    @contextlib.contextmanager
    def environments(self, count: int | None = None, config: EnvironmentConfig | None = None) -> Iterator[VectorEnv]:
        """``count`` fresh environments, by default as many as a rollout has; with hidden ends if the run hides them.

        config: another environment than the run's.
        """
        config = config or self.run.config.environment
        rows = count or self._rows(config)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they came when the run started
            envs = make(dataclasses.replace(config, num_envs=rows), render_mode=self._render_mode)
        if isinstance(envs, RestartAfterEnd):
            envs.length, envs.repeats = self.length, 0
        elif isinstance(envs, AbsorbAfterEnd):
            envs.repeats = max(envs.repeats, self.length)
        try:
            yield envs
        finally:
            envs.close()

    def _rows(self, config: EnvironmentConfig) -> int:
        return ROWS if config.id.startswith("plaudit/") else min(ROWS_ONE_BY_ONE, max(config.num_envs, 2))

    @cached_property
    def _render_mode(self) -> str | None:
        """ "rgb_array" if people answer and clips cannot be drawn from what is stored."""
        if self.config.eyes != PEOPLE:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe = make(dataclasses.replace(self.run.config.environment, num_envs=1))
        try:
            return "rgb_array" if needs_film(probe) else None
        finally:
            probe.close()

    @cached_property
    def reward(self) -> RewardEnsemble:
        """The final reward model.

        Raises:
            PlauditError: the run has not learned a reward.
        """
        with self.environments(1) as envs:
            model = reward_model_of(self.run, self.run.load(), envs)
        if model is None or not int(model.fits):
            raise PlauditError(f"{self.path} has not learned a reward yet: train it further")
        return model.eval()

    @property
    def missing_reward(self) -> str | None:
        """Why nothing can be said about a learned reward; None if it can."""
        tensors = self.run.load().tensors
        if "reward/lapse_logit" not in tensors or not int(tensors["reward/fits"]):
            return "the run has not learned a reward yet: train it further"
        return None

    def with_reward(self, reward: RewardEnsemble) -> Self:
        """The same subject with another reward model: its policies, clips and fresh answers stay as they are."""
        subject = copy.copy(self)
        vars(subject)["reward"] = reward.eval()  # in the place of the run's, which is computed when it is first used
        subject._results = {
            name: dataclasses.replace(result, learned=reward.rewards(result.trajectory))
            for name, result in self._results.items()
            if isinstance(result, Rollout)
        }
        return subject

    def policy(self, checkpoint: Path, envs: VectorEnv) -> ActorCritic:
        """The policy as it was at a checkpoint."""
        return policy_of(self.run, self.run.load(checkpoint), envs).eval()

    def rollout(self, checkpoint: Path) -> Rollout:
        """Fresh experience of a checkpoint's policy, the same at each call and in each audit with the same seed."""
        return self.share(f"rollout {checkpoint.name}", lambda: self._collect(checkpoint))

    def _collect(self, checkpoint: Path) -> Rollout:
        self.report_progress(f"fresh episodes of checkpoint {checkpoint.stem}")
        number = self.checkpoints.index(checkpoint)
        box: list[TrueReward] = []

        def keep(truth: TrueReward) -> None:
            box.append(truth)
            self.ledger.add(truth)

        with self.environments() as envs:
            environment = self.run.config.environment
            endless = environment.ends == "continue" or (environment.atari and environment.ends is None)
            has_states = hasattr(envs.unwrapped, "states")
            film = Film(envs, FILMED_STEPS) if self._render_mode else None
            policy = self.policy(checkpoint, envs)
            collector = VectorCollector(envs, policy, keep, endless=endless, keep_states=has_states, film=film)
            collector.rollout = number
            collector.reset(np.random.SeedSequence((SEED, self.config.seed, number)))
            steps = max(self.length, horizon_of(envs))
            trajectory = collector.collect(steps)
        true = box[0].rewards
        episodes = np.array(box[0].episodes or true.sum(axis=1), np.float64)
        return Rollout(trajectory, self.reward.rewards(trajectory), true, episodes)

    def clips(self, checkpoint: Path, count: int, name: str) -> Clips:
        """``count`` clips of a checkpoint's policy; ``name`` tells draws apart that must not share their clips."""
        number = self.checkpoints.index(checkpoint)
        rng = np.random.default_rng((SEED, self.config.seed, number, *name.encode()))
        return self.rollout(checkpoint).clips(self.length, count, rng)

    def ask(self, pairs: Sequence[tuple[Segment, Segment]]) -> Array:
        """P[first better] (N,) of fresh pairs of clips, as judged; NaN for can't tell, and where no answer came.

        Which of the two is shown first is drawn, so that a side that an annotator prefers cancels.
        """
        eyes = self.eyes
        if eyes is None:
            raise PlauditError(self.missing_eyes or "")
        config, round = self.run.config.feedback, int(self.checkpoints[-1].stem)
        rng = np.random.default_rng((SEED, self.config.seed, len(pairs)))
        swapped = rng.random(len(pairs)) < 0.5
        comparable = [first.id != second.id for first, second in pairs]
        questions = [
            COMPARISON.question(*((second.id, first.id) if swap else (first.id, second.id)), round, config.wording)
            for (first, second), swap, differ in zip(pairs, swapped, comparable, strict=True)
            if differ
        ]
        items = [segment for pair in pairs for segment in pair]
        self.ledger.keep(items, round)
        self.report_progress(f"{eyes.name}: {len(questions)} fresh pairs")
        answers = np.full(len(pairs), np.nan)
        answers[comparable] = np.array(eyes.ask(questions, items), np.float64)
        return np.where(swapped, 1 - answers, answers)


def environment_seed(*parts: int) -> int:
    """A seed of environments that no training reaches."""
    return int(cast(np.ndarray, np.random.SeedSequence((SEED, *parts)).generate_state(1))[0]) & 0x7FFFFFF
