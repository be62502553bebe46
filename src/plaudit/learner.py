"""The reward's side of the loop: ask about recent experience, and refit when answers have come."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from plaudit.questions import Critic, Feedback
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.reward.fit import fit
from plaudit.types import Array, PlauditError, Trajectory

TRAJECTORY = ("observations", "actions", "log_probs", "values", "next_values", "ends", "mask")
REFERENCE_STEPS = {True: 256, False: 4096}  # of the first policy, kept for comparison: pixels, states


class PreferenceLearner:
    """Learns r_theta from comparisons of clips of recent experience (Christiano et al. 2017, section 2.2)."""

    def __init__(self, reward_model: RewardEnsemble, feedback: Feedback, critic: Critic, total: int, seed: int) -> None:
        """critic: V of observations, used by the end-value and regret preference models. total: steps of the run."""
        self.reward_model, self.feedback, self.total, self.seed = reward_model, feedback, total, seed
        self.critic = None if reward_model.config.preference == "partial-return" else critic
        self.fitted_to = -1  # which answers the last fit saw
        self.reference: Trajectory | None = None
        self.metrics: dict[str, Any] = {}

    def learn(self, experience: Trajectory, round: int, done: float, seed: np.random.SeedSequence) -> dict[str, Any]:
        """Ask what is due, fit to what is answered, and normalise the reward over ``experience``.

        Raises:
            PlauditError: round 0 ended without a single usable answer.
        """
        model, config = self.reward_model, self.reward_model.config
        choose, shuffle = seed.spawn(2)
        if self.reference is None:
            self.reference = _sample(experience, REFERENCE_STEPS[model.pixels], np.random.default_rng(choose))
            model.set_normaliser(self.reference.observations[0])
        # round 0 is the paper's pretraining: the schedule has not begun, only the first share is due
        due = self.feedback.due(int(done * self.total) if round else 0, self.total)
        if due > 0:
            self.feedback.ask(experience, model.per_step(experience), due, round, np.random.default_rng(choose))
        data = self.feedback.comparisons(round, config.members, self.seed, self.critic, config.latest)
        if not len(data):
            raise PlauditError(
                f"round {round}: {self.feedback.asked} questions were asked and none has a usable answer (all skipped "
                "or none judged): ask an annotator who answers, or lower the skip threshold"
            )
        if self.feedback.fingerprint != self.fitted_to or self.critic is not None:
            self.fitted_to = self.feedback.fingerprint
            epochs = config.epochs if int(model.fits) else config.first_epochs
            self.metrics = fit(model, data, epochs, int(shuffle.generate_state(1)[0]))
        per_step = model.per_step(experience)
        model.calibrate(per_step, experience.mask)
        # The Bradley-Terry reward has a unit (one logit) but no zero: the first policy's clips are the zero
        start = model.per_step(self.reference).mean(axis=(1, 2))
        predicted = float((per_step[:, experience.mask].mean(axis=1) - start).mean())
        return {
            "labels": self.feedback.usable,
            "asked": self.feedback.asked,
            "predicted_reward": predicted,
            **self.metrics,
        }

    def state(self) -> dict[str, torch.Tensor]:
        """What was asked, what the last fit said, and the reference experience, for a checkpoint."""
        state = {"asked": torch.tensor(self.feedback.asked), "fitted_to": torch.tensor(self.fitted_to)}
        state |= {f"metrics.{name}": torch.tensor(value, dtype=torch.float64) for name, value in self.metrics.items()}
        if self.reference is not None:
            for name in TRAJECTORY:
                array = np.ascontiguousarray(getattr(self.reference, name))
                state[f"reference.{name}"] = torch.from_numpy(array)
        return state

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.feedback.asked, self.fitted_to = int(state["asked"]), int(state["fitted_to"])
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
