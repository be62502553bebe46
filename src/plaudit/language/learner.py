"""The reward's side of a round of text: ask about what was written, and refit when it was judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch

from plaudit.feedback.kinds.comparison import RESPONSES
from plaudit.feedback.kinds.ranking import KIND as RANKING
from plaudit.feedback.select import acquisition, labels_due
from plaudit.feedback.store import Store
from plaudit.language.data import Counts, check_objectives, judged, split
from plaudit.language.policy import Completions
from plaudit.language.reward import Judged, Preferences, TextReward
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.types import Dialogue, Message, PlauditError, Question, Trajectory

REFERENCES = 128  # completions of the first policy over which the reward has mean 0 and standard deviation 1
OLD = 1.0  # answers heard before that a later fit sees again, for each new one


@dataclass(frozen=True)
class AskConfig:
    """How many questions about responses, of what kind, and when."""

    labels: int = 400
    """Questions to ask over the whole run."""
    upfront: float = 0.5
    """Share asked before the policy learns."""
    choices: int = 2
    """Responses in a question: 2 are compared, 3 to 9 are ranked (Ouyang et al. 2022: 4 to 9)."""
    method: Literal["uniform", "disagreement"] = "uniform"
    """Which responses are asked about: any, or those on which the reward's members disagree most."""
    held_out: float = 0.15
    """Share of the prompts whose answers the reward is not fitted to, but held against."""

    def __post_init__(self) -> None:
        if self.labels < 1:
            raise PlauditError(f"labels must be at least 1, got {self.labels}: a reward cannot be learned from nothing")
        if not 0 < self.upfront <= 1 or not 0 <= self.held_out < 1:
            raise PlauditError("upfront lies in (0, 1] and held_out in [0, 1)")
        if not 2 <= self.choices <= 9:
            raise PlauditError(f"a question is about 2 to 9 responses, got {self.choices}")


@dataclass(frozen=True, eq=False)
class Conversations:
    """Which conversation each prompt of tokens was made of: texts become tokens once, and never go back."""

    messages: dict[bytes, tuple[Message, ...]] = field(default_factory=dict)
    held_out: frozenset[tuple[Message, ...]] = frozenset()  # on which the policy is measured: never learned from

    def of(self, completions: Completions, chat: Chat, author: str) -> list[Dialogue]:
        """What was written (B,), as conversations that can be judged."""
        found = []
        for prompt, tokens, real in zip(completions.prompts, completions.actions, completions.mask, strict=True):
            response = Message("assistant", chat.text(tokens[real]))
            found.append(Dialogue((*self.messages[prompt.tobytes()], response), author))
        return found


class TextLearner:
    """Learns r_theta from comparisons and rankings of what the policy writes (Ouyang et al. 2022, section 3.5)."""

    def __init__(
        self,
        reward: TextReward,
        store: Store,
        conversations: Conversations,
        configs: tuple[AskConfig, TuneConfig],
        settle: Callable[[int], object],
        project: str = "default",
    ) -> None:
        """settle: called with how many questions were asked so far; drains the queue, or waits for people.

        project: that of the questions; where there are several objectives each has its own, named after it.
        """
        self.reward, self.store, self.conversations = reward, store, conversations
        self.config, self.tune = configs
        self.settle, self.project = settle, project
        self.chat = Chat(reward.model)
        self.asked = 0
        self.heard: set[bytes] = set()  # examples that a fit has seen
        self.reference: list[Tree] = []  # of the first policy's completions
        self.before: tuple[int, int] | None = None  # the round that was asking, and questions asked by then, at a kill
        self.counts = Counts()
        self.steps: list[dict[str, float]] = []  # of the last fit
        self.told: Callable[[int, int], None] = lambda done, total: None  # how far a fit is

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """Ask what is due about ``recent``, fit to what is answered, and let the first policy's mean reward be 0."""
        choose, order = (int(each.generate_state(1)[0]) for each in seed.spawn(2))
        written = [each for each in recent if isinstance(each, Completions)]
        if not self.reference:
            self.reference = [tree for each in written for tree in _trees(each)][:REFERENCES]
        total = 10_000
        due = labels_due(int(done * total) if round else 0, total, self.config.labels, self.config.upfront)
        if self.before is not None and self.before[0] == round:
            self.asked = self.before[1]  # they are in the store, and whoever answers them may be at it
        elif due > self.asked:
            self._ask(written, due - self.asked, round, np.random.default_rng(choose))
        self.settle(self.asked)
        metrics = self.fit(order)
        return {"asked": float(self.asked), **metrics}

    def _ask(self, written: Sequence[Completions], count: int, round: int, rng: np.random.Generator) -> None:
        """Put questions about different responses to one prompt into the queue."""
        groups = [group for each in written for group in self._groups(each, round)]
        order = rng.permutation(len(groups))
        if self.config.method == "disagreement" and self.reward.config.members > 1:
            order = order[np.argsort([-self._disagreement(groups[index]) for index in order], kind="stable")]
        questions: dict[str, Question] = {}
        items: dict[str, Dialogue] = {}
        for index in order:
            if len(questions) == count:
                break
            chosen = [groups[index][i] for i in rng.permutation(len(groups[index]))[: self.config.choices]]
            question = self._question([each.id for each in chosen], round, self.asked + len(questions))
            if question.id not in questions:
                questions[question.id] = question
                items |= {each.id: each for each in chosen}
        self.store.ask(list(questions.values()), list(items.values()))
        self.asked += len(questions)  # fewer than were due where responses repeat themselves; the rest stay due

    def _groups(self, completions: Completions, round: int) -> Iterator[list[Dialogue]]:
        """Different responses to each prompt, where there are enough of them to be asked about."""
        dialogues = self.conversations.of(completions, self.chat, f"round {round}")
        for group in range(int(completions.groups[-1]) + 1):
            own = {each.id: each for each, own in zip(dialogues, completions.groups, strict=True) if own == group}
            different = [each for each in own.values() if (each.response or "").strip()]
            if len(different) >= 2:
                yield different

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

    def fit(self, seed: int) -> dict[str, float]:
        """Fit to the answers that are there: the first time to all of them, later to new ones and as many old ones.

        Raises:
            PlauditError: there is no usable answer yet, or none about an objective that the reward is made of.
        """
        ask, tune = self.config, self.tune
        examples, self.counts = self.examples()
        if not examples:
            raise PlauditError(
                f"{self.asked} questions were asked and none has a usable answer ({self.counts}): ask an annotator who "
                "answers"
            )
        seen, out = split(examples, ask.held_out, tune.seed)
        check_objectives(self.reward.config, seen, self.counts)
        new = [each for each in seen if _name(each) not in self.heard]
        old = [each for each in seen if _name(each) in self.heard]
        epochs = tune.epochs if not old else 1
        if old:
            rng = np.random.default_rng(seed)
            new += [old[index] for index in rng.permutation(len(old))[: round(OLD * len(new))]]
        self.heard |= {_name(each) for each in seen}
        self.steps = []
        if new:
            config = replace(tune, epochs=epochs, seed=seed % 2**31)
            objective = Preferences(self.reward)
            tuner = Tuner(self.reward.model, self.reward.learning(), objective, new, config)
            for step in tuner.run():
                self.steps.append(step)
                self.told(tuner.done, tuner.steps)
        self.reward.normalise(self.reference)
        return {"labels": float(self.counts.used), **self._measured(seen, out)}

    def examples(self) -> tuple[list[Judged], Counts]:
        """What the answers say, no longer than the model takes, without what is about held-out prompts."""
        length, seed = min(self.tune.length, self.reward.model.window), self.tune.seed
        held_out = self.conversations.held_out
        return judged(self.store, self.chat, self.reward.config, length, seed, held_out)

    def _measured(self, seen: Sequence[Judged], out: Sequence[Judged]) -> dict[str, float]:
        """How well the reward explains the answers that it was not fitted to."""
        metrics = {"fit_loss": self.steps[-1]["loss"]} if self.steps else {}
        if out:
            tuner = Tuner(self.reward.model, self.reward.learning(), Preferences(self.reward), out, self.tune)
            found = tuner.evaluate(out)
            metrics |= {"loss": found["loss"], "accuracy": found["accuracy"], "held_out_labels": float(len(out))}
        return metrics

    def state(self) -> dict[str, torch.Tensor]:
        """What was asked, and the reference completions; what a fit has heard follows from the store."""
        state = {"asked": torch.tensor(self.asked)}
        for index, tree in enumerate(self.reference):
            state[f"prompt.{index}"] = torch.from_numpy(tree.prompt.copy())
            state |= {f"completion.{index}.{i}": torch.from_numpy(c.copy()) for i, c in enumerate(tree.completions)}
        state["heard"] = torch.tensor([list(each) for each in sorted(self.heard)], dtype=torch.uint8).reshape(-1, 16)
        return state

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        self.asked = int(state["asked"])
        self.heard = {bytes(each.tolist()) for each in state["heard"]}
        self.reference = []
        while (name := f"prompt.{len(self.reference)}") in state:
            count = sum(each.startswith(f"completion.{len(self.reference)}.") for each in state)
            parts = (state[f"completion.{len(self.reference)}.{i}"].numpy() for i in range(count))
            self.reference.append(Tree(state[name].numpy(), tuple(parts)))


def _trees(completions: Completions) -> list[Tree]:
    """What was written, a prompt with its completions."""
    texts = [tokens[real] for tokens, real in zip(completions.actions, completions.mask, strict=True)]
    found = []
    for group in range(int(completions.groups[-1]) + 1):
        rows = np.flatnonzero(completions.groups == group)
        found.append(Tree(completions.prompts[rows[0]], tuple(texts[row] for row in rows)))
    return found


def _name(example: Judged) -> bytes:
    """16 bytes that name what was said about which tokens."""
    said = repr((example.mu, example.ranks, example.ratings, example.objective))
    return hashlib.blake2b(example.tree.contents + said.encode(), digest_size=16).digest()
