"""Measuring a policy against the model that it started from, by what it was not optimised against.

Held-out prompts, fixed seeds: every policy answers the same ones. The units of an interval are prompts, or windows of
unrelated text; a difference is resampled in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from plaudit.functional.calibration import share_interval
from plaudit.functional.divergence import k1, k3
from plaudit.functional.intervals import newcombe, percentiles, ratios, resamples
from plaudit.language.evaluation import Column, Evaluation, Measured, Shown, answered, measured
from plaudit.language.fast.decode import sample
from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.judging import Judge, Wins, called, wins
from plaudit.language.measures import distinct, repetition, words
from plaudit.language.models import LanguageModel
from plaudit.language.policy import BUDGET, batched
from plaudit.language.rows import Tokens, Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.spelled import Spelled, begins
from plaudit.language.text import Chat
from plaudit.types import Array, Dialogue, Message, PlauditError

Rule = Callable[[str], bool]
Scores = Callable[[Sequence[Dialogue]], Array]
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is, of how much
Sums = tuple[Array, Array]  # of each unit (N,): what is summed, and what it is divided by
Prompt = tuple[Message, ...]

START = "before"
SHARES = ("share", "ended", "win_rate")
ALONE = ("kl", "kl_token", "win_rate")  # about two policies already: a difference says nothing more


@dataclass(frozen=True)
class EvaluateConfig:
    """How policies are measured."""

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How responses are drawn."""
    samples: int = 1
    """Responses to each prompt."""
    batch: int = 64
    """Responses drawn at once."""
    seed: int = 0
    """Of the responses, for every policy the same, and of the resamples."""
    resamples: int = 2000
    """Bootstrap resamples behind an interval."""
    both_orders: bool = True
    """Ask the judge about each pair in both orders, and average."""
    reference: str = START
    """The column from which KL is measured: the model that the policy was held to, where that is not the first."""
    window: int = 256
    """Tokens of a stretch of unrelated text."""
    shown: int = 8
    """Prompts whose responses are kept to be read: the first ones, so that nobody chose them."""
    budget: int = BUDGET
    """Padded tokens that go through the model at once."""

    def __post_init__(self) -> None:
        if min(self.samples, self.batch, self.resamples, self.budget) < 1 or self.window < 2 or self.shown < 0:
            raise PlauditError("evaluating needs samples, batch, resamples and budget above 0, and a window above 1")


@dataclass(frozen=True)
class HeldOut:
    """What policies are held against, none of which they were trained on. What is left out is not measured."""

    rule: Rule | None = None  # whether a response satisfies it
    scores: Scores | None = None  # a number for each conversation, as of a reward model of other judgements
    judge: Judge | None = None  # which of two conversations is better
    texts: Sequence[str] = ()  # unrelated ones, on which the loss is measured


@runtime_checkable
class Contestant(Protocol):
    """A policy that writes: a language model, or what chooses among the responses of one."""

    @property
    def model(self) -> LanguageModel | None:
        """Whose log-probabilities are those of what it writes; None where nobody's are."""
        ...

    @property
    def kl(self) -> float | None:
        """Nats a response from the model that it started from, where that is known; None: measure it."""
        ...

    def write(
        self, prompts: Sequence[Tokens], sampling: SamplingConfig, n: int, generator: torch.Generator
    ) -> tuple[list[Tokens], Array]:
        """``n`` responses to each prompt, beside each other, and which of them ended by themselves (B,)."""
        ...


@dataclass(frozen=True, eq=False)
class Sampler:
    """A language model as a contestant."""

    model: LanguageModel
    kl: float | None = None

    def write(
        self, prompts: Sequence[Tokens], sampling: SamplingConfig, n: int, generator: torch.Generator
    ) -> tuple[list[Tokens], Array]:
        """As :class:`Contestant`."""
        drawn = sample(self.model, prompts, sampling, generator, n)
        return drawn.completions(), drawn.ended


@dataclass(frozen=True, eq=False)
class Written:
    """What one policy answered: n responses to each of P prompts, B in all, those of one prompt beside each other."""

    trees: list[Tree]  # (P,): a prompt with its n responses
    dialogues: list[Dialogue]  # (B,)
    ended: Array  # (B,) bool
    satisfied: Array | None  # (B,) bool: the rule
    scores: Array | None  # (B,)

    @property
    def texts(self) -> list[str]:
        """(B,) what each response says."""
        return [each.response or "" for each in self.dialogues]


def evaluate(
    start: LanguageModel,
    policies: Mapping[str, LanguageModel | Contestant],
    prompts: Sequence[Sequence[Message]],
    config: EvaluateConfig,
    held_out: HeldOut,
    progress: Progress = lambda what, done, total: None,
) -> Evaluation:
    """Measure ``policies`` and the model that they started from on prompts that none was trained on.

    The first column is ``start``, named "before". KL is left out where responses are not drawn from the whole
    distribution (temperature 0, top-p, top-k): the log-probabilities are not those of what was drawn from.

    Raises:
        PlauditError: there is no prompt, one does not fit the model, a policy is named as the start is, or the
            reference is no model that is evaluated.
    """
    if not prompts or START in policies:
        raise PlauditError(f"evaluating needs a held-out prompt, and no policy that is named {START!r}")
    contestants, reference = _contestants(start, policies, config.reference)
    asked = [tuple(each) for each in prompts]
    windows = windows_of(start, held_out.texts, config.window)
    written = {
        name: _write(each, start, asked, config, held_out, _told(progress, f"writing: {name}", len(asked)))
        for name, each in contestants.items()
    }
    found = {name: _wins(written, name, config, held_out, progress) for name in policies}
    tables = {}
    for place, (name, each) in enumerate(contestants.items()):
        progress("log-probabilities", place, len(contestants))
        held_to = None if name == START else reference
        tables[name] = _sums(written[name], config.samples, found.get(name)) | _probable(
            each, held_to, written[name].trees, windows, config
        )
    progress("log-probabilities", len(contestants), len(contestants))
    units = {len(asked), len(windows)} - {0}
    drawn = {n: resamples(n, config.resamples, np.random.default_rng((config.seed, n))) for n in units}
    return Evaluation(
        columns=tuple(
            _column(name, tables[name], tables[START], drawn, _fixed(each, written[name]))
            for name, each in contestants.items()
        ),
        prompts=len(asked),
        samples=config.samples,
        settings=asdict(config) | {name: called(each) for name, each in _named(held_out)},
        judges={name: each.judging for name, each in found.items() if each is not None},
        windows=len(windows),
        reference=config.reference,
        shown=tuple(
            _shown(place, asked[place], written, config, found) for place in range(min(config.shown, len(asked)))
        ),
    )


def _contestants(
    start: LanguageModel, policies: Mapping[str, LanguageModel | Contestant], reference: str
) -> tuple[dict[str, Contestant], LanguageModel]:
    """Every column by name, and the model from which KL is measured, which is 0 nats from itself."""
    found: dict[str, Contestant] = {START: Sampler(start)}
    found |= {name: Sampler(each) if isinstance(each, LanguageModel) else each for name, each in policies.items()}
    model = found[reference].model if reference in found else None
    if model is None:
        raise PlauditError(f"KL is to be measured from {reference!r}, which is no model that is evaluated")
    return found | {reference: Sampler(model, 0.0)}, model


def _named(held_out: HeldOut) -> list[tuple[str, object]]:
    pairs = (("rule", held_out.rule), ("scores", held_out.scores), ("judge", held_out.judge))
    return [(name, each) for name, each in pairs if each is not None]


def _told(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(what, done, total)


def _write(
    contestant: Contestant,
    start: LanguageModel,
    asked: Sequence[Prompt],
    config: EvaluateConfig,
    held_out: HeldOut,
    progress: Callable[[int], None],
) -> Written:
    """Let one policy answer every prompt, from the same seed as the others."""
    chat, n = Chat(start), config.samples
    prompts = [chat.prompt(each) for each in asked]
    generator = torch.Generator(start.device).manual_seed(config.seed)
    completions: list[Tokens] = []
    ended: list[Array] = []
    at_once = max(config.batch // n, 1)
    for first in range(0, len(prompts), at_once):
        part, over = contestant.write(prompts[first : first + at_once], config.sampling, n, generator)
        completions += part
        ended.append(over)
        progress(min(first + at_once, len(prompts)))
    texts = [chat.text(each) for each in completions]
    dialogues = [answered(asked[place // n], text) for place, text in enumerate(texts)]
    rule, scores = held_out.rule, held_out.scores
    return Written(
        trees=[Tree(prompt, tuple(completions[n * place : n * place + n])) for place, prompt in enumerate(prompts)],
        dialogues=dialogues,
        ended=np.concatenate(ended),
        satisfied=None if rule is None else np.array([bool(rule(text)) for text in texts]),
        scores=None if scores is None else np.asarray(scores(dialogues), np.float64),
    )


def _wins(
    written: Mapping[str, Written], name: str, config: EvaluateConfig, held_out: HeldOut, progress: Progress
) -> Wins | None:
    if held_out.judge is None:
        return None
    ours, theirs = written[name].dialogues, written[START].dialogues
    told = _told(progress, f"judging: {name}", len(ours))
    return wins(held_out.judge, ours, theirs, config.both_orders, told)


def _sums(written: Written, n: int, found: Wins | None) -> dict[str, Sums]:
    """What is measured on each response, summed over those of a prompt; NaN counts nothing."""
    texts = [words(text) for text in written.texts]
    each = {
        "share": written.satisfied,
        "score": written.scores,
        "win_rate": None if found is None else found.each,
        "tokens": np.array([len(part) for tree in written.trees for part in tree.completions]),
        "words": np.array([len(text) for text in texts]),
        "ended": written.ended,
        "repetition": np.array([repetition(text) for text in texts]),
    }
    table = {name: values.astype(np.float64).reshape(-1, n) for name, values in each.items() if values is not None}
    return {name: (np.nansum(rows, axis=1), np.isfinite(rows).sum(axis=1)) for name, rows in table.items()}


def _probable(
    contestant: Contestant,
    reference: LanguageModel | None,
    trees: Sequence[Tree],
    windows: Sequence[Tree],
    config: EvaluateConfig,
) -> dict[str, Sums]:
    """What only a policy with log-probabilities has: how far it is from the reference, its loss on unrelated text.

    reference: the model that it was held to, if it was held to any.
    """
    model, sampling = contestant.model, config.sampling
    if model is None:
        return {}
    found: dict[str, Sums] = {}
    whole = sampling.temperature > 0 and sampling.top_p == 1 and sampling.top_k == 0
    if reference is not None and contestant.kl is None and whole:
        own, other = (log_probs(each, trees, sampling.temperature, config.budget) for each in (model, reference))
        prompts = np.repeat(np.arange(len(trees)), [sum(map(len, tree.completions)) for tree in trees])
        sums = [
            np.bincount(prompts, estimate(torch.from_numpy(own), torch.from_numpy(other)).numpy(), len(trees))
            for estimate in (k1, k3)
        ]
        responses = np.array([len(tree.completions) for tree in trees])
        found = {"kl": (sums[0], responses), "kl_token": (sums[1], np.bincount(prompts, minlength=len(trees)))}
    if windows:
        counts = np.array([len(each.completions[0]) for each in windows])
        each = log_probs(model, windows, 1.0, config.budget)
        found["loss"] = (-np.add.reduceat(each, np.cumsum([0, *counts[:-1]])), counts)
    return found


@torch.no_grad()
def log_probs(model: LanguageModel, trees: Sequence[Tree], temperature: float, budget: int = BUDGET) -> Array:
    """log pi of every token of every completion, in order, (N,) float64 from float32 products.

    Whatever precision the model learns in: in bfloat16 an optimiser's step too small to matter rounds many weights
    another way at once, and the loss falls without anything learned.
    """
    exact = LanguageModel(model.model, model.tokenizer, model.frozen)
    begins = np.cumsum([0, *(sum(map(len, tree.completions)) for tree in trees)])
    found = np.empty(int(begins[-1]))
    for indices, rows, lower in batched(exact, trees, budget):
        hidden = exact.hidden(rows, lower).flatten(0, 1)[rows.sources]
        each = token_log_probs(hidden, exact.output, rows.targets, temperature)
        found[np.concatenate([np.arange(begins[i], begins[i + 1]) for i in indices])] = each.cpu().numpy()
    return found


def windows_of(model: LanguageModel, texts: Sequence[str], length: int) -> list[Tree]:
    """Texts as stretches of at most ``length`` tokens, in which every token but a text's first is predicted once.

    What they spell out is text, as in conversations, and none of the model's special tokens.
    """
    found, spelled = [], Spelled(model.tokenizer)
    first_tokens = [model.tokenizer.bos_token_id] if begins(model.tokenizer) else []
    for text in texts:
        ids = np.array([*first_tokens, *spelled.tokens(spelled.kept(text))], np.int64)  # begins as the model's texts do
        for first in range(0, len(ids) - 1, length - 1):
            found.append(Tree(ids[first : first + 1], (ids[first + 1 : first + length],)))
    return found


def _fixed(contestant: Contestant, written: Written) -> dict[str, float]:
    """What has no interval: counts over all responses at once, which resampling would distort, and what is known."""
    texts = [words(text) for text in written.texts]
    found = {f"distinct_{n}": distinct(texts, n) for n in (1, 2, 3)}
    if contestant.kl is not None:
        found["kl"] = contestant.kl
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _column(
    name: str,
    own: Mapping[str, Sums],
    first: Mapping[str, Sums],
    drawn: Mapping[int, Array],
    fixed: Mapping[str, float],
) -> Column:
    measures = {key: Measured(value) for key, value in fixed.items()}
    differences: dict[str, Measured] = {}
    for key, sums in own.items():
        found = _interval(key, sums, drawn[len(sums[0])])
        if found is None:
            continue
        measures[key] = found
        if key == "loss":
            measures["perplexity"] = _exponential(found)
        if name != START and key in first and key not in ALONE:
            difference = _difference(key, sums, first[key], drawn[len(sums[0])])
            if difference is not None:
                differences[key] = difference
    return Column(name, measures, differences)


def _exponential(found: Measured) -> Measured:
    bounds = (None if each is None else float(np.exp(each)) for each in (found.low, found.high))
    return Measured(float(np.exp(found.value)), *bounds)


def _interval(name: str, sums: Sums, drawn: Array) -> Measured | None:
    """A ratio of sums and its interval; one unit has none."""
    total, units = float(sums[1].sum()), int((sums[1] > 0).sum())
    if total == 0:
        return None
    value = float(sums[0].sum()) / total
    low, high = percentiles(ratios(*sums, drawn)) if units > 1 else (float("nan"),) * 2
    if name in SHARES and value in (0.0, 1.0):  # resampling what is alike finds no width: Wilson's, over prompts
        low, high = share_interval(value, units)
    return measured(value, low, high)


def _difference(name: str, own: Sums, first: Sums, drawn: Array) -> Measured | None:
    """How far a ratio is from the first column's, resampled in pairs."""
    one, other = _interval(name, first, drawn), _interval(name, own, drawn)
    if one is None or other is None:
        return None
    low, high = percentiles(ratios(*own, drawn) - ratios(*first, drawn))
    value, units = other.value - one.value, int((own[1] > 0).sum())
    if name in SHARES and {one.value, other.value} <= {0.0, 1.0}:
        low, high = newcombe(*((each.value, *share_interval(each.value, units)) for each in (one, other)))
    return measured(value, low, high) if units > 1 else Measured(value)


def _shown(
    place: int, prompt: Prompt, written: Mapping[str, Written], config: EvaluateConfig, found: Mapping[str, Wins | None]
) -> Shown:
    """The first response of every policy to one prompt."""
    row = place * config.samples
    columns = list(written.values())
    won = [np.nan if (own := found.get(name)) is None else own.each[row] for name in written]
    satisfied = [None if each.satisfied is None else bool(each.satisfied[row]) for each in columns]
    return Shown(
        prompt,
        tuple(each.texts[row] for each in columns),
        tuple(bool(each.ended[row]) for each in columns),
        None if None in satisfied else tuple(bool(each) for each in satisfied),
        tuple(None if np.isnan(each) else float(each) for each in won),
    )
