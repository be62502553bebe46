"""What `plaudit tune` fits: demonstrations, reward models, and a context that is put into the weights.

DPO is a baseline (:mod:`plaudit.run.language.dpo`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plaudit import layout
from plaudit.feedback.files import read_text
from plaudit.feedback.store import Store
from plaudit.language.calibration import HeldOutPairs, held_out_pairs, length_sign
from plaudit.language.data import Counts, check_objectives, judged, split
from plaudit.language.demonstrations import read_demonstrations
from plaudit.language.distill import ContextDistillation, ContextPair, compute_targets, write_pairs
from plaudit.language.evaluation import Measured
from plaudit.language.models import LanguageModel
from plaudit.language.prompts import Prompt, load_prompts, split_prompts
from plaudit.language.reward import HeadsConfig, Judged, Preferences, TextReward, load_heads
from plaudit.language.rows import Tree
from plaudit.language.spans import MarkedResponse, Marks, SpanReward, categories_in, read_marks
from plaudit.language.text import Chat
from plaudit.language.tune import Demonstrations, Tuner
from plaudit.run.fitting import Told
from plaudit.run.language.sft import device_of
from plaudit.run.language.tune import Recipe, Result, Sides
from plaudit.run.language.tune_config import DistillConfig, RewardModelConfig, SftConfig, SpansConfig, TuneRun
from plaudit.run.language.tune_data import (
    Data,
    check_files,
    check_settings,
    check_sides,
    loaded,
    parted_trees,
    read,
    written_for,
)
from plaudit.types import Message, PlauditError

REFERENCES = 512  # prompts over whose responses a reward has mean 0 and standard deviation 1
ENOUGH = 50  # held-out judgements from which a temperature is worth something
TOGETHER = 32  # prompts whose responses are written together: all of them are kept, or none


def sft(config: SftConfig) -> Recipe:
    """Demonstrations and corrections, to be imitated.

    Raises:
        PlauditError: a file, the model or its chat template is not there or cannot be used, or nothing can be imitated.
    """
    check_files(config)
    model = loaded(config)
    chat, length = Chat(model), min(config.fit.length, model.window)
    trees, counts, surplus = read(
        config, lambda store: read_demonstrations(store, chat, length, config.chosen, config.turns)
    )
    sides = parted_trees(trees, config.held_out, config.seed)
    check_sides(config, *sides)

    def measure(tuner: Tuner[Tree], sides: Sides, before: float | None) -> Result:
        return _loss_told(tuner, sides, before, "loss")

    return Recipe(
        model,
        model,
        Demonstrations(model),
        lambda run, told: sides,
        measure,
        model.save,
        Data.of(counts, surplus, sides),
        compared=True,
    )


def reward_model(config: RewardModelConfig) -> Recipe:
    """Comparisons, rankings and ratings, which a reward model is fitted to; anew, or from one that is there.

    Raises:
        PlauditError: as :func:`sft`; there is no reward model to go on from.
    """
    check_files(config)
    reward = _reward_to_fit(config)
    chat, length = Chat(reward.model), min(config.fit.length, reward.model.window)
    examples, counts, surplus = read(config, lambda store: judged(store, chat, reward.config, length, config.seed))
    sides = split(examples, config.held_out, config.seed)
    check_sides(config, *sides)
    check_objectives(reward.config, sides[0], counts)

    def measure(tuner: Tuner[Judged], sides: Sides, before: float | None) -> Result:
        reward.normalise([each.tree for each in sides[0][:REFERENCES]])
        found = pairs_told(held_out_pairs(reward, sides[1]), length_sign(sides[0]), "accuracy")
        if "temperature" in found.numbers:
            reward.temper(found.numbers["temperature"])
        return found

    return Recipe(
        reward.model,
        reward,
        Preferences(reward),
        lambda run, told: sides,
        measure,
        reward.save,
        Data.of(counts, surplus, sides),
    )


def _reward_to_fit(config: RewardModelConfig) -> TextReward:
    if config.reward_model is None:
        return TextReward(loaded(config), config.heads)
    folder = Path(config.reward_model)
    torch.manual_seed(config.seed)
    wanted, usual = vars(config.heads), vars(HeadsConfig())  # as they are stored, but for what is named
    heads = replace(load_heads(folder)[0], **{name: each for name, each in wanted.items() if each != usual[name]})
    reward = TextReward.load(folder, config.model, heads, device_of(config.device))
    written_for(reward.model, config)
    return reward


def spans(config: SpansConfig) -> Recipe:
    """What was marked in responses, which a reward of their passages is fitted to.

    Raises:
        PlauditError: as :func:`sft`; nobody marked anything by one of the categories.
    """
    check_files(config)
    reward = SpanReward(loaded(config), config.spans)
    chat, length = Chat(reward.model), min(config.fit.length, reward.model.window)
    names: set[str] = set()

    def reader(store: Store) -> tuple[list[MarkedResponse], Counts]:
        names.update(categories_in(store))
        return read_marks(store, chat, config.spans, reward.segments, length)

    def unknown() -> str:
        missing = [each for each in config.spans.categories if each not in names]
        has = ", ".join(sorted(names))
        return f"; nothing could be marked as {', '.join(missing)}: name some of {has} with --spans.categories"

    examples, counts, surplus = read(config, reader, lambda: unknown() if names else "")
    if not names >= set(config.spans.categories):
        raise PlauditError(f"{', '.join(config.data)}{unknown()}")
    sides = split(examples, config.held_out, config.seed)
    check_sides(config, *sides)

    def measure(tuner: Tuner[MarkedResponse], sides: Sides, before: float | None) -> Result:
        if not sides[1]:
            return Result({}, "nothing was held out")
        found = tuner.evaluate(sides[1])
        right, constant = found["accuracy"], found["constant"]
        passages = sum(len(each.ends) for each in sides[1])
        line = (
            f"held-out marks: right {100 * right:.1f} % of the time about {passages} passages and each category, "
            f'"no fault" everywhere {100 * constant:.1f} %'
        )
        numbers = {"accuracy": right, "constant": constant, "log_loss": found["loss"], "passages": passages}
        return Result(numbers, line)

    data = Data.of(counts, surplus, sides)
    return Recipe(reward.model, reward, Marks(reward), lambda run, told: sides, measure, reward.save, data)


def pairs_told(pairs: HeldOutPairs, sign: int, name: str) -> Result:
    """The accuracy on held-out judgements beside that of a rule that knows nothing but length (``sign``)."""
    found, length = pairs.accuracy(), pairs.length_accuracy(sign)
    if found is None or length is None:
        return Result({"accuracy": None}, f"no {name}: nothing that was held out decides between two responses")
    decided = pairs.decided()
    rule = "longer" if sign > 0 else "shorter"
    line = f"held-out {name} {_percent(found)} in {decided} judgements, of the {rule} response {_percent(length)}"
    numbers: dict[str, Any] = {"judgements": decided, "length_rule": rule}
    for key, each in (("accuracy", found), ("length_accuracy", length)):
        numbers[key] = {"value": each.value, "low": each.low, "high": each.high}
    reliability = pairs.reliability()
    if reliability is not None:
        numbers |= {"log_loss": reliability.log_loss, "calibration_error": reliability.error}
    after = pairs.calibrated().reliability()
    if after is not None and decided >= ENOUGH:
        numbers["temperature"] = pairs.temperature()
        numbers["calibrated"] = {"log_loss": after.log_loss, "calibration_error": after.error}
        line += f", calibrated at a temperature of {numbers['temperature']:.2f}"
    return Result(numbers, line)


def _percent(found: Measured) -> str:
    interval = "" if found.low is None or found.high is None else f" [{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return f"{100 * found.value:.1f} %{interval}"


def _loss_told(tuner: Tuner[Any], sides: Sides, before: float | None, name: str) -> Result:
    """A loss in nats a token on what was held out, before the first step and now."""
    if before is None:
        return Result({}, "nothing was held out")
    after = tuner.evaluate(sides[1])["loss"]
    line = f"held-out {name} {before:.3f} -> {after:.3f} nats a token ({len(sides[1])} examples)"
    return Result({"before": before, "after": after}, line)


def distill(config: DistillConfig) -> Recipe:
    """Prompts, whose responses with a context before them the model is to give without it.

    Raises:
        PlauditError: as :func:`sft`; there is no context, or with it every prompt is too long.
    """
    check_settings(config)
    context = _context(config)
    prompts = list(dict.fromkeys(each for name in config.data for each in load_prompts(name)))
    model = loaded(config)
    kept, counts = _that_fit(prompts, model, context, config)
    fit, out = split_prompts(kept, round(config.held_out * len(kept)), config.seed)
    check_sides(config, fit, out)

    def examples(run: TuneRun, told: Told) -> Sides:
        pairs = _written(run, model, (context, [*fit, *out]), told)
        told("asking the teacher", 0, 1, "")
        known = list(compute_targets(model, pairs[: len(fit)])), list(compute_targets(model, pairs[len(fit) :]))
        told("asking the teacher", 1, 1, "")
        return known

    def measure(tuner: Tuner[Any], sides: Sides, before: float | None) -> Result:
        return _loss_told(tuner, sides, before, "KL")

    chat = Chat(model)
    begun = [[Tree(chat.prompt([*context, *each]), ()) for each in side] for side in (fit, out)]
    data = Data.of(counts, 0, (begun[0], begun[1]))
    return Recipe(model, model, ContextDistillation(model), examples, measure, model.save, data, compared=True)


@dataclass
class Prompts(Counts):
    """What became of the prompts that were read."""

    def __str__(self) -> str:
        return f"{self.used} prompts, {len(self.refused)} more too long"


def _context(config: DistillConfig) -> list[Message]:
    if config.context is None:
        raise PlauditError("name what the model is to do without: --context FILE, a text that is its system message")
    path = Path(config.context)
    text = read_text(path).strip()
    if not text:
        raise PlauditError(f"{path} is empty: write there what the model is told")
    return [Message("system", text)]


def _that_fit(
    prompts: Sequence[Prompt], model: LanguageModel, context: Sequence[Message], config: DistillConfig
) -> tuple[list[Prompt], Prompts]:
    """The prompts that leave room for what is written, behind the context and within the length that is learned from;
    and how many do not."""
    chat, counts, kept, tokens = Chat(model), Prompts(), [], config.sampling.tokens
    windows = (model.window - tokens, min(config.fit.length, model.window) - tokens)  # of the teacher, of the student
    for prompt in prompts:
        lengths = len(chat.prompt([*context, *prompt])), len(chat.prompt(prompt))
        if lengths[0] <= windows[0] and lengths[1] <= windows[1]:
            kept.append(prompt)
        else:
            counts.refused.append(
                f"{lengths[0]} tokens with the context, of which {windows[0]} fit, and {lengths[1]} without, of which "
                f"{windows[1]} do: {prompt[-1].content[:40]!r}"
            )
    counts.used = len(kept)
    if not kept:
        raise PlauditError(
            f"no prompt fits the model's window of {model.window} tokens with the context before it and {tokens} to be "
            f"written, and --length {config.fit.length} without it: shorten the context, lower --tokens, raise --length"
        )
    return kept, counts


def _written(
    run: TuneRun, model: LanguageModel, asked: tuple[Sequence[Message], Sequence[Prompt]], told: Told
) -> list[ContextPair]:
    """Responses behind the context to every prompt, of which those that are in the folder are not written again."""
    config, chat, (context, prompts) = run.config, Chat(model), asked
    there = {row["round"]: row["responses"] for row in run.metrics(layout.WRITTEN)}
    run.rewind(len(there) - 1, layout.WRITTEN)  # without a torn last line
    found: list[ContextPair] = []
    for number, begin in enumerate(range(0, len(prompts), TOGETHER)):
        part = prompts[begin : begin + TOGETHER]
        told("writing", begin, len(prompts), "responses with the context")
        if number in there:
            for prompt, responses in zip(part, there[number], strict=True):
                own = tuple(np.array(each, np.int64) for each in responses)
                found.append(ContextPair(Tree(chat.prompt([*context, *prompt]), own), Tree(chat.prompt(prompt), own)))
            continue
        seed = int(np.random.SeedSequence((config.seed, number)).generate_state(1)[0])
        generator = torch.Generator(model.device).manual_seed(seed)
        new = write_pairs(model, context, part, config.sampling, generator, config.responses)
        responses = [[each.tolist() for each in one.student.completions] for one in new]
        run.append({"round": number, "responses": responses}, layout.WRITTEN)
        found += new
    told("writing", len(prompts), len(prompts), "responses with the context")
    return found
