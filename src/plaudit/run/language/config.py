"""Everything that a run on a language model depends on, and the folder that it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from plaudit.language.improve import TokenImproveConfig
from plaudit.language.learner import AskConfig
from plaudit.language.leash import LeashConfig
from plaudit.language.models import ModelConfig
from plaudit.language.prompts import BUILTIN
from plaudit.language.reward import HeadsConfig
from plaudit.language.sampling import SamplingConfig
from plaudit.language.tune import TuneConfig
from plaudit.run.disk import disk_errors
from plaudit.run.record import RunFolder, rewrite
from plaudit.run.stored import CHAT, PEOPLE, to_dict
from plaudit.types import PlauditError


@dataclass(frozen=True)
class DataConfig:
    """What the model reads."""

    prompts: str = BUILTIN
    """What it is asked: builtin, a .txt with a prompt a line, or a file of prompts or of feedback."""
    demonstrations: str | None = None
    """A file of responses to imitate (any format that `plaudit import` reads); None: the best of its own, as judged."""
    comparisons: str | None = None
    """A file of feedback that the reward model learns from, beside what is asked in the run."""
    text: str | None = None
    """A text file whose loss is mixed into PPO's (--improve.ptx) and held against the model."""
    system: str | None = None
    """A system message before every prompt."""
    template: str = "own"
    """own: the tokenizer's chat template; transcript: Human: ... Assistant: ...; or a file with a Jinja template."""
    prompt_tokens: int = 128
    """Prompts with more tokens are left out, and counted."""
    held_out: int = 64
    """Prompts that no training sees, on which the policy is measured."""

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.held_out < 1:
            raise PlauditError("prompt_tokens and held_out must be at least 1")


@dataclass(frozen=True)
class ChatConfig:
    """One run on a language model; with an annotator that is a program, the same again gives the same numbers."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    annotator: str = "rule:brief"
    """Who judges: rule:NAME+NAME, ai:local, ai:URL#MODEL, or people (in the web app)."""
    judge: str = "rule:complete"
    """Who says at the end whether the policy got better; not who trained it."""
    best_of: int = 4
    """Without demonstrations: responses of the untrained model that are ranked, the best of which is imitated; 0:
    no supervised step."""
    demonstrations: int = 40
    """Prompts for which that is done."""
    sft: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=1e-4, epochs=2))
    reward_model: str | None = None
    """Folder of a saved reward model to start from (preference-model pretraining); None: the fine-tuned model."""
    passages: str | None = None
    """Folder of a reward of passages (plaudit tune spans), which is added to what is learned and stays as it is."""
    passage_weight: float = 1.0
    """What it is multiplied by."""
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    reward: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-5, epochs=2))
    ask: AskConfig = field(default_factory=lambda: AskConfig(labels=96, upfront=1 / 3))
    sampling: SamplingConfig = field(default_factory=lambda: SamplingConfig(tokens=48, temperature=0.7))
    improve: TokenImproveConfig = field(default_factory=lambda: TokenImproveConfig(learning_rate=7e-5, epochs=3))
    leash: LeashConfig = field(default_factory=lambda: LeashConfig(lam=0.15))
    rounds: int = 2
    """Rounds of improving, asking and refitting."""
    updates: int = 4
    """Improvements in a round."""
    prompts: int = 8
    """Prompts of an improvement."""
    completions: int = 2
    """Responses to each of them."""
    best_of_n: int = 0
    """At the end, measure beside the policy what the best of so many responses of its start reaches; 0: do not."""
    seed: int = 0
    """Everything random follows from this."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: the GPU where there is one."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.updates, self.prompts) < 1 or self.seed < 0:
            raise PlauditError("rounds, updates and prompts must be at least 1, and seed not negative")
        self.model.must_learn()
        if self.best_of and self.demonstrations < 1:
            raise PlauditError("demonstrations must be at least 1 (without a supervised step: --best-of 0)")
        if self.completions < self.ask.choices:
            raise PlauditError(
                f"a question is about {self.ask.choices} responses to a prompt, and {self.completions} are written: "
                "raise --completions or lower --ask.choices"
            )
        if self.improve.advantage != "gae" and self.completions < 2:
            raise PlauditError(f"{self.improve.advantage} needs at least 2 completions of a prompt")
        if not self.leash.compare and not self.improve.uncompared:
            raise PlauditError(
                "several updates from a batch, and a value function, need what the policy was: with --leash.no-compare "
                "use --improve.epochs 1 --improve.minibatches 1 and --improve.advantage rloo, grpo or cloning"
            )
        if not 0 < abs(self.passage_weight) <= 1e6:
            raise PlauditError(f"passage_weight is a number other than 0, up to 1e6, got {self.passage_weight}")
        if self.best_of == 1 or self.best_of < 0 or self.best_of > 9:
            raise PlauditError(f"best_of ranks 2 to 9 responses (0: none), got {self.best_of}")
        if self.best_of_n < 0:
            raise PlauditError(f"best_of_n must not be negative, got {self.best_of_n}")
        sampling = self.sampling
        if sampling.temperature == 0 or sampling.top_p < 1 or sampling.top_k:
            raise PlauditError(
                "a policy gradient needs the probabilities of what is written, which temperature 0, top-p and top-k "
                f"change (got {sampling.temperature:g}, {sampling.top_p:g} and {sampling.top_k}): use a temperature "
                "above 0, top-p 1 and top-k 0"
            )

    @property
    def people(self) -> bool:
        """Whether the answers come from the web app."""
        return self.annotator == PEOPLE

    @property
    def remarks(self) -> list[str]:
        """What is no fault, and better known: a sentence each."""
        found = []
        if self.people and self.data.demonstrations is None:
            found.append(
                "Step 1 is left out, and the policy starts from the model as it is: people judge, and no file of "
                "demonstrations is named (--demonstrate)."
            )
        each = self.updates * self.prompts
        if self.ask.labels > (self.rounds + 1) * each:
            found.append(
                f"{self.ask.labels} questions are wanted and {(self.rounds + 1) * each} can be asked, one about each "
                "prompt that is written to: raise --rounds, --updates or --prompts for more."
            )
        elif self.ask.upfront * self.ask.labels > each:
            found.append(
                f"{self.ask.upfront:.0%} of {self.ask.labels} questions are to be asked before training, and {each} "
                "can be, one about each prompt that is written to: the others follow later."
            )
        if self.heads.members == 1 and (self.ask.method == "disagreement" or self.heads.pooling != "mean"):
            found.append(
                "One reward model agrees with itself: questions by disagreement, and pooling, need --heads.members "
                "above 1."
            )
        if self.judge == self.annotator:
            found.append(
                f"The judge is {self.judge}, which also trains the policy: what it says at the end is no evidence."
            )
        return found


class ChatRun(RunFolder[ChatConfig]):
    """config.json, sft/, reward/ and policy/ (models), *.jsonl (metrics), feedback.sqlite, counts.json, ..."""

    kind, of = CHAT, ChatConfig
    dropped: ClassVar[slice] = slice(0, -1)  # they are large

    def extended(self, config: ChatConfig) -> ChatRun:
        """This folder with settings under which the run goes on; what was measured at its end is forgotten."""
        with self.training(), disk_errors(self.folder):
            rewrite(self.folder / "config.json", json.dumps(to_dict(config, CHAT), indent=2) + "\n")
            (self.folder / "evaluation.json").unlink(missing_ok=True)
        return ChatRun(self.folder, config)

    @property
    def sft(self) -> Path:
        """The model after supervised fine-tuning: the policy's start, and its reference."""
        return self.folder / "sft"

    @property
    def reward(self) -> Path:
        """The reward model at the end."""
        return self.folder / "reward"

    @property
    def policy(self) -> Path:
        """The model at the end."""
        return self.folder / "policy"
