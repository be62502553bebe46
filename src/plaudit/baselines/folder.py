"""The folder of a policy that imitates: config.json, metrics.jsonl, checkpoints/, result.json.

The policy is stored as a run's is, so that what films or loads the policy of a run takes this one, too.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from plaudit import layout
from plaudit.baselines.bc import CloningConfig
from plaudit.baselines.dagger import DaggerConfig
from plaudit.control.collect import evaluate
from plaudit.control.ends import RestartAfterEnd
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.files import replace_text
from plaudit.functional.intervals import mean_interval
from plaudit.run.disk import disk_errors
from plaudit.run.record import Checkpoint, RunFolder
from plaudit.run.stored import IMITATION
from plaudit.types import PlauditError

EVALUATION_SEED = 2**20  # as of runs
MOST_EPISODES = 10_000


@dataclass(frozen=True)
class ImitationConfig:
    """Everything that an imitating policy depends on, besides its demonstrations."""

    environment: EnvironmentConfig
    method: Literal["bc", "dagger"]
    network: NetworkConfig = field(default_factory=NetworkConfig)
    fit: CloningConfig = field(default_factory=CloningConfig)
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    expert: str = ""
    """The expert of DAgger: optimal, soft, or the folder of a run."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise PlauditError(f"seed must not be negative, got {self.seed}")


class Imitation(RunFolder[ImitationConfig]):
    """The folder of a policy that was fitted to demonstrations."""

    kind, config_class = IMITATION, ImitationConfig

    def save_policy(self, round: int, policy: ActorCritic) -> None:
        """Write the policy after a round as a checkpoint."""
        tensors = {f"policy/{name}": value for name, value in policy.state_dict().items()}
        self.save(round, Checkpoint(tensors, {"round": round, "seconds": 0.0}))

    def save_result(self, result: dict[str, Any]) -> None:
        """Write result.json."""
        path = self.folder / layout.RESULT
        with disk_errors(path):
            replace_text(path, json.dumps(result, indent=2) + "\n")

    def result(self) -> dict[str, Any]:
        """What result.json holds; {} before the end."""
        path = self.folder / layout.RESULT
        if not path.exists():
            return {}
        with disk_errors(path):
            return dict(json.loads(path.read_text(encoding="utf-8")))


def measure_returns(config: EnvironmentConfig, policy: ActorCritic, episodes: int) -> dict[str, Any]:
    """The true return of a policy as a run's is measured: fresh episodes, actions drawn, a mean with its 95 % interval.

    Raises:
        PlauditError: no such number of episodes.
    """
    if not 1 <= episodes <= MOST_EPISODES:
        raise PlauditError(f"the number of episodes must be in 1..{MOST_EPISODES:,}, got {episodes}")
    envs = make(dataclasses.replace(config, num_envs=min(episodes, 128)))
    if isinstance(envs, RestartAfterEnd):
        envs.repeats = 0
    try:
        returns = evaluate(envs, policy, episodes, EVALUATION_SEED)[:episodes]
    finally:
        envs.close()
    return {"return": float(np.mean(returns)), "interval": [*mean_interval(returns)], "episodes": len(returns)}
