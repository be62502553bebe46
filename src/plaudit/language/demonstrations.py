"""What a model is to imitate, read from the store: demonstrations, corrections, and responses that were preferred.

A file comes into the store by `plaudit import`: conversations (``messages``), of which each turn of the assistant is a
demonstration, or prompts with completions. The loss is on responses alone; nobody learns to write the user's part.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.store import Store
from plaudit.language.data import COMPARED, Counts
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.types import Dialogue, Message, PlauditError, Question

IMITATED = ("demonstration", "correction")
Turns = Literal["all", "last"]


@dataclass
class Imitated(Counts):
    """What became of the judgements that were read."""

    earlier: int = 0  # turns of a conversation before its last, where only that is wanted

    def __str__(self) -> str:
        return super().__str__() + (f", {self.earlier} earlier turns" if self.earlier else "")


def demonstrations(
    store: Store,
    chat: Chat,
    length: int,
    chosen: bool | Collection[str] = False,
    turns: Turns = "all",
    held_out: Collection[tuple[Message, ...]] = (),
) -> tuple[list[Tree], Imitated]:
    """Prompts with a response to imitate, for :class:`plaudit.language.tune.Demonstrations`, and what was read.

    length: the most tokens of a sequence. chosen: whether responses that were preferred in a comparison, or ranked
    best, are imitated too; or the projects in which they are. turns: all that the assistant says in a conversation, or
    the last; an earlier turn is one that another demonstration goes on from. held_out: prompts whose responses are left
    out, and counted. A tree has the name of what its conversation opens with, which all of its turns share.
    """
    found: list[Tree] = []
    counts = Imitated()
    judgements = store.judgements()
    read: list[tuple[Question, Dialogue]] = []
    for judgement, question in zip(judgements, store.questions([each.question for each in judgements]), strict=True):
        wanted = chosen if isinstance(chosen, bool) else question.project in chosen
        if question.kind not in IMITATED and not (wanted and question.kind in (*COMPARED, "ranking")):
            counts.other_kinds += 1
            continue
        target = KINDS[question.kind].target(judgement.value)
        items = [each for each in store.items(list(question.items)) if isinstance(each, Dialogue)]
        if len(items) < len(question.items):
            counts.other_kinds += 1
            continue
        responses = [] if target is None else _responses(question.kind, target, items)
        counts.said_nothing += not responses
        read += [(question, each) for each in responses]
    begun = {each.messages[:place] for _, each in read for place in range(len(each.messages))}
    for question, dialogue in read:
        if turns == "last" and question.kind == "demonstration" and dialogue.messages in begun:
            counts.earlier += 1
            continue
        if dialogue.prompt in held_out:
            counts.held_out += 1
            continue
        try:
            tree, cut = chat.dialogues([dialogue]).cut(length)
        except PlauditError as error:
            counts.refused.append(f"question {question.id}: {error}")
            continue
        counts.used += 1
        counts.cut += cut
        found.append(replace(tree, origin=_opening(dialogue)))
    return found, counts


def _opening(dialogue: Dialogue) -> bytes:
    """A conversation up to what the user says first: in tokens one turn need not begin with another, nor once cut."""
    first = next((place for place, each in enumerate(dialogue.prompt) if each.role == "user"), 0)
    return repr([(each.role, each.content) for each in dialogue.prompt[: first + 1]]).encode()


def _responses(kind: str, target: Any, items: list[Dialogue]) -> list[Dialogue]:
    """The responses to imitate; none where nobody saw a difference."""
    if kind in IMITATED:
        return [Dialogue((*items[0].prompt, Message("assistant", str(target))))]
    if kind == "ranking":
        best = [each for each, rank in zip(items, target, strict=True) if rank == min(target)]
        return best if len(best) < len(items) else []
    return [] if target == 0.5 else [items[0] if target > 0.5 else items[1]]
