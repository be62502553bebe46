"""Plaudit: reinforcement learning from human feedback, end to end.

``import plaudit`` loads nothing else; each name below is imported when it is first used.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plaudit.api.audit import audit
    from plaudit.api.baselines import clone, dagger, demonstrate, infer_reward
    from plaudit.api.collecting import collect
    from plaudit.api.learned_reward import LearnedReward
    from plaudit.api.policy import load_policy
    from plaudit.api.reward import load_reward
    from plaudit.api.store import Store
    from plaudit.api.training import resume, train
    from plaudit.baselines.demonstrations import Demonstrations
    from plaudit.interfaces import Annotator
    from plaudit.types import Answer, Dialogue, Judgement, Message, PlauditError, Question, Segment

__version__ = "0.1.0"
__all__ = [
    "Annotator",
    "Answer",
    "Demonstrations",
    "Dialogue",
    "Judgement",
    "LearnedReward",
    "Message",
    "PlauditError",
    "Question",
    "Segment",
    "Store",
    "audit",
    "clone",
    "collect",
    "dagger",
    "demonstrate",
    "infer_reward",
    "load_policy",
    "load_reward",
    "resume",
    "train",
]

# OpenMP's threads spin while they wait, up to 300,000 times. Beside another busy process they spin in each other's way:
# measured, two runs of two threads on two cores took eleven times as long as with one thread each, and with this limit
# 1.5 times. Atari gains too, for the emulator gets the core. Read when torch loads, so it stands here.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_MODULES = {  # name -> the module that defines it
    "Demonstrations": "plaudit.baselines.demonstrations",
    "LearnedReward": "plaudit.api.learned_reward",
    "Store": "plaudit.api.store",
    "audit": "plaudit.api.audit",
    "collect": "plaudit.api.collecting",
    "load_policy": "plaudit.api.policy",
    "load_reward": "plaudit.api.reward",
    **dict.fromkeys(("clone", "dagger", "demonstrate", "infer_reward"), "plaudit.api.baselines"),
    **dict.fromkeys(("resume", "train"), "plaudit.api.training"),
    **dict.fromkeys(("Annotator",), "plaudit.interfaces"),
    **dict.fromkeys(
        ("Answer", "Dialogue", "Judgement", "Message", "PlauditError", "Question", "Segment"), "plaudit.types"
    ),
}
_EXTRAS = {"collect": "serve", "load_reward": "language"}


def __getattr__(name: str) -> Any:
    """Import a name of the API when it is first used (PEP 562)."""
    if name not in _MODULES:
        message = f"module 'plaudit' has no attribute {name!r}: it has {', '.join(__all__)}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])
    try:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        if name not in _EXTRAS:
            raise
        raise ImportError(f"plaudit.{name} needs {error.name}: pip install -e '.[{_EXTRAS[name]}]'") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
