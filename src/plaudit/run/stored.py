"""Settings as plain JSON values, and back: what every run folder's config.json holds."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from plaudit.types import PlauditError

PEOPLE = "people"
FORMAT = 2  # of the run folder; raised when an older program could not read a newer folder
CONTROL, CHAT, PRETRAIN = "control", "chat", "pretrain"  # kinds of run; others are methods of `plaudit tune`
Config = TypeVar("Config")


def annotator_name(name: str) -> str:
    """The name by which settings know an annotator: ``human`` means people."""
    return PEOPLE if name in ("human", "humans") else name


def to_dict(config: Any, kind: str) -> dict[str, Any]:
    """A config as plain JSON values; what is no agent in an environment says what it is."""
    return {"format": FORMAT, **({} if kind == CONTROL else {"kind": kind}), **dataclasses.asdict(config)}


def from_dict(stored: dict[str, Any], cls: type[Config], kind: str, origin: str = "config.json") -> Config:
    """The inverse of :func:`to_dict`; ``origin`` is the file that messages name.

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
    return _build(cls, stored, origin)


def _build(cls: type[Any], stored: dict[str, Any], location: str) -> Any:
    hints = typing.get_type_hints(cls)
    unknown = stored.keys() - hints.keys()
    if unknown:
        raise PlauditError(f"{location}: unknown setting {sorted(unknown)[0]!r}: it was written by another version")
    values = {}
    for name, value in stored.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            value = _build(typing.cast(type, hint), value, f"{location}: {name}")
        elif isinstance(value, list) and typing.get_origin(hint) in (tuple, types.UnionType):
            value = tuple(value)
        elif hint in (int, float, str, bool) and type(value) is not hint and (hint, type(value)) != (float, int):
            raise PlauditError(f"{location}: {name} must be {hint.__name__}, got {value!r}: restore the file")
        elif typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise PlauditError(f"{location}: {name} must be one of {choices}, got {value!r}")
        values[name] = value
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise PlauditError(f"{location}: {error}") from error
