"""Plaudit's side of language.py: one workload, one process, one JSON line.

python benchmarks/language_ours.py reward BATCHES.json --precision bf16 --steps 3
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # torch imports it (a second or more) when the first optimiser is made: not to be timed
from common import Stopwatch, report

from plaudit.language.dpo import LogRatios
from plaudit.language.fast.decode import sample
from plaudit.language.improve import TokenImproveConfig, TokenImprover
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.penalty import KLPenalty, KLPenaltyConfig
from plaudit.language.policy import Completions, TokenPolicy, Writer, experience
from plaudit.language.reward import HeadsConfig, JudgedCompletions, Preferences, TextReward
from plaudit.language.rows import Tokens, Tree
from plaudit.language.sampling import Samples, SamplingConfig
from plaudit.language.tune import Demonstrations, TuneConfig, Tuner
from plaudit.types import Array, Trajectory

RATE = 1e-5
NEW = 64  # tokens written by decode and grpo
BETA = 0.1  # of DPO


def tokens(values: Sequence[int]) -> Tokens:
    return np.array(values, np.int64)


def in_order(examples: list[Any], batch: int) -> list[Any]:
    """Examples so arranged that the tuner, which draws an order from its seed, takes them as they were."""
    order = np.random.default_rng((TuneConfig().seed, 0)).permutation(len(examples))
    arranged: list[Any] = [None] * len(examples)
    for place, example in zip(order, examples, strict=True):
        arranged[place] = example
    return arranged


def timed(steps: Iterator[dict[str, float]]) -> dict[str, Any]:
    """Run the steps; seconds of all and of each, and the losses."""
    clock, losses, each = Stopwatch(), [], []
    for metrics in steps:
        losses.append(metrics["loss"])
        each.append(clock.elapsed().seconds)
    elapsed = clock.elapsed()
    return {
        "seconds": elapsed.seconds,
        "cpu_seconds": elapsed.cpu_seconds,
        "step_seconds": np.diff([0.0, *each]).tolist(),
        "losses": losses,
    }


def tuned(model: LanguageModel, parameters: Any, objective: Any, steps: list[list[Any]]) -> dict[str, Any]:
    """Fit to batches that have their examples already; every batch has as many."""
    size = len(steps[0])
    config = TuneConfig(learning_rate=RATE, batch=size, warmup=0, schedule="linear")
    examples = in_order([example for step in steps for example in step], size)
    return timed(Tuner(model, parameters, objective, examples, config).run())


def judged(batch: dict[str, list[int]]) -> JudgedCompletions:
    """The chosen one comes first, and is better."""
    return JudgedCompletions(
        Tree(tokens(batch["prompt"]), (tokens(batch["chosen"]), tokens(batch["rejected"]))), mu=1.0
    )


def with_head(model: LanguageModel, head: list[float], config: HeadsConfig) -> TextReward:
    """A reward model whose head is the one that the peer has."""
    reward = TextReward(model, config)
    with torch.no_grad():
        reward.heads.weight.copy_(torch.tensor(head)[None])
    return reward


def chunks(items: list[Any], size: int, steps: int) -> list[list[Any]]:
    return [items[place : place + size] for place in range(0, len(items), size)][:steps]


def run_reward(model: LanguageModel, data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    reward = with_head(model, data["head"], HeadsConfig())
    steps = chunks([judged(each) for each in data["reward"]], 8, options.steps)
    scores = reward.score([each.tree for each in steps[0]])[:, 0, 0].tolist() if options.check else None
    found = tuned(model, reward.trainable_parameters(), Preferences(reward), steps)
    return found | {"outputs": scores, "pairs": sum(map(len, steps))}


def run_dpo(model: LanguageModel, data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    steps = chunks([judged(each) for each in data["dpo"]], 8, options.steps)
    found = tuned(model, model.trainable_parameters(), LogRatios(model, model.twin(), BETA), steps)
    return found | {"pairs": sum(map(len, steps))}


def run_sft(model: LanguageModel, data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    steps = [
        [Tree(tokens(each["prompt"]), (tokens(each["completion"]),)) for row in step for each in row]
        for step in data["sft"][: options.steps]
    ]
    found = tuned(model, model.trainable_parameters(), Demonstrations(model), steps)
    return found | {"tokens": sum(len(tree) for step in steps for tree in step)}


def run_decode(model: LanguageModel, data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    prompts = [tokens(each["ids"]) for each in data["prompts"][: options.batch]]
    generator = torch.Generator().manual_seed(options.seed)
    if options.check:
        written = sample(model, prompts, SamplingConfig(tokens=options.new, temperature=0), generator)
        return {"written": written.tokens.tolist(), "log_probs": written.log_probs.tolist()}
    sample(model, prompts, SamplingConfig(tokens=2), generator)  # the first call compiles kernels, on both sides
    clock = Stopwatch()
    written = sample(model, prompts, SamplingConfig(tokens=options.new), generator)
    elapsed = clock.elapsed()
    assert written.mask.all() and written.mask.shape == (options.batch, options.new)
    return {"seconds": elapsed.seconds, "cpu_seconds": elapsed.cpu_seconds, "tokens": written.mask.size}


class Score:
    """A reward that costs nothing: the share of tokens with an even number."""

    def rewards(self, trajectory: Trajectory) -> Array:
        assert isinstance(trajectory, Completions)
        rewards = np.zeros(trajectory.mask.shape, np.float32)
        rewards[:, -1] = (trajectory.actions % 2 == 0).mean(axis=1)
        return rewards


def update(
    policy: TokenPolicy, rewards: Callable[[Completions], Array], prompts: list[Tokens], options: argparse.Namespace
) -> dict[str, Any]:
    """Rounds of writing, scoring and learning."""
    grpo = options.workload == "grpo"
    settings: dict[str, Any] = {"advantage": "grpo", "epochs": 1, "max_grad_norm": 1.0} if grpo else {"epochs": 4}
    improve = TokenImprover(policy, TokenImproveConfig(learning_rate=RATE, anneal=False, stop_kl=None, **settings))
    # the peer's GRPO has no KL penalty, so neither side has a use for the reference
    writer = Writer(policy, prompts, SamplingConfig(tokens=options.new), n=4 if grpo else 1, compare=not grpo)
    generator = torch.Generator().manual_seed(options.seed)
    clock, writing, each = Stopwatch(), 0.0, []
    for round_ in range(options.steps):
        writer.reset(np.random.SeedSequence((options.seed, round_)))
        begun = time.perf_counter()
        found = writer.collect(len(prompts))
        writing += time.perf_counter() - begun
        assert found.mask.all() and found.mask.shape[1] == options.new
        improve(found, rewards(found), 0.0, generator)
        each.append(clock.elapsed().seconds)
    elapsed = clock.elapsed()
    return {
        "seconds": elapsed.seconds,
        "cpu_seconds": elapsed.cpu_seconds,
        "step_seconds": np.diff([0.0, *each]).tolist(),
        "collect_seconds": writing,
        "updates": options.steps,
    }


def run_ppo(model: LanguageModel, data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    prompts = [tokens(each["ids"]) for each in data["prompts"][:16]]
    policy = TokenPolicy(model)
    # as a run does it: where the lower layers are frozen, the reward model's are the policy's
    judge = model.twin() if options.method == "upper" else load(config(options, "full")).requires_grad_(False)
    reward = with_head(judge, data["head"], HeadsConfig(missing_end=None))
    if options.check:
        return {"outputs": compared(policy, reward, prompts, data)}
    penalty = KLPenalty(reward, KLPenaltyConfig())
    return update(policy, penalty.rewards, prompts, options)


def given(policy: TokenPolicy, prompts: list[Tokens], data: dict[str, Any], n: int) -> Completions:
    """What the policy says of completions that it did not write, ``n`` of each prompt."""
    written = np.stack([tokens(each) for each in data["completions"]])
    nothing, whole = np.zeros(written.shape, np.float32), np.ones(written.shape, bool)
    return experience(policy, prompts, Samples(written, nothing, whole, np.ones(len(written), bool)), n, 0)


def compared(
    policy: TokenPolicy, reward: TextReward, prompts: list[Tokens], data: dict[str, Any]
) -> dict[str, list[float]]:
    """Log-probabilities, reference log-probabilities and scores of completions that are given."""
    found = given(policy, prompts, data, 1)
    assert found.reference_log_probs is not None
    return {
        "log_probs": found.log_probs.reshape(-1).tolist(),
        "reference": found.reference_log_probs.reshape(-1).tolist(),
        "scores": reward.rewards(found)[:, -1].tolist(),
    }


def run_grpo(model: LanguageModel, data: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    prompts = [tokens(each["ids"]) for each in data["prompts"][:8]]
    if options.check:
        return {"outputs": step_compared(TokenPolicy(model), prompts[:4], data)}
    return update(TokenPolicy(model), Score().rewards, prompts, options)


def step_compared(policy: TokenPolicy, prompts: list[Tokens], data: dict[str, Any]) -> dict[str, list[float]]:
    """Log-probabilities of four completions of each prompt, and the size of the gradient for given advantages."""
    found = given(policy, prompts, data, 4)
    improve = TokenImprover(policy, TokenImproveConfig(advantage="grpo", epochs=1))
    pieces = policy.pieces(found)
    targets = improve.targets(found, np.zeros(found.mask.shape, np.float32), pieces)
    advantages = torch.tensor(data["advantages"], dtype=torch.float32).tile(len(prompts))[:, None]
    targets = dataclasses.replace(targets, advantages=advantages.expand(found.mask.shape))
    norm = improve.update(found.batches, pieces, targets, 0.0, torch.Generator())["gradient_norm"]
    return {"log_probs": found.log_probs.reshape(-1).tolist(), "log_gradient_norm": [float(norm.log())]}


WORKLOADS = {
    "reward": run_reward,
    "dpo": run_dpo,
    "sft": run_sft,
    "decode": run_decode,
    "ppo": run_ppo,
    "grpo": run_grpo,
}


def config(options: argparse.Namespace, method: Any) -> ModelConfig:
    return ModelConfig(method=method, precision=options.precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("batches", type=Path)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--method", choices=("full", "lora", "upper"), default="full")
    parser.add_argument("--batch", type=int, default=64, help="prompts (decode)")
    parser.add_argument("--new", type=int, default=NEW, help="tokens that are written")
    parser.add_argument("--steps", type=int, default=1, help="optimiser steps, or rounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="print what is to be equal to the peer's")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = json.loads(options.batches.read_text())
    model = load(config(options, options.method))
    ends: Any = model.tokenizer
    ends.eos_token = data["never"]
    generation: Any = model.model.generation_config
    generation.eos_token_id = ends.eos_token_id
    report(WORKLOADS[options.workload](model, data, options))


if __name__ == "__main__":
    main()
