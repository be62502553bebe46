"""An agent in Duel, a small Pong, learns from 300 comparisons by a simulated annotator; then it plays an episode.

It takes about a minute on two cores, and a web browser shows runs/example-control/report.html.
"""

import json
import os

import gymnasium

import plaudit

SETTINGS = json.loads(os.environ.get("SETTINGS", "{}"))  # such as {"steps": 100000}, for a shorter trial

run = plaudit.train("Duel", labels=300, out="runs/example-control", **SETTINGS)
print(f"{run.metrics()[-1]['labels']:.0f} comparisons were learned from; see {run.folder / 'report.html'}")

policy = plaudit.load_policy(run, seed=0)
env = gymnasium.make("plaudit/Duel-v0")
observation, _ = env.reset(seed=0)
score, over = 0.0, False
while not over:
    action, _ = policy.predict(observation)
    observation, reward, terminated, truncated, _ = env.step(action)
    score, over = score + float(reward), terminated or truncated
print(f"points won less points lost in one episode: {score:.0f}")
