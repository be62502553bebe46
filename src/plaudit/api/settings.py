"""Settings by keyword: values, mappings or config objects, laid over the defaults."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from plaudit.api.flags import FLAGS, SYNONYMS
from plaudit.run.stored import from_dict, to_dict
from plaudit.types import PlauditError

Config = TypeVar("Config")


def change_settings(
    config: Config, changes: Sequence[Mapping[str, Any]], kind: str, parameters: Sequence[str] = ()
) -> Config:
    """``config`` with other settings, such as ``{"steps": 1000, "reward": {"members": 5}}``; later changes count.

    A group of settings may be a mapping, whose other settings stay as they are, or an object of its class.
    parameters: names that the caller's function takes next to the settings, which a misspelt name may mean.

    Raises:
        PlauditError: there is no such setting, or it cannot have that value.
    """
    stored = to_dict(config, kind)
    for settings in changes:
        _merge(stored, config, settings, "", parameters, kind)
    try:
        return from_dict(stored, type(config), kind, "settings", lenient=True)
    except PlauditError as error:
        message = str(error).removeprefix("settings: ").removesuffix(": restore the file")
        raise PlauditError(message) from error


def _merge(
    stored: dict[str, Any], config: Any, settings: Mapping[str, Any], prefix: str, parameters: Sequence[str], kind: str
) -> None:
    names = [field.name for field in dataclasses.fields(config)]
    for name, value in settings.items():
        if name not in names:
            flags = {} if prefix else FLAGS.get(kind, {})
            raise PlauditError(_suggest(str(name), config, [*names, *parameters], prefix, flags))
        present: Any = getattr(config, name)
        if dataclasses.is_dataclass(present) and isinstance(value, Mapping):
            _merge(stored[name], present, value, f"{prefix}{name}.", (), kind)
        elif dataclasses.is_dataclass(present):
            if not isinstance(value, type(present)):
                raise PlauditError(f"{prefix}{name} must be a mapping or {type(present).__name__}(...), got {value!r}")
            stored[name] = dataclasses.asdict(cast(Any, value))
        else:
            stored[name] = value


def _suggest(name: str, config: Any, names: Sequence[str], prefix: str, flags: Mapping[str, str | None]) -> str:
    """The message for a setting that does not exist, with where it does or with the nearest name."""
    word = SYNONYMS.get(name.replace("_", "-"), name).replace("-", "_")
    paths = {path: path.rpartition(".")[2] for path in _paths(config)}
    short = {flag.removeprefix("--").replace("-", "_"): path for path, flag in flags.items() if flag is not None}
    if word not in names and not prefix:
        flag = short.get(word)
        candidates = [
            path.rpartition(".") for path in ([flag] if flag else (p for p, leaf in paths.items() if leaf == word))
        ]
        if candidates:
            groups = " and ".join(group for group, _, _ in candidates)
            calls = " or ".join(f"{group}={{{leaf!r}: ...}}" for group, _, leaf in candidates)
            return f"{name!r} is a setting of {groups}: write {calls}"
    nearest = difflib.get_close_matches(word, names, n=1, cutoff=0.6) or [
        path for path, leaf in paths.items() if difflib.get_close_matches(word, [leaf], cutoff=0.7)
    ]
    hint = f"did you mean {prefix}{nearest[0]}?" if nearest else f"choose from {', '.join(sorted(set(names)))}"
    return f"there is no setting {prefix + name!r}: {hint}"


def _paths(config: Any, prefix: str = "") -> Iterator[str]:
    """The paths of all settings, such as reward.members."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _paths(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name
