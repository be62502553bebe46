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

# Words of a column's name, such as "is_preferred" or "user_rating".
LABELS = frozenset(  # true, 1 is good; false, 0 is bad
    (
        *("label", "labels", "kto", "thumb", "thumbs", "like", "liked", "upvoted", "desirable", "good", "preferred"),
        *("chosen", "approved", "accepted", "correct", "safe", "helpful", "useful", "acceptable", "satisfied"),
        *("passed", "pass", "success", "successful", "win", "won"),
    )
)
REVERSED = frozenset(  # true, 1 is bad
    (
        *("dislike", "disliked", "down", "downvoted", "undesirable", "bad", "rejected", "incorrect", "wrong"),
        *("toxic", "harmful", "unsafe", "unhelpful", "failed", "fail", "hallucination", "hallucinated"),
        *("toxicity", "flagged"),
    )
)
SAFETY = frozenset(  # marks on collections of chats, which are no judgements
    ("safe", "unsafe", "toxic", "harmful", "toxicity", "flagged")
)
VOTES = frozenset(
    ("rating", "feedback", "vote", "votes", "score", "reward", "reaction", "verdict", "sentiment")
)  # of any scale
PROMPT_WORDS = ("prompt", "input", "question", "instruction", "query")  # a label of which is not one of the response
UNRELATED = frozenset(  # "correct_answer", "has_feedback" and "label_id" are no judgements
    (
        "has",
        "num",
        "n",
        "id",
        "count",
        "rate",
        "index",
        "answer",
        "response",
        "text",
        "name",
        "reason",
        "comment",
        "source",
        *PROMPT_WORDS,
    )
)
SUBJECTS = frozenset(("response", "answer"))  # a label of which is a judgement: "response_label", "is_answer_correct"
MARKS = frozenset(("label", "is", "was", "verdict", "safety", "judgement", "judgment", "rating"))
TEXTS = (
    *PROMPTS,
    *CONVERSATIONS,
    "completion",
    "response",
    "output",
    "answer",
    "targets",
    "text",
    "chosen",
)  # may hold any word
LIKE = frozenset(("like", "liked", "thumb up", "thumbs up", "thumbsup", "upvote", "upvoted", "👍"))
DISLIKE = frozenset(("dislike", "disliked", "thumb down", "thumbs down", "thumbsdown", "downvote", "downvoted", "👎"))
PRAISE = frozenset(
    (
        *("good", "desirable", "accept", "accepted", "approve", "approved", "chosen", "helpful", "correct"),
        *("pass", "passed", "satisfied", "good response", "good answer", "excellent", "great", "very good", "perfect"),
        *("acceptable", "accurate", "faithful"),
    )
)
BLAME = frozenset(  # under any name: a response with one of these is not one to imitate
    (
        *("bad", "undesirable", "reject", "rejected", "disapprove", "disapproved", "unhelpful", "not helpful"),
        *("incorrect", "wrong", "fail", "failed", "dissatisfied", "bad response", "bad answer", "poor", "very poor"),
        *("very bad", "terrible", "awful", "unacceptable", "inaccurate", "unfaithful", "hallucinated"),
    )
)
HARMLESS = frozenset(("safe", "harmless", "unharmful", "non toxic", "not harmful"))  # of a response's safety
HARMFUL = frozenset(("unsafe", "harmful", "toxic", "not safe"))
GOOD = LIKE | PRAISE | HARMLESS | {"up", "positive", "true", "yes", "1", "1.0", "+1", "win"}
BAD = DISLIKE | BLAME | HARMFUL | {"down", "negative", "false", "no", "0", "0.0", "-1", "-1.0", "loss"}
EXPLICIT = LIKE | DISLIKE | PRAISE | BLAME | HARMLESS | HARMFUL  # words that mean the same under a reversed name
JOINTS = re.compile(r"[_-](?!\d)")
VARIANTS = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff]")  # of an emoji: its presentation, tones of skin
NEITHER = frozenset(
    (
        *("", "neutral", "none", "null", "no vote", "no feedback", "unrated", "ignore", "pending"),
        *("fair", "average", "mediocre", "mixed", "partial", "okay", "unsure", "not sure"),
    )
)
ANSWER = "answer"  # the column of Prodigy's decisions, where the response has a column of its own
DECISIONS = frozenset(("accept", "reject"))


def find_verdicts(columns: Mapping[str, Any]) -> list[str]:
    """The columns of a row, or of a file's first rows, that call a response good or bad."""
    names = [name for name in columns if isinstance(name, str) and _is_verdict(name, sample(columns, name))]
    return [*names, ANSWER] if _is_decided(columns) else names


def find_praise(row: Mapping[str, Any]) -> list[str]:
    """The columns of a row that call the response good by a word, in a file whose other rows are called bad so."""
    return [
        name
        for name, value in row.items()
        if isinstance(value, str)
        and _normalise(value) in PRAISE
        and name not in TEXTS
        and not split_name(name) & UNRELATED
    ]


def is_judged(columns: Mapping[str, Any]) -> bool:
    """Whether a file is about which responses are good; a mark of what is safe does not make it so."""
    return any(not _is_about_safety(name, sample(columns, name)) for name in find_verdicts(columns))


def _is_about_safety(name: str, values: list[Any]) -> bool:
    words = {_normalise(value) for value in values if isinstance(value, str)}
    return bool(split_name(name) & SAFETY) or bool(words & HARMFUL and split_name(name) & {*SUBJECTS, "safety"})


def check_good(row: Fields) -> None:
    """Raise :class:`Empty` where a column calls the response bad: it is not one to imitate."""
    for name in find_verdicts(row.value):
        value = row.value[name]
        zero_votes = split_name(name) & VOTES and str(value) in ("0", "0.0")
        if parse_verdict(name, value) is False and not zero_votes:
            raise Empty(
                f"field '{name}' calls the response bad: it is not imitated, and --format kto reads it as a thumb down"
            )


def parse_verdict(name: str, value: Any) -> bool | None:
    """Whether a column's value calls a response good; None if it calls it neither good nor bad.

    Raises:
        ValueError: the value is no such thing.
    """
    if isinstance(value, Mapping):
        verdicts = {parse_verdict(key, inner) for key, inner in _inner(name, value)} - {None}
        if len(verdicts) > 1:
            raise ValueError("calls the response good and bad")
        return next(iter(verdicts), None)
    word = _normalise(str(value)) if isinstance(value, str | bool | int | float) else "?"
    if word in NEITHER:
        return None
    if word not in GOOD | BAD:
        raise ValueError("must be true or false, 1 or -1, or a thumb up or down")
    return (word in GOOD) != (_is_reversed(name) and word not in EXPLICIT)


def _is_decided(columns: Mapping[str, Any]) -> bool:
    """Whether a column ``answer`` holds Prodigy's decisions about another column's text."""
    words = {_normalise(value) if isinstance(value, str) else "?" for value in sample(columns, ANSWER)} - NEITHER
    responses = {"text", "completion", "response", "output"} & set(columns)
    return bool(words) and words <= DECISIONS and bool(responses)


def _is_verdict(name: str, values: list[Any]) -> bool:
    """Whether a column calls responses good or bad. Numbers under a name such as "rating" must have both signs or 0."""
    if not values:
        return False
    if any(isinstance(value, Mapping) for value in values):
        return all(
            isinstance(value, Mapping) and not _holds_ratings(value) and any(True for _ in _inner(name, value))
            for value in values
        )
    if not all(isinstance(value, str | bool | int | float) for value in values):
        return False
    words, key = {_normalise(str(value)) for value in values} - NEITHER, split_name(name)
    if not words or name in TEXTS:
        return False
    if words <= LIKE | DISLIKE:
        return True
    if key & (UNRELATED - SUBJECTS if key & MARKS else UNRELATED) or not words <= GOOD | BAD:
        return False
    if words & BLAME and words <= PRAISE | BLAME:
        return True
    if words <= HARMLESS | HARMFUL and key & (MARKS | SUBJECTS):
        return True
    return bool(key & (LABELS | REVERSED)) or (bool(key & VOTES) and not words <= {"1", "1.0"})


def _holds_ratings(value: Mapping[Any, Any]) -> bool:
    """Whether an object holds numbers beyond -1, 0 and 1: a 1 beside a 5 is no praise."""
    return any(isinstance(number, int | float) and number not in (-1, 0, 1) for number in value.values())


def is_named_so(name: str) -> bool:
    """Whether a column's name says that it calls a response good or bad."""
    return bool(split_name(name) & (LABELS | REVERSED | VOTES)) and name not in TEXTS


def _inner(outer: str, value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of an object, such as ``{"rating": "dislike"}``, that call a response good or bad.

    A score of 0 in an object of another name, such as "metadata", may have any scale.
    """
    for name, inner in value.items():
        if not isinstance(name, str) or isinstance(inner, Mapping) or not _is_verdict(name, [inner]):
            continue
        if is_named_so(outer) or not (split_name(name) & VOTES and str(inner) in ("0", "0.0")):
            yield name, inner


def _is_reversed(name: str) -> bool:
    key = split_name(name)
    return bool(key & REVERSED) != ("not" in key)


def _normalise(text: str) -> str:
    """A word in small letters, without underscores, hyphens and the variants of an emoji."""
    return " ".join(JOINTS.sub(" ", VARIANTS.sub("", text)).casefold().split())


def split_name(name: str) -> frozenset[str]:
    """The words of a column's name."""
    return frozenset(_normalise(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).split())
