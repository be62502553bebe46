"""Measuring a policy against the model that it started from, by measures that it was not optimised for.

Every policy answers the same held-out prompts from the same seed. The units of an interval are prompts, or windows of
unrelated text; differences between policies are resampled in pairs.
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
from plaudit.language.evaluation import Column, Estimate, Evaluation, Example, append_response, estimate
from plaudit.language.fast.decode import sample
from plaudit.language.judging import Judge, Wins, count_wins, name_of
from plaudit.language.likelihood import log_probs, prompt_information, split_windows, window_losses
from plaudit.language.measures import distinct, repetition, words
from plaudit.language.models import LanguageModel
from plaudit.language.policy import BUDGET
from plaudit.language.relevance import count_repeats, count_stock, prompt_text, retrieve
from plaudit.language.rows import Tokens, Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.types import Array, Dialogue, Message, PlauditError

Rule = Callable[[Dialogue], bool]  # of a prompt and the response to it
Scores = Callable[[Sequence[Dialogue]], Array]
Progress = Callable[[str, int, int], None]  # name of the stage, units done, units in all
Sums = tuple[Array, Array]  # numerator and denominator of each unit (N,); a measure is sum / sum
Prompt = tuple[Message, ...]

START = "before"
SHARES = ("share", "answers", "ended", "win_rate", "retrieved", "retrieved_5", "stock", "repeated")
PAIRWISE = ("kl", "kl_token", "win_rate")  # these compare two policies already, so they get no difference


@dataclass(frozen=True)
class EvaluateConfig:
    """How policies are measured."""

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Settings by which responses are drawn."""
    samples: int = 1
    """Number of responses to each prompt."""
    batch: int = 64
    """Number of responses drawn at once."""
    seed: int = 0
    """Seed of the responses (the same for every policy) and of the resamples."""
    resamples: int = 2000
    """Number of bootstrap resamples behind an interval."""
    both_orders: bool = True
    """Ask the judge about each pair in both orders, and average."""
    reference: str = START
    """Column from which KL is measured: the policy's reference model, if that is not the first column."""
    window: int = 256
    """Tokens of a window of unrelated text."""
    examples: int = 8
    """Prompts whose responses are stored for reading: the first ones, so that they are not selected."""
    budget: int = BUDGET
    """Padded tokens that go through the model at once."""

    def __post_init__(self) -> None:
        if min(self.samples, self.batch, self.resamples, self.budget) < 1 or self.window < 2 or self.examples < 0:
            raise PlauditError("evaluating needs samples, batch, resamples and budget above 0, and a window above 1")


@dataclass(frozen=True)
class HeldOutMeasures:
    """Measures that no policy was trained on. A measure that is None, or has no text, is left out."""

    rule: Rule | None = None  # says whether a response satisfies it
    scores: Scores | None = None  # scores conversations, for example by a reward model of other judgements
    judge: Judge | None = None  # says which of two conversations is better
    texts: Sequence[str] = ()  # unrelated texts, on which the loss is measured


@runtime_checkable
class Contestant(Protocol):
    """A policy that writes responses: a language model, or a rule that chooses among a model's responses."""

    @property
    def model(self) -> LanguageModel | None:
        """The model whose log-probabilities the responses have; None if they have none, as in best of n."""
        ...

    @property
    def kl(self) -> float | None:
        """The known KL divergence from the reference, in nats per response; None if it must be measured."""
        ...

    def write(
        self, prompts: Sequence[Tokens], sampling: SamplingConfig, n: int, generator: torch.Generator
    ) -> tuple[list[Tokens], Array]:
        """Write ``n`` responses to each prompt, one after another; also return which ended before the limit (B,)."""
        ...


@dataclass(frozen=True, eq=False)
class Sampler:
    """A language model as a contestant."""

    model: LanguageModel
    kl: float | None = None

    def write(
        self, prompts: Sequence[Tokens], sampling: SamplingConfig, n: int, generator: torch.Generator
    ) -> tuple[list[Tokens], Array]:
        """Sample ``n`` responses to each prompt; see :class:`Contestant`."""
        sampled = sample(self.model, prompts, sampling, generator, n)
        return sampled.completions(), sampled.finished


@dataclass(frozen=True, eq=False)
class Responses:
    """One policy's n responses to each of P prompts: B = n P responses, grouped by prompt."""

    trees: list[Tree]  # (P,): a prompt with its n responses
    dialogues: list[Dialogue]  # (B,)
    finished: Array  # (B,) bool: ended before the limit
    satisfied: Array | None  # (B,) bool: satisfies the rule
    scores: Array | None  # (B,)

    @property
    def texts(self) -> list[str]:
        """The text of each response (B,)."""
        return [dialogue.response or "" for dialogue in self.dialogues]


def evaluate(
    start: LanguageModel,
    policies: Mapping[str, LanguageModel | Contestant],
    prompts: Sequence[Sequence[Message]],
    config: EvaluateConfig,
    held_out: HeldOutMeasures,
    progress: Progress = lambda stage, done, total: None,
) -> Evaluation:
    """Measure ``policies`` and the model that they started from, on prompts that no policy was trained on.

    The first column is ``start``, named "before". KL is left out if responses are sampled from a part of the
    distribution (temperature 0, top-p, top-k), because the log-probabilities belong to the whole distribution.

    Raises:
        PlauditError: there is no prompt, a prompt does not fit the model, a policy is named "before", or the
            reference is not one of the models that are evaluated.
    """
    if not prompts or START in policies:
        raise PlauditError(f"evaluating needs a held-out prompt, and no policy that is named {START!r}")
    contestants, reference = _collect_contestants(start, policies, config.reference)
    prompt_list = [tuple(messages) for messages in prompts]
    windows = split_windows(start, held_out.texts, config.window)
    responses: dict[str, Responses] = {}
    for name, contestant in contestants.items():
        report_written = _bind_stage(progress, f"writing: {name}", len(prompt_list))
        responses[name] = _write_responses(contestant, start, prompt_list, config, held_out, report_written)
    wins_by_policy = {name: _judge_responses(responses, name, config, held_out, progress) for name in policies}
    tables = {}
    for index, (name, contestant) in enumerate(contestants.items()):
        progress("log-probabilities", index, len(contestants))
        held_to = None if name == START else reference
        tables[name] = {
            **_sum_measures(responses[name], config.samples, wins_by_policy.get(name)),
            **_measure_relevance(responses[name], config, start),
            **_measure_log_probs(contestant, held_to, responses[name].trees, windows, config),
        }
    progress("log-probabilities", len(contestants), len(contestants))
    units = {len(prompt_list), len(windows)} - {0}
    draws = {n: resamples(n, config.resamples, np.random.default_rng((config.seed, n))) for n in units}
    return Evaluation(
        columns=tuple(
            _make_column(
                name, tables[name], tables[START], draws, _measure_without_interval(contestant, responses[name])
            )
            for name, contestant in contestants.items()
        ),
        prompts=len(prompt_list),
        samples=config.samples,
        settings=asdict(config) | {name: name_of(instrument) for name, instrument in _list_instruments(held_out)},
        judges={name: wins.judging for name, wins in wins_by_policy.items() if wins is not None},
        windows=len(windows),
        reference=config.reference,
        examples=tuple(
            _make_example(number, prompt_list[number], responses, config, wins_by_policy)
            for number in range(min(config.examples, len(prompt_list)))
        ),
    )


def _collect_contestants(
    start: LanguageModel, policies: Mapping[str, LanguageModel | Contestant], reference: str
) -> tuple[dict[str, Contestant], LanguageModel]:
    """Return every column by name, and the reference from which KL is measured; the reference's own KL is 0."""
    contestants: dict[str, Contestant] = {START: Sampler(start)}
    contestants |= {
        name: Sampler(policy) if isinstance(policy, LanguageModel) else policy for name, policy in policies.items()
    }
    model = contestants[reference].model if reference in contestants else None
    if model is None:
        raise PlauditError(f"KL is to be measured from {reference!r}, which is not one of the evaluated models")
    return contestants | {reference: Sampler(model, 0.0)}, model


def _list_instruments(held_out: HeldOutMeasures) -> list[tuple[str, object]]:
    """List the rule, scores and judge that are used, with their names."""
    pairs = (("rule", held_out.rule), ("scores", held_out.scores), ("judge", held_out.judge))
    return [(name, instrument) for name, instrument in pairs if instrument is not None]


def _bind_stage(progress: Progress, stage: str, total: int) -> Callable[[int], None]:
    """A function that reports the number of finished units of one stage."""
    return lambda done: progress(stage, done, total)


def _write_responses(
    contestant: Contestant,
    start: LanguageModel,
    prompts: Sequence[Prompt],
    config: EvaluateConfig,
    held_out: HeldOutMeasures,
    progress: Callable[[int], None],
) -> Responses:
    """Let one policy respond to every prompt, from the same seed as the other policies."""
    chat, n = Chat(start), config.samples
    tokenised = [chat.prompt(prompt) for prompt in prompts]
    generator = torch.Generator(start.device).manual_seed(config.seed)
    completions: list[Tokens] = []
    finished_parts: list[Array] = []
    at_once = max(config.batch // n, 1)
    for first in range(0, len(tokenised), at_once):
        part, finished = contestant.write(tokenised[first : first + at_once], config.sampling, n, generator)
        completions += part
        finished_parts.append(finished)
        progress(min(first + at_once, len(tokenised)))
    texts = [chat.text(tokens) for tokens in completions]
    dialogues = [append_response(prompts[index // n], text) for index, text in enumerate(texts)]
    rule, scores = held_out.rule, held_out.scores
    return Responses(
        trees=[Tree(prompt, tuple(completions[n * index : n * index + n])) for index, prompt in enumerate(tokenised)],
        dialogues=dialogues,
        finished=np.concatenate(finished_parts),
        satisfied=None if rule is None else np.array([bool(rule(dialogue)) for dialogue in dialogues]),
        scores=None if scores is None else np.asarray(scores(dialogues), np.float64),
    )


def _judge_responses(
    responses: Mapping[str, Responses], name: str, config: EvaluateConfig, held_out: HeldOutMeasures, progress: Progress
) -> Wins | None:
    """Let the judge compare a policy's responses with those of the first column; None without a judge."""
    if held_out.judge is None:
        return None
    dialogues, opponents = responses[name].dialogues, responses[START].dialogues
    report_progress = _bind_stage(progress, f"judging: {name}", len(dialogues))
    return count_wins(held_out.judge, dialogues, opponents, config.both_orders, report_progress)


def _sum_measures(responses: Responses, n: int, wins: Wins | None) -> dict[str, Sums]:
    """Sum the measures of single responses over the responses to each prompt; both sums leave NaN out."""
    texts = [words(text) for text in responses.texts]
    values_by_name = {
        "share": responses.satisfied,
        "score": responses.scores,
        "win_rate": None if wins is None else wins.outcomes,
        "tokens": np.array([len(part) for tree in responses.trees for part in tree.completions]),
        "words": np.array([len(text) for text in texts]),
        "ended": responses.finished,
        "repetition": np.array([repetition(text) for text in texts]),
    }
    table = {
        name: values.astype(np.float64).reshape(-1, n) for name, values in values_by_name.items() if values is not None
    }
    return {name: (np.nansum(rows, axis=1), np.isfinite(rows).sum(axis=1)) for name, rows in table.items()}


def _measure_relevance(responses: Responses, config: EvaluateConfig, start: LanguageModel) -> dict[str, Sums]:
    """Measure whether responses depend on their prompts; of one prompt alone that cannot be told."""
    n = config.samples
    prompts = [prompt_text(dialogue) for dialogue in responses.dialogues[::n]]
    values_by_name = {
        "stock": count_stock(responses.texts),
        "repeated": np.minimum(count_repeats(responses.texts, n), 1).astype(np.float64),
    }
    if len(prompts) > 1:
        values_by_name["retrieved"] = retrieve(prompts, responses.texts)
        values_by_name["retrieved_5"] = retrieve(prompts, responses.texts, 5)
        values_by_name["prompt_information"] = prompt_information(start, prompts, responses.texts, config.budget)
        if responses.satisfied is not None:
            values_by_name["answers"] = responses.satisfied * values_by_name["retrieved"]
    rows_by_name = {name: values.reshape(-1, n) for name, values in values_by_name.items()}
    return {name: (rows.sum(axis=1), np.full(len(rows), n)) for name, rows in rows_by_name.items()}


def _measure_log_probs(
    contestant: Contestant,
    reference: LanguageModel | None,
    trees: Sequence[Tree],
    windows: Sequence[Tree],
    config: EvaluateConfig,
) -> dict[str, Sums]:
    """Measure what needs log-probabilities: KL from the reference, and the loss on unrelated text.

    reference: the model from which KL is measured; None leaves KL out.
    """
    model, sampling = contestant.model, config.sampling
    if model is None:
        return {}
    sums_by_name: dict[str, Sums] = {}
    whole = sampling.temperature > 0 and sampling.top_p == 1 and sampling.top_k == 0
    if reference is not None and contestant.kl is None and whole:
        policy_log_probs, reference_log_probs = (
            torch.from_numpy(log_probs(role, trees, sampling.temperature, config.budget)) for role in (model, reference)
        )
        prompts = np.repeat(np.arange(len(trees)), [sum(map(len, tree.completions)) for tree in trees])
        estimates = [
            np.bincount(prompts, estimate(policy_log_probs, reference_log_probs).numpy(), len(trees))
            for estimate in (k1, k3)
        ]
        responses = np.array([len(tree.completions) for tree in trees])
        sums_by_name = {
            "kl": (estimates[0], responses),
            "kl_token": (estimates[1], np.bincount(prompts, minlength=len(trees))),
        }
    if windows:
        sums_by_name["loss"] = window_losses(model, windows, config.budget)
    return sums_by_name


def _measure_without_interval(contestant: Contestant, responses: Responses) -> dict[str, float]:
    """Measure what gets no interval: distinct n-grams, which resampling would distort, and a known KL."""
    texts = [words(text) for text in responses.texts]
    values = {f"distinct_{n}": distinct(texts, n) for n in (1, 2, 3)}
    per_prompt = len(responses.texts) // len(responses.trees)
    values["most_prompts"] = 1.0 + float(count_repeats(responses.texts, per_prompt).max())
    if contestant.kl is not None:
        values["kl"] = contestant.kl
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _make_column(
    name: str,
    sums_by_name: Mapping[str, Sums],
    first: Mapping[str, Sums],
    draws: Mapping[int, Array],
    fixed: Mapping[str, float],
) -> Column:
    """Turn sums into measures with intervals, and into differences from the first column."""
    measures = {key: Estimate(value) for key, value in fixed.items()}
    differences: dict[str, Estimate] = {}
    for key, sums in sums_by_name.items():
        measure = _estimate(key, sums, draws[len(sums[0])])
        if measure is None:
            continue
        measures[key] = measure
        if key == "loss":
            measures["perplexity"] = _exponentiate(measure)
        if name != START and key in first and key not in PAIRWISE:
            difference = _estimate_difference(key, sums, first[key], draws[len(sums[0])])
            if difference is not None:
                differences[key] = difference
    return Column(name, measures, differences)


def _exponentiate(measure: Estimate) -> Estimate:
    """A loss with its interval as perplexity."""
    bounds = (None if bound is None else float(np.exp(bound)) for bound in (measure.low, measure.high))
    return Estimate(float(np.exp(measure.value)), *bounds)


def _estimate(name: str, sums: Sums, draws: Array) -> Estimate | None:
    """Estimate a ratio of sums with its interval; a single unit gives no interval."""
    total, units = float(sums[1].sum()), int((sums[1] > 0).sum())
    if total == 0:
        return None
    value = float(sums[0].sum()) / total
    low, high = percentiles(ratios(*sums, draws)) if units > 1 else (float("nan"),) * 2
    if name in SHARES and value in (0.0, 1.0):  # resampled equal values have no spread: Wilson's interval, over prompts
        low, high = share_interval(value, units)
    return estimate(value, low, high)


def _estimate_difference(name: str, sums: Sums, first: Sums, draws: Array) -> Estimate | None:
    """Estimate the difference of two ratios, resampled in pairs."""
    before, after = _estimate(name, first, draws), _estimate(name, sums, draws)
    if before is None or after is None:
        return None
    low, high = percentiles(ratios(*sums, draws) - ratios(*first, draws))
    value, units = after.value - before.value, int((sums[1] > 0).sum())
    if name in SHARES and {before.value, after.value} <= {0.0, 1.0}:
        low, high = newcombe(*((share.value, *share_interval(share.value, units)) for share in (before, after)))
    return estimate(value, low, high) if units > 1 else Estimate(value)


def _make_example(
    index: int,
    prompt: Prompt,
    responses: Mapping[str, Responses],
    config: EvaluateConfig,
    wins_by_policy: Mapping[str, Wins | None],
) -> Example:
    """Collect every policy's first response to one prompt."""
    row = index * config.samples
    columns = list(responses.values())
    won = [np.nan if (wins := wins_by_policy.get(name)) is None else wins.outcomes[row] for name in responses]
    satisfied = [None if column.satisfied is None else bool(column.satisfied[row]) for column in columns]
    return Example(
        prompt,
        tuple(column.texts[row] for column in columns),
        tuple(bool(column.finished[row]) for column in columns),
        None if None in satisfied else tuple(bool(value) for value in satisfied),
        tuple(None if np.isnan(value) else float(value) for value in won),
    )
