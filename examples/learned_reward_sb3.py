"""stable-baselines3 trains on a reward that Plaudit learned; it needs `pip install stable-baselines3`."""

import json
import os

import gymnasium
from stable_baselines3 import PPO  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.evaluation import evaluate_policy  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.monitor import Monitor  # pyright: ignore[reportMissingImports]

import plaudit

SETTINGS = json.loads(os.environ.get("SETTINGS", "{}"))  # such as {"steps": 50000}, for a shorter trial
STEPS = int(os.environ.get("STEPS", "100000"))  # that stable-baselines3 trains for

run = plaudit.train("CartPole-v1", labels=300, out="runs/example-sb3", **SETTINGS)

env = plaudit.LearnedReward(gymnasium.make("CartPole-v1"), run)  # the true reward is in info["true_reward"]
model = PPO("MlpPolicy", Monitor(env), seed=0, device="cpu")
model.learn(STEPS)

mean, deviation = evaluate_policy(model, Monitor(gymnasium.make("CartPole-v1")), n_eval_episodes=20)
print(f"true return of stable-baselines3's policy: {mean:.0f} (standard deviation {deviation:.0f}) of 500")
ours, _ = evaluate_policy(plaudit.load_policy(run), Monitor(gymnasium.make("CartPole-v1")), n_eval_episodes=20)
print(f"true return of the run's own policy: {ours:.0f}")
