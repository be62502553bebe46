"""An environment of one's own, as Gymnasium has it: a point on a line shall stay near the middle."""

import json
import os
from typing import Any

import gymnasium
import numpy as np

import plaudit

SETTINGS = json.loads(os.environ.get("SETTINGS", "{}"))  # such as {"steps": 20000}, for a shorter trial


class Middle(gymnasium.Env[Any, Any]):
    """Observation: the position, in [-1, 1]. Actions: left, right. Reward: 1 near the middle."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.position, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position = np.clip(self.position + (0.1 if action else -0.1), -1, 1).astype(np.float32)
        return self.position, float(abs(self.position[0]) < 0.2), False, False, {}


gymnasium.register("Middle-v0", Middle, max_episode_steps=100)  # pyright: ignore[reportArgumentType]
run = plaudit.train("Middle-v0", labels=100, steps=200_000, out="runs/example-environment", **SETTINGS)
print(f"true return: {run.metrics()[-1]['true_return']:.1f} of 100")

policy = plaudit.load_policy(run)
for position in (-0.8, 0.8):
    action, _ = policy.predict([position], deterministic=True)
    print(f"at {position}: {'right' if action else 'left'}")
