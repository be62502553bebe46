"""Checks that kinds share: each returns its value in canonical form, or raises one line that names the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plaudit.types import PlauditError, Question

TEXT = 100_000  # characters: a long essay; more is a paste by mistake
Check = Callable[[str, Any], Any]


def fields(value: Mapping[str, Any], checks: Mapping[str, Check], subject: str) -> dict[str, Any]:
    """``value`` with each field checked; a field that is left out is checked as None, and none may be added."""
    unknown = sorted(set(value) - set(checks))
    if unknown:
        raise PlauditError(f"{subject} has no field {unknown[0]!r}: use {', '.join(checks)}")
    return {name: check(f"{subject}'s {name}", value.get(name)) for name, check in checks.items()}


def options(question: Question, checks: Mapping[str, Check]) -> None:
    """Raise :class:`PlauditError` when the question's options are not among ``checks``."""
    unknown = sorted(set(question.options) - set(checks))
    if unknown:
        choices = ", ".join(checks) or "none"
        raise PlauditError(f"a {question.kind} question has no option {unknown[0]!r}: there is {choices}")
    for name, value in question.options.items():
        checks[name](f"option {name} of a {question.kind} question", value)


def items(question: Question, least: int, most: int) -> None:
    """Raise :class:`PlauditError` when the question has fewer or more items."""
    if not least <= len(question.items) <= most:
        count = f"{least}" if least == most else f"{least} to {most}"
        raise PlauditError(f"a {question.kind} question has {count} items, this one {len(question.items)}")


def text(least: int = 0) -> Check:
    """Text of at least ``least`` characters that are not white space; None is the empty text."""

    def check(name: str, value: Any) -> str:
        value = "" if value is None else value
        if not isinstance(value, str) or len(value) > TEXT:
            raise PlauditError(f"{name} must be text of at most {TEXT:,} characters")
        if len(value.strip()) < least:
            raise PlauditError(f"{name} is empty: write something")
        return value

    return check


def one_of(*allowed: str | None) -> Check:
    """One of these."""

    def check(name: str, value: Any) -> Any:
        if (value is not None and not isinstance(value, str)) or value not in allowed:
            raise PlauditError(f"{name} must be one of {', '.join(map(str, allowed))}, got {value!r}")
        return value

    return check


def whole(least: int, most: int, optional: bool = False) -> Check:
    """A whole number within bounds."""

    def check(name: str, value: Any) -> int | None:
        if value is None and optional:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise PlauditError(f"{name} must be a whole number in {least}..{most}, got {value!r}")
        return value

    return check


def flag(name: str, value: Any) -> bool:
    """True or false; None is false."""
    if value is not None and not isinstance(value, bool):
        raise PlauditError(f"{name} must be true or false, got {value!r}")
    return bool(value)


def names(allowed: Sequence[str] | None = None, least: int = 0) -> Check:
    """A list of distinct names, in the order of ``allowed`` where that is given; None is the empty list."""

    def check(name: str, value: Any) -> list[str]:
        value = [] if value is None else value
        if not isinstance(value, list | tuple) or not all(
            isinstance(option, str) and option.strip() for option in value
        ):
            raise PlauditError(f"{name} must be a list of names, got {value!r}")
        if len(set(value)) < max(len(value), least):
            raise PlauditError(f"{name} must hold distinct names" + (f", at least {least}" if least else ""))
        if allowed is None:
            return list(value)
        strange = [option for option in value if option not in allowed]
        if strange:
            choices = f"choose from {', '.join(allowed)}" if allowed else "leave it empty"
            raise PlauditError(f"{name} cannot contain {strange[0]!r}: {choices}")
        return [option for option in allowed if option in value]

    return check


def list_of(check_one: Check, count: int | None = None) -> Check:
    """A list whose elements are checked one by one; ``count`` of them where it is given."""

    def check(name: str, value: Any) -> list[Any]:
        value = [] if value is None and count is None else value
        if not isinstance(value, list | tuple) or (count is not None and len(value) != count):
            raise PlauditError(f"{name} must be a list" + (f" of {count}, one for each item" if count else ""))
        return [check_one(f"{name}[{index}]", element) for index, element in enumerate(value)]

    return check
