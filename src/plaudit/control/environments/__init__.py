"""Batched-numpy environments. Importing this package registers them with Gymnasium.

``gymnasium.make("plaudit/Duel-v0")`` gives one game, ``gymnasium.make_vec(..., num_envs=256,
vectorization_mode="vector_entry_point")`` a batch.
"""

from __future__ import annotations

import gymnasium

from plaudit.control.environments.base import BatchedEnv, SingleEnv
from plaudit.control.environments.delivery import Delivery, DeliveryVector
from plaudit.control.environments.duel import Duel, DuelVector
from plaudit.control.environments.grasp import Grasp, GraspVector
from plaudit.control.environments.movingdot import MovingDot, MovingDotVector
from plaudit.control.environments.offswitch import OffSwitch, OffSwitchVector
from plaudit.control.environments.rally import Rally, RallyVector
from plaudit.control.environments.vase import Vase, VaseVector

__all__ = [
    "BatchedEnv",
    "Delivery",
    "DeliveryVector",
    "Duel",
    "DuelVector",
    "Grasp",
    "GraspVector",
    "MovingDot",
    "MovingDotVector",
    "OffSwitch",
    "OffSwitchVector",
    "Rally",
    "RallyVector",
    "SingleEnv",
    "Vase",
    "VaseVector",
]

for _name in ("Delivery", "Duel", "Grasp", "MovingDot", "OffSwitch", "Rally", "Vase"):
    if f"plaudit/{_name}-v0" not in gymnasium.registry:
        _module = f"{__name__}.{_name.lower()}"
        gymnasium.register(
            f"plaudit/{_name}-v0",
            entry_point=f"{_module}:{_name}",
            vector_entry_point=f"{_module}:{_name}Vector",
        )
