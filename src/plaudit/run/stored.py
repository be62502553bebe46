"""Settings as plain JSON values, and back: what every run folder's config.json holds."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from typing import Any, Literal, TypeVar

from plaudit.types import PlauditError, shorten

PEOPLE = "people"
SYNONYMS_OF_PEOPLE = ("human", "humans", "person", "people", "me")
FORMAT = 2  # of the run folder; raised when an older program could not read a newer folder
CONTROL, CHAT, PRETRAIN = "control", "chat", "pretrain"  # kinds of run; others are methods of `plaudit tune`, and
IMITATION = "imitation"  # a policy that was fitted to demonstrations
Config = TypeVar("Config")
# The largest integer of a setting: what is larger would run for ever, or take all memory, before anything is said.
LARGEST = {"": 10**9, "steps": 10**12, "seed": 2**64 - 1}


def annotator_name(name: str) -> str:
    """The name by which settings know an annotator: ``human`` or ``Me`` means people."""
    return PEOPLE if name.casefold() in SYNONYMS_OF_PEOPLE else name


def to_dict(config: Any, kind: str) -> dict[str, Any]:
    """A config as plain JSON values; what is no agent in an environment says what it is."""
    return {"format": FORMAT, **({} if kind == CONTROL else {"kind": kind}), **dataclasses.asdict(config)}


def from_dict(
    stored: dict[str, Any], cls: type[Config], kind: str, origin: str = "config.json", lenient: bool = False
) -> Config:
    """The inverse of :func:`to_dict`; ``origin`` is the file that messages name.

    lenient: the values are a program's, and the settings' classes take more of them than JSON has.

    Raises:
        PlauditError: the folder was written by another version, is another kind of run, or names settings that do not
            exist.
    """
    stored = dict(stored)
    stored_kind = stored.pop("kind", CONTROL)
    if stored_kind != kind:
        raise PlauditError(f"{origin} is of a run of {stored_kind}, but the command needs a run of {kind}")
    version = stored.pop("format", None)
    if version != FORMAT:
        raise PlauditError(
            f"{origin}: its run has format {version}, this Plaudit reads {FORMAT}: use the version that wrote it"
        )
    return _build(cls, stored, origin, lenient)


def _build(cls: type[Any], stored: dict[str, Any], location: str, lenient: bool) -> Any:
    if not isinstance(stored, dict):
        raise PlauditError(f"{location} must hold settings by name, got {shorten(repr(stored))}: restore the file")
    types_by_name = typing.get_type_hints(cls)
    hints = {setting.name: types_by_name[setting.name] for setting in dataclasses.fields(cls)}
    unknown = stored.keys() - hints.keys()
    if unknown:
        name = shorten(repr(min(unknown)))
        raise PlauditError(f"{location}: unknown setting {name}: it was written by another version")
    values = {}
    for name, value in stored.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            value = _build(typing.cast(type, hint), value, f"{location}: {name}", lenient)
        else:
            value = tuple(value) if isinstance(value, list) else value
            if not (lenient and _may_convert(value, hint)):
                _check_value(name, value, hint, location)
        values[name] = value
    try:
        return cls(**values)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise PlauditError(f"{location}: {shorten(str(error))}") from error


def _may_convert(value: Any, hint: Any) -> bool:
    """Whether a setting's class may take the value of a program, which is not of the setting's type as JSON has it."""
    scalars = {int, float, str, bool, type(None)}
    if typing.get_origin(hint) is types.UnionType and scalars.issuperset(typing.get_args(hint)):
        text = str in typing.get_args(hint)
        return isinstance(value, os.PathLike) if text else hasattr(value, "dtype")
    return typing.get_origin(hint) in (tuple, types.UnionType)


def _check_value(name: str, value: Any, hint: Any, location: str) -> None:
    """Raise :class:`PlauditError` unless the value of a setting is of its type, and no integer is out of reason."""
    if not _has_type(value, hint):
        text = shorten(repr(value))
        if typing.get_origin(hint) is Literal:
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise PlauditError(f"{location}: {name} must be one of {choices}, got {text}")
        kind = hint.__name__ if isinstance(hint, type) and not typing.get_origin(hint) else str(hint)
        raise PlauditError(f"{location}: {name} must be {kind}, got {text}: restore the file")
    limit = LARGEST.get(name, LARGEST[""])
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(number, int) and abs(number) > limit for number in numbers):
        raise PlauditError(f"{location}: {name} is at most {limit}, got {shorten(repr(value))}: restore the file")


def _has_type(value: Any, hint: Any) -> bool:
    """Whether a value of JSON, with tuples for lists, is of a setting's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return not isinstance(value, tuple | dict) and value in arguments
    if origin in (types.UnionType, typing.Union):
        return any(_has_type(value, argument) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is ...:
            return all(_has_type(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_has_type, value, arguments))
    if hint is float:
        return type(value) is float or (type(value) is int and abs(value) < 2**1000)
    return value is None if hint is type(None) else type(value) is hint
