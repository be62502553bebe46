"""imitation's BC and DAgger on CartPole-v1, from demonstrations and an expert that Plaudit made.

Run in the peer's environment: PYTHON benchmarks/peers/imitation_bc.py DEMONSTRATIONS.npz EXPERT.npz; it prints JSON.
BC sees as many examples as Plaudit's (400 batches of 256), in its own batches of 32; DAgger has its own defaults.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
from imitation.algorithms import bc
from imitation.algorithms.dagger import SimpleDAggerTrainer
from imitation.data.types import Trajectory
from imitation.policies.base import NonTrainablePolicy
from imitation.util import logger as imitation_logger
from imitation.util.util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

COUNTS = (1, 3, 10)
SEEDS = 3
BATCHES = 400 * 256 // 32
EPISODES = 200


class Expert(NonTrainablePolicy):
    """A network of tanh layers, whose likeliest action is taken; its last output is a value."""

    def __init__(self, venv: VecEnv, path: str) -> None:
        super().__init__(venv.observation_space, venv.action_space)
        with np.load(path) as file:
            count = len(file.files) // 2
            self.layers = [(file[f"weight{number}"], file[f"bias{number}"]) for number in range(count)]

    def _choose_action(self, obs: Any) -> Any:
        values = np.asarray(obs, np.float32)
        for weight, bias in self.layers[:-1]:
            values = np.tanh(weight @ values + bias)
        weight, bias = self.layers[-1]
        return int((weight @ values + bias)[:-1].argmax())


def trajectories(path: str) -> list[Trajectory]:
    """Each episode with its last observation twice, because imitation wants one after the last action."""
    with np.load(path) as file:
        observations, actions, ends = file["observations"], file["actions"], file["ends"]
    edges = [0, *(np.flatnonzero(ends) + 1).tolist()]
    return [
        Trajectory(
            obs=np.concatenate([observations[first:last], observations[last - 1 : last]]),
            acts=actions[first:last],
            infos=None,
            terminal=True,
        )
        for first, last in itertools.pairwise(edges)
    ]


def measure(policy: Any, venv: VecEnv) -> float:
    """The mean true return, with actions that are drawn, as Plaudit measures it."""
    returns, _ = evaluate_policy(policy, venv, EPISODES, deterministic=False)
    return float(returns)


def main() -> None:
    demonstrations, expert_path = sys.argv[1:]
    torch.set_num_threads(1)
    episodes, rows = trajectories(demonstrations), []
    quiet = imitation_logger.configure(tempfile.mkdtemp(), format_strs=[])
    for count in COUNTS:
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            rng = np.random.default_rng(seed)
            venv = make_vec_env("CartPole-v1", rng=rng, n_envs=8)
            trainer = bc.BC(
                observation_space=venv.observation_space,
                action_space=venv.action_space,
                demonstrations=episodes[:count],
                rng=rng,
                custom_logger=quiet,
            )
            started = time.process_time()
            trainer.train(n_batches=BATCHES, progress_bar=False)
            seconds = time.process_time() - started
            value = measure(trainer.policy, venv)
            rows.append({"method": "bc", "count": count, "seconds": seconds, "return": value})
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        venv = make_vec_env("CartPole-v1", rng=rng, n_envs=1)
        trainer = bc.BC(
            observation_space=venv.observation_space,
            action_space=venv.action_space,
            rng=rng,
            custom_logger=quiet,
        )
        dagger = SimpleDAggerTrainer(
            venv=venv,
            scratch_dir=tempfile.mkdtemp(),
            expert_policy=Expert(venv, expert_path),
            bc_trainer=trainer,
            rng=rng,
            custom_logger=quiet,
        )
        started = time.process_time()
        dagger.train(total_timesteps=2000, rollout_round_min_episodes=1, bc_train_kwargs={"progress_bar": False})
        seconds = time.process_time() - started
        value = measure(dagger.policy, venv)
        rows.append({"method": "dagger", "labels": 2000, "seconds": seconds, "return": value})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
