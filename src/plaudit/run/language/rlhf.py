"""A language model through the lecture's three steps: imitate, learn a reward, improve against r - lambda KL.

The loop and the session are those of control (:mod:`plaudit.loop`, :mod:`plaudit.run.session`): the collector writes,
the reward model is the learned one less the KL penalty, and the annotators drain the same queue.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit import layout
from plaudit.feedback.store import Store
from plaudit.files import replace_folder
from plaudit.functional.masked import masked_mean
from plaudit.interfaces import RewardModel
from plaudit.language.evaluate import Rule
from plaudit.language.evaluation import append_response
from plaudit.language.improve import TokenImprover
from plaudit.language.learner import Conversations, InterruptedRound, TextLearner, TextPace
from plaudit.language.likelihood import split_windows
from plaudit.language.models import LanguageModel
from plaudit.language.penalty import KLPenalty
from plaudit.language.policy import Completions, TokenPolicy, Writer, iterate_batches
from plaudit.language.prompts import Prompt
from plaudit.language.reward import TextReward
from plaudit.language.spans import SpanReward, SummedReward
from plaudit.language.text import Chat, check_vocabulary
from plaudit.language.tune import completion_log_probs
from plaudit.loop import Plan
from plaudit.run.disk import disk_errors
from plaudit.run.fitting import Progress, trainable_state
from plaudit.run.language.config import ChatRun
from plaudit.run.language.data import mendable, read_json_file, same_passages, texts_in, tokenise, write_json_file
from plaudit.run.language.sft import frozen_config, starting_model
from plaudit.run.session import Parts, Session
from plaudit.types import Array, PlauditError

PTX_LENGTH, PTX_BATCH = 256, 4  # tokens of a stretch of text, and stretches, that a step of PPO-ptx mixes in


@dataclass(frozen=True)
class ChatContext:
    """What surrounds a run: the store, the annotator's side of it, and what is watched."""

    store: Store
    settle: Callable[[int], object]  # has the questions asked so far answered, or waits for people
    rule: Rule | None  # the held-out rule, whose share is watched and never learned from
    held_out: frozenset[Prompt]  # on which the policy is measured: answers about them are not learned from
    on_progress: Progress


@dataclass(frozen=True)
class LearningWeights:
    """What learns in a module, and its own buffers, as a part of a checkpoint: frozen layers are not stored again."""

    module: torch.nn.Module

    def state(self) -> dict[str, Tensor]:
        """Tensors by name; detached."""
        return trainable_state(self.module) | dict(self.module.named_buffers(recurse=False))

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class ChatDomain:
    """Steps two and three of a run whose supervised model is there; what a session of language writes down."""

    def __init__(self, run: ChatRun, prompts: list[Prompt], context: ChatContext) -> None:
        self.run, self.context = run, context
        config = run.config
        torch.manual_seed(config.seed)
        model = starting_model(run)
        self.policy = TokenPolicy(model, config.sampling.temperature)
        self.reward = self._reward_model(model)
        self.chat = Chat(model)
        tokenised, self.prompt_counts = tokenise(run, prompts, self.chat)
        self.messages = {tokens.tobytes(): prompt for prompt, tokens in tokenised}
        conversations = Conversations(self.messages, context.held_out)
        self.penalty = KLPenalty(self._with_passages(), config.penalty)
        self.plan = Plan(config.seed, config.rounds + 1, config.updates, config.prompts, config.updates)
        prompts_written = self.plan.rounds * config.updates * config.prompts
        pace = TextPace(self.reward, context.store, config.feedback, config.reward, prompts_written, context.held_out)
        self.learner = TextLearner(pace, conversations, self._settle, "responses")
        self.writer = Writer(
            self.policy,
            [tokens for _, tokens in tokenised],
            config.sampling,
            config.completions,
            self._report_writing,
            config.penalty.compare,
        )
        self.improver = TokenImprover(
            self.policy, config.improve, self._pretraining_loss() if config.improve.ptx else None
        )
        self.round, self.update, self.n_tokens = 0, 0, 0

    def session(self) -> Session[Completions, ChatDomain]:
        """The session that drives the loop."""
        checkpoint = {
            "policy": LearningWeights(self.policy),
            "reward": LearningWeights(self.reward),
            "penalty": self.penalty,
            "improve": self.improver,
            "learner": self.learner,
        }
        parts = Parts(self.writer, self.penalty, self._improve, self, self.plan, checkpoint)
        return Session(self.run, parts, self)

    # what the session calls

    def begin(self, first: int) -> None:
        """Forget rows of rounds that will be made again, and what a killed run asked in the round that it began."""
        for name in (layout.UPDATES, layout.REWARD_METRICS):
            self.run.rewind(first - 1, name)
        self.round, self.update = first, 0
        self.learner.pace.on_step = self._report_fitting
        last = read_json_file(self.run, layout.LAST_QUESTIONS)
        self.learner.interrupted = InterruptedRound(last["round"], last["asked"]) if last else None

    def row(self, metrics: dict[str, Any], elapsed: float) -> dict[str, Any]:
        """The round's metrics with means over its updates, and tokens written per second."""
        for step, row in enumerate(self.learner.pace.steps):
            self.run.append({"round": self.round, "step": step, **row}, layout.REWARD_METRICS)
        row = {
            **metrics,
            **self._means(),
            "progress": (self.round + 1) / self.plan.rounds,
            "tokens_per_second": self.n_tokens / max(elapsed, 1e-9),
        }
        self.round, self.update, self.n_tokens = self.round + 1, 0, 0
        return row

    def finish(self, rounds: int) -> None:
        """Leave the policy, and the reward model, where plain transformers loads them."""
        evaluation = self.run.folder / layout.EVALUATION
        if rounds == 0 and evaluation.exists():
            return
        evaluation.unlink(missing_ok=True)  # it is about another policy
        for owner, folder in ((self.reward, self.run.reward), (self.policy.model, self.run.policy)):
            with disk_errors(folder), replace_folder(folder) as partial:
                owner.save(partial)

    # the loop's side

    def learn(
        self, recent: Sequence[Completions], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """As :class:`plaudit.loop.RewardLearner`."""
        with mendable(self.run, "reward"):
            return self.learner.learn(recent, round, done, seed)

    def _improve(
        self, completions: Completions, rewards: Array, progress: float, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Improve, and write down what happened."""
        with mendable(self.run, "improve"):
            metrics = self.improver(completions, rewards, progress, generator)
        row = {
            **self.penalty.metrics,
            **self._held_out_rule(completions),
            **{name: float(value) for name, value in metrics.items()},
        }
        self.run.append({"round": self.round, "update": self.update, **row}, layout.UPDATES)
        self.update += 1
        kl = f"KL {row['kl']:.1f}  " if "kl" in row else ""
        facts = f"score {row['score']:.2f}  {kl}{row['tokens']:.0f} tokens"
        if "held_out" in row:
            facts += f"  held out {100 * row['held_out']:.0f} %"
        self.context.on_progress("improving", self._done(), self.plan.rounds * self.plan.rollouts, facts)
        return metrics

    def _held_out_rule(self, completions: Completions) -> dict[str, float]:
        """The share of responses that satisfy the held-out rule: shown while the run lasts, never learned from."""
        rule = self.context.rule
        if rule is None:
            return {}
        rows = zip(completions.prompts, completions.actions, completions.mask, strict=True)
        dialogues = [
            append_response(self.messages[prompt.tobytes()], self.chat.text(tokens[mask]))
            for prompt, tokens, mask in rows
        ]
        return {"held_out": sum(map(rule, dialogues)) / len(dialogues)}

    def _means(self) -> dict[str, float]:
        """Means over a round's improvements."""
        rows = [row for row in self.run.metrics(layout.UPDATES) if row["round"] == self.round]
        names = rows[0].keys() - {"round", "update"} if rows else ()
        return {name: sum(row[name] for row in rows) / len(rows) for name in sorted(names)}

    # progress

    def _done(self) -> int:
        return self.round * self.plan.rollouts + self.update

    def _report_fitting(self, done: int, total: int) -> None:
        refused = self.learner.pace.counts.refused
        facts = f"{len(refused)} refused, the first: {refused[0]}" if refused else ""
        self.context.on_progress("fitting the reward", done, total, facts)

    def _report_writing(self, unfinished: int) -> None:
        self.n_tokens += unfinished
        self.context.on_progress("writing", self._done(), self.plan.rounds * self.plan.rollouts, f"round {self.round}")

    # the parts

    def _reward_model(self, model: LanguageModel) -> TextReward:
        """The fine-tuned model with new heads, or a saved one, which reads conversations as the policy does."""
        config = self.run.config
        if config.reward_model is None:
            return TextReward(model.twin(learns=True), config.heads)
        reward = TextReward.load(Path(config.reward_model), config.model, config.heads, model.device)
        check_vocabulary(config.reward_model, reward.model.tokenizer, model.tokenizer)
        reward.model.tokenizer = model.tokenizer  # for its template and the token that ends a text
        return reward

    def _with_passages(self) -> RewardModel[Completions]:
        """The reward that is learned, plus the reward of passages, which is not, where the run names one."""
        config = self.run.config
        if config.passages is None:
            return self.reward
        return SummedReward(
            self.reward, config.passage_weight, functools.partial(self._passages, Path(config.passages))
        )

    def _passages(self, folder: Path) -> SpanReward:
        same_passages(self.run, folder)
        model = self.policy.model
        settings = frozen_config(self.run.config.model)
        passages = SpanReward.load(folder, settings, model.device)
        check_vocabulary(str(folder), passages.model.tokenizer, model.tokenizer)
        return passages

    def _settle(self, n_asked: int) -> None:
        """Write down what was asked, then wait: a run that is killed while people answer continues with that.

        An annotator who takes over from another one is asked what that one left open, and what is asked from now on.
        """
        last, annotator = read_json_file(self.run, layout.LAST_QUESTIONS), self.run.config.annotator
        before = last.get("before", 0)
        if last.get("annotator", annotator) != annotator:
            before = max(n_asked - self.context.store.waiting(), 0)
        write_json_file(
            self.run,
            layout.LAST_QUESTIONS,
            {"round": self.round, "asked": n_asked, "annotator": annotator, "before": before},
        )
        self.context.settle(n_asked - before)

    def _pretraining_loss(self) -> Callable[[torch.Generator], Tensor]:
        text, _ = texts_in(self.run.config)
        model, budget = self.policy.model, self.policy.budget
        windows = split_windows(model, [text], min(PTX_LENGTH, model.window))
        if not windows:
            raise PlauditError(f"{self.run.config.data.text} holds too little text: name a longer one as --data.text")

        def loss(generator: torch.Generator) -> Tensor:
            batch = [windows[i] for i in torch.randint(len(windows), (PTX_BATCH,), generator=generator).tolist()]
            log_probs = [
                completion_log_probs(model, rows, lower)[0] for _, rows, lower in iterate_batches(model, batch, budget)
            ]
            return -masked_mean(torch.cat(log_probs))

        return loss
