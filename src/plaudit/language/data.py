"""What people said about text, as examples for a reward model: read from the store, whatever the kind."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import numpy as np

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.kinds.rating import SCALES
from plaudit.feedback.store import Store
from plaudit.language.reward import HeadsConfig, Judged
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

COMPARED = ("comparison", "regeneration", "side-by-side", "conversation")  # their target is P[first better]


class About(Protocol):
    """Something that was said about responses to a prompt."""

    @property
    def tree(self) -> Tree:
        """The prompt, and the responses."""
        ...


Example = TypeVar("Example", bound=About)


@dataclass
class Counts:
    """What became of the judgements that were read: nothing is dropped or cut in silence."""

    used: int = 0
    said_nothing: int = 0  # can't tell, withdrawn
    other_kinds: int = 0  # nothing that a reward of whole responses could learn from
    cut: int = 0  # longer than the limit
    held_out: int = 0  # about a prompt on which the policy is measured: left out
    refused: list[str] = field(default_factory=list)  # what could not become tokens, and why

    def __str__(self) -> str:
        parts = [f"{self.used} used", f"{self.said_nothing} said nothing", f"{self.other_kinds} of other kinds"]
        parts += [f"{self.cut} cut", f"{len(self.refused)} refused"]
        return ", ".join(parts) + (f", {self.held_out} about held-out prompts" if self.held_out else "")


def judged(
    store: Store,
    chat: Chat,
    heads: HeadsConfig,
    length: int,
    seed: int = 0,
    held_out: Collection[tuple[Message, ...]] = (),
) -> tuple[list[Judged], Counts]:
    """Examples for a reward model from every judgement in force that says something about responses to one prompt.

    length: the most tokens of a sequence. A judgement is about the objective that its project is named after, or else
    about the first; a rating on a scale with an objective's name is about that one. With several members each gets its
    own Poisson(1) bootstrap, drawn by prompt, so that a prompt is on one side of every member's split. What is about a
    prompt of ``held_out`` is left out, and counted.
    """
    examples: list[Judged] = []
    counts = Counts()
    judgements = store.judgements()
    questions = store.questions([each.question for each in judgements])
    for judgement, question in zip(judgements, questions, strict=True):
        said = _said(judgement, question, heads.objectives, counts)
        if not said:
            continue
        items = store.items(list(question.items))
        dialogues = [each for each in items if isinstance(each, Dialogue)]
        if len(dialogues) < len(items):
            counts.other_kinds += 1
            continue
        if dialogues[0].prompt in held_out:
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
        examples += [replace(each, tree=tree, weights=weights) for each in said]
    return examples, counts


def _said(judgement: Judgement, question: Question, objectives: tuple[str, ...], counts: Counts) -> list[Judged]:
    """The judgement as examples whose tree is still to come; none where there is nothing to learn."""
    if question.kind not in (*COMPARED, "ranking", "rating"):
        counts.other_kinds += 1
        return []
    target = KINDS[question.kind].target(judgement.value)
    if target is None:
        counts.said_nothing += 1
        return []
    places = _nothing(len(question.items))
    about = objectives.index(question.project) if question.project in objectives else 0
    if question.kind == "ranking":
        return [Judged(places, ranks=tuple(int(each) - 1 for each in target), objective=about)]
    if question.kind == "rating":
        return _rated(target, question, objectives, about)
    return [Judged(places, mu=float(target), objective=about)]


def _rated(
    target: Mapping[str, int | None], question: Question, objectives: tuple[str, ...], about: int
) -> list[Judged]:
    """Ratings in [-1, 1]: of each scale that is an objective, or else their mean."""
    scales = question.options.get("scales", SCALES)
    given = {
        name: 2 * (value - scales[name][0]) / (scales[name][1] - scales[name][0]) - 1
        for name, value in target.items()
        if value is not None
    }
    own = [(objectives.index(name), value) for name, value in given.items() if name in objectives]
    found = own or [(about, sum(given.values()) / len(given))]
    return [Judged(_nothing(1), ratings=(value,), objective=index) for index, value in found]


def _nothing(count: int) -> Tree:
    """A tree of as many completions, to be replaced."""
    return Tree(np.zeros(1, np.int64), (np.zeros(1, np.int64),) * count)


def bootstrap(tree: Tree, members: int, seed: int) -> tuple[float, ...]:
    """How often each member drew this prompt; () for one member, which learns from everything."""
    if members == 1:
        return ()
    return tuple(_generator(tree, seed).poisson(1.0, members).astype(float))


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Examples to fit and examples held out, by prompt: responses to one prompt never stand on both sides.

    A prompt's side depends on nothing but itself and the seed, so that it stays there while others come.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for each in examples:
        sides[is_held_out(each.tree, share, seed)].append(each)
    return sides


def is_held_out(tree: Tree, share: float, seed: int) -> bool:
    """Whether a prompt is one of the ``share`` that nothing is fitted to; its name and the seed decide."""
    return bool(_generator(tree, seed, "held out").random() < share)


def check_objectives(heads: HeadsConfig, examples: Sequence[Judged], counts: Counts) -> None:
    """Raise :class:`PlauditError` where an objective of the reward has no example: its head would be noise.

    One with weight 0 needs none. counts: what became of the judgements that were read.
    """
    weights = heads.weights or (1.0,) * len(heads.objectives)
    about = {each.objective for each in examples}
    for index, (name, weight) in enumerate(zip(heads.objectives, weights, strict=True)):
        if weight and index not in about:
            raise PlauditError(
                f"nothing is said about the objective {name!r}, which has weight {weight:g} in the reward ({counts}): "
                "ask for or add judgements whose project or scale has its name, hold out fewer, or give it weight 0"
            )


def _generator(tree: Tree, seed: int, purpose: str = "") -> np.random.Generator:
    """One that the prompt decides."""
    digest = hashlib.blake2b(tree.name + purpose.encode(), digest_size=8).digest()
    return np.random.default_rng((seed, int.from_bytes(digest, "big")))
