"""Cures of a learned reward, tried on the run's own answers: the reward is fitted again with other settings.

The same settings, fitted again with other seeds, are the control. A setting helps if the row's value is better in all
of its fits than in all fits of the control. By luck that happens once in 20 settings, because there are three of each.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces

from plaudit.audits.agents import AgentSubject
from plaudit.audits.finding import Effect
from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons, fit
from plaudit.run.control.look import comparisons_of
from plaudit.types import PlauditError

FITS = 3  # of each setting: 3 are all better than 3 others with probability 1 / 20
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "--reward.pooling worst": {"pooling": "worst"},
    "--reward.pooling uncertain --reward.caution 0.5": {"pooling": "uncertain", "caution": 0.5},
    "--reward.clamp": {"clamp": True},
    "--reward.smoothing 0.2": {"smoothing": 0.2},
}
POLICY = "it needs a new run"  # why the return under another reward is not known
Value = Callable[[AgentSubject], float | None]


@dataclass(frozen=True, eq=False)
class Refit:
    """A reward model that was fitted again to the run's answers."""

    model: RewardEnsemble
    accuracy: float  # held-out
    seconds: float


def try_rewards(subject: AgentSubject, value: Value, larger_is_better: bool) -> list[Effect]:
    """What each setting of the reward does to the value of a row, which ``value`` measures on a subject.

    Raises:
        PlauditError: the reward cannot be fitted again in seconds.
    """
    config = subject.run.config.reward
    control = _values(subject, config, value)
    if control is None:
        raise PlauditError("the row is not measurable with a reward that was fitted again")
    sign = 1 if larger_is_better else -1
    effects: list[Effect] = []
    for setting, changes in SETTINGS.items():
        changed = dataclasses.replace(config, **changes)
        if changed == config:
            continue
        values = _values(subject, changed, value)
        if values is None:
            effects.append(Effect(setting, "the row is not measurable with this reward"))
            continue
        effects.append(
            Effect(
                setting,
                f"{FITS} fits with it have {_range(values)}, and {FITS} of the run's own settings {_range(control)}.",
                fmean(control),
                fmean(values),
                min(sign * number for number in values) > max(sign * number for number in control),
                _price(refits(subject, config), refits(subject, changed)),
            )
        )
    return effects


def refits(subject: AgentSubject, config: RewardConfig) -> list[Refit]:
    """The run's reward fitted again, with one seed each; settings that differ only in pooling share their fits.

    Raises:
        PlauditError: the clips are pictures, or there are no answers.
    """
    unpooled = dataclasses.replace(config, pooling="mean", caution=0.5)
    fits = subject.share(f"refits {unpooled}", lambda: [_fit_again(subject, unpooled, seed) for seed in range(FITS)])
    for refit in fits:
        refit.model.config = config
    return fits


def _fit_again(subject: AgentSubject, config: RewardConfig, seed: int) -> Refit:
    subject.report_progress(f"fitting the reward again, {seed + 1} of {FITS}")
    with subject.environments(1) as envs, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        box = cast(spaces.Box, envs.single_observation_space)
        model = RewardEnsemble(box, envs.single_action_space, config)
        if model.pixels:
            raise PlauditError("clips of pictures need a model of pictures, which takes minutes")
        data = _answers(subject)
    if not len(data):
        raise PlauditError("there are no usable answers to fit the reward to")
    model.mean.copy_(subject.reward.mean)
    model.scale.copy_(subject.reward.scale)
    started = time.perf_counter()
    metrics = fit(model, data, config.first_epochs, seed)
    seconds = time.perf_counter() - started
    trajectory = subject.rollout(subject.checkpoints[-1]).trajectory
    model.calibrate(model.per_step(trajectory), trajectory.mask)
    return Refit(model, metrics["holdout_accuracy"], seconds)


def _answers(subject: AgentSubject) -> Comparisons:
    """The run's answers; of the final critic's values, if the preference model needs some."""

    def read() -> Comparisons:
        if subject.run.config.reward.preference == "partial-return":
            return comparisons_of(subject.run, None)
        with subject.environments(1) as envs:
            return comparisons_of(subject.run, subject.policy(subject.checkpoints[-1], envs).value)

    return subject.share("run's answers", read)


def _values(subject: AgentSubject, config: RewardConfig, value: Value) -> list[float] | None:
    """The row's value with each fit; None if it is not measurable with one of them."""
    values: list[float] = []
    for refit in refits(subject, config):
        number = value(subject.with_reward(refit.model))
        if number is None or not np.isfinite(number):
            return None
        values.append(number)
    return values


def _price(control: Sequence[Refit], changed: Sequence[Refit]) -> dict[str, float | str]:
    def difference(name: str) -> float:
        return fmean(getattr(refit, name) for refit in changed) - fmean(getattr(refit, name) for refit in control)

    accuracy = difference("accuracy")
    return {
        "change of held-out accuracy": accuracy if np.isfinite(accuracy) else "no answer was held out",
        "more seconds a fit": difference("seconds"),
        "more judgements": 0,
        "change of return": POLICY,
    }


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"
