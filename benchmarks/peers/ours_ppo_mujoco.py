"""Plaudit's PPO on the true reward of a MuJoCo environment, beside `sb3_ppo_mujoco.py`.

python benchmarks/peers/ours_ppo_mujoco.py Hopper-v5 0 1000000
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from plaudit.control.make import EnvironmentConfig
from plaudit.control.networks import NetworkConfig
from plaudit.policy.improve import ImproveConfig
from plaudit.run.control.config import Run, defaults
from plaudit.run.control.look import measure_returns
from plaudit.run.control.true_reward import true_reward_session


def main() -> None:
    environment, seed, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    config = dataclasses.replace(
        defaults(environment),
        environment=EnvironmentConfig(environment, num_envs=8),
        network=NetworkConfig(log_std=0.0, critic="separate"),
        improve=ImproveConfig(learning_rate=3e-4, clip=0.2, epochs=10, minibatches=32, entropy=0.0),
        rollout_steps=256,  # 2,048 steps for an update, and batches of 64, as stable-baselines3 has them
        steps=steps,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config)
        session, close = true_reward_session(run)
        rows = list(session.rounds())
        close()
        mean = float(measure_returns(run, 20).mean())
        total = rows[-1]["step"]
    print(json.dumps({"library": "plaudit", "environment": environment, "seed": seed, "steps": total, "return": mean}))


if __name__ == "__main__":
    main()
