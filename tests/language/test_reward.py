"""The reward model of text: losses by hand, several heads, normalisation, and that nothing hangs on padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import pytest
import torch

from plaudit.language.fast.frozen_cache import LIMIT
from plaudit.language.models import LanguageModel
from plaudit.language.policy import TokenPolicy, Writer, iterate_batches
from plaudit.language.reward import HeadsConfig, JudgedCompletions, Preferences, TextReward, preference_losses
from plaudit.language.rows import Rows, Tree, lay
from plaudit.language.sampling import SamplingConfig
from plaudit.language.tune import Demonstrations, TuneConfig, Tuner
from plaudit.types import PlauditError

Tiny = Callable[..., LanguageModel]


def trees(count: int, completions: int = 2, seed: int = 0) -> list[Tree]:
    rng = np.random.default_rng(seed)
    return [
        Tree(
            rng.integers(4, 250, rng.integers(2, 9)),
            tuple(rng.integers(4, 250, rng.integers(1, 7)) for _ in range(completions)),
        )
        for _ in range(count)
    ]


def fixed(reward: TextReward, scores: torch.Tensor) -> None:
    """Let every completion have the scores (C, O, M) that are given."""
    reward.scores = lambda rows, lower, bias_learns=True: scores  # type: ignore[method-assign]


def test_losses_by_hand(tiny: Tiny) -> None:
    reward = TextReward(tiny(), HeadsConfig())
    pair, tied, triple, rated = (*trees(2), *trees(1, 3), *trees(1))
    examples = [
        JudgedCompletions(pair, mu=1.0),
        JudgedCompletions(tied, mu=0.5),
        JudgedCompletions(triple, ranks=(1, 0, 2)),
        JudgedCompletions(rated, ratings=(0.0, 1.0)),
    ]
    fixed(reward, torch.tensor([2.0, 1.0, 3.0, 3.0, 1.0, 2.0, 0.0, 0.5, 0.5]).view(-1, 1, 1))
    losses = Preferences(reward).losses(lay([example.tree for example in examples]), None, examples)
    e = np.exp
    comparison = log(1 + e(-1))
    tie = log(2)
    ranking = -log(e(2) / (e(2) + e(1) + 1)) - log(e(1) / (e(1) + 1))
    rating = 0.25
    assert float(losses["loss"]) == pytest.approx(comparison + tie + ranking + rating, rel=1e-6)
    # sums: the tie counts one half, 0.5 = 0.5 is wrong
    assert float(losses["accuracy"]) == pytest.approx(1 + 0.5 + 1 + 0)


def test_members_learn_from_their_own_sample_and_objectives_apart(tiny: Tiny) -> None:
    reward = TextReward(tiny(), HeadsConfig(members=2, objectives=("helpful", "harmless")))
    example = JudgedCompletions(trees(1)[0], mu=1.0, objective=1, weights=(2.0, 0.0))
    rows = lay([example.tree])
    Preferences(reward).losses(rows, None, [example])["loss"].backward()
    assert reward.heads.weight.grad is not None
    moved = reward.heads.weight.grad.abs().sum(dim=1) > 0
    assert moved.tolist() == [False, False, True, False]  # objective 1, member 0


def test_pooling_by_hand(tiny: Tiny) -> None:
    scores = torch.tensor([[[1.0, 3.0], [2.0, 2.0]]])
    for pooling, expected in (("mean", 2.0), ("worst", 1.5), ("uncertain", 1.75)):
        config = HeadsConfig(members=2, objectives=("a", "b"), pooling=pooling)  # type: ignore[arg-type]
        assert float(TextReward(tiny(), config).pool(scores)[0]) == expected
    weighed = TextReward(tiny(), HeadsConfig(members=2, objectives=("a", "b"), weights=(1.0, -1.0)))
    assert float(weighed.pool(scores)[0]) == 0.0


def test_scores_do_not_hang_on_neighbours_or_padding(tiny: Tiny) -> None:
    reward, sample = TextReward(tiny(), HeadsConfig()), trees(7, 3)
    joint = reward.score(sample)
    separate = np.concatenate([reward.score([tree], budget=1) for tree in sample])
    np.testing.assert_allclose(joint, separate, rtol=1e-4, atol=1e-5)


def test_normalised_over_reference_samples(tiny: Tiny) -> None:
    reward, sample = TextReward(tiny(), HeadsConfig(members=2)), trees(20)
    reward.normalise(sample)
    normal = (torch.from_numpy(reward.score(sample)) - reward.mean) / reward.std
    torch.testing.assert_close(normal.mean(0), torch.zeros(1, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std(0, correction=0), torch.ones(1, 2), atol=1e-5, rtol=0)


def test_scores_that_hardly_differ_are_not_blown_up(tiny: Tiny) -> None:
    reward, (first, second) = TextReward(tiny(), HeadsConfig()), trees(2, 1)
    reward.normalise([first, first, first])
    raw = float((reward.score([second]) - reward.score([first])).item())
    assert reward.reward([first]) == pytest.approx(0, abs=1e-5) and reward.reward([second]) == pytest.approx(
        raw, abs=1e-5
    )


def test_losses_are_float32_whatever_the_trunk_multiplies_in() -> None:
    scores = torch.randn((6, 1, 1), generator=torch.Generator().manual_seed(0))
    examples = [JudgedCompletions(trees(1, 3)[0], ranks=(0, 2, 1)), JudgedCompletions(trees(1, 3)[0], ranks=(0, 0, 1))]
    with torch.autocast("cpu", torch.bfloat16):
        loss = preference_losses(scores, examples)["loss"]
    assert loss.dtype == torch.float32 and loss == preference_losses(scores, examples)["loss"]


def ends_well(count: int, seed: int) -> list[JudgedCompletions]:
    """Pairs that differ in more than their last token, which alone decides."""
    rng, examples = np.random.default_rng(seed), []
    for index in range(count):
        ends = ((50, 51), (51, 50))[index % 2]
        pair = tuple(np.array([*rng.integers(60, 250, rng.integers(1, 5)), end]) for end in ends)
        examples.append(JudgedCompletions(Tree(np.array([5, 6]), pair), mu=float(ends[0] == 50)))
    return examples


@pytest.mark.learning
@pytest.mark.parametrize(
    ("method", "rate", "accuracy"),  # over 3 seeds: 0.88 to 0.98, 0.78 to 0.82, 0.98 to 1.0, 0.70 to 0.82
    [("full", 3e-3, 0.8), ("upper", 1e-2, 0.7), ("lora", 1e-2, 0.9), ("frozen", 3e-2, 0.62)],
)
def test_a_rule_is_learned_from_comparisons(tiny: Tiny, method: str, rate: float, accuracy: float) -> None:
    torch.manual_seed(0)
    reward = TextReward(tiny(method), HeadsConfig())
    config = TuneConfig(rate, batch=10, epochs=2)
    tuner = Tuner(reward.model, reward.trainable_parameters(), Preferences(reward), ends_well(60, 0), config)
    rows = list(tuner.run())
    assert len(rows) == tuner.steps == 12
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert tuner.evaluate(ends_well(60, 100))["accuracy"] > accuracy


@pytest.mark.parametrize("method", ["frozen", "upper"])
def test_frozen_layers_see_a_judgement_once(tiny: Tiny, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token_counts, losses = [0], []
    run_layers = LanguageModel._through

    def count_tokens(model: LanguageModel, decoder: Any, span: slice, states: torch.Tensor, rows: Rows) -> torch.Tensor:
        layers = decoder.layers[span]
        if len(layers) and layers[0] is decoder.layers[0]:
            token_counts[-1] += int((rows.trees >= 0).sum())
        return run_layers(model, decoder, span, states, rows)

    examples = ends_well(12, 0)
    for limit in (LIMIT, 0):
        torch.manual_seed(1)
        reward = TextReward(tiny(method), HeadsConfig())
        reward.model.frozen_cache.limit = limit
        monkeypatch.setattr(LanguageModel, "_through", count_tokens)
        config = TuneConfig(1e-2, batch=4, epochs=3)
        tuner = Tuner(reward.model, reward.trainable_parameters(), Preferences(reward), examples, config)
        losses.append([*(metrics["loss"] for metrics in tuner.run()), tuner.evaluate(examples)["loss"]])
        monkeypatch.undo()
        token_counts.append(0)
    total = sum(len(example.tree) for example in examples)
    assert token_counts[:2] == [total, 4 * total]  # of three passes and what is measured afterwards
    assert losses[0] == losses[1]  # to the last bit: each goes through by itself, whatever is beside it


def test_what_is_kept_ends_at_the_limit_and_lies_where_its_tokens_do(tiny: Tiny) -> None:
    model, sample = tiny("upper"), trees(8)
    room = sum(len(tree) for tree in sample[:5]) * model.width * 4
    model.frozen_cache.limit = room
    for _, rows, lower in iterate_batches(model, sample, 60, keep=True):
        assert lower is not None
        real = rows.trees >= 0
        torch.testing.assert_close(lower[real], model.lower(rows)[real], atol=1e-4, rtol=1e-4)
    assert 0 < model.frozen_cache.used_bytes <= room
    assert len(model.frozen_cache.states) < 8
    assert sum(states.nbytes for states in model.frozen_cache.states.values()) == model.frozen_cache.used_bytes


def test_parts_of_a_step_add_up(tiny: Tiny) -> None:
    gradients = []
    for tokens in (10_000, 20):
        torch.manual_seed(1)
        reward = TextReward(tiny(), HeadsConfig())
        examples = [JudgedCompletions(tree, mu=1.0) for tree in trees(8)]
        tuner = Tuner(
            reward.model, reward.trainable_parameters(), Preferences(reward), examples, TuneConfig(tokens=tokens)
        )
        next(tuner.run())
        gradients.append(
            [parameter.grad.clone() for parameter in reward.trainable_parameters() if parameter.grad is not None]
        )
    for gradient, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


def test_a_tuner_that_was_stopped_ends_as_one_that_was_not(tiny: Tiny) -> None:
    def fresh() -> tuple[LanguageModel, Tuner[Tree]]:
        model = tiny("upper")
        return model, Tuner(
            model,
            model.trainable_parameters(),
            Demonstrations(model),
            trees(12, 1),
            TuneConfig(1e-3, batch=4, epochs=2),
        )

    whole, tuner = fresh()
    rows = list(tuner.run())
    half, first = fresh()
    steps = first.run()
    for _ in range(2):
        next(steps)
    rest, second = fresh()
    rest.load_state_dict(half.state_dict())
    second.restore(first.state())
    assert list(second.run()) == rows[2:]
    for parameter, expected in zip(whole.parameters(), rest.parameters(), strict=True):
        assert torch.equal(parameter, expected)


def test_demonstrations_count_completions_alone(tiny: Tiny) -> None:
    model = tiny()
    tree = Tree(np.array([5, 6, 7]), (np.array([40, 41]),))
    rows = lay([tree])
    with torch.no_grad():
        loss = float(Demonstrations(model).losses(rows, None, [tree])["loss"])
        logits = model.model(torch.tensor([[5, 6, 7, 40, 41]])).logits[0].log_softmax(-1)
    assert loss == pytest.approx(-float(logits[2, 40] + logits[3, 41]), rel=1e-4)


def test_judgements_that_cannot_be(tiny: Tiny) -> None:
    pair, triple = trees(1)[0], trees(1, 3)[0]
    for judgement in ({}, {"mu": 1.0, "ranks": (0, 1)}):
        with pytest.raises(PlauditError, match="exactly one of mu, ranks and ratings"):
            JudgedCompletions(pair, **judgement)
    with pytest.raises(PlauditError, match="about 2 completions, got 3"):
        JudgedCompletions(triple, mu=1.0)
    with pytest.raises(PlauditError, match="2 ranks were given for 3"):
        JudgedCompletions(triple, ranks=(0, 1))


def test_scores_are_float32_whatever_the_trunk_multiplies_in(tiny: Tiny) -> None:
    """Scores in bfloat16 would have seven bits: responses that differ little would look the same."""
    reward = TextReward(tiny(precision="bf16"), HeadsConfig())
    torch.nn.init.normal_(reward.heads.weight, generator=torch.Generator().manual_seed(0))
    policy = TokenPolicy(tiny("upper", precision="bf16"))
    writer = Writer(policy, [tree.prompt for tree in trees(8)], SamplingConfig(tokens=6), 2)
    writer.reset(np.random.SeedSequence(0))
    reward.config = dataclasses.replace(reward.config, missing_end=None)
    for scores in (torch.from_numpy(reward.score(trees(8))), torch.from_numpy(reward.rewards(writer.collect(8)))):
        nonzero = scores[scores != 0]
        assert scores.dtype == torch.float32 and len(nonzero) == 16
        assert (nonzero != nonzero.bfloat16().float()).float().mean() > 0.9


@pytest.mark.parametrize("method", ["upper", "lora"])
def test_frozen_layers_that_are_the_policys_are_computed_once(
    tiny: Tiny, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(method, layers=2)
    policy = TokenPolicy(model)
    shared, separate = (TextReward(trunk, HeadsConfig()) for trunk in (model.twin(learns=True), tiny(method, layers=2)))
    separate.heads.load_state_dict(shared.heads.state_dict())
    assert shared.model.shares_lower(model) and not separate.model.shares_lower(model)
    writer = Writer(policy, [tree.prompt for tree in trees(4)], SamplingConfig(tokens=6), 2)
    writer.reset(np.random.SeedSequence(0))
    trajectory = writer.collect(4)
    expected = separate.rewards(trajectory)
    monkeypatch.setattr(LanguageModel, "lower", lambda *arguments: pytest.fail("computed again"))
    np.testing.assert_allclose(shared.rewards(trajectory), expected, atol=1e-6)
