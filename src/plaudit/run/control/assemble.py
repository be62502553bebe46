"""One process: collecting, asking, answering, fitting and improving take turns. Resumes bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from torch import Tensor

from plaudit.annotators.biased import teacher
from plaudit.annotators.truth import Ledger
from plaudit.annotators.worker import drain
from plaudit.control.collect import VectorCollector
from plaudit.control.make import AbsorbAfterEnd, make
from plaudit.control.networks import ActorCritic
from plaudit.feedback.store import Store
from plaudit.functional.pixels import shows_pictures
from plaudit.learner import Answers, InStep, PreferenceLearner, join
from plaudit.loop import Plan, Schedule, iterate
from plaudit.policy.improve import Improver
from plaudit.questions import Feedback
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.run.control.config import Run, RunConfig
from plaudit.run.control.replay import Recorded
from plaudit.run.record import Checkpoint, part
from plaudit.run.stored import PEOPLE
from plaudit.types import Array, PlauditError, Trajectory, TrueReward

ENDLESS = 1000  # steps that stand for an episode where ends are hidden
POOL_STEPS = {True: 8_192, False: 32_768}  # steps that questions are drawn from: pixels, states


@dataclass
class Parts:
    """What a run is made of, whatever its reward."""

    envs: VectorEnv
    policy: ActorCritic
    collector: VectorCollector
    improve: Improver
    plan: Plan
    ledger: Ledger
    returns: list[float]  # true returns of episodes that finished since they were last looked at
    horizon: int  # steps over which the predicted return is reported
    fit_threads: int  # of torch, while the reward is fitted


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint holds a part of."""

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on, as named tensors."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        ...


@runtime_checkable
class StatefulLearner(Stateful, Protocol):
    """The reward's side of a round of one joined experience, and what it has to remember between two."""

    def learn(self, experience: Trajectory, round: int, done: float, seed: np.random.SeedSequence) -> dict[str, Any]:
        """As :class:`plaudit.loop.RewardLearner`."""
        ...


@runtime_checkable
class StoredRewardModel(Protocol):
    """A reward model whose parameters a checkpoint holds."""

    def rewards(self, trajectory: Trajectory) -> Array:
        """Rewards ``(B, T)`` float32 under the model as it is now."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by name."""
        ...

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> object:
        """Put back what :meth:`state_dict` gave."""
        ...


def plan_of(config: RunConfig, envs: VectorEnv, pixels: bool) -> Plan:
    """Divide the run into rounds of whole episodes: at least one, and about as many rounds as were wished for."""
    horizon = envs.horizon if isinstance(envs, AbsorbAfterEnd) else None
    per_rollout = config.rollout_steps * envs.num_envs
    wished = config.steps / config.rounds / per_rollout
    # one step more than the horizon: the reset step, after which an episode's return is known
    episode = (horizon + 1) / config.rollout_steps if horizon else 1
    rollouts = max(1, math.ceil(max(1, round(wished / episode)) * episode))
    if horizon is None:
        rollouts = max(1, round(wished))
    rounds = max(2, round(config.steps / (rollouts * per_rollout)))
    # where an episode can be over after a few steps and rest until the horizon, only a whole one surely holds clips
    whole = horizon if not pixels and getattr(envs.unwrapped, "terminates", True) else None
    shortest = math.ceil((whole + 1 if whole else config.feedback.length) / config.rollout_steps)
    pool = min(rollouts, max(shortest, POOL_STEPS[pixels] // per_rollout))
    length, steps = config.feedback.length, rollouts * config.rollout_steps
    while _longest_run(steps - pool * config.rollout_steps, steps, horizon) < length:
        if pool == rollouts:
            raise PlauditError(
                f"clips of {length} steps are longer than {'an episode' if horizon else 'a round'} of "
                f"{config.environment.id} ({min(horizon or steps, steps)} steps): use a smaller --length"
            )
        pool += 1
    return Plan(config.seed, rounds, rollouts, config.rollout_steps, pool)


def _longest_run(start: int, stop: int, horizon: int | None) -> int:
    """Most steps of one episode among a round's steps [start, stop); every (horizon + 1)-th is a reset step."""
    if horizon is None:
        return stop - start
    resets = range(horizon, stop, horizon + 1)
    edges = [start - 1, *(step for step in resets if step >= start), stop]
    return max(after - before - 1 for before, after in itertools.pairwise(edges))


def check(config: RunConfig) -> None:
    """Find out whether a run can start at all, before anything is written.

    Raises:
        PlauditError: no such annotator, environment or device; spaces that networks cannot have; clips too long.
    """
    if config.teacher != PEOPLE:
        teacher(config.teacher, Ledger(), config.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again when the run starts
        envs = make(dataclasses.replace(config.environment, num_envs=1))
    try:
        policy = ActorCritic(envs.single_observation_space, envs.single_action_space, config.network)
        reward_model_of(config, envs)
        config.torch_device(policy.pixels)
        plan_of(config, envs, policy.pixels)
    finally:
        envs.close()


def reward_model_of(config: RunConfig, envs: VectorEnv) -> RewardEnsemble:
    """The untrained reward model of a run."""
    box = cast(spaces.Box, envs.single_observation_space)  # the policy, which comes first, takes nothing else
    return RewardEnsemble(box, envs.single_action_space, config.reward)


def assemble(config: RunConfig, truth: Path | None = None) -> Parts:
    """Environments, policy, collector and optimiser, at the start of a run. truth: file of judged true rewards."""
    envs = make(config.environment)
    if isinstance(envs, AbsorbAfterEnd):
        envs.repeats = max(envs.repeats, config.feedback.length)  # so that every episode holds a whole clip
    # first of all: the orthogonal first weights depend, in their last bits, on how many threads made them
    fit_threads = set_threads(config, shows_pictures(cast(spaces.Box, envs.single_observation_space)))
    torch.manual_seed(config.seed)
    policy = ActorCritic(envs.single_observation_space, envs.single_action_space, config.network)
    policy.to(config.torch_device(policy.pixels))
    plan = plan_of(config, envs, policy.pixels)
    ledger = Ledger(truth, size=plan.pool + 1)
    returns: list[float] = []

    def sink(truth: TrueReward) -> None:
        ledger.add(truth)
        returns.extend(truth.episodes)

    endless = config.environment.ends == "continue" or (config.environment.atari and config.environment.ends is None)
    visible = config.environment.ends == "visible"
    collector = VectorCollector(envs, policy, sink, visible, endless, keep_states=hasattr(envs.unwrapped, "states"))
    horizon = getattr(envs, "horizon", None) or ENDLESS
    improve = Improver(policy, config.improve)
    return Parts(envs, policy, collector, improve, plan, ledger, returns, horizon, fit_threads)


def set_threads(config: RunConfig, pixels: bool) -> int:
    """Set torch's threads; returns how many may fit the reward.

    Small networks act and learn faster on one thread than on two. A fit is faster on two where nothing else runs, and
    much slower beside another busy process, for each spins while it waits for the other: so everything on states takes
    one thread unless the user says otherwise.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads if pixels else 1)
        return config.threads
    if not pixels and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    return torch.get_num_threads()


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """``count`` threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class JoiningLearner:
    """Joins rollouts along time, and the true rewards in the ledger alike, before anybody is asked about them."""

    def __init__(self, learner: StatefulLearner, parts: Parts) -> None:
        self.learner, self.ledger, self.threads = learner, parts.ledger, parts.fit_threads

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """Join, then learn."""
        experience = join(recent)
        self.ledger.join([each.rollout for each in recent])
        # nothing but what questions can be about: the scale of rewards that is written down then depends on this
        # round alone, as it must if a resumed run is to write the same
        self.ledger.restore({str(experience.rollout): self.ledger.rewards(experience.rollout)})
        with torch_threads(self.threads):
            return self.learner.learn(experience, round, done, seed)


class Session:
    """Drives the loop in a run folder: progress, metrics, checkpoints, resuming."""

    def __init__(
        self,
        run: Run,
        parts: Parts,
        reward_model: StoredRewardModel,
        learner: StatefulLearner,
        schedule: Schedule | None = None,
    ) -> None:
        self.run, self.parts, self.reward_model, self.learner = run, parts, reward_model, learner
        self.schedule = schedule or parts.plan
        self.first, self.seconds = 0, 0.0
        if run.checkpoints():
            self._restore(run.load())

    @property
    def steps_per_round(self) -> int:
        """Environment steps of a round."""
        plan = self.parts.plan
        return plan.rollouts * plan.rollout_steps * self.parts.envs.num_envs

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole run."""
        return total_steps(self.parts)

    def rounds(self) -> Iterator[dict[str, Any]]:
        """Go on from where the run is; yields each round's metrics once they and a checkpoint are on the disk."""
        parts, started = self.parts, time.perf_counter() - self.seconds
        self.run.rewind(self.first - 1)
        learner = JoiningLearner(self.learner, parts)
        reward, plan, schedule = self.reward_model, parts.plan, self.schedule
        for metrics in iterate(parts.collector, reward, parts.improve, learner, plan, self.first, schedule):
            seconds = time.perf_counter() - started
            row: dict[str, Any] = {"step": (int(metrics["round"]) + 1) * self.steps_per_round, **metrics}
            row |= {"seconds": seconds, "steps_per_second": self.steps_per_round / max(seconds - self.seconds, 1e-9)}
            row["true_return"] = float(np.mean(parts.returns)) if parts.returns else None
            if "predicted_reward" in row:
                row["predicted_return"] = row["predicted_reward"] * parts.horizon
            row = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
            parts.returns.clear()
            self.seconds = seconds
            self.run.append(row)  # first: if we are killed between the two, the round is made again, row and all
            self._save(row["round"])
            yield row

    def _save(self, round: int) -> None:
        tensors = {f"{name}/{key}": value for name, owner in self._owners() for key, value in owner.state().items()}
        tensors |= {f"policy/{key}": value for key, value in self.parts.policy.state_dict().items()}
        tensors |= {f"reward/{key}": value for key, value in self.reward_model.state_dict().items()}
        self.run.save(round, Checkpoint(tensors, {"round": round, "seconds": self.seconds}))

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self.first, self.seconds = int(checkpoint.meta["round"]) + 1, float(checkpoint.meta["seconds"])
            self.parts.policy.load_state_dict(part(checkpoint.tensors, "policy"))
            self.reward_model.load_state_dict(part(checkpoint.tensors, "reward"))
            for name, owner in self._owners():
                owner.restore(part(checkpoint.tensors, name))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise PlauditError(
                f"the last checkpoint of {self.run.folder} does not fit its config.json ({error}): restore both from a "
                "copy, or start a new run"
            ) from error

    def _owners(self) -> list[tuple[str, Stateful]]:
        return [("improve", self.parts.improve), ("collector", self.parts.collector), ("learner", self.learner)]


def preference_session(run: Run) -> tuple[Session, Callable[[], None]]:
    """A session that learns from comparisons, and what closes it.

    A run that holds the record of another one (see :mod:`plaudit.run.control.replay`) asks and fits as that did.
    """
    config = run.config
    parts = assemble(config, run.folder / "truth.jsonl")
    store = Store.open(run.folder / "feedback.sqlite")
    recorded = run.recorded()
    settle: Callable[[], object]
    if recorded:
        settle = _nobody
    else:
        annotator = teacher(config.teacher, parts.ledger, config.seed)
        store.release_all(annotator.name)  # leases that a killed run left behind
        settle = functools.partial(drain, store, annotator)
    feedback = Feedback(store, config.feedback, parts.ledger.keep, settle)
    reward_model = reward_model_of(config, parts.envs).to(parts.policy.mean.device)
    answers = Answers(reward_model, feedback, parts.policy.value, config.seed)
    schedule: Schedule
    if recorded:
        pace = schedule = Recorded(answers, recorded)
    else:
        pace, schedule = InStep(answers, total_steps(parts)), parts.plan
    learner = PreferenceLearner(reward_model, feedback, pace)

    def close() -> None:
        store.close()
        parts.envs.close()

    return Session(run, parts, reward_model, learner, schedule), close


def _nobody() -> None:
    """Nobody in this process answers."""


def total_steps(parts: Parts) -> int:
    """Environment steps of the whole run as it is planned."""
    plan = parts.plan
    return plan.rounds * plan.rollouts * plan.rollout_steps * parts.envs.num_envs
