"""`plaudit tune reward`: a reward model, fitted to comparisons, rankings and ratings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from plaudit.language.calibration import held_out_pairs, length_sign
from plaudit.language.data import check_objectives, read_judgements, split
from plaudit.language.models import device_of
from plaudit.language.reward import HeadsConfig, JudgedCompletions, Preferences, TextReward, load_heads_config
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.run.language.tune.config import TuningConfig
from plaudit.run.language.tune.data import Data, Sides, check_files, check_sides, load_model, read, with_template
from plaudit.run.language.tune.measures import measure_pairs
from plaudit.run.language.tune.method import Method, Recipe, Result

REFERENCES = 512  # prompts over whose responses a reward has mean 0 and standard deviation 1


@dataclass(frozen=True)
class RewardModelConfig(TuningConfig):
    """A reward model, fitted to comparisons, rankings and ratings."""

    heads_learn = True
    data: tuple[str, ...] = ()
    """Files of comparisons, rankings or ratings (any that `plaudit import` reads), or stores (.sqlite, ...)."""
    reward_model: str | None = None
    """Folder of a reward model to continue from (preference-model pretraining), or a published sequence classifier, in
    place of a language model."""
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-5))


def reward_model(config: RewardModelConfig) -> Recipe:
    """Comparisons, rankings and ratings, to which a new or a saved reward model is fitted.

    Raises:
        PlauditError: as :func:`plaudit.run.language.tune.sft.sft`; there is no reward model to continue from.
    """
    check_files(config)
    reward = _load_reward(config)
    chat, length = Chat(reward.model), min(config.fit.length, reward.model.window)
    examples, counts, files = read(
        config, chat, lambda store: read_judgements(store, chat, reward.config, length, config.seed)
    )
    sides = Sides(*split(examples, config.held_out, config.seed))
    check_sides(config, sides)
    check_objectives(reward.config, sides.train, counts)

    def measure(tuner: Tuner[JudgedCompletions], sides: Sides, before: float | None) -> Result:
        reward.normalise([example.tree for example in sides.train[:REFERENCES]])
        result = measure_pairs(held_out_pairs(reward, sides.held_out), length_sign(sides.train), "accuracy")
        if "temperature" in result.numbers:
            reward.temper(result.numbers["temperature"])
        return result

    return Recipe(
        reward.model,
        reward,
        Preferences(reward),
        lambda run, progress: sides,
        measure,
        reward.save,
        Data.count(counts, files, sides),
    )


def _load_reward(config: RewardModelConfig) -> TextReward:
    """The reward model to fit: new heads on a language model, or a saved one."""
    if config.reward_model is None:
        return TextReward(load_model(config), config.heads)
    folder = Path(config.reward_model)
    torch.manual_seed(config.seed)
    # settings of the heads that differ from the defaults were asked for; the others are as they were saved
    settings, defaults = vars(config.heads), vars(HeadsConfig())
    changes = {name: value for name, value in settings.items() if value != defaults[name]}
    heads = replace(load_heads_config(folder, config.model.trust_remote_code), **changes)
    reward = TextReward.load(folder, config.model, heads, device_of(config.device))
    with_template(reward.model, config)
    return reward


REWARD = Method(
    "reward",
    RewardModelConfig,
    reward_model,
    "fit a reward model to judgements: preference-model pretraining",
    "Fit a reward model to comparisons, rankings and ratings. --reward-model takes OUT/model, here and in\n"
    "plaudit train chat: fit to much data first, then to little (preference-model pretraining).",
    (
        "plaudit tune reward pairs.jsonl",
        "plaudit tune reward ours.sqlite --reward-model runs/reward/model --out runs/reward-ours",
    ),
    common=("reward_model", "heads.members"),
)
