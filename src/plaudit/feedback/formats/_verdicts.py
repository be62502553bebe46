"""Columns that call a response good or bad, whatever their name: KTO's ``label``, a thumb, a like, a vote of 1 or -1.

A response that was called bad must never be taken for one to imitate. So the formats of demonstrations refuse files
with such a column, and ``kto`` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.feedback.formats._dialogues import CONVERSATIONS, PROMPTS
from plaudit.feedback.formats._format import sample
from plaudit.feedback.formats._record import Empty, Fields

LABELS = (  # true, 1 is good; false, 0 is bad
    *(
        "label",
        "labels",
        "kto_tag",
        "thumb",
        "thumbs",
        "thumbs_up",
        "like",
        "liked",
        "is_liked",
        "upvoted",
        "desirable",
    ),
    *(
        "good",
        "is_good",
        "is_chosen",
        "approved",
        "accepted",
        "is_accepted",
        "correct",
        "is_correct",
        "safe",
        "is_safe",
    ),
)
REVERSED = (  # true, 1 is bad
    *("thumbs_down", "dislike", "disliked", "is_disliked", "downvoted", "undesirable", "bad", "is_bad", "is_rejected"),
    *("incorrect", "toxic", "is_toxic", "harmful", "is_harmful", "unsafe", "is_unsafe"),
)
VOTES = ("rating", "feedback", "vote", "votes", "score", "reward", "reaction", "verdict")
TEXTS = (*PROMPTS, *CONVERSATIONS, "completion", "response", "output", "answer", "text")  # may hold any word
LIKE = frozenset(("like", "liked", "thumb up", "thumbs up", "thumbsup", "upvote", "upvoted", "👍"))
DISLIKE = frozenset(("dislike", "disliked", "thumb down", "thumbs down", "thumbsdown", "downvote", "downvoted", "👎"))
GOOD = LIKE | {"up", "good", "positive", "desirable", "accepted", "approved", "chosen", "true", "yes", "1", "1.0", "+1"}
BAD = DISLIKE | {"down", "bad", "negative", "undesirable", "rejected", "false", "no", "0", "0.0", "-1", "-1.0"}
JOINTS = re.compile(r"[_-](?!\d)")
VARIANTS = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff]")  # of an emoji: its presentation, tones of skin
NEITHER = frozenset(("", "neutral", "none", "null", "no vote", "no feedback", "unrated"))


def find_verdicts(columns: Mapping[str, Any]) -> list[str]:
    """The columns of a row, or of a file's first rows, that call a response good or bad."""
    return [name for name in columns if isinstance(name, str) and _is_verdict(name, sample(columns, name))]


def check_good(row: Fields) -> None:
    """Raise :class:`Empty` where a column calls the response bad: it is not one to imitate."""
    for name in find_verdicts(row.value):
        value = row.value[name]
        if parse_verdict(name, value) is False and not (_key(name) in VOTES and value == 0):
            raise Empty(
                f"field '{name}' calls the response bad: it is not imitated, and --format kto reads it as a thumb down"
            )


def parse_verdict(name: str, value: Any) -> bool | None:
    """Whether a column's value calls a response good; None if it calls it neither good nor bad.

    Raises:
        ValueError: the value is no such thing.
    """
    if isinstance(value, Mapping):
        verdicts = {parse_verdict(key, inner) for key, inner in _inner(value)} - {None}
        if len(verdicts) > 1:
            raise ValueError("calls the response good and bad")
        return next(iter(verdicts), None)
    word = _normalise(str(value)) if isinstance(value, str | bool | int | float) else "?"
    if word in NEITHER:
        return None
    if word not in GOOD | BAD:
        raise ValueError("must be true or false, 1 or -1, or a thumb up or down")
    return (word in GOOD) != (_key(name) in REVERSED and word not in LIKE | DISLIKE)


def _is_verdict(name: str, values: list[Any]) -> bool:
    """Whether a column calls responses good or bad. Numbers under a name such as "rating" must have both signs or 0."""
    if not values:
        return False
    if any(isinstance(value, Mapping) for value in values):
        return all(isinstance(value, Mapping) and any(True for _ in _inner(value)) for value in values)
    if not all(isinstance(value, str | bool | int | float) for value in values):
        return False
    words, key = {_normalise(str(value)) for value in values} - NEITHER, _key(name)
    if not words or key in TEXTS:
        return False
    if words <= LIKE | DISLIKE:
        return True
    if key in LABELS + REVERSED:
        return words <= GOOD | BAD
    return key in VOTES and words <= GOOD | BAD and not words <= {"1", "1.0"}


def _inner(value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of an object, such as ``{"rating": "dislike"}``, that call a response good or bad."""
    for name, inner in value.items():
        if isinstance(name, str) and not isinstance(inner, Mapping) and _is_verdict(name, [inner]):
            yield name, inner


def _normalise(text: str) -> str:
    """A word in small letters, without underscores, hyphens and the variants of an emoji."""
    return " ".join(JOINTS.sub(" ", VARIANTS.sub("", text)).casefold().split())


def _key(name: str) -> str:
    return _normalise(name).replace(" ", "_")
