"""A chat as in a product: one response at a time, thumbs, regenerate, side by side. Feedback is volunteered.

Each piece of feedback is a question and a judgement of its own kind (``thumbs``, ``regeneration``, ``side-by-side``),
stored when it is given. This kind is the whole chat: the answer is ``{"judgements": [ids], "comment": ...}`` and the
target is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, flag, items, names, options, text
from plaudit.feedback.kinds._kind import Kind, shorten
from plaudit.feedback.kinds.regeneration import KIND as REGENERATION
from plaudit.feedback.kinds.side_by_side import KIND as SIDE_BY_SIDE
from plaudit.feedback.kinds.thumbs import KIND as THUMBS
from plaudit.feedback.kinds.thumbs import TAGS
from plaudit.types import Question


class Chat(Kind):
    """One item: what the chat begins with. Options: ``tags`` of thumbs; ``side_by_side``: ask after new responses."""

    name = "chat"
    title = "Chat"
    widget = "chat.html"
    wording = "Chat with the model. Say what is good and bad about its answers."
    defaults: ClassVar[Mapping[str, Any]] = {"tags": TAGS}
    prompts = True
    samples = 1
    parts = (THUMBS.name, REGENERATION.name, SIDE_BY_SIDE.name)
    most_parts = 500

    def check(self, question: Question) -> None:
        """One beginning."""
        items(question, 1, 1)
        options(question, {"tags": names(), "side_by_side": flag})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """Ids of the judgements given; raises :class:`PlauditError` otherwise."""
        return fields(value, {"judgements": names(), "comment": text()}, "a chat")

    def target(self, value: Mapping[str, Any]) -> None:
        """Nothing: see the judgements."""

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """How many judgements it consists of, and the comment."""
        comment = value.get("comment")
        return f"{len(value['judgements'])} judgements" + (f": {shorten(comment)}" if comment else "")

    def parts_for(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Thumbs, and one of the two ways to hold a new response against the earlier one."""
        return (THUMBS.name, (SIDE_BY_SIDE if options.get("side_by_side") else REGENERATION).name)


KIND = Chat()
