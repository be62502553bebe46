"""The reward's side of a round of text: ask about responses, and refit when they were judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch

from plaudit.feedback.asking import AskConfig
from plaudit.feedback.kinds.comparison import RESPONSES
from plaudit.feedback.kinds.ranking import KIND as RANKING
from plaudit.feedback.select import acquisition
from plaudit.feedback.store import Store
from plaudit.language.data import Counts, check_objectives, read_judgements, split
from plaudit.language.policy import Completions
from plaudit.language.reward import JudgedCompletions, Preferences, TextReward
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.types import Dialogue, Message, PlauditError, Question

REFERENCES = 128  # completions of the first policy over which the reward has mean 0 and standard deviation 1
REPLAY = 1.0  # earlier answers that a later fit sees again, for each new one


@dataclass(frozen=True)
class TextFeedbackConfig(AskConfig):
    """The number and kind of questions about responses, their times, and how they are chosen."""

    labels: int = 400
    """Number of questions asked over the whole run."""
    upfront: float = 0.5
    """Share of the questions asked before the policy learns."""
    method: Literal["uniform", "disagreement"] = "uniform"
    """How responses are chosen. uniform: responses to any prompt; disagreement: responses on which the reward's members
    disagree most."""
    scale: float | None = None
    """Prompts over which the rate of questions halves; None: a tenth of the run."""
    choices: int = 2
    """Responses per question: 2 are compared, 3 to 9 are ranked (Ouyang et al. 2022: 4 to 9)."""
    held_out: float = 0.15
    """Share of the prompts whose answers are held out from fitting, to measure the reward on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.held_out < 1:
            raise PlauditError(f"held_out must lie in [0, 1), got {self.held_out}")
        if not 2 <= self.choices <= 9:
            raise PlauditError(f"a question is about 2 to 9 responses, got {self.choices}")


@dataclass(frozen=True, eq=False)
class Conversations:
    """The conversation that each prompt of tokens was made of: texts become tokens once, and never go back."""

    messages: dict[bytes, tuple[Message, ...]] = field(default_factory=dict)
    held_out: frozenset[tuple[Message, ...]] = frozenset()  # on which the policy is measured: never learned from

    def dialogues(self, completions: Completions, chat: Chat, author: str) -> list[Dialogue]:
        """The completions (B,) as conversations that can be judged."""
        dialogues = []
        for prompt, tokens, mask in zip(completions.prompts, completions.actions, completions.mask, strict=True):
            response = Message("assistant", chat.text(tokens[mask]))
            dialogues.append(Dialogue((*self.messages[prompt.tobytes()], response), author))
        return dialogues


class TextPace:
    """Asks what the schedule says, and fits to all answers that are there (the pace of :mod:`plaudit.learner`)."""

    def __init__(
        self,
        reward: TextReward,
        store: Store,
        config: TextFeedbackConfig,
        tune: TuneConfig,
        prompts: int,
        held_out: frozenset[tuple[Message, ...]] = frozenset(),
    ) -> None:
        """prompts: to which the whole run writes. held_out: prompts whose answers are not learned from."""
        self.reward, self.store, self.config, self.tune = reward, store, config, tune
        self.prompts, self.held_out = prompts, held_out
        self.chat = Chat(reward.model)
        self.n_asked = 0
        self.learned: set[bytes] = set()  # fingerprints of the examples that a fit has seen
        self.counts = Counts()
        self.steps: list[dict[str, float]] = []  # of the last fit
        self.on_step: Callable[[int, int], None] = lambda done, total: None  # steps of a fit that are done, of how many

    def due(self, round: int, done: float) -> int:
        """Questions to ask at the end of this round; round 0 asks the first share."""
        return self.config.due(int(np.rint(done * self.prompts)) if round else 0, self.prompts) - self.n_asked

    def fit(self, round: int, seed: int) -> dict[str, float]:
        """Fit to the answers: the first time to all of them, later to new ones and as many old ones.

        Raises:
            PlauditError: there is no usable answer yet, or none about an objective that the reward is made of.
        """
        examples, self.counts = self.examples()
        if not examples:
            raise PlauditError(
                f"{self.n_asked} questions were asked and none has a usable answer ({self.counts}): use an annotator "
                "that answers"
            )
        training, held_out = split(examples, self.config.held_out, self.tune.seed)
        check_objectives(self.reward.config, training, self.counts)
        new = [example for example in training if _fingerprint(example) not in self.learned]
        old = [example for example in training if _fingerprint(example) in self.learned]
        epochs = self.tune.epochs if not old else 1
        if old:
            rng = np.random.default_rng(seed)
            new += [old[index] for index in rng.permutation(len(old))[: int(np.rint(REPLAY * len(new)))]]
        self.learned |= {_fingerprint(example) for example in training}
        self.steps = []
        if new:
            config = replace(self.tune, epochs=epochs, seed=seed % 2**31)
            tuner = Tuner(self.reward.model, self.reward.trainable_parameters(), Preferences(self.reward), new, config)
            for step in tuner.run():
                self.steps.append(step)
                self.on_step(tuner.done, tuner.steps)
        return self._measure(held_out)

    def examples(self) -> tuple[list[JudgedCompletions], Counts]:
        """The answers as examples no longer than the model takes, without those about held-out prompts."""
        length = min(self.tune.length, self.reward.model.window)
        return read_judgements(self.store, self.chat, self.reward.config, length, self.tune.seed, self.held_out)

    def metrics(self) -> dict[str, float]:
        """The number of answers that the reward was fitted to."""
        return {"labels": float(self.counts.used)}

    def state(self) -> dict[str, torch.Tensor]:
        """What was asked, and which answers a fit has seen."""
        fingerprints = [list(fingerprint) for fingerprint in sorted(self.learned)]
        return {
            "asked": torch.tensor(self.n_asked),
            "heard": torch.tensor(fingerprints, dtype=torch.uint8).reshape(-1, 16),
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.n_asked = int(state["asked"])
        self.learned = {bytes(row.tolist()) for row in state["heard"]}

    def _measure(self, held_out: Sequence[JudgedCompletions]) -> dict[str, float]:
        """How well the reward explains answers that it was not fitted to."""
        metrics = {"fit_loss": self.steps[-1]["loss"]} if self.steps else {}
        if held_out:
            tuner = Tuner(
                self.reward.model, self.reward.trainable_parameters(), Preferences(self.reward), held_out, self.tune
            )
            result = tuner.evaluate(held_out)
            metrics |= {"loss": result["loss"], "accuracy": result["accuracy"]}
            metrics["held_out_labels"] = float(len(held_out))
        return metrics


@dataclass(frozen=True)
class InterruptedRound:
    """The round that was asking when a run was stopped, and the number of questions asked by then."""

    round: int
    n_asked: int


class TextLearner:
    """Learns r_theta from comparisons and rankings of what the policy writes (Ouyang et al. 2022, section 3.5)."""

    def __init__(
        self,
        pace: TextPace,
        conversations: Conversations,
        settle: Callable[[int], object],
        project: str = "default",
    ) -> None:
        """settle: called with how many questions were asked so far; drains the queue, or waits for people.

        project: that of the questions; where there are several objectives each has its own, named after it.
        """
        self.pace, self.conversations, self.settle, self.project = pace, conversations, settle, project
        self.reward, self.chat = pace.reward, pace.chat
        self.reference: list[Tree] = []  # of the first policy's completions
        self.interrupted: InterruptedRound | None = None

    def learn(
        self, recent: Sequence[Completions], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """Ask what is due about ``recent``, fit to the answers, and let the first policy's mean reward be 0."""
        choose, order = (int(sequence.generate_state(1)[0]) for sequence in seed.spawn(2))
        if not self.reference:
            self.reference = [tree for completions in recent for tree in _trees(completions)][:REFERENCES]
        due = self.pace.due(round, done)
        if self.interrupted is not None and self.interrupted.round == round:
            self.pace.n_asked = self.interrupted.n_asked  # they are in the store, and annotators may be answering them
        elif due > 0:
            self._ask(recent, due, round, np.random.default_rng(choose))
        self.settle(self.pace.n_asked)
        metrics = self.pace.fit(round, order)
        self.reward.normalise(self.reference)
        return {"asked": float(self.pace.n_asked), **self.pace.metrics(), **metrics}

    def state(self) -> dict[str, torch.Tensor]:
        """What the pace remembers, and the reference completions."""
        state = self.pace.state()
        for index, tree in enumerate(self.reference):
            state[f"prompt.{index}"] = torch.from_numpy(tree.prompt.copy())
            for position, completion in enumerate(tree.completions):
                state[f"completion.{index}.{position}"] = torch.from_numpy(completion.copy())
        return state

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.pace.restore(state)
        self.reference = []
        while (name := f"prompt.{len(self.reference)}") in state:
            prefix = f"completion.{len(self.reference)}."
            count = sum(key.startswith(prefix) for key in state)
            completions = tuple(state[f"{prefix}{position}"].numpy() for position in range(count))
            self.reference.append(Tree(state[name].numpy(), completions))

    def _ask(self, recent: Sequence[Completions], count: int, round: int, rng: np.random.Generator) -> None:
        """Put questions about different responses to one prompt into the queue."""
        config = self.pace.config
        groups = [group for completions in recent for group in self._groups(completions, round)]
        order = rng.permutation(len(groups))
        if config.method == "disagreement" and self.reward.config.members > 1:
            order = order[np.argsort([-self._disagreement(groups[index]) for index in order], kind="stable")]
        questions: dict[str, Question] = {}
        items: dict[str, Dialogue] = {}
        for index in order:
            if len(questions) == count:
                break
            responses = [groups[index][i] for i in rng.permutation(len(groups[index]))[: config.choices]]
            ids = [response.id for response in responses]
            question = self._question(ids, round, self.pace.n_asked + len(questions))
            if question.id not in questions:
                questions[question.id] = question
                items |= dict(zip(ids, responses, strict=True))
        self.pace.store.ask(list(questions.values()), list(items.values()))
        self.pace.n_asked += len(questions)  # fewer than were due where responses repeat; the others stay due

    def _groups(self, completions: Completions, round: int) -> Iterator[list[Dialogue]]:
        """Different responses to each prompt, where there are enough of them to be asked about."""
        dialogues = self.conversations.dialogues(completions, self.chat, f"round {round}")
        for number in range(int(completions.groups[-1]) + 1):
            rows = np.flatnonzero(completions.groups == number)
            distinct = {dialogues[row].id: dialogues[row] for row in rows}
            responses = [dialogue for dialogue in distinct.values() if (dialogue.response or "").strip()]
            if len(responses) >= 2:
                yield responses

    def _question(self, ids: list[str], round: int, number: int) -> Question:
        """About each objective in turn, so that every head has something to learn from."""
        kind, wording = ("comparison", RESPONSES) if len(ids) == 2 else ("ranking", RANKING.wording)
        objectives, project = self.reward.config.objectives, self.project
        if len(objectives) > 1:
            project = objectives[number % len(objectives)]
            wording = f"{wording} Judge by nothing but this: {project}."
        return Question(kind, tuple(ids), wording, round=round, project=project)

    def _disagreement(self, group: Sequence[Dialogue]) -> float:
        """The largest of the pairs' variances of what members predict, as for clips; a mean over objectives."""
        scores = self.reward.score([self.chat.dialogues(list(group))])  # (K, O, M)
        pairs = np.array(list(combinations(range(len(group)), 2)))
        returns = scores[pairs].transpose(3, 0, 2, 1)  # (M, pairs, O, 2)
        spread = acquisition("disagreement", returns.reshape(len(returns), -1, 2))
        return float(spread.reshape(len(pairs), -1).mean(axis=1).max())


def _trees(completions: Completions) -> list[Tree]:
    """The completions as trees: a prompt with all that was written to it."""
    rows = zip(completions.actions, completions.mask, strict=True)
    texts = [tokens[mask] for tokens, mask in rows]
    trees = []
    for group in range(int(completions.groups[-1]) + 1):
        members = np.flatnonzero(completions.groups == group)
        trees.append(Tree(completions.prompts[members[0]], tuple(texts[row] for row in members)))
    return trees


def _fingerprint(example: JudgedCompletions) -> bytes:
    """16 bytes that identify a judgement and the tokens that it is about."""
    judgement = repr((example.mu, example.ranks, example.ratings, example.objective))
    return hashlib.blake2b(example.tree.contents + judgement.encode(), digest_size=16).digest()
