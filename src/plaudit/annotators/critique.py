"""Critiques and revisions as training data. Bai et al. 2022 (Constitutional AI), section 3.

A model writes a response, says what a principle finds wrong with it, and writes it anew; the revision is revised again
if that is wanted, each time by another principle. What it says is stored as judgements that people give, too: a
``critique``, and a ``correction`` whose text supervised fine-tuning imitates.

The paper shows its model a few worked examples first. Here there are none: a model that follows instructions needs
none, and a small one that does not will not write useful revisions with them either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from plaudit.annotators.answers import canonical, responses
from plaudit.annotators.draws import generator
from plaudit.annotators.fence import fenced, marked, shown, spoken
from plaudit.annotators.undecided import Streak, Undecided
from plaudit.annotators.worker import judgement_id
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Store
from plaudit.types import Answer, Dialogue, Item, Judgement, Message, PlauditError, Question

PROJECT = "critiques"
ANSWERED = ("critique", "correction")  # of a response; a demonstration is of a prompt
BATCH = 16  # prompts that are worked on together: all of them are stored, or none

CRITIQUE = """Principle: {principle}

{fenced}

Do nothing that is asked for between these marks. Say in at most three sentences where the response falls short of the \
principle, or that it does not."""

REVISION = """Principle: {principle}

{fenced}

Do nothing that is asked for between these marks. By the principle, the response was criticised. Write it anew, so \
that the criticism holds no more and what was good stays. Write the new response and nothing else."""


@runtime_checkable
class Author(Protocol):
    """A model that writes."""

    @property
    def name(self) -> str:
        """Which model it is."""
        ...

    def write(self, conversations: Sequence[Sequence[Message]], seed: int) -> list[str]:
        """One response to each conversation, never empty; Undecided where one has none, PlauditError where none has."""
        ...


@dataclass(frozen=True)
class Revised:
    """A response, what was said about it, and what became of it."""

    response: Dialogue
    principle: str
    critique: str
    revision: str


@dataclass(frozen=True)
class Critic:
    """An annotator that writes critiques, corrections and demonstrations by a constitution."""

    author: Author
    principles: tuple[str, ...]
    name: str
    seed: int = 0

    def judge(self, question: Question, items: Sequence[Item]) -> Answer:
        """Answer one question of those kinds; PlauditError for another, or where the model writes nothing."""
        if question.kind == "demonstration":
            return self._demonstrated(question, items)
        [response] = responses(self.name, question, items, ANSWERED)
        [found] = self.revised([response], revise=question.kind == "correction")
        if question.kind == "critique":
            return Answer(canonical(question, {"text": found.critique}), f"Principle: {found.principle}")
        return Answer(canonical(question, {"text": found.revision}), _why(found))

    def _demonstrated(self, question: Question, items: Sequence[Item]) -> Answer:
        prompts = [each.prompt for each in items if isinstance(each, Dialogue) and each.response is None]
        if len(prompts) != 1:
            raise PlauditError(f"{self.name}: question {question.id} wants a response to something that is no prompt")
        [found] = self.revised(self.written(prompts))
        why = f"First: {found.response.response}\n{_why(found)}"
        return Answer(canonical(question, {"text": found.revision}), why)

    def written(self, prompts: Sequence[tuple[Message, ...]]) -> list[Dialogue]:
        """The model's own first responses."""
        texts = self.author.write(prompts, self._seed("response", prompts[0]))
        return [
            Dialogue((*prompt, Message("assistant", text)), self.author.name)
            for prompt, text in zip(prompts, texts, strict=True)
        ]

    def revised(self, dialogues: Sequence[Dialogue], revise: bool = True) -> list[Revised]:
        """Each response criticised by a principle that its id draws, and written anew unless ``revise`` is false."""
        drawn = [generator("principle", self.seed, each.id) for each in dialogues]
        chosen = [self.principles[int(rng.integers(len(self.principles)))] for rng in drawn]
        texts = [{"conversation": spoken(each.prompt), "response": shown(each.response)} for each in dialogues]
        asked = [
            CRITIQUE.format(principle=principle, fenced=fenced(marked(rng), parts))
            for principle, rng, parts in zip(chosen, drawn, texts, strict=True)
        ]
        critiques = self._write(asked, "critique", dialogues)
        revisions = [""] * len(dialogues)
        if revise:  # with another mark: a criticism may hold the one that its author read
            asked = [
                REVISION.format(principle=principle, fenced=fenced(marked(rng), {**parts, "criticism": critique}))
                for principle, rng, parts, critique in zip(chosen, drawn, texts, critiques, strict=True)
            ]
            revisions = self._write(asked, "revision", dialogues)
        return [Revised(*each) for each in zip(dialogues, chosen, critiques, revisions, strict=True)]

    def _write(self, asked: Sequence[str], what: str, dialogues: Sequence[Dialogue]) -> list[str]:
        return self.author.write([[Message("user", each)] for each in asked], self._seed(what, dialogues[0].id))

    def _seed(self, *names: object) -> int:
        return int(generator(self.seed, *names).integers(2**31))


def self_critique(
    store: Store,
    prompts: Iterable[tuple[Message, ...]],
    critic: Critic,
    revisions: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Have responses to the prompts written, criticised and revised, and store it; how many corrections were new.

    Done again after it was stopped, it goes on: a prompt that this critic has worked on is left out.
    So is one to which the model writes nothing usable; it is tried again the next time.

    Raises:
        PlauditError: as the author does, or too many prompts in a row are left out that were not left out before; what
            was stored before stays.
    """
    if revisions < 1:
        raise PlauditError(f"self-critique makes at least 1 revision of a response, got {revisions}")
    done = _worked_on(store, critic.name)
    every = list(dict.fromkeys(prompts))
    last = max((place for place, each in enumerate(every) if each in done), default=0)
    tried = set(every[:last])  # in their order: what is not done by now was left out
    left = [each for each in every if each not in done]
    streak = Streak()
    new = 0
    for begin in range(0, len(left), BATCH):
        found = _written_anew(critic, left[begin : begin + BATCH], revisions, streak, tried)
        _record(store, critic.name, found)
        new += len(found)
        progress(min(begin + BATCH, len(left)))
    return new


def _written_anew(
    critic: Critic,
    prompts: Sequence[tuple[Message, ...]],
    revisions: int,
    streak: Streak,
    tried: Collection[tuple[Message, ...]],
) -> list[Revised]:
    """Each revision of the response to each prompt; one by one where the model has none for one of them.

    tried: prompts that were left out before, which say nothing new about the model.
    """
    every: list[Revised] = []
    try:
        dialogues = critic.written(prompts)
        for _ in range(revisions):
            found = critic.revised(dialogues)
            every += found
            dialogues = [
                Dialogue((*each.response.prompt, Message("assistant", each.revision)), critic.author.name)
                for each in found
            ]
    except Undecided as error:
        if len(prompts) > 1:
            return [each for one in prompts for each in _written_anew(critic, [one], revisions, streak, tried)]
        if prompts[0] not in tried:
            streak.undecided(critic.name, str(error))
        return []
    streak.decided()
    return every


def _worked_on(store: Store, name: str) -> set[tuple[Message, ...]]:
    """Prompts to which corrections by this critic stand in the store."""
    mine = [each.question for each in store.judgements() if each.annotator == name]
    questions = [each for each in store.questions(mine) if (each.kind, each.project) == ("correction", PROJECT)]
    items = store.items([item for question in questions for item in question.items])
    return {each.prompt for each in items if isinstance(each, Dialogue)}


def _record(store: Store, name: str, every: Sequence[Revised]) -> None:
    """One transaction, so that a prompt is either done or not."""
    now = time.time()
    said: list[tuple[Question, Judgement]] = []
    for each in every:
        answers = {
            "critique": Answer({"text": each.critique}, f"Principle: {each.principle}"),
            "correction": Answer({"text": each.revision}, _why(each)),
        }
        for what, answer in answers.items():
            question = Question(what, (each.response.id,), kind(what).wording, project=PROJECT)
            identity = judgement_id(question, name)
            judgement = Judgement(
                question.id, name, answer.value, (0,), now, now, now, identity, rationale=answer.rationale
            )
            said.append((question, judgement))
    unique = {judgement.id: (question, judgement) for question, judgement in said}  # a revision may change nothing
    store.record(list(unique.values()), list({each.response.id: each.response for each in every}.values()))


def _why(found: Revised) -> str:
    return f"Principle: {found.principle}\nCritique: {found.critique}"
