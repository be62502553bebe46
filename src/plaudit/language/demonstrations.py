"""Responses for a model to imitate, read from the store: demonstrations, corrections, and preferred responses.

`plaudit import` reads a file into the store: conversations (``messages``), in which each turn of the assistant is a
demonstration, or prompts with completions. The loss is on responses only, not on the user's turns.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.store import Store
from plaudit.language.data import Counts
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.types import Dialogue, Message, PlauditError, Question

Turns = Literal["all", "last"]


@dataclass
class DemonstrationCounts(Counts):
    """Counts of the judgements that were read, by what became of them."""

    earlier: int = 0  # left out: turns before a conversation's last, if only the last is imitated

    def __str__(self) -> str:
        return super().__str__() + (f", {self.earlier} earlier turns" if self.earlier else "")


def read_demonstrations(
    store: Store,
    chat: Chat,
    length: int,
    chosen: bool | Collection[str] = False,
    turns: Turns = "all",
    held_out: Collection[tuple[Message, ...]] = (),
) -> tuple[list[Tree], DemonstrationCounts]:
    """Prompts with a response to imitate, for :class:`plaudit.language.tune.Demonstrations`, and counts.

    length: largest number of tokens of a sequence. chosen: whether to imitate responses that were preferred in a
    comparison, or ranked best, too; or the projects in which to do so. turns: all turns of the assistant in a
    conversation, or the last; an earlier turn is one that another demonstration continues. held_out: prompts whose
    responses are left out. A tree's name is the opening of its conversation, which all turns of it share.
    """
    trees: list[Tree] = []
    counts = DemonstrationCounts()
    judgements = store.judgements()
    read: list[tuple[Question, Dialogue]] = []
    questions = store.questions([judgement.question for judgement in judgements])
    for judgement, question in zip(judgements, questions, strict=True):
        imitated = chosen if isinstance(chosen, bool) else question.project in chosen
        kind = KINDS[question.kind]
        if kind.teaches != "response" and not (imitated and kind.teaches in ("preference", "ranks")):
            counts.other_kinds += 1
            continue
        target = kind.target(judgement.value)
        items = [item for item in store.items(list(question.items)) if isinstance(item, Dialogue)]
        if len(items) < len(question.items):
            counts.other_kinds += 1
            continue
        responses = [] if target is None else _responses(kind.teaches, target, items)
        counts.said_nothing += not responses
        read += [(question, dialogue) for dialogue in responses]
    prefixes = {dialogue.messages[:end] for _, dialogue in read for end in range(len(dialogue.messages))}
    for question, dialogue in read:
        if turns == "last" and KINDS[question.kind].prompts and dialogue.messages in prefixes:
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
        trees.append(replace(tree, origin=_opening(dialogue)))
    return trees, counts


def _opening(dialogue: Dialogue) -> bytes:
    """A conversation up to the user's first message, as text: the tokens of a later turn may begin otherwise."""
    first = next((index for index, message in enumerate(dialogue.prompt) if message.role == "user"), 0)
    return repr([(message.role, message.content) for message in dialogue.prompt[: first + 1]]).encode()


def _responses(teaches: str | None, target: Any, items: list[Dialogue]) -> list[Dialogue]:
    """The responses to imitate; [] if all were judged equal."""
    if teaches == "response":
        return [Dialogue((*items[0].prompt, Message("assistant", str(target))))]
    if teaches == "ranks":
        best = [item for item, rank in zip(items, target, strict=True) if rank == min(target)]
        return best if len(best) < len(items) else []
    return [] if target == 0.5 else [items[0] if target > 0.5 else items[1]]
