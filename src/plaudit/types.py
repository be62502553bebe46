"""The nouns of the loop: frozen, validated, with shapes documented. Nothing here imports torch.

Shape letters: ``B`` trajectories, ``T`` time, ``L`` steps in a segment, ``K`` items in a question.
Data flows one way: policy -> Trajectory -> Segment -> Question -> Judgement -> reward model -> policy.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


MESSAGE_LENGTH = 500  # characters of someone else's text in a message
MOST_LAYERS, MOST_UNITS = 64, 16_384  # of hidden layers; a layer of so many units takes 1 GiB


def printable(text: str) -> str:
    """The text without characters that control a terminal; a user's text can hold them, and a name of a file."""
    if text.isprintable():
        return text
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def shorten(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Text as a message can hold it: on one line, printable, and cut in its middle if it is longer than ``length``."""
    if len(text) > 4 * length:
        text = f"{text[: 2 * length]} {text[-2 * length :]}"
    line = printable(" ".join(text.split()))
    if len(line) <= length:
        return line
    end = length // 3
    return f"{line[: length - end]} ... {line[-end:]}"


class PlauditError(Exception):
    """A fault that you can mend. Its text is one line: what was wrong, where, and what to do.

    The command line prints the line and ends with exit code 2.
    """


def check_hidden(hidden: Sequence[int]) -> None:
    """Raise :class:`PlauditError` unless hidden layers have units, and not more than memory holds."""
    if len(hidden) > MOST_LAYERS or not all(1 <= units <= MOST_UNITS for units in hidden):
        raise PlauditError(
            f"hidden has at most {MOST_LAYERS} layers of 1 to {MOST_UNITS:,} units, got {shorten(str(list(hidden)))}"
        )


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A batch of ``B`` trajectories of ``T`` steps, as one call of a collector returned it.

    There is no reward here: the learner's reward is computed when it is needed, so that it is never
    stale, and the true reward stands in :class:`TrueReward`, which learners do not receive.
    """

    observations: Array  # (B, T, *observation): what the policy saw before acting
    actions: Array  # (B, T) discrete or (B, T, A) continuous
    log_probs: Array  # (B, T) float32: log pi(a|o) of the policy that acted
    values: Array  # (B, T) float32: V(o_t)
    next_values: Array  # (B, T) float32: V(o_{t+1}), 0 where the episode terminated visibly
    ends: Array  # (B, T) bool: the episode ended, or was cut, after this step
    mask: Array  # (B, T) bool: a real step (False for padding and for reset steps)
    rollout: int = 0  # which call of the collector made it
    states: Array | None = None  # (B, T, *state): states that can be drawn; of the first rows if only these can be

    def __post_init__(self) -> None:
        shape = self.log_probs.shape
        if len(shape) != 2:
            raise ValueError(f"Trajectory.log_probs must be (B, T), got {shape}")
        for name in ("observations", "actions", "values", "next_values", "ends", "mask", "states"):
            value = getattr(self, name)
            rows = min(len(value), shape[0]) if name == "states" and value is not None else shape[0]
            if value is not None and value.shape[:2] != (rows, shape[1]):
                raise ValueError(f"Trajectory.{name} must start with (B, T) = {shape}, got {value.shape}")
        for name in ("ends", "mask"):
            if getattr(self, name).dtype != np.bool_:
                raise ValueError(f"Trajectory.{name} must be bool, got {getattr(self, name).dtype}")

    def first_rows(self, count: int) -> Trajectory:
        """The first ``count`` of the trajectories."""
        names = ("observations", "actions", "log_probs", "values", "next_values", "ends", "mask")
        rows: dict[str, Array] = {name: getattr(self, name)[:count] for name in names}
        return Trajectory(**rows, rollout=self.rollout, states=None if self.states is None else self.states[:count])

    @property
    def steps(self) -> int:
        """Environment steps in the batch, reset and padding steps included."""
        return int(self.log_probs.size)


@dataclass(frozen=True, eq=False)
class TrueReward:
    """The environment's own reward for one rollout: only oracles, baselines and audits receive it."""

    rollout: int
    rewards: Array  # (B, T) float32
    episodes: tuple[float, ...] = ()  # true returns of the episodes that finished during this rollout

    def __post_init__(self) -> None:
        if self.rewards.ndim != 2:
            raise ValueError(f"TrueReward.rewards must be (B, T), got {self.rewards.shape}")


@dataclass(frozen=True)
class Source:
    """Where a segment was cut: rollout number, row in the batch, first step."""

    rollout: int
    row: int
    start: int


@dataclass(frozen=True, eq=False)
class Segment:
    """``L`` consecutive steps of one trajectory, named by the hash of what it contains.

    Christiano et al. 2017, section 2.1: sigma = ((o_0, a_0), ..., (o_{L-1}, a_{L-1})).

    Attributes:
        observations: (L, *observation), as the policy saw them before it acted.
        actions: (L,) if they are discrete, (L, A) otherwise.
        states: (L, *state), from which frames can be drawn, or None.
        source: the rollout that the steps came from; not part of the identity.
    """

    observations: Array
    actions: Array
    states: Array | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        length = len(self.observations)
        if length == 0:
            raise ValueError("Segment is empty: it needs at least one step")
        for name in ("actions", "states"):
            value = getattr(self, name)
            if value is not None and len(value) != length:
                raise ValueError(f"Segment.{name} has {len(value)} steps, observations have {length}")

    def __len__(self) -> int:
        return len(self.observations)

    @cached_property
    def id(self) -> str:
        """Content hash (BLAKE2b-128, hex) over dtype, shape and bytes of observations, actions and states."""
        digest = hashlib.blake2b(digest_size=16)
        for name in ("observations", "actions", "states"):
            value = getattr(self, name)
            if value is not None:
                digest.update(f"{name}:{value.dtype.str}:{value.shape};".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks: ``"system"``, ``"user"`` or ``"assistant"``.
        content: the text.
    """

    role: Literal["system", "user", "assistant"]
    content: str

    def __post_init__(self) -> None:
        if self.role not in ("system", "user", "assistant"):
            raise ValueError(f"Message.role must be system, user or assistant, got {self.role!r}")


@dataclass(frozen=True)
class Dialogue:
    """A conversation that can be judged: a prompt, or a prompt with the response to it as its last message.

    Two responses to one prompt are two dialogues that differ in their last message, as in HH-RLHF.

    Attributes:
        messages: the turns, in order; at least one.
        model: who wrote the last message (None: unknown). Annotators do not see it before they have judged.
    """

    messages: tuple[Message, ...]
    model: str | None = None

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("Dialogue.messages is empty: a conversation needs at least one message")

    @property
    def response(self) -> str | None:
        """The last message if the assistant wrote it, else None."""
        return self.messages[-1].content if self.messages[-1].role == "assistant" else None

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the response; all of them if there is no response."""
        return self.messages if self.response is None else self.messages[:-1]

    @cached_property
    def id(self) -> str:
        """Content hash (BLAKE2b-128, hex) over roles, texts and model."""
        body = [self.model, *([message.role, message.content] for message in self.messages)]
        text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))  # ASCII: any string has one spelling
        return hashlib.blake2b(b"dialogue:" + text.encode(), digest_size=16).hexdigest()


Item = Segment | Dialogue


@dataclass(frozen=True)
class Question:
    """What an annotator is asked, immutable: the items, the wording shown, the version of the guideline.

    ``id`` is derived from the contents, so asking the same thing twice in the same round of a run is one question.
    Asking is therefore safe to repeat after a crash.

    Attributes:
        kind: ``"comparison"``, ``"ranking"``, ...; `docs/kinds.md` lists them.
        items: K ids of segments or dialogues.
        wording: the words that annotators read.
        guideline: version of the guideline under which it is asked.
        round: the round of the loop that asked.
        project: the project whose queue it is in.
        options: those of the kind, as JSON values, such as ``{"scale": "eight"}``.
    """

    kind: str
    items: tuple[str, ...]
    wording: str
    guideline: str = "1"
    round: int = 0
    project: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if len(self.items) < 1:
            raise ValueError("Question.items is empty: a question needs at least one item")
        if len(set(self.items)) != len(self.items):
            raise ValueError(f"Question.items repeats an item: {self.items}; nothing can be compared with itself")
        if not self.wording.strip():
            raise ValueError("Question.wording is empty: store the words that people were shown")
        if not self.project.strip():
            raise ValueError("Question.project is empty: name the queue it stands in")

    @cached_property
    def id(self) -> str:
        """BLAKE2b-128 over every field; a default project and no options add nothing, as in stores of format 0001."""
        parts = [self.kind, *self.items, self.wording, self.guideline, str(self.round)]
        if self.project != "default" or self.options:
            options = json.dumps(dict(self.options), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
            parts += ["project", self.project, options]
        text = "\x1f".join(parts)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Judgement:
    """One answer to one question: an append-only event. Undo and edit are further events.

    ``value`` is what the kind of the question defines: for a comparison ``{"strength": -4..4}`` in the
    order of ``Question.items`` (positive: the first item is better; 0: a tie) or ``{"strength": None}``
    for can't tell. ``{"withdrawn": True}`` withdraws the judgement that it supersedes.

    Attributes:
        question: the id of the question.
        annotator: the name of the annotator.
        value: the answer, as the kind defines it.
        order: order in which the items were shown, a permutation of range(K).
        shown_at: seconds since the epoch, UTC, when the question was shown.
        first_input_at: the same for the annotator's first key or click.
        submitted_at: the same for the answer.
        id: a UUID made by the sender, so that sending it twice is one event.
        rationale: why, in the annotator's words; None: not said.
        supersedes: the id of the judgement that this one replaces or withdraws; None: none.
    """

    question: str
    annotator: str
    value: Mapping[str, Any]
    order: tuple[int, ...]
    shown_at: float
    first_input_at: float
    submitted_at: float
    id: str
    rationale: str | None = None
    supersedes: str | None = None

    def __post_init__(self) -> None:
        if not self.annotator.strip():
            raise ValueError("Judgement.annotator is empty: say who judged")
        if sorted(self.order) != list(range(len(self.order))):
            raise ValueError(f"Judgement.order must be a permutation of 0..K-1, got {self.order}")
        times = (self.shown_at, self.first_input_at, self.submitted_at)
        if not all(math.isfinite(moment) for moment in times) or list(times) != sorted(times):
            raise ValueError(f"Judgement times must be finite with shown <= first input <= submitted, got {times}")
        if self.supersedes == self.id:
            raise ValueError("Judgement.supersedes names the judgement itself")


@dataclass(frozen=True)
class Answer:
    """What an annotator says before it becomes an event: the value, and optionally why.

    Attributes:
        value: the answer, as the question's kind defines it; for a comparison ``{"strength": -4..4}``, where positive
            means that the first item is better, 0 is a tie, and None is can't tell.
        rationale: why; None: not said.
        order: order in which the items were shown; (): the question's order.
    """

    value: Mapping[str, Any]
    rationale: str | None = None
    order: tuple[int, ...] = field(default=())
