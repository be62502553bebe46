"""Runs that were never trained: a folder with a checkpoint of random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from plaudit.api.settings import change_settings
from plaudit.control.make import make
from plaudit.control.networks import ActorCritic
from plaudit.run.control.assemble import reward_model_of
from plaudit.run.control.config import Run, defaults
from plaudit.run.record import Checkpoint
from plaudit.run.stored import CONTROL

MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """make_run("CartPole-v1", ends="visible"): settings are those of the environment; fits: fits of the reward."""

    def build(name: str, fits: int = 1, **environment: Any) -> Run:
        changes = {"environment": {"num_envs": 3, **environment}, "feedback": {"length": 20}}
        config = change_settings(defaults(name), [changes], CONTROL)
        run = Run.create(tmp_path_factory.mktemp("run") / "run", config)
        envs = make(config.environment)
        torch.manual_seed(0)
        policy = ActorCritic(envs.single_observation_space, envs.single_action_space, config.network)
        with torch.no_grad():
            policy.head.weight *= 100  # so that actions depend on what is seen
        reward = reward_model_of(config, envs)
        reward.fits += fits
        reward.member_mean += torch.arange(config.reward.members) / 10
        reward.member_std *= 0.5
        envs.close()
        parts = {"policy": policy, "reward": reward}
        tensors = {f"{part}/{name}": v for part, module in parts.items() for name, v in module.state_dict().items()}
        run.save(0, Checkpoint(tensors, {"round": 0, "seconds": 0.0}))
        return run

    return build
