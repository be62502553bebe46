"""The reward's side of the loop: ask about recent experience, and refit when answers have come."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from plaudit.questions import Critic, Feedback
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.reward.fit import Comparisons, fit
from plaudit.types import Array, PlauditError, Trajectory

TRAJECTORY = ("observations", "actions", "log_probs", "values", "next_values", "ends", "mask")
REFERENCE_STEPS = {True: 256, False: 4096}  # of the first policy, kept for comparison: pixels, states


@runtime_checkable
class Pace(Protocol):
    """How a run keeps step with those who answer."""

    def due(self, round: int, done: float) -> int:
        """How many questions to ask at the end of this round."""
        ...

    def fit(self, round: int, seed: int) -> dict[str, float]:
        """Bring the reward model up to date with the answers that count now; metrics of the fit, {} without one."""
        ...

    def metrics(self) -> dict[str, float]:
        """What the round's row of metrics says about the pace: ``labels``, the usable answers, and what it adds."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What has to be remembered, for a checkpoint."""
        ...

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        ...


class Answers:
    """What the reward model is fitted to: the comparisons that were judged."""

    def __init__(self, model: RewardEnsemble, feedback: Feedback, critic: Critic, seed: int) -> None:
        """critic: V of observations, used by the end-value and regret preference models."""
        self.model, self.feedback, self.seed = model, feedback, seed
        self.critic = None if model.config.preference == "partial-return" else critic

    def comparisons(self, round: int | None, last_event: int | None = None) -> Comparisons:
        """Answers to questions of rounds up to ``round``, or all that had arrived by event ``until``."""
        config = self.model.config
        return self.feedback.comparisons(round, config.members, self.seed, self.critic, config.latest, last_event)

    def values(self, last_event: int) -> Array | None:
        """What the critic says now about the answers that had arrived by event ``until``; None without a critic."""
        return None if self.critic is None else self.comparisons(None, last_event).values

    def with_values(self, last_event: int, values: Array | None) -> Comparisons:
        """The answers that had arrived by event ``until``, with what a critic said about them."""
        config = self.model.config
        data = self.feedback.comparisons(None, config.members, self.seed, None, config.latest, last_event)
        return dataclasses.replace(data, values=values)

    def fit(self, data: Comparisons, seed: int) -> dict[str, float]:
        """Fit the model to ``data``: thoroughly the first time, a few passes later."""
        config = self.model.config
        return fit(self.model, data, config.epochs if int(self.model.fits) else config.first_epochs, seed)


class SerialPace:
    """Ask what the schedule says, and hear every answer before going on. Nobody is waited for who is not here."""

    def __init__(self, answers: Answers, total: int) -> None:
        """total: environment steps of the run."""
        self.answers, self.total = answers, total
        self.fitted_to = -1  # which answers the last fit saw

    def due(self, round: int, done: float) -> int:
        """What the label schedule says; round 0 is the paper's pretraining, when only the first share is due."""
        return self.answers.feedback.due(int(done * self.total) if round else 0, self.total)

    def fit(self, round: int, seed: int) -> dict[str, float]:
        """Fit when there are answers that the last fit did not see.

        Raises:
            PlauditError: round 0 ended without a single usable answer.
        """
        feedback = self.answers.feedback
        data = self.answers.comparisons(round)
        if not len(data):
            raise PlauditError(
                f"round {round}: {feedback.n_asked} questions were asked and none has a usable answer (all skipped "
                "or none judged): ask an annotator who answers, or lower the skip threshold"
            )
        if feedback.fingerprint == self.fitted_to and self.answers.critic is None:
            return {}
        self.fitted_to = feedback.fingerprint
        return self.answers.fit(data, seed)

    def metrics(self) -> dict[str, float]:
        """How many answers the model was fitted to."""
        return {"labels": float(self.answers.feedback.usable)}

    def state(self) -> dict[str, torch.Tensor]:
        """Which answers the last fit saw."""
        return {"fitted_to": torch.tensor(self.fitted_to)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.fitted_to = int(state["fitted_to"])


class PreferenceLearner:
    """Learns r_theta from comparisons of clips of recent experience (Christiano et al. 2017, section 2.2)."""

    def __init__(self, reward_model: RewardEnsemble, feedback: Feedback, pace: Pace) -> None:
        self.reward_model, self.feedback, self.pace = reward_model, feedback, pace
        self.reference: Trajectory | None = None
        self.metrics: dict[str, Any] = {}

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """Join ``recent`` along time, ask what is due, fit to the answers, and normalise the reward over it.

        Raises:
            PlauditError: as the pace does.
        """
        experience = join(recent)
        model = self.reward_model
        choose, shuffle = seed.spawn(2)
        if self.reference is None:
            self.reference = _sample(experience, REFERENCE_STEPS[model.pixels], np.random.default_rng(choose))
            model.set_normaliser(self.reference.observations[0])
        due = self.pace.due(round, done)
        if due > 0:
            self.feedback.ask(experience, model.per_step(experience), due, round, np.random.default_rng(choose))
        self.metrics = self.pace.fit(round, int(shuffle.generate_state(1)[0])) or self.metrics
        per_step = model.per_step(experience)
        model.calibrate(per_step, experience.mask)
        # The Bradley-Terry reward has a unit (one logit) but no zero: the first policy's clips are the zero
        start = model.per_step(self.reference).mean(axis=(1, 2))
        predicted = float((per_step[:, experience.mask].mean(axis=1) - start).mean())
        return {
            "asked": self.feedback.n_asked,
            "predicted_reward": predicted,
            **self.pace.metrics(),
            **self.metrics,
        }

    def state(self) -> dict[str, torch.Tensor]:
        """What was asked, what the last fit said, and the reference experience, for a checkpoint."""
        state = {"asked": torch.tensor(self.feedback.n_asked), **self.pace.state()}
        state |= {f"metrics.{name}": torch.tensor(value, dtype=torch.float64) for name, value in self.metrics.items()}
        if self.reference is not None:
            for name in TRAJECTORY:
                array = np.ascontiguousarray(getattr(self.reference, name))
                state[f"reference.{name}"] = torch.from_numpy(array)
        return state

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.feedback.n_asked = int(state["asked"])
        self.pace.restore(state)
        self.metrics = {k.removeprefix("metrics."): float(v) for k, v in state.items() if k.startswith("metrics.")}
        if "reference.mask" in state:
            self.reference = _trajectory({name: state[f"reference.{name}"].numpy() for name in TRAJECTORY})


def _sample(experience: Trajectory, count: int, rng: np.random.Generator) -> Trajectory:
    """``count`` real steps, drawn once from the first policy's experience, as a trajectory of one row."""
    rows, times = np.nonzero(experience.mask)
    chosen = np.sort(rng.permutation(len(rows))[:count])

    def take(array: Array) -> Array:
        return array[rows[chosen], times[chosen]][None]

    return _trajectory({name: take(getattr(experience, name)) for name in TRAJECTORY})


def _trajectory(arrays: dict[str, Any]) -> Trajectory:
    return Trajectory(**arrays)


def join(trajectories: Sequence[Trajectory]) -> Trajectory:
    """Consecutive rollouts of the same environments as one trajectory, along time, under the first one's number."""
    if len(trajectories) == 1:
        return trajectories[0]

    def along_time(name: str) -> Array:
        # concatenated time-major, as it was collected, so that flattening it later is free
        return np.concatenate([getattr(x, name).swapaxes(0, 1) for x in trajectories]).swapaxes(0, 1)

    names = ["observations", "actions", "log_probs", "values", "next_values", "ends", "mask"]
    if trajectories[0].states is not None:
        names.append("states")
    return Trajectory(rollout=trajectories[0].rollout, **{name: along_time(name) for name in names})
