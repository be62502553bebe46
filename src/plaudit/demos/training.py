"""Small runs for demonstrations: an agent that learns from a judge of clips, and what it does afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from plaudit.annotators.draws import sides
from plaudit.annotators.oracle import sign
from plaudit.audits.agents import AgentSubject, Rollout
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.control.clips import encode_clip
from plaudit.control.environments import BatchedEnv
from plaudit.demos.demonstration import ReportProgress
from plaudit.interfaces import Annotator
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Algorithm, Run, defaults
from plaudit.run.report.sections import Clip
from plaudit.types import Answer, Array, Question, Segment


@dataclass(frozen=True)
class Training:
    """A small run of 20 rounds, whatever the environment."""

    environment: str
    labels: int
    steps: int
    length: int  # of a clip, in steps
    kwargs: tuple[str, ...] = ()  # of the environment, as KEY=VALUE
    num_envs: int = 64
    upfront: float = 0.2  # share of the answers that are asked before training
    algorithm: Algorithm = "ppo"


@dataclass(frozen=True)
class Judge:
    """Prefers the clip with the larger score; equal scores are a tie."""

    name: str
    score: Callable[[Segment], float]

    def judge(self, question: Question, items: Sequence[Segment]) -> Answer:
        """``{"strength": 4 | 0 | -4}``."""
        first, second = (self.score(segment) for segment in items)
        return Answer({"strength": 4 * sign(first - second)}, order=sides(question.id, 2))


def train(
    training: Training, annotator: Annotator | None, folder: Path, seed: int, report_progress: ReportProgress
) -> Run:
    """Train an agent from an annotator's judgements (None: the oracle's); its run."""
    config = defaults(training.environment, training.algorithm)
    environment = dataclasses.replace(config.environment, num_envs=training.num_envs, kwargs=training.kwargs)
    feedback = dataclasses.replace(
        config.feedback, labels=training.labels, length=training.length, scale=None, upfront=training.upfront
    )
    config = dataclasses.replace(
        config,
        environment=environment,
        reward=dataclasses.replace(config.reward, members=3, first_epochs=40),
        feedback=feedback,
        steps=training.steps,
        rounds=20,
        seed=seed,
        annotator="oracle" if annotator is None else f"program:{annotator.name}",
    )
    run = Run.create(folder, config)
    session, close = preference_session(run, annotator)
    try:
        for row in session.rounds():
            report_progress(f"{folder.name}: round {row['round'] + 1} of {session.parts.plan.rounds}")
    finally:
        close()
    return run


@contextmanager
def open_agent(run: Run, config: AuditConfig) -> Iterator[AgentSubject]:
    """The run as an audit sees it."""
    with open_subject(run.folder, config) as subject:
        yield cast(AgentSubject, subject)


def roll_out(run: Run, seed: int = 0, checkpoint: int = -1) -> Rollout:
    """64 fresh episodes of a checkpoint's policy, the last one's by default."""
    with open_agent(run, AuditConfig(seed=seed)) as agent:
        return agent.rollout(agent.checkpoints[checkpoint])


def film_rollout(run: Run, rollout: Rollout, tag: str, caption: str, steps: int = 120) -> Clip:
    """The first episode of a rollout, in an environment of ours, as a clip of a page."""
    with open_agent(run, AuditConfig()) as agent, agent.environments(1) as envs:
        frames = cast(BatchedEnv, envs.unwrapped).render_states(states_of(rollout)[0, :steps])
    return film(frames, tag, caption, fps=15)


def states_of(rollout: Rollout) -> Array:
    """The states (B, T, S) of an environment of ours, int."""
    assert rollout.trajectory.states is not None
    return rollout.trajectory.states.astype(np.int64)


def film(frames: Array, tag: str, caption: str, fps: float = 6) -> Clip:
    """Frames (N, H, W, 3) as a clip of a page; ``tag`` stands above it."""
    video = encode_clip(frames, fps=fps)
    return Clip(caption, video.webm, video.poster, "after", tag)
