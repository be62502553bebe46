"""Judgements of text as examples for a reward model, read from the store, for all kinds of feedback."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import numpy as np

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.kinds.rating import SCALES
from plaudit.feedback.store import Store
from plaudit.functional.intervals import poisson_counts
from plaudit.language.reward import HeadsConfig, JudgedCompletions
from plaudit.language.rows import Tree
from plaudit.language.text import Chat, shared_prompt
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question


class HasTree(Protocol):
    """An example: a judgement of responses to a prompt."""

    @property
    def tree(self) -> Tree:
        """The prompt and the responses."""
        ...


Example = TypeVar("Example", bound=HasTree)


@dataclass
class Counts:
    """Counts of the judgements that were read, by what became of them: nothing is dropped or cut silently."""

    used: int = 0
    said_nothing: int = 0  # can't tell, or withdrawn
    other_kinds: int = 0  # of kinds that this fit cannot learn from
    cut: int = 0  # with a text longer than the limit
    held_out: int = 0  # left out: about a prompt on which the policy is measured
    refused: list[str] = field(default_factory=list)  # messages about texts that could not become tokens

    def __str__(self) -> str:
        parts = [f"{self.used} used", f"{self.said_nothing} said nothing", f"{self.other_kinds} of other kinds"]
        parts += [f"{self.cut} cut", f"{len(self.refused)} refused"]
        return ", ".join(parts) + (f", {self.held_out} about held-out prompts" if self.held_out else "")


def read_judgements(
    store: Store,
    chat: Chat,
    heads: HeadsConfig,
    length: int,
    seed: int = 0,
    held_out: Collection[tuple[Message, ...]] = (),
) -> tuple[list[JudgedCompletions], Counts]:
    """Examples for a reward model from every judgement in force that is about responses to one prompt.

    length: largest number of tokens of a sequence. A judgement is about the objective with its project's name, or else
    about the first objective; a rating on a scale with an objective's name is about that objective. With several
    members, each gets a Poisson(1) bootstrap, drawn by prompt. held_out: prompts whose judgements are left out.
    """
    examples: list[JudgedCompletions] = []
    counts = Counts()
    judgements = store.judgements()
    questions = store.questions([judgement.question for judgement in judgements])
    for judgement, question in zip(judgements, questions, strict=True):
        parts = _parse(judgement, question, heads.objectives, counts)
        if not parts:
            continue
        items = store.items(list(question.items))
        dialogues = [item for item in items if isinstance(item, Dialogue)]
        if len(dialogues) < len(items):
            counts.other_kinds += 1
            continue
        if dialogues[0].prompt in held_out or shared_prompt(dialogues) in held_out:
            counts.held_out += 1
            continue
        try:
            tree, cut = chat.dialogues(dialogues).cut(length)
        except PlauditError as error:
            counts.refused.append(f"question {question.id}: {error}")
            continue
        counts.cut += cut
        counts.used += 1
        weights = bootstrap(tree, heads.members, seed)
        examples += [replace(part, tree=tree, weights=weights) for part in parts]
    return examples, counts


def _parse(
    judgement: Judgement, question: Question, objectives: tuple[str, ...], counts: Counts
) -> list[JudgedCompletions]:
    """The judgement as examples with a placeholder for a tree; [] if there is nothing to learn from it."""
    teaches = KINDS[question.kind].teaches
    if teaches not in ("preference", "ranks", "ratings"):
        counts.other_kinds += 1
        return []
    target = KINDS[question.kind].target(judgement.value)
    if target is None:
        counts.said_nothing += 1
        return []
    placeholder = _placeholder(len(question.items))
    objective = objectives.index(question.project) if question.project in objectives else 0
    if teaches == "ranks":
        return [JudgedCompletions(placeholder, ranks=tuple(int(rank) - 1 for rank in target), objective=objective)]
    if teaches == "ratings":
        return _parse_rating(target, question, objectives, objective)
    return [JudgedCompletions(placeholder, mu=float(target), objective=objective)]


def _parse_rating(
    target: Mapping[str, int | None], question: Question, objectives: tuple[str, ...], objective: int
) -> list[JudgedCompletions]:
    """Examples of ratings in [-1, 1]: one for each scale that is an objective, or else one of their mean."""
    scales = question.options.get("scales", SCALES)
    ratings = {
        name: 2 * (value - scales[name][0]) / (scales[name][1] - scales[name][0]) - 1
        for name, value in target.items()
        if value is not None
    }
    by_objective = [(objectives.index(name), value) for name, value in ratings.items() if name in objectives]
    rated = by_objective or [(objective, sum(ratings.values()) / len(ratings))]
    return [JudgedCompletions(_placeholder(1), ratings=(value,), objective=index) for index, value in rated]


def _placeholder(count: int) -> Tree:
    """A tree of ``count`` completions, which the real tree replaces."""
    return Tree(np.zeros(1, np.int64), (np.zeros(1, np.int64),) * count)


def bootstrap(tree: Tree, members: int, seed: int) -> tuple[float, ...]:
    """How often each member's bootstrap drew this prompt; () for a single member, which learns from everything."""
    if members == 1:
        return ()
    return tuple(poisson_counts(members, seed, _number(tree)).astype(float))


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Examples to fit and examples held out, split by prompt: responses to one prompt are never on both sides.

    A prompt's side depends only on the prompt and the seed, so that it does not change when others are added.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        sides[is_held_out(example.tree, share, seed)].append(example)
    return sides


def is_held_out(tree: Tree, share: float, seed: int) -> bool:
    """Whether a prompt belongs to the held-out ``share``; its name and the seed decide."""
    return bool(np.random.default_rng((seed, _number(tree, "held out"))).random() < share)


def check_objectives(heads: HeadsConfig, examples: Sequence[JudgedCompletions], counts: Counts) -> None:
    """Raise :class:`PlauditError` if an objective of the reward has no example, because its head would be noise.

    An objective with weight 0 needs no example. counts: of the judgements that were read, for the message.
    """
    weights = heads.weights or (1.0,) * len(heads.objectives)
    judged_objectives = {example.objective for example in examples}
    for index, (name, weight) in enumerate(zip(heads.objectives, weights, strict=True)):
        if weight and index not in judged_objectives:
            raise PlauditError(
                f"no judgement is about the objective {name!r}, which has weight {weight:g} in the reward ({counts}): "
                "ask for or add judgements whose project or scale has its name, hold out fewer, or give it weight 0"
            )


def _number(tree: Tree, purpose: str = "") -> int:
    """A number that follows from the prompt's name and ``purpose``."""
    return int.from_bytes(hashlib.blake2b(tree.name + purpose.encode(), digest_size=8).digest(), "big")
