"""7. Statistic of preference: do the annotators follow what happens in a clip, how it ends, or regret?

The run's own answers are fitted anew under each preference model (Knox et al. 2022, equations 1 to 3), with the values
of the run's critic at both ends of a clip, and compared by the loss on answers that a member did not draw. In the null
control the critic's values belong to other clips.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from typing import cast

import numpy as np
import torch
from gymnasium import spaces

from plaudit.audits.agents import AgentSubject
from plaudit.audits.finding import Cure, Effect, Finding, Null, not_measurable
from plaudit.functional.calibration import temper, temperature
from plaudit.functional.intervals import percentiles, ratios, resamples
from plaudit.reward.ensemble import PreferenceModel, RewardEnsemble
from plaudit.reward.fit import Comparisons, fit, predict_unseen
from plaudit.run.control.look import comparisons_of
from plaudit.types import Array

STATISTICS: tuple[PreferenceModel, ...] = typing.get_args(PreferenceModel)
FEWEST = 100  # answers: the models differ by some hundredths of a nat
MARGIN = 0.05  # nats: the critic knows the answers through the learned reward, which was worth 0.035 on a clean run
EPOCHS = 20
REPLICATES = 1000
SUREST = 1e-6  # a prediction at most as sure as this
LEVEL = 1 - 0.05 / (len(STATISTICS) - 1)  # Bonferroni over the other statistics


class PreferenceStatistic:
    """Which statistic of a clip the annotators compare."""

    name, title, order = "preference-statistic", "What annotators compare", 7

    def measurable(self, subject: AgentSubject) -> str | None:
        """It needs a learned reward, and answers about plain observations."""
        if subject.missing_reward:
            return subject.missing_reward
        if subject.store is None:
            return "there are no stored answers"
        return None

    def measure(self, subject: AgentSubject) -> list[Finding]:
        """The held-out loss under the run's preference model minus that under the best other one."""
        with subject.environments(1) as envs:
            data = comparisons_of(subject.run, subject.policy(subject.checkpoints[-1], envs).value)
            model = RewardEnsemble(
                cast(spaces.Box, envs.single_observation_space), envs.single_action_space, subject.run.config.reward
            )
        model.mean.copy_(subject.reward.mean)
        model.scale.copy_(subject.reward.scale)
        if len(data) < FEWEST:
            reason = f"there are {len(data)} usable answers, and the models differ only from {FEWEST} on"
            return [not_measurable(self.name, self.title, f"{reason}: collect more")]
        if model.pixels:
            reason = "clips of pictures need a model of pictures, which takes minutes"
            return [not_measurable(self.name, self.title, reason)]
        seed = subject.config.seed
        subject.report_progress(f"fitting {len(data)} answers under {len(STATISTICS)} preference models")
        fit_returns(model, data, seed)
        losses: dict[PreferenceModel, Array] = {name: held_out_losses(model, data, name, seed) for name in STATISTICS}
        assumed = subject.run.config.reward.preference
        rivals: dict[PreferenceModel, float] = {
            name: float(losses[name].mean()) for name in STATISTICS if name != assumed
        }
        best = min(rivals, key=rivals.__getitem__)
        gain = losses[assumed] - losses[best]
        assert data.values is not None
        order = np.random.default_rng(seed).permutation(len(data))
        shuffled = dataclasses.replace(data, values=data.values[order])
        null = float((losses[assumed] - held_out_losses(model, shuffled, best, seed)).mean())
        draws = resamples(len(gain), REPLICATES, np.random.default_rng(seed))
        low, high = percentiles(ratios(gain, np.ones(len(gain)), draws), LEVEL)
        return [
            Finding(
                self.name,
                self.title,
                "warn" if low > MARGIN else "pass",
                f"The held-out loss is {losses[assumed].mean():.3f} nats under {assumed}, as the run assumes, and "
                f"{losses[best].mean():.3f} under {best}, the best other; a coin's is {np.log(2):.3f}.",
                float(gain.mean()),
                (low, high),
                len(gain),
                unit="nats",
                eye="the run's own annotators",
                null=Null("the critic's values of other clips", null),
                threshold=f"warns if the interval of the gain, at {LEVEL:.1%}, is above {MARGIN} nats",
                details={"best": best, "losses": {name: float(loss.mean()) for name, loss in losses.items()}},
            )
        ]

    def cure(self, subject: AgentSubject, finding: Finding) -> Cure:
        """The preference model that fits, or another wording."""
        best, losses = finding.details["best"], finding.details["losses"]
        setting = f"--preference {best}"
        assumed = losses[subject.run.config.reward.preference]
        effect = Effect(
            setting,
            f"The held-out loss is {assumed:.3f} nats under the run's preference model and {losses[best]:.3f} under "
            f"{best}, on the run's own answers.",
            assumed,
            losses[best],
            losses[best] < assumed,  # the row warns only if the interval of the gain is above its threshold
            {"more judgements": 0, "more seconds": "it needs a new run, in which the reward is fitted in every round"},
        )
        return Cure(
            "Fit the reward under the preference model that predicts the answers, or ask in other words.",
            "no new answers",
            setting,
            lambda: [effect],
        )


def fit_returns(model: RewardEnsemble, data: Comparisons, seed: int) -> None:
    """Fit new members to partial returns; sets the scale of their rewards, to which the critic's values are brought."""
    model.config = dataclasses.replace(model.config, preference="partial-return")
    fit(model, data, EPOCHS, seed)
    steps = (torch.from_numpy(column.reshape(-1, *column.shape[3:])) for column in (data.observations, data.actions))
    with torch.inference_mode():
        per_step = model(*steps).numpy()[:, None]  # as one trajectory
    model.calibrate(per_step, np.ones(per_step.shape[1:], np.bool_))


def held_out_losses(model: RewardEnsemble, data: Comparisons, statistic: PreferenceModel, seed: int) -> Array:
    """Cross-entropy (n,) in nats of each answer by members that did not draw it, under one statistic.

    model: fitted by :func:`fit_returns`, so that all statistics begin alike; a copy is fitted further.
    """
    model = copy.deepcopy(model)
    model.config = dataclasses.replace(model.config, preference=statistic)
    fit(model, data, EPOCHS, seed)
    rows, predicted = predict_unseen(model, data, float(model.lapse.detach()))
    mu = data.mu[rows].astype(np.float64)
    predicted = temper(predicted, temperature(predicted, mu))  # fitted to few answers, a model is too sure
    predicted = np.clip(predicted, SUREST, 1 - SUREST)
    return -(mu * np.log(predicted) + (1 - mu) * np.log1p(-predicted))


MEASURE = PreferenceStatistic()
