"""A language model through the lecture's three steps: imitate, learn a reward, improve against r - lambda KL.

The loop is that of control (:mod:`plaudit.loop`): the collector writes, the leash is the reward model, the annotators
drain the same queue. A run that was stopped goes on after its last round.
"""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.feedback.store import Store
from plaudit.functional.masked import masked_mean
from plaudit.interfaces import RewardModel
from plaudit.language.evaluate import Rule, windows_of
from plaudit.language.improve import TokenImprover
from plaudit.language.learner import Conversations, TextLearner
from plaudit.language.leash import Leash
from plaudit.language.models import LanguageModel, ModelConfig
from plaudit.language.policy import Completions, TokenPolicy, Writer, batched
from plaudit.language.prompts import Prompt, fitting
from plaudit.language.reward import TextReward
from plaudit.language.spans import Added, SpanReward
from plaudit.language.text import Chat
from plaudit.language.tune import completion_log_probs
from plaudit.loop import Plan, iterate
from plaudit.run.disk import disk_errors
from plaudit.run.fitting import Told, learned
from plaudit.run.language.config import ChatRun
from plaudit.run.language.data import keep, kept, mendable, same_passages, texts_in
from plaudit.run.language.sft import check_vocabulary, starting_model
from plaudit.run.record import Checkpoint, part
from plaudit.types import Array, PlauditError, Trajectory

ASKED = "asked.json"  # the round that asked last, questions asked by then, of whom, and those before they were asked
PTX_LENGTH, PTX_BATCH = 256, 4  # tokens of a stretch of text, and stretches, that a step of PPO-ptx mixes in


@dataclass(frozen=True)
class Hands:
    """What a session is given: the store, who answers, what is watched."""

    store: Store
    settle: Callable[[int], object]  # has what the annotator was asked so far answered, or waits for people
    rule: Rule | None  # the held-out rule, whose share is watched and never learned from
    held_out: frozenset[Prompt]  # on which the policy is measured: answers about them are not learned from
    told: Told


class ChatSession:
    """Steps two and three in a run folder whose supervised model is there: progress, metrics, checkpoints."""

    def __init__(self, run: ChatRun, prompts: list[Prompt], hands: Hands) -> None:
        self.run, self.hands = run, hands
        config = run.config
        torch.manual_seed(config.seed)
        model = starting_model(run)
        self.policy = TokenPolicy(model, config.sampling.temperature)
        self.reward = self._reward_model(model)
        chat = Chat(model)
        self.left_out = 0
        asked = fitting(prompts, chat, config.data.prompt_tokens, self._left_out)
        conversations = Conversations({tokens.tobytes(): prompt for prompt, tokens in asked}, hands.held_out)
        self.leash = Leash(self._with_passages(), config.leash)
        self.learner = TextLearner(
            self.reward, hands.store, conversations, (config.ask, config.reward), self._settle, "responses"
        )
        self.writer = Writer(
            self.policy,
            [tokens for _, tokens in asked],
            config.sampling,
            config.completions,
            self._writing,
            config.leash.compare,
        )
        pretraining = self._pretraining() if config.improve.ptx else None
        self.improver = TokenImprover(self.policy, config.improve, pretraining)
        self.plan = Plan(config.seed, config.rounds + 1, config.updates, config.prompts, config.updates)
        self.chat = chat
        self.first, self.seconds = 0, 0.0
        self.round, self.update, self.written = 0, 0, 0
        if run.checkpoints():
            self._restore(run.load())

    def _reward_model(self, model: LanguageModel) -> TextReward:
        """The fine-tuned model with new heads, or a saved one, which reads conversations as the policy does."""
        config = self.run.config
        if config.reward_model is None:
            return TextReward(model.twin(learns=True), config.heads)
        reward = TextReward.load(Path(config.reward_model), config.model, config.heads, model.device)
        check_vocabulary(config.reward_model, reward.model.tokenizer, model.tokenizer)
        reward.model.tokenizer = model.tokenizer  # for its template and the token that ends a text
        return reward

    def _with_passages(self) -> RewardModel:
        """The reward that is learned; and with it, where one is named, that of passages, which is not."""
        config = self.run.config
        if config.passages is None:
            return self.reward
        return Added(self.reward, config.passage_weight, functools.partial(self._passages, Path(config.passages)))

    def _passages(self, folder: Path) -> SpanReward:
        same_passages(self.run, folder)
        model = self.policy.model
        kind = ModelConfig(method="frozen", precision=self.run.config.model.precision)
        passages = SpanReward.load(folder, kind, model.device)
        check_vocabulary(str(folder), passages.model.tokenizer, model.tokenizer)
        return passages

    def _left_out(self, count: int) -> None:
        self.left_out = count

    def _settle(self, asked: int) -> None:
        """Written down first: a run that is killed while people answer goes on with what it asked them.

        Who takes over from another annotator is asked what that one left open, and what is asked from now on.
        """
        last, annotator = kept(self.run, ASKED), self.run.config.annotator
        before = last.get("before", 0)
        if last.get("annotator", annotator) != annotator:
            before = max(asked - self.hands.store.waiting(), 0)
        keep(self.run, ASKED, {"round": self.round, "asked": asked, "annotator": annotator, "before": before})
        self.hands.settle(asked - before)

    def _pretraining(self) -> Callable[[torch.Generator], Tensor]:
        text, _ = texts_in(self.run.config)
        windows = windows_of(self.policy.model, [text], min(PTX_LENGTH, self.policy.model.window))
        if not windows:
            raise PlauditError(f"{self.run.config.data.text} holds too little text: name a longer one as --data.text")

        def loss(generator: torch.Generator) -> Tensor:
            chosen = [windows[i] for i in torch.randint(len(windows), (PTX_BATCH,), generator=generator).tolist()]
            found = [
                completion_log_probs(self.policy.model, rows, lower)[0]
                for _, rows, lower in batched(self.policy.model, chosen, self.policy.budget)
            ]
            return -masked_mean(torch.cat(found))

        return loss

    def rounds(self) -> Iterator[dict[str, Any]]:
        """Go on from where the run is; yields each round's metrics once they and a checkpoint are on the disk."""
        run, started = self.run, time.perf_counter() - self.seconds
        for name in ("metrics.jsonl", "updates.jsonl", "reward.jsonl"):
            run.rewind(self.first - 1, name)
        self.round, self.update = self.first, 0
        self.learner.told = self._fitting
        asked = kept(run, ASKED)
        self.learner.before = (asked["round"], asked["asked"]) if asked else None
        for metrics in iterate(self.writer, self.leash, self._improve, self, self.plan, self.first):
            seconds = time.perf_counter() - started
            rate = self.written / max(seconds - self.seconds, 1e-9)
            row = {
                **metrics,
                **self._last(),
                "round": self.round,
                "progress": (self.round + 1) / self.plan.rounds,
                "seconds": seconds,
                "tokens_per_second": rate,
            }
            self.seconds, self.written = seconds, 0
            for step, each in enumerate(self.learner.steps):
                run.append({"round": self.round, "step": step, **each}, "reward.jsonl")
            run.append(row)
            self._save(self.round)
            yield row
            self.round, self.update = self.round + 1, 0
        if self.first < self.plan.rounds or not (run.folder / "evaluation.json").exists():
            self._keep()

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """As :class:`plaudit.loop.RewardLearner`."""
        with mendable(self.run, "reward"):
            return self.learner.learn(recent, round, done, seed)

    def _fitting(self, done: int, total: int) -> None:
        counts = self.learner.counts
        refused = f"{len(counts.refused)} refused, the first: {counts.refused[0]}" if counts.refused else ""
        self.hands.told("fitting the reward", done, total, refused)

    def _writing(self, unfinished: int) -> None:
        self.written += unfinished
        done = self.round * self.plan.rollouts + self.update
        self.hands.told("writing", done, self.plan.rounds * self.plan.rollouts, f"round {self.round}")

    def _improve(
        self, trajectory: Trajectory, rewards: Array, progress: float, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Improve, and write down what happened."""
        with mendable(self.run, "improve"):
            found = self.improver(trajectory, rewards, progress, generator)
        row = {**self.leash.metrics, **self._watched(trajectory), **{name: float(v) for name, v in found.items()}}
        self.run.append({"round": self.round, "update": self.update, **row}, "updates.jsonl")
        self.update += 1
        far = f"KL {row['kl']:.1f}  " if "kl" in row else ""
        facts = f"score {row['score']:.2f}  {far}{row['tokens']:.0f} tokens"
        if "held_out" in row:
            facts += f"  held out {100 * row['held_out']:.0f} %"
        done = self.round * self.plan.rollouts + self.update
        self.hands.told("improving", done, self.plan.rounds * self.plan.rollouts, facts)
        return found

    def _watched(self, trajectory: Trajectory) -> dict[str, float]:
        """The share of responses that satisfy the held-out rule: seen by whoever watches, learned from by nobody."""
        if self.hands.rule is None or not isinstance(trajectory, Completions):
            return {}
        texts = [self.chat.text(t[real]) for t, real in zip(trajectory.actions, trajectory.mask, strict=True)]
        return {"held_out": sum(map(self.hands.rule, texts)) / len(texts)}

    def _last(self) -> dict[str, float]:
        """Means of a round's improvements."""
        rows = [row for row in self.run.metrics("updates.jsonl") if row["round"] == self.round]
        names = rows[0].keys() - {"round", "update"} if rows else ()
        return {name: sum(row[name] for row in rows) / len(rows) for name in sorted(names)}

    def _save(self, round: int) -> None:
        tensors = {f"{name}/{key}": value for name, owner in self._owners() for key, value in owner.state().items()}
        for name, module in (("policy", self.policy), ("reward", self.reward)):
            tensors |= {f"{name}/{key}": value for key, value in _learned(module).items()}
        lam, kl = self.leash.lam, self.run.config.leash.lam
        meta = {"round": round, "seconds": self.seconds, "lam": lam, "kl": kl}
        self.run.save(round, Checkpoint(tensors, meta))

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self.first, self.seconds = int(checkpoint.meta["round"]) + 1, float(checkpoint.meta["seconds"])
            leash = self.run.config.leash
            if leash.target is not None and checkpoint.meta.get("kl", leash.lam) == leash.lam:  # else it was set anew
                self.leash.lam = float(checkpoint.meta["lam"])
            for name, module in (("policy", self.policy), ("reward", self.reward)):
                stored = part(checkpoint.tensors, name)
                for key, value in _learned(module).items():
                    value.copy_(stored[key])
            for name, owner in self._owners():
                owner.restore(part(checkpoint.tensors, name))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise PlauditError(
                f"the last checkpoint of {self.run.folder} does not fit its config.json ({error}): restore both from a "
                "copy, or start a new run"
            ) from error

    def _owners(self) -> list[tuple[str, Any]]:
        return [("improve", self.improver), ("learner", self.learner)]

    def _keep(self) -> None:
        """Leave the policy, and the reward model, where plain transformers loads them."""
        (self.run.folder / "evaluation.json").unlink(missing_ok=True)  # it is about another policy
        for owner, folder in ((self.reward, self.run.reward), (self.policy.model, self.run.policy)):
            partial = folder.with_suffix(".partial")
            with disk_errors(folder):
                shutil.rmtree(partial, ignore_errors=True)
                owner.save(partial)
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(partial, folder)


def _learned(module: torch.nn.Module) -> dict[str, Tensor]:
    """What may learn, and the buffers that are the module's own, by name; detached."""
    return learned(module) | {name: each for name, each in module.named_buffers(recurse=False)}
