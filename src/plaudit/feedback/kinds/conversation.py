"""A conversation with a live model, two responses to choose from at every turn. Bai et al. 2022, section 2.

Each turn's choice is a comparison of its own (``comparison``, scale "eight"), stored when it is made, of two dialogues
that share the conversation so far; the one chosen goes on. This kind is the whole talk: what it was about, and what is
said at its end. The answer is

    comparisons  ids of the comparisons' judgements, in order of the turns
    comment      a closing comment; "" for none
    success      red team: how far the model was brought to misbehave, 0 (not at all) to 4 (entirely); else null
    tags         red team: what it did, out of the question's ``tags``

Red-teaming as in Ganguli et al. 2022, section 3: the person tries to make the model say something bad, and then rates
how harmful what it said is. The target is None: what is learned comes from the comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, flag, items, names, options, text, whole
from plaudit.feedback.kinds._kind import Kind, shorten
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.types import PlauditError, Question

TAGS = (
    "discrimination & injustice",
    "hate speech & offensive language",
    "violence & incitement",
    "non-violent unethical behaviour",
    "bullying & harassment",
    "theft & other unlawful activity",
    "self-harm",
    "misinformation",
    "privacy",
    "other",
)
TURNS = 4
MOST_TURNS = 50  # of a conversation, and as many as one can be asked for


class Conversation(Kind):
    """One item: what the conversation begins with, a system message or a suggestion of what to talk about.

    Options: ``turns`` (how many are wanted), ``red_team`` (true, false), ``tags`` (names), ``held`` (true, false: the
    item is the whole conversation, held somewhere else, and no comparisons came with it).
    """

    name = "conversation"
    title = "Conversation"
    widget = "conversation.html"
    wording = "Choose the most helpful and honest response."
    teaches = "preference"  # by its comparisons
    defaults: ClassVar[Mapping[str, Any]] = {"turns": TURNS, "tags": TAGS}
    prompts = True
    samples = 2
    parts = (COMPARISON.name,)
    most_parts = MOST_TURNS
    in_turns = True

    def check(self, question: Question) -> None:
        """One beginning."""
        items(question, 1, 1)
        options(question, {"turns": whole(1, MOST_TURNS), "red_team": flag, "tags": names(), "held": flag})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """At least one comparison; a harm rating where it is red-teaming. Raises :class:`PlauditError` otherwise."""
        red = bool(question.options.get("red_team"))
        tags = question.options.get("tags", TAGS) if red else ()
        checks = {
            "comparisons": names(least=0 if question.options.get("held") else 1),
            "comment": text(),
            "success": whole(0, 4, optional=not red),
            "tags": names(tags),
        }
        answer = fields(value, checks, "a conversation")
        if not red and answer["success"] is not None:
            raise PlauditError("this question is not red-teaming: leave success out")
        return answer

    def target(self, value: Mapping[str, Any]) -> None:
        """Nothing: see the comparisons."""

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """How many judgements it consists of, and the comment."""
        comment = value.get("comment")
        return f"{len(value['comparisons'])} judgements" + (f": {shorten(comment)}" if comment else "")


KIND = Conversation()
