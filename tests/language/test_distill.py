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
PROMPTS = [[Message("user", each)] for each in ("the cat?", "on the mat", "go on", "said who")]


def examples(model: LanguageModel, n: int = 2) -> list[ContextPair]:
    return write_pairs(model, CONTEXT, PROMPTS, SamplingConfig(tokens=6), torch.Generator().manual_seed(0), n)


def slow(teacher: LanguageModel, student: LanguageModel, each: ContextPair, k: int) -> torch.Tensor:
    """The sum over tokens, one sequence at a time, from whole tables of logits."""
    total = torch.zeros((), dtype=torch.float64)
    for with_context, without in zip(each.teacher.completions, each.student.completions, strict=True):
        tables = []
        for model, prompt, completion in (
            (teacher, each.teacher.prompt, with_context),
            (student, each.student.prompt, without),
        ):
            logits = model.model(torch.from_numpy(np.concatenate((prompt, completion)))[None]).logits[0]
            tables.append(logits[len(prompt) - 1 : -1].log_softmax(-1))
        p, q = tables[0].exp().detach(), tables[1].exp()
        for row, own in zip(p, q, strict=True):
            best = row.argsort(descending=True)[:k]
            for token in best:
                total = total + row[token] * (row[token].log() - own[token].log())
            if k < len(row):
                rest, own_rest = row.sum() - row[best].sum(), own.sum() - own[best].sum()
                total = total + rest * (rest.log() - own_rest.log())
    return total


@pytest.mark.parametrize("k", [1, 50, 10_000])
def test_loss_and_gradients_are_those_of_the_slow_way(tiny: Tiny, k: int) -> None:
    teacher = tiny().double()
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    found = examples(tiny())
    known = list(compute_targets(teacher, found, k))
    loss = ContextDistillation(student).losses(lay([each.tree for each in known]), None, known)["loss"]
    expected = sum((slow(teacher, student, each, k) for each in found), torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-8)
    gradients = [torch.autograd.grad(each, student.learning()) for each in (loss, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)  # a Llama's norms compute in float32


def test_the_fast_path_is_the_written_out_one() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(300, 8, generator=generator), torch.randn(40, 8, generator=generator)
    choices = torch.randint(0, 40, (300, 5), generator=generator)
    choices[:, 1] = choices[:, 0]  # the same token twice
    up = torch.randn(300, 5, generator=generator)
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [each.to(dtype).requires_grad_() for each in (hidden, weight)]
        out = chosen_log_probs(leaves[0], leaves[1], choices, 0.7)
        found.append([out.detach(), *torch.autograd.grad(out, leaves, up.to(dtype))])
    for fast, exact in zip(*found, strict=True):
        torch.testing.assert_close(fast.double(), exact, rtol=1e-4, atol=1e-4)
    one = token_log_probs(hidden, weight, choices[:, 2], 0.7)
    assert torch.equal(one, chosen_log_probs(hidden, weight, choices[:, 2:3], 0.7)[:, 0])
    tokens, log_probs = top_log_probs(hidden, weight, 3)
    torch.testing.assert_close(log_probs, chosen_log_probs(hidden, weight, tokens))
    assert (log_probs.diff(dim=1) <= 0).all()


@pytest.mark.learning
@pytest.mark.parametrize(("method", "left"), [("full", 0.2), ("upper", 0.5)])
def test_a_prompt_goes_into_the_weights(tiny: Tiny, method: str, left: float) -> None:
    model = tiny(method)
    known = list(compute_targets(model, examples(model, 4)))
    tuner = Tuner(model, model.learning(), ContextDistillation(model), known, TuneConfig(5e-3, batch=4, epochs=40))
    before = tuner.evaluate(known)["loss"]
    for _ in tuner.run():
        pass
    assert 0 <= tuner.evaluate(known)["loss"] < left * before


def test_the_same_context_is_nothing_to_learn(tiny: Tiny) -> None:
    model = tiny()
    chat = Chat(model)
    tree = chat.tree(PROMPTS[0], ["thank you"])
    (known,) = compute_targets(model, [ContextPair(tree, tree)], 20)
    assert isinstance(known, Target) and known.tokens.shape == (len(tree.completions[0]), 20)
    with torch.no_grad():
        assert abs(float(ContextDistillation(model).losses(lay([tree]), None, [known])["loss"])) < 1e-4


def test_responses_that_are_there(tiny: Tiny) -> None:
    chat = Chat(tiny())
    (found,) = pair_responses(chat, CONTEXT, PROMPTS[:1], [["thank you", "go on"]])
    assert len(found.teacher.prompt) > len(found.student.prompt)
    assert [chat.text(each) for each in found.student.completions] == ["thank you", "go on"]
    other = Tree(found.student.prompt, found.student.completions[::-1])
    with pytest.raises(PlauditError, match="not the same tokens"):
        ContextPair(found.teacher, other)
    with pytest.raises(PlauditError, match="at least one of the teacher's tokens"):
        list(compute_targets(tiny(), [found], 0))
