"""Context distillation: the loss beside a slow one in float64, its gradients, and a prompt that can be left out."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from plaudit.language.distill import (
    ContextDistillation,
    ContextPair,
    Target,
    compute_targets,
    pair_responses,
    write_pairs,
)
from plaudit.language.fast.vocabulary import chosen_log_probs, token_log_probs, top_log_probs
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tree, lay
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.types import Message, PlauditError

Tiny = Callable[..., LanguageModel]
CONTEXT = [Message("system", "please say thank you and go on")]
PROMPTS = [[Message("user", text)] for text in ("the cat?", "on the mat", "go on", "said who")]


def examples(model: LanguageModel, n: int = 2) -> list[ContextPair]:
    return write_pairs(model, CONTEXT, PROMPTS, SamplingConfig(tokens=6), torch.Generator().manual_seed(0), n)


def slow(teacher: LanguageModel, student: LanguageModel, pair: ContextPair, k: int) -> torch.Tensor:
    """The sum over tokens, one sequence at a time, from whole tables of logits."""
    total = torch.zeros((), dtype=torch.float64)
    for with_context, student_completion in zip(pair.teacher.completions, pair.student.completions, strict=True):
        tables = []
        for model, prompt, completion in (
            (teacher, pair.teacher.prompt, with_context),
            (student, pair.student.prompt, student_completion),
        ):
            logits = model.model(torch.from_numpy(np.concatenate((prompt, completion)))[None]).logits[0]
            tables.append(logits[len(prompt) - 1 : -1].log_softmax(-1))
        p, q = tables[0].exp().detach(), tables[1].exp()
        for row, student_row in zip(p, q, strict=True):
            best = row.argsort(descending=True)[:k]
            for token in best:
                total = total + row[token] * (row[token].log() - student_row[token].log())
            if k < len(row):
                rest, student_rest = row.sum() - row[best].sum(), student_row.sum() - student_row[best].sum()
                total = total + rest * (rest.log() - student_rest.log())
    return total


@pytest.mark.parametrize("k", [1, 50, 10_000])
def test_loss_and_gradients_are_those_of_the_slow_way(tiny: Tiny, k: int) -> None:
    teacher = tiny().double()
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    pairs = examples(tiny())
    targets = list(compute_targets(teacher, pairs, k))
    loss = ContextDistillation(student).losses(lay([target.tree for target in targets]), None, targets)["loss"]
    expected = sum((slow(teacher, student, pair, k) for pair in pairs), torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-8)
    gradients = [torch.autograd.grad(loss_value, student.trainable_parameters()) for loss_value in (loss, expected)]
    for gradient, expected_gradient in zip(*gradients, strict=True):
        # a Llama's norms compute in float32
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


def test_the_fast_path_is_the_written_out_one() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(300, 8, generator=generator), torch.randn(40, 8, generator=generator)
    choices = torch.randint(0, 40, (300, 5), generator=generator)
    choices[:, 1] = choices[:, 0]  # the same token twice
    upstream = torch.randn(300, 5, generator=generator)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [leaf.to(dtype).requires_grad_() for leaf in (hidden, weight)]
        log_probs_chosen = chosen_log_probs(leaves[0], leaves[1], choices, 0.7)
        results.append([log_probs_chosen.detach(), *torch.autograd.grad(log_probs_chosen, leaves, upstream.to(dtype))])
    for fast, exact in zip(*results, strict=True):
        torch.testing.assert_close(fast.double(), exact, rtol=1e-4, atol=1e-4)
    single = token_log_probs(hidden, weight, choices[:, 2], 0.7)
    assert torch.equal(single, chosen_log_probs(hidden, weight, choices[:, 2:3], 0.7)[:, 0])
    tokens, log_probs = top_log_probs(hidden, weight, 3)
    torch.testing.assert_close(log_probs, chosen_log_probs(hidden, weight, tokens))
    assert (log_probs.diff(dim=1) <= 0).all()


@pytest.mark.learning
@pytest.mark.parametrize(("method", "left"), [("full", 0.2), ("upper", 0.5)])
def test_a_prompt_goes_into_the_weights(tiny: Tiny, method: str, left: float) -> None:
    model = tiny(method)
    targets = list(compute_targets(model, examples(model, 4)))
    tuner = Tuner(
        model, model.trainable_parameters(), ContextDistillation(model), targets, TuneConfig(5e-3, batch=4, epochs=40)
    )
    before = tuner.evaluate(targets)["loss"]
    for _ in tuner.run():
        pass
    assert 0 <= tuner.evaluate(targets)["loss"] < left * before


def test_the_same_context_is_nothing_to_learn(tiny: Tiny) -> None:
    model = tiny()
    chat = Chat(model)
    tree = chat.tree(PROMPTS[0], ["thank you"])
    (target,) = compute_targets(model, [ContextPair(tree, tree)], 20)
    assert isinstance(target, Target) and target.tokens.shape == (len(tree.completions[0]), 20)
    with torch.no_grad():
        assert abs(float(ContextDistillation(model).losses(lay([tree]), None, [target])["loss"])) < 1e-4


def test_responses_that_are_there(tiny: Tiny) -> None:
    chat = Chat(tiny())
    (pair,) = pair_responses(chat, CONTEXT, PROMPTS[:1], [["thank you", "go on"]])
    assert len(pair.teacher.prompt) > len(pair.student.prompt)
    assert [chat.text(completion) for completion in pair.student.completions] == ["thank you", "go on"]
    swapped = Tree(pair.student.prompt, pair.student.completions[::-1])
    with pytest.raises(PlauditError, match="not the same tokens"):
        ContextPair(pair.teacher, swapped)
    with pytest.raises(PlauditError, match="at least one of the teacher's tokens"):
        list(compute_targets(tiny(), [pair], 0))
