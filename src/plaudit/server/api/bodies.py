"""Shared types of bodies and paths: bounded text that every database can store, and no unknown fields."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from plaudit.feedback.files import is_spelled

MOST = 2**31 - 1  # what a PostgreSQL integer holds


def keepable(text: str) -> str:
    """``text``, unless a database cannot keep it."""
    if "\0" in text or not is_spelled(text):
        raise ValueError("holds NUL or half of a surrogate pair, which cannot be stored")
    return text


def keepable_json(value: Any) -> Any:
    """``value``, unless a text in it cannot be kept."""
    if isinstance(value, str):
        return keepable(value)
    if isinstance(value, dict):
        return {keepable(name): keepable_json(element) for name, element in value.items()}
    if isinstance(value, list):
        return [keepable_json(element) for element in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        raise ValueError("holds a number that JSON readers would round")
    return value


class Answer(BaseModel):
    """An answer with a field whose key in JSON is an alias; in Python the field is set by its name or by the alias."""

    model_config = ConfigDict(populate_by_name=True)


class Body(BaseModel):
    """A request's body; a field that is not known is a mistake, not ignored."""

    model_config = ConfigDict(extra="forbid")


Text = Annotated[str, Field(max_length=200_000), AfterValidator(keepable)]
Line = Annotated[str, Field(max_length=2000), AfterValidator(keepable)]
Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(keepable)]
Password = Annotated[str, Field(max_length=1024), AfterValidator(keepable)]
Json = Annotated[JsonValue, AfterValidator(keepable_json)]
Object = Annotated[dict[str, JsonValue], AfterValidator(keepable_json)]
PathName = Annotated[str, Path(min_length=1, max_length=256), AfterValidator(keepable)]
Before = Annotated[int | None, Query(ge=1, le=MOST, description="only events before this one")]
Limit = Annotated[int, Query(ge=1, le=1000)]
