"""Everything that a run on a language model depends on, and the folder that it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from plaudit import layout
from plaudit.files import replace_text
from plaudit.language.files import FilesConfig
from plaudit.language.improve import TokenImproveConfig
from plaudit.language.learner import TextFeedbackConfig
from plaudit.language.models import ModelConfig
from plaudit.language.penalty import KLPenaltyConfig
from plaudit.language.prompts import EXPLANATIONS, explanations
from plaudit.language.reward import HeadsConfig
from plaudit.language.sampling import SamplingConfig
from plaudit.language.template import TemplateConfig
from plaudit.language.tune import TuneConfig
from plaudit.run.disk import disk_errors
from plaudit.run.record import RunFolder
from plaudit.run.stored import CHAT, PEOPLE, annotator_name, to_dict
from plaudit.run.trust import sign
from plaudit.types import PlauditError


@dataclass(frozen=True)
class DataConfig:
    """Texts of a run: prompts, demonstrations, comparisons."""

    prompts: str = EXPLANATIONS
    """Prompts: explanations (of things, to a child), builtin (everyday questions), a .txt with one prompt per line,
    or a file of prompts or of feedback."""
    demonstrations: str | None = None
    """File of responses to imitate, in any format that `plaudit import` reads; None: those that come with the prompts
    `explanations`, and for other prompts the model's own responses that were ranked best (--best-of)."""
    comparisons: str | None = None
    """File of feedback from which the reward model learns, in addition to the questions of the run."""
    text: str | None = None
    """Text file for the pretraining loss: mixed into PPO's loss (--improve.ptx), and measured at the end."""
    system: str | None = None
    """System message put before every prompt."""
    template: str = "own"
    """Chat template: own (the tokenizer's), transcript (Human: ... Assistant: ...), or a file with a Jinja template."""
    prompt_tokens: int = 128
    """Largest number of tokens in a prompt; longer prompts are left out, and counted."""
    held_out: int = 64
    """Number of prompts that are held out from training, to measure the policy on."""

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.held_out < 1:
            raise PlauditError("prompt_tokens and held_out must be at least 1")


@dataclass(frozen=True)
class ChatConfig:
    """One run on a language model; with an annotator that is a program, the same again gives the same numbers."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    files: FilesConfig = field(default_factory=FilesConfig)
    chat_template: TemplateConfig = field(default_factory=TemplateConfig)
    annotator: str = "rule:explanation"
    """The annotator: rule:NAME+NAME, ai:local, ai:URL#MODEL, people (in the web app), or your own as MODULE:FACTORY."""
    judge: str = "rule:easy"
    """The judge of the final evaluation, named like an annotator. Use a different one than the annotator."""
    best_of: int = 4
    """Number of responses of the untrained model that are ranked for each prompt, if no demonstrations are named; the
    best one is imitated. 0: no supervised step."""
    n_demonstrations: int = 40
    """Number of prompts used for --best-of."""
    sft: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=1e-4, epochs=2))
    reward_model: str | None = None
    """Folder of a saved reward model to start from (preference-model pretraining), or a published sequence classifier;
    None: the fine-tuned model."""
    passages: str | None = None
    """Folder of a reward of passages (plaudit tune spans), which is added to the learned reward and does not change."""
    passage_weight: float = 1.0
    """Factor of the reward of passages (--passages)."""
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    reward: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-5, epochs=2))
    feedback: TextFeedbackConfig = field(default_factory=lambda: TextFeedbackConfig(labels=96, upfront=1 / 3))
    sampling: SamplingConfig = field(default_factory=lambda: SamplingConfig(tokens=96, temperature=0.5))
    improve: TokenImproveConfig = field(default_factory=lambda: TokenImproveConfig(learning_rate=7e-5, epochs=3))
    penalty: KLPenaltyConfig = field(default_factory=KLPenaltyConfig)
    rounds: int = 2
    """Number of rounds of improving, asking and refitting."""
    updates: int = 4
    """Policy updates per round."""
    prompts: int = 8
    """Prompts per policy update."""
    completions: int = 2
    """Responses to each prompt of an update."""
    best_of_n: int = 0
    """Number of responses for best-of-n, measured next to the policy at the end; 0: not measured."""
    seed: int = 0
    """Seed of everything random."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device for training; auto: the GPU if there is one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "annotator", annotator_name(self.annotator))
        if min(self.rounds, self.updates, self.prompts) < 1 or self.seed < 0:
            raise PlauditError("rounds, updates and prompts must be at least 1, and seed not negative")
        self.model.must_learn()
        if self.best_of and self.n_demonstrations < 1:
            raise PlauditError("n_demonstrations must be at least 1 (without a supervised step: --best-of 0)")
        if self.completions < self.feedback.choices:
            raise PlauditError(
                f"a question is about {self.feedback.choices} responses to a prompt, and {self.completions} are "
                "written: raise --completions or lower --feedback.choices"
            )
        if self.improve.advantage != "gae" and self.completions < 2:
            raise PlauditError(f"{self.improve.advantage} needs at least 2 completions of a prompt")
        if not self.penalty.compare and self.improve.needs_comparison:
            raise PlauditError(
                "--penalty.no-compare allows one update per batch and no value function: use --improve.epochs 1 "
                "--improve.minibatches 1 and --improve.advantage rloo, "
                "grpo or cloning"
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
                "a policy gradient needs the true probabilities of the tokens, which temperature 0, top-p and top-k "
                f"change (got {sampling.temperature:g}, {sampling.top_p:g} and {sampling.top_k}): use a temperature "
                "above 0, top-p 1 and top-k 0"
            )

    @property
    def feedback_files(self) -> dict[str, str]:
        """Files whose feedback is imported when the run starts, by the project that holds it."""
        demonstrations, comparisons = self.data.demonstrations, self.data.comparisons
        if demonstrations is None and self.data.prompts == EXPLANATIONS and self.best_of:
            demonstrations = str(explanations())
        names = {"demonstrations": demonstrations, "comparisons": comparisons}
        return {project: name for project, name in names.items() if name is not None}

    @property
    def people(self) -> bool:
        """Whether the answers come from the web app."""
        return self.annotator == PEOPLE

    @property
    def remarks(self) -> list[str]:
        """Consequences of the settings that a user should know, a sentence each; none is a fault."""
        remarks = []
        feedback, prompts = self.feedback, self.updates * self.prompts
        if self.people and "demonstrations" not in self.feedback_files:
            remarks.append(
                "Step 1 is skipped, because people judge and --demonstrate names no file: the policy starts from the "
                "unchanged model."
            )
        if feedback.labels > (self.rounds + 1) * prompts:
            remarks.append(
                f"Only {(self.rounds + 1) * prompts} of {feedback.labels} questions can be asked, one per prompt of an "
                "update: raise --rounds, --updates or --prompts for more."
            )
        elif feedback.upfront * feedback.labels > prompts:
            remarks.append(
                f"{feedback.upfront:.0%} of {feedback.labels} questions are due before training, but only {prompts} "
                "can be asked then, one per prompt: the others follow later."
            )
        if self.heads.members == 1 and (feedback.method == "disagreement" or self.heads.pooling != "mean"):
            remarks.append(
                "Questions by disagreement, and pooling, need several reward models: set --heads.members above 1."
            )
        if self.judge == self.annotator:
            remarks.append(
                f"The judge is {self.judge}, which also trains the policy: its judgement at the end proves nothing."
            )
        return remarks


class ChatRun(RunFolder[ChatConfig]):
    """config.json, sft/, reward/ and policy/ (models), *.jsonl (metrics), feedback.sqlite, counts.json, ..."""

    kind, config_class = CHAT, ChatConfig
    dropped: ClassVar[slice] = slice(0, -1)  # they are large

    def extend(self, config: ChatConfig) -> ChatRun:
        """This folder with settings under which the run goes on; what was measured at its end is forgotten."""
        with self.training(), disk_errors(self.folder):
            replace_text(self.folder / layout.CONFIG, json.dumps(to_dict(config, CHAT), indent=2) + "\n")
            (self.folder / layout.EVALUATION).unlink(missing_ok=True)
        sign(self.folder, config)
        return ChatRun(self.folder, config)

    @property
    def sft(self) -> Path:
        """The model after supervised fine-tuning: the policy's start, and its reference."""
        return self.folder / layout.SFT

    @property
    def reward(self) -> Path:
        """The reward model at the end."""
        return self.folder / layout.REWARD

    @property
    def policy(self) -> Path:
        """The model at the end."""
        return self.folder / layout.POLICY
