"""One process: collecting, asking, answering, fitting and improving take turns. Resumes bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from plaudit import layout
from plaudit.annotators.own import PROGRAM, check_annotator, control_annotator
from plaudit.annotators.truth import Ledger
from plaudit.annotators.worker import drain
from plaudit.control.collect import VectorCollector
from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd
from plaudit.control.film import Film, needs_film
from plaudit.control.make import make
from plaudit.control.networks import ActorCritic
from plaudit.control.side_effects import SideEffects, side_effects_of
from plaudit.feedback.store import Store
from plaudit.functional.pictures import shows_pictures
from plaudit.interfaces import Annotator, RewardModel
from plaudit.learner import Answers, PreferenceLearner, SerialPace
from plaudit.loop import Plan, RewardLearner, Schedule
from plaudit.policy.improve import Improver
from plaudit.policy.steps import Steps
from plaudit.questions import Feedback
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.run.control.config import Run, RunConfig
from plaudit.run.control.replay import RecordedPace
from plaudit.run.session import HasStateDict, Parts, Session, Stateful, Weights
from plaudit.run.stored import PEOPLE
from plaudit.types import Array, PlauditError, Trajectory, TrueReward

ENDLESS = 1000  # steps that stand for an episode where ends are hidden
POOL_STEPS = {True: 8_192, False: 32_768}  # steps that questions are drawn from: pixels, states


@dataclass
class Agent:
    """A policy in its environments, whatever its reward; what a session of control writes down about it."""

    envs: VectorEnv
    policy: ActorCritic
    collector: VectorCollector
    improve: Improver[Trajectory, Steps]
    plan: Plan
    ledger: Ledger
    returns: list[float]  # true returns of episodes that finished since the last row
    horizon: int  # steps over which the predicted return is reported
    fit_threads: int  # of torch, while the reward is fitted
    side_effects: SideEffects | None = None

    @property
    def steps_per_round(self) -> int:
        """Environment steps of a round."""
        return self.plan.rollouts * self.plan.rollout_steps * self.envs.num_envs

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole run as it is planned."""
        return self.plan.rounds * self.steps_per_round

    def begin(self, first: int) -> None:
        """Nothing to prepare."""

    def row(self, metrics: dict[str, Any], elapsed: float) -> dict[str, Any]:
        """Steps so far, the rate of this round, and what the returns were, as predicted and as they truly were."""
        row = {"step": (int(metrics["round"]) + 1) * self.steps_per_round, **metrics}
        row["steps_per_second"] = self.steps_per_round / max(elapsed, 1e-9)
        row["true_return"] = float(np.mean(self.returns)) if self.returns else None
        if "predicted_reward" in row:
            row["predicted_return"] = row["predicted_reward"] * self.horizon
        self.returns.clear()
        if self.side_effects is not None and self.side_effects.means:
            row["side_effects"] = float(np.mean(self.side_effects.means))
            self.side_effects.means.clear()
        return row

    def finish(self, rounds: int) -> None:
        """Nothing to keep besides the checkpoints."""

    def session(
        self,
        run: Run,
        reward_model: StatefulReward,
        learner: StatefulLearner,
        schedule: Schedule | None = None,
    ) -> Session[Trajectory, Agent]:
        """The session that improves this agent against ``reward_model``."""
        checkpoint = {
            "policy": Weights(self.policy),
            "reward": Weights(reward_model),
            "improve": self.improve,
            "collector": self.collector,
            "learner": learner,
        }
        ledger_learner = LedgerLearner(learner, self.ledger, self.fit_threads)
        rewards: RewardModel[Trajectory] = reward_model
        if self.side_effects is not None:
            rewards = PenalisedReward(reward_model, self.side_effects, run.config.reward.std)
        parts = Parts(self.collector, rewards, self.improve, ledger_learner, self.plan, checkpoint, schedule)
        return Session(run, parts, self)


@dataclass(frozen=True)
class PenalisedReward:
    """The reward that the policy is trained on where side effects are penalised."""

    reward_model: RewardModel[Trajectory]
    side_effects: SideEffects
    std: float  # of the rewards

    def rewards(self, trajectory: Trajectory) -> Array:
        """(B, T) float32."""
        return self.reward_model.rewards(trajectory) - self.side_effects.charge(trajectory, self.std)


class StatefulLearner(Stateful, RewardLearner[Trajectory], Protocol):
    """A reward learner whose state is part of a checkpoint."""


class StatefulReward(HasStateDict, RewardModel[Trajectory], Protocol):
    """A reward model whose weights are part of a checkpoint."""


def plan_of(config: RunConfig, envs: VectorEnv, pixels: bool) -> Plan:
    """Divide the run into rounds of whole episodes: at least one, and about as many rounds as were wished for.

    envs: the run's environments, or one of them; the settings say how many there are.
    """
    if isinstance(envs, RestartAfterEnd):
        return _plan_within(config, envs, pixels)
    horizon = envs.horizon if isinstance(envs, AbsorbAfterEnd) else None
    per_rollout = config.rollout_steps * config.environment.num_envs
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
                f"{config.environment.id} ({min(horizon or steps, steps)} steps): use shorter clips (--length)"
            )
        pool += 1
    return Plan(config.seed, rounds, rollouts, config.rollout_steps, pool)


def _plan_within(config: RunConfig, envs: RestartAfterEnd, pixels: bool) -> Plan:
    """The plan where every environment begins anew by itself: never more steps than asked for, if clips allow it.

    A round holds a whole episode of each environment, or as much of it as half of the steps pay for.
    """
    length, count = config.feedback.length, config.environment.num_envs
    if envs.horizon < length:
        raise PlauditError(
            f"clips of {length} steps are longer than an episode of {config.environment.id} ({envs.horizon} steps): "
            "use shorter clips (--length)"
        )
    most = config.steps // (2 * count)  # steps of each environment in a round, of which there are at least two
    if most < length:
        raise PlauditError(
            f"{config.steps} steps are too few for two rounds of clips of {length} steps in {count} environments: "
            f"use at least {2 * count * length} steps (--steps), fewer environments (--envs) or shorter clips "
            "(--length)"
        )
    rollout_steps = min(config.rollout_steps, most)
    wished = max(config.steps / config.rounds / count, envs.horizon + 1)
    rollouts = max(1, min(round(wished / rollout_steps), most // rollout_steps))
    rounds = max(2, config.steps // (rollouts * rollout_steps * count))
    # wherever an episode ends, one of two consecutive clips lies within one
    shortest = math.ceil((2 * length + 1) / rollout_steps)
    pool = min(rollouts, max(shortest, POOL_STEPS[pixels] // (rollout_steps * count)))
    return Plan(config.seed, rounds, rollouts, rollout_steps, pool)


def _longest_run(start: int, stop: int, horizon: int | None) -> int:
    """Most steps of one episode among a round's steps [start, stop); every (horizon + 1)-th is a reset step."""
    if horizon is None:
        return stop - start
    resets = range(horizon, stop, horizon + 1)
    edges = [start - 1, *(step for step in resets if step >= start), stop]
    return max(after - before - 1 for before, after in itertools.pairwise(edges))


def check(config: RunConfig, annotator: Annotator | None = None) -> None:
    """Find out whether a run can start at all, before anything is written. annotator: as :func:`preference_session`.

    Raises:
        PlauditError: no such annotator, environment or device; spaces that networks cannot have; clips too long.
    """
    if annotator is not None:
        check_annotator(annotator)
    elif config.annotator != PEOPLE:
        control_annotator(config.annotator, Ledger(), config.seed)
    if config.parallel and config.annotator.startswith(PROGRAM):
        raise PlauditError(
            "a parallel run judges in another process, which cannot use an object of this one: name the annotator as "
            "MODULE:FACTORY, or leave out parallel"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again when the run starts
        envs = make(dataclasses.replace(config.environment, num_envs=1))
    try:
        policy = ActorCritic(envs.single_observation_space, envs.single_action_space, config.network)
        reward_model_of(config, envs)
        _side_effects(config, envs)
        config.torch_device(policy.pixels)
        plan_of(config, envs, policy.pixels)
    finally:
        envs.close()


def reward_model_of(config: RunConfig, envs: VectorEnv) -> RewardEnsemble:
    """The untrained reward model of a run."""
    box = cast(spaces.Box, envs.single_observation_space)  # the policy, which comes first, takes nothing else
    return RewardEnsemble(box, envs.single_action_space, config.reward)


def assemble(config: RunConfig, truth: Path | None = None) -> Agent:
    """Environments, policy, collector and optimiser, at the start of a run. truth: file of judged true rewards."""
    envs, film = make_filmed(config)
    if isinstance(envs, RestartAfterEnd):
        envs.length = config.feedback.length
    elif isinstance(envs, AbsorbAfterEnd):
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
    has_states = hasattr(envs.unwrapped, "states")
    collector = VectorCollector(envs, policy, sink, visible, endless, keep_states=has_states, film=film)
    collector.film_from = plan.rollouts - plan.pool
    horizon = getattr(envs, "horizon", None) or ENDLESS
    improve = Improver(policy, config.improve)
    side_effects = _side_effects(config, envs)
    return Agent(envs, policy, collector, improve, plan, ledger, returns, horizon, fit_threads, side_effects)


def _side_effects(config: RunConfig, envs: VectorEnv) -> SideEffects | None:
    return side_effects_of(config.side_effects, envs, config.environment.id, config.seed)


def make_filmed(config: RunConfig) -> tuple[VectorEnv, Film | None]:
    """The run's environments, and what films them if people judge and clips cannot be drawn from what is stored."""
    if config.annotator != PEOPLE:
        return make(config.environment), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again below
        probe = make(dataclasses.replace(config.environment, num_envs=1))
    filmed = needs_film(probe)
    probe.close()
    if not filmed:
        return make(config.environment), None
    envs = make(config.environment, render_mode="rgb_array")
    return envs, Film(envs, 2 * config.feedback.labels * config.feedback.length)


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


class LedgerLearner:
    """Joins the true rewards in the ledger as the learner joins the rollouts, and gives the fit its threads."""

    def __init__(self, learner: RewardLearner[Trajectory], ledger: Ledger, threads: int) -> None:
        self.learner, self.ledger, self.threads = learner, ledger, threads

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """As :class:`plaudit.loop.RewardLearner`."""
        self.ledger.join([trajectory.rollout for trajectory in recent])
        # The ledger keeps only what questions can be about: the scale of rewards that is written down then depends on
        # this round alone, as it must if a resumed run is to write the same
        rollout = recent[0].rollout
        self.ledger.restore({str(rollout): self.ledger.rewards(rollout)})
        with torch_threads(self.threads):
            return self.learner.learn(recent, round, done, seed)


def preference_session(
    run: Run, annotator: Annotator | None = None
) -> tuple[Session[Trajectory, Agent], Callable[[], None]]:
    """A session that learns from comparisons, and the function that closes it.

    annotator: judges in the place of the annotator that the settings name.
    A run that holds the record of another one (see :mod:`plaudit.run.control.replay`) asks and fits as that did.
    """
    config = run.config
    agent = assemble(config, run.folder / layout.TRUTH)
    store = Store.open(run.folder / layout.FEEDBACK)
    recorded = run.recorded_metrics()
    settle: Callable[[], object]
    if recorded:
        settle = leave_open
    else:
        annotator = (
            control_annotator(config.annotator, agent.ledger, config.seed)
            if annotator is None
            else check_annotator(annotator)
        )
        store.release_all(annotator.name)  # leases that a killed run left behind
        settle = functools.partial(drain, store, annotator)
    feedback = Feedback(store, config.feedback, agent.ledger.keep, settle)
    reward_model = reward_model_of(config, agent.envs).to(agent.policy.mean.device)
    answers = Answers(reward_model, feedback, agent.policy.value, config.seed)
    schedule: Schedule
    if recorded:
        pace = schedule = RecordedPace(answers, recorded)
    else:
        pace, schedule = SerialPace(answers, agent.total_steps), agent.plan
    learner = PreferenceLearner(reward_model, feedback, pace)

    def close() -> None:
        store.close()
        agent.envs.close()

    return agent.session(run, reward_model, learner, schedule), close


def leave_open() -> None:
    """Questions stay open: another process answers them."""
