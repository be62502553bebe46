"""Environments by name: Gymnasium's registry, and the modules of a user that register more of them."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, namespace

import plaudit.control.environments  # noqa: F401  (registers plaudit/*)
from plaudit.extensions import import_module, one_line
from plaudit.types import PlauditError

EXTRAS = {"minigrid": "minigrid", "ale_py": "atari"}  # packages that register environments, and our extra for each
FAMILIES = {  # how the names of other packages' environments begin
    "MiniGrid-": "minigrid",
    "BabyAI-": "minigrid",
    "MinAtar/": "minatar",
}
FIXED_ARGUMENTS = {  # arguments of gymnasium.make that are Plaudit's, and what sets them
    "render_mode": "Plaudit sets it when it draws the environment",
    "num_envs": "use --environment.num-envs",
    "id": "name the environment after `train`",
    "vectorization_mode": "Plaudit steps single environments one by one",
    "vector_kwargs": "give the arguments themselves",
    "wrappers": "wrap the environment where you register it",
    "disable_env_checker": "Plaudit has checks of its own",
}
RENDERERS = {  # parts of Gymnasium that need a package, and our extra for each
    "gymnasium.envs.box2d": "box2d",
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.classic_control": "control",
    "gymnasium.envs.toy_text": "control",
}
_plugins: set[str] = set()  # entry points that this process has called
PYTHON_WORDS = {"True": True, "False": False, "None": None}


def split_name(name: str) -> tuple[tuple[str, ...], str]:
    """The module that MODULE:ID names, if it names one, and the id, as Gymnasium reads such a name."""
    module, _, id = name.rpartition(":")
    return ((module,) if module else ()), id


def import_environments(modules: Sequence[str]) -> None:
    """Import modules that register environments with Gymnasium.

    Raises:
        PlauditError: as :func:`plaudit.extensions.import_module`; for a package that an extra installs, the message
            names the extra.
    """
    for module in modules:
        if module in (*EXTRAS, *FAMILIES.values()) and importlib.util.find_spec(module) is None:
            raise PlauditError(f"the environments of {module} need it: {_installation(module)}")
        import_module(module)


def resolve(name: str, modules: Sequence[str] = ()) -> str:
    """The registered id for a name: ``Duel`` -> ``plaudit/Duel-v0``, ``Pong`` -> ``ALE/Pong-v5``.

    A name without a version means the newest version; capitals, hyphens, underscores and spaces do not matter.
    ``modules`` are imported first. Packages that announce environments by Gymnasium's entry points are asked for a name
    that is not registered yet.

    Raises:
        PlauditError: nothing of that name is registered; the message lists the nearest names. A module cannot be
            imported.
    """
    import_environments(modules)
    if name.startswith("ALE/"):
        register_atari()
    plaudit_id = name if name.startswith("plaudit/") else f"plaudit/{name}"
    for candidate in (name, plaudit_id, f"{plaudit_id}-v0"):
        if candidate in gym.registry:
            return candidate
    atari = importlib.util.find_spec("ale_py") is not None
    if atari:
        register_atari()
    newest = _find_newest(name)
    if newest is None:
        register_plugins(name)
        newest = _find_newest(name)
    if newest is not None:
        return newest
    package = next((package for start, package in FAMILIES.items() if name.startswith(start)), None)
    if package is not None and importlib.util.find_spec(package) is None:
        raise PlauditError(f"{name} needs {package}: {_installation(package)}")
    names = {
        id.removeprefix("plaudit/").removesuffix("-v0") if id.startswith("plaudit/") else id for id in gym.registry
    }
    suggestions = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or ["Duel", "Rally", "CartPole-v1"]
    games = "" if atari else "; Atari games need ale-py: pip install -e '.[atari]'"
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    models = "" if close else "; a language model is trained by: plaudit train chat --base MODEL"
    raise PlauditError(f"unknown environment {name!r}: nearest names are {', '.join(suggestions)}{games}{models}")


def _find_newest(name: str) -> str | None:
    """The id that is registered for a name: itself, or the newest version of its spelling."""
    if name in gym.registry:
        return name
    letters = _letters(name)
    newest = max(
        (spec for spec in gym.registry.values() if letters in _spellings(spec.id)),
        key=lambda spec: (*(spec.namespace == name for name in ("plaudit", "ALE", None)), spec.version or 0),
        default=None,
    )
    return None if newest is None else newest.id


def register_plugins(name: str) -> None:
    """Let installed packages register their environments: the one of the name's family, and those with entry points.

    Gymnasium did that itself until 1.3. An entry point's name is the namespace of its environments, or ``__root__``.
    """
    package = next((package for start, package in FAMILIES.items() if name.startswith(start)), None)
    if package is not None and importlib.util.find_spec(package) is not None:
        import_module(package)
    for point in entry_points(group="gymnasium.envs"):
        if point.value in _plugins:
            continue
        _plugins.add(point.value)
        with contextlib.nullcontext() if point.name == "__root__" else namespace(point.name):
            try:  # inside, because Gymnasium does not leave its namespace after an error
                point.load()()
            except (Exception, SystemExit) as error:  # another package's code raises whatever it likes
                warnings.warn(f"the environments of {point.value} are not registered: {one_line(error)}", stacklevel=2)


def _installation(package: str) -> str:
    """The command that installs a package of environments: our extra if there is one."""
    return f"pip install -e '.[{EXTRAS[package]}]'" if package in EXTRAS else f"pip install {package}"


def _letters(name: str) -> str:
    """The name as it is compared: without capitals, hyphens, underscores and spaces."""
    return re.sub(r"[-_\s]", "", name.casefold())


def _spellings(id: str) -> set[str]:
    """An id as it is compared: whole or without its namespace, and with or without its version."""
    names = (id, id.rpartition("/")[2])
    return {_letters(spelling) for name in names for spelling in (name, re.sub(r"-v\d+$", "", name))}


def register_atari() -> None:
    """Register ALE/*.

    Raises:
        PlauditError: ale-py is not installed.
    """
    try:
        ale_py = importlib.import_module("ale_py")  # an optional extra
    except ImportError as error:
        raise PlauditError("Atari needs ale-py: pip install -e '.[atari]'") from error
    if "ALE/Pong-v5" not in gym.registry:
        gym.register_envs(ale_py)


def making_failed(spec: EnvSpec, error: BaseException) -> PlauditError:
    """The error for an environment that Gymnasium cannot make, with our extra if a package is missing."""
    plain = isinstance(error, gym.error.Error | ImportError | TypeError) and str(error)
    text = f"cannot make environment {spec.id}: {' '.join(str(error).split()) if plain else one_line(error)}"
    if isinstance(error, gym.error.DependencyNotInstalled | ImportError):
        creator = str(spec.entry_point)
        extra = next((extra for start, extra in RENDERERS.items() if creator.startswith(start)), None)
        if extra is not None:
            text = f"cannot make environment {spec.id}, a package is missing: pip install -e '.[{extra}]' ({error})"
    return PlauditError(text)


def argument_texts(arguments: Sequence[str] | Mapping[str, Any]) -> tuple[str, ...]:
    """Arguments of an environment as texts KEY=VALUE, as the settings of a run store them.

    Raises:
        PlauditError: one is no KEY=VALUE, or has a value that JSON cannot hold.
    """
    if isinstance(arguments, Mapping):
        try:
            texts = tuple(f"{key}={json.dumps(value)}" for key, value in arguments.items())
        except TypeError as error:
            raise PlauditError(f"an argument of an environment must be a plain value: {error}") from error
    else:
        texts = (arguments,) if isinstance(arguments, str) else tuple(arguments)
    parse_arguments(texts)
    return texts


def parse_arguments(texts: Sequence[str]) -> dict[str, Any]:
    """The arguments that KEY=VALUE mean. A value is JSON (8, true, [1, 2]), True, False or None; otherwise a text.

    Raises:
        PlauditError: one is no KEY=VALUE, or an argument of ``gymnasium.make`` that Plaudit sets.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        key, equals, value = str(text).partition("=")
        if not equals or not key.isidentifier():
            raise PlauditError(f"environment.kwargs must be KEY=VALUE, such as size=8, got {text!r}")
        if key in FIXED_ARGUMENTS:
            raise PlauditError(f"environment.kwargs has no {key}: {FIXED_ARGUMENTS[key]}")
        try:
            arguments[key] = PYTHON_WORDS[value] if value in PYTHON_WORDS else json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments
