"""Collecting, fitting and judging side by side: the three processes of Christiano et al. 2017, section 2.

This process collects experience, improves the policy and asks; a second one fits the reward; the annotators, people or
programs, judge wherever they are. Nobody waits for anybody, but for the answers to the first fit. What ties them is the
store, and a pipe through which a fit is ordered and, some rounds later, taken over.

People set the pace: a run is as far as its steps are, or its answers, whichever is less. While they think, the policy
goes on learning from the reward as it is. Each round's metrics record what :mod:`plaudit.run.control.replay` needs.
"""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import multiprocessing.process
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plaudit import layout
from plaudit.annotators.own import control_annotator
from plaudit.annotators.truth import Ledger
from plaudit.annotators.worker import drain
from plaudit.control.make import make
from plaudit.feedback import codec
from plaudit.feedback.select import labels_due
from plaudit.feedback.store import Store
from plaudit.files import replace_bytes, replace_text
from plaudit.learner import Answers, PreferenceLearner, join
from plaudit.questions import Feedback
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.reward.fit import Comparisons, predict_unseen
from plaudit.run.control.assemble import Agent, assemble, reward_model_of, set_threads
from plaudit.run.control.config import Run, RunConfig
from plaudit.run.disk import disk_errors
from plaudit.run.session import Session
from plaudit.run.stored import PEOPLE
from plaudit.types import Array, PlauditError, Segment, Trajectory

FIRST = 0.5  # share of the first questions whose answers the first fit needs
BACKLOG = 10  # unanswered questions at most, so that people see what the agent does now
LOOK_SECONDS = 0.1  # how often a process that waits looks again
FILM_STEPS, FILM_SECONDS = 100, 5.0  # of the latest clip, and between two of them
Waiting = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """A fit that was ordered: what it begins with, and the answers that it is given."""

    model: dict[str, Array]
    last_event: int  # the newest event it may see
    seed: int
    values: Array | None


@dataclass(frozen=True)
class FitResult:
    """A fit that was made; without a usable answer there is none, and the model is as it was."""

    model: dict[str, Array]
    metrics: dict[str, float]
    usable: int


@dataclass(frozen=True)
class Order:
    """The fit under way: the round that ordered it, and the newest event that it was given."""

    round: int
    last_event: int


@dataclass(frozen=True)
class Finish:
    """The round at which people said "enough", and the share of the run that was done then."""

    round: int
    share: float


class ParallelPace:
    """The pace of the annotators, and the schedule that follows from it."""

    def __init__(self, run: Run, answers: Answers, pipe: Connection, rounds: int, total: int, waiting: Waiting) -> None:
        """
        pipe: leads to the fitting process. rounds, total: rounds and steps planned.
        waiting: called with the number of answers and the number required.
        """
        self.run, self.answers, self.pipe, self.waiting = run, answers, pipe, waiting
        self.rounds, self.total = rounds, total
        self.order: Order | None = None
        self.newest_event = 0  # the newest event that a fit was given
        self.share = 0.0
        self.finish: Finish | None = None
        self.row = {"labels": 0.0, "due": 0.0, "progress": 0.0, "fit_until": 0.0, "fit_round": 0.0}

    # the schedule

    def done(self, round: int, rollout: int = 0) -> float:
        """How far the run is: it moves between rounds."""
        return self.share

    def rounds_from(self, first: int) -> Iterator[int]:
        """Until the steps are made, and the answers given and heard."""
        while self.share < 1:
            yield first
            first += 1

    # the pace

    def due(self, round: int, done: float) -> int:
        """What the label schedule says, as long as people keep up with it."""
        feedback, labels = self.answers.feedback, self.run.config.feedback.labels
        waiting = feedback.store.waiting()
        settled = feedback.n_asked - waiting
        by_steps, by_answers = (round + 1) / self.rounds, settled / labels
        share = min(1.0, by_steps, by_answers)
        if self.finish is None and (self.run.folder / layout.FINISH).exists():
            self.finish = Finish(round, self.share)
        if self.finish:  # people have said enough: rates go down as planned, within a tenth of the rounds
            before, rounds_since = self.finish.share, round - self.finish.round
            share = min(1.0, before + (1 - before) * rounds_since / max(2, self.rounds // 10))
        if self.order or feedback.store.last_event() > self.newest_event:  # the last answers are to be heard, too
            share = min(share, 1 - 1 / self.rounds)
        self.share = max(self.share, share)
        if round == 0:
            due, room = feedback.due(0, self.total), labels
        elif self.finish:
            due = room = 0
        else:
            upfront, scale = feedback.config.upfront, feedback.config.scale
            due = labels_due(int(self.share * self.total), self.total, labels, upfront, scale) - feedback.n_asked
            if by_answers < by_steps:  # those who answer are slower than the schedule, and find work all the same
                due = max(due, settled + BACKLOG // 2 - feedback.n_asked)
            room = max(BACKLOG, 2 * math.ceil(labels / self.rounds)) - waiting
        due = max(0, min(due, room, labels - feedback.n_asked))
        self.row |= {"due": due, "progress": self.share}
        return due

    def fit(self, round: int, seed: int) -> dict[str, float]:
        """Take over a fit that is ready, and order another when there are new answers; the first one is waited for."""
        model, store = self.answers.model, self.answers.feedback.store
        self.row |= {"fit_until": 0, "fit_round": 0}
        result: FitResult | None = None
        if not int(model.fits):
            while result is None:
                self._wait_for_answers()
                self._order(round, store.last_event(), seed)
                result = self._take(block=True)
        elif self.order:
            result = self._take(block=False)
        if self.order is None and (newest := store.last_event()) > self.newest_event:
            self._order(round, newest, seed)
        return result.metrics if result else {}

    def metrics(self) -> dict[str, float]:
        """What a replay needs to know about this round, ``labels``, and ``answers``.

        ``labels`` counts the usable answers that the reward was fitted to; ``answers`` counts those in the store, as
        the web app does.
        """
        feedback = self.answers.feedback
        row = self.row | {"answers": feedback.n_asked - feedback.store.waiting()}
        return {name: float(value) for name, value in row.items()}

    def state(self) -> dict[str, torch.Tensor]:
        """How far the run is. A fit under way is forgotten: it will be ordered again."""
        finish = self.finish or Finish(-1, 0.0)
        shares = [self.share, finish.round, finish.share, self.row["labels"]]
        return {"share": torch.tensor(shares, dtype=torch.float64)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.share, finished, share, self.row["labels"] = state["share"].tolist()
        self.finish = None if finished < 0 else Finish(int(finished), share)

    def _wait_for_answers(self) -> None:
        """Until enough of the first questions have an answer, more than were there at the last fit."""
        store, n_asked = self.answers.feedback.store, self.answers.feedback.n_asked
        n_required = max(1, math.ceil(FIRST * n_asked))
        while (settled := n_asked - store.waiting()) < n_required or store.last_event() <= self.newest_event:
            if self.finish or (settled == n_asked and store.last_event() <= self.newest_event):
                raise PlauditError(
                    f"{n_asked} questions were asked and none has a usable answer: there is nothing to learn from yet; "
                    "start again and answer some"
                )
            self.waiting(settled, n_required)
            time.sleep(LOOK_SECONDS)
            if (self.run.folder / layout.FINISH).exists():
                self.finish = Finish(0, self.share)
        self.waiting(settled, n_required)

    def _order(self, round: int, last_event: int, seed: int) -> None:
        model = {name: value.cpu().numpy() for name, value in self.answers.model.state_dict().items()}
        self.pipe.send(Job(model, last_event, seed, self.answers.values(last_event)))
        self.order, self.newest_event = Order(round, last_event), last_event

    def _take(self, block: bool) -> FitResult | None:
        """The fit under way, once it is ready; None while it is not, or when it had nothing to learn from."""
        assert self.order is not None
        try:
            if not block and not self.pipe.poll():
                return None
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise PlauditError("the process that fits the reward has ended: continue with `plaudit resume`") from error
        if isinstance(answer, str):
            raise PlauditError(f"fitting the reward failed: {answer}")
        order, self.order = self.order, None
        if not answer.usable:
            return None
        self.answers.model.load_state_dict({name: torch.from_numpy(value) for name, value in answer.model.items()})
        self.row |= {"labels": answer.usable, "fit_until": order.last_event, "fit_round": order.round}
        return answer


def parallel_session(run: Run, waiting: Waiting) -> tuple[Session[Trajectory, Agent], Callable[[], None]]:
    """A session beside which others fit and judge, and what ends them. waiting: told (answers, wanted) at the start."""
    config = run.config
    agent = assemble(config, run.folder / layout.TRUTH)
    store = Store.open(run.folder / layout.FEEDBACK)
    feedback = Feedback(store, config.feedback, agent.ledger.keep, _go_on)
    model = reward_model_of(config, agent.envs).to(agent.policy.mean.device)
    answers = Answers(model, feedback, agent.policy.value, config.seed)
    processes = contextlib.ExitStack()
    pipe = processes.enter_context(_process(_run_fitting, run.folder, config))
    if config.annotator != PEOPLE:
        processes.enter_context(_process(_run_judging, run.folder, config))
    pace = ParallelPace(run, answers, pipe, agent.plan.rounds, agent.total_steps, waiting)

    def close() -> None:
        processes.close()
        store.close()
        agent.envs.close()

    learner = FilmingLearner(PreferenceLearner(model, feedback, pace), run.folder / layout.LATEST_CLIP)
    return agent.session(run, model, learner, pace), close


class FilmingLearner:
    """Keeps what the agent did last where others can look at it."""

    def __init__(self, learner: PreferenceLearner, path: Path) -> None:
        self.learner, self.path, self.written_at = learner, path, -math.inf
        self.state, self.restore = learner.state, learner.restore

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """Write down the last steps of one environment, then learn."""
        experience = join(recent)
        if time.monotonic() - self.written_at > FILM_SECONDS:
            self.written_at = time.monotonic()
            real = np.flatnonzero(experience.mask[0])[-FILM_STEPS:]
            states = None if experience.states is None else experience.states[0, real]
            _, data = codec.pack(Segment(experience.observations[0, real], experience.actions[0, real], states))
            with disk_errors(self.path):
                replace_bytes(self.path, data)
        return self.learner.learn([experience], round, done, seed)


def _go_on() -> None:
    """Whoever answers does so elsewhere."""


def make_way() -> None:
    """Let a person's page go before this process, for the rest of its life, where both want the same processor."""
    if hasattr(os, "nice"):
        os.nice(10)


@contextlib.contextmanager
def _process(work: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """``work(pipe, *arguments)`` in a process of its own, which ends when this one does, however it does."""
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=work, args=(child_end, *arguments), daemon=True)
    process.start()
    child_end.close()
    try:
        with contextlib.suppress(EOFError):  # it ended before it began: whoever uses the pipe says so
            parent_end.recv()
        yield parent_end
    finally:
        parent_end.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def _run_fitting(pipe: Connection, folder: Path, config: RunConfig) -> None:
    """The fitting process: a job in, a fitted model out, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains
    if config.annotator == PEOPLE:
        make_way()
    envs = make(config.environment)
    model = reward_model_of(config, envs)
    model.to(config.torch_device(model.pixels))
    torch.set_num_threads(set_threads(config, model.pixels))
    envs.close()
    with Store.open(folder / layout.FEEDBACK, create=False) as store:
        feedback = Feedback(store, config.feedback, lambda items, round: None, _go_on)
        answers = Answers(model, feedback, lambda observations: observations, config.seed)
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            pipe.send("ready")
            while True:
                pipe.send(_fit(answers, pipe.recv(), folder / layout.PREDICTIONS))


def _fit(answers: Answers, job: Job, path: Path) -> FitResult | str:
    model = answers.model
    try:
        model.load_state_dict({name: torch.from_numpy(value) for name, value in job.model.items()})
        data = answers.with_values(job.last_event, job.values)
        metrics = answers.fit(data, job.seed) if len(data) else {}
        if len(data):
            _expect(model, data, answers.feedback.rows, path)
    except PlauditError as error:
        return str(error)
    return FitResult({name: value.cpu().numpy() for name, value in model.state_dict().items()}, metrics, len(data))


def _expect(model: RewardEnsemble, data: Comparisons, judgements: Sequence[str], path: Path) -> None:
    """Write down what the members that did not train on an answer expected: P[first better] by the judgement's id."""
    rows, mean = predict_unseen(model, data)
    ids = (name for name, unseen_row in zip(judgements, rows, strict=True) if unseen_row)
    with disk_errors(path):
        replace_text(path, json.dumps({name: round(float(p), 6) for name, p in zip(ids, mean, strict=True)}))


def _run_judging(pipe: Connection, folder: Path, config: RunConfig) -> None:
    """The process of a simulated annotator: it drains the queue until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Store.open(folder / layout.FEEDBACK, create=False) as store:
        annotator = control_annotator(config.annotator, Ledger(folder / layout.TRUTH), config.seed)
        store.release_all(annotator.name)
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            pipe.send("ready")
            while not pipe.poll(LOOK_SECONDS):
                if store.open_count():
                    drain(store, annotator, wait=False)
