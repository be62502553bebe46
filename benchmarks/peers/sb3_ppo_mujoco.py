"""stable-baselines3's PPO with its own defaults on a MuJoCo environment: what a true-reward run is held against.

Run it in an environment made from requirements-sb3.txt; Plaudit's side, with the same steps and seed, is
`ours_ppo_mujoco.py`. Each prints one JSON line: environment, seed, steps and the mean return of 20 fresh episodes.

    python sb3_ppo_mujoco.py Hopper-v5 0 1000000
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
from __future__ import annotations

import json
import sys

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy


def main() -> None:
    environment, seed, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model = PPO("MlpPolicy", make_vec_env(environment, 1, seed=seed), seed=seed, device="cpu")
    model.learn(steps)
    returns, _ = evaluate_policy(
        model,
        make_vec_env(environment, 1, seed=seed + 1_000_000),
        n_eval_episodes=20,
        deterministic=False,
        return_episode_rewards=True,
    )
    mean = sum(returns) / len(returns)
    print(json.dumps({"library": "sb3", "environment": environment, "seed": seed, "steps": steps, "return": mean}))


if __name__ == "__main__":
    main()
