"""A language model's run, or a reward model of texts, as an audit looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from plaudit import layout
from plaudit.annotators.text import text_annotator
from plaudit.audits.subject import Subject
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.feedback.kinds.comparison import RESPONSES
from plaudit.interfaces import Annotator
from plaudit.language.models import LanguageModel, ModelConfig, device_of, load
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.language.scoring import Text, TextScore
from plaudit.run.language.config import ChatRun
from plaudit.run.language.saved import find_model
from plaudit.run.stored import CHAT
from plaudit.types import Array, Dialogue, PlauditError


class TextSubject(Subject):
    """A run of ``plaudit train chat``, or a reward model of texts: one of ours, or any sequence classifier."""

    def check(self, trust: bool) -> None:
        """Raise :class:`PlauditError` if a stranger's run names programs or files outside of its folder."""
        if self.kind == CHAT:
            self.run.check_trust(trust)

    @cached_property
    def run(self) -> ChatRun:
        """The run, of a chat."""
        return ChatRun.open(self.path)

    @cached_property
    def reward(self) -> TextReward:
        """The reward model."""
        settings = ModelConfig(method="frozen", trust_remote_code=self.trusts_code)
        return TextReward.load(self.reward_path, settings, device=device_of("auto")).eval()

    @property
    def trusts_code(self) -> bool:
        """Whether code that comes with a model may run: by the command, or by the settings of the run."""
        return self.config.trust_remote_code or (self.kind == CHAT and self.run.config.model.trust_remote_code)

    def _load(self, name: str) -> LanguageModel:
        """A model in the run's folder."""
        settings = ModelConfig(str(find_model(self.path, name)), "frozen", trust_remote_code=self.trusts_code)
        return load(settings, device_of("auto"))

    @property
    def reward_path(self) -> Path:
        """The folder of the reward model: the folder itself, or the one in a run's folder."""
        is_run = self.kind == CHAT or (self.path / layout.MODEL).is_dir()
        return find_model(self.path, layout.REWARD) if is_run else self.path

    @property
    def missing_reward(self) -> str | None:
        """Why nothing can be said about a reward model; None if it can."""
        try:
            path = self.reward_path
        except PlauditError as error:
            return str(error)
        return None if path.is_dir() else f"there is no reward model in {path}"

    def score(self, prompts: Sequence[Text], responses: Sequence[str]) -> Array:
        """Rewards (B,) of B responses to B prompts, each a text or a list of messages."""
        return TextScore(self.reward).score(prompts, responses)

    def features(self, prompts: Sequence[Text], responses: Sequence[str]) -> Array:
        """What the heads of the reward model read, (B, F), of B responses to B prompts."""
        reward, width = self.reward, self.reward.model.width
        names = tuple(str(number) for number in range(width))
        reader = TextReward(reward.model, HeadsConfig(objectives=names), reward.readout).eval()
        with torch.no_grad():
            reader.heads.weight.copy_(torch.eye(width))  # one head for each number
        return TextScore(reader).raw_scores(prompts, responses)[..., 0].astype(np.float64)

    @cached_property
    def policy(self) -> LanguageModel:
        """The policy at the end of a run of a chat."""
        return self._load(layout.POLICY)

    @cached_property
    def start(self) -> LanguageModel:
        """The policy that the run's third step started from."""
        return self._load(layout.SFT)

    def load_annotator(self, name: str) -> Annotator:
        """Rules, a model with written principles, or a user's own."""
        return text_annotator(name, self.config.seed, lambda: self.start, trust=self.trusts_code)

    def ask(self, pairs: Sequence[tuple[Dialogue, Dialogue]]) -> Array:
        """P[first better] (N,) of fresh pairs of responses, as judged; NaN for can't tell, and where no answer came."""
        eyes = self.eyes
        if eyes is None:
            raise PlauditError(self.missing_eyes or "")
        comparable = [first.id != second.id for first, second in pairs]
        questions = [
            COMPARISON.question(first.id, second.id, wording=RESPONSES)
            for (first, second), differ in zip(pairs, comparable, strict=True)
            if differ
        ]
        self.report_progress(f"{eyes.name}: {len(questions)} fresh pairs")
        answers = np.full(len(pairs), np.nan)
        answers[comparable] = np.array(eyes.ask(questions, [item for pair in pairs for item in pair]), np.float64)
        return answers
