"""The layers written out: transformers' own hidden states and gradients, in both precisions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plaudit.language.fast import trunk
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Rows, Tree, lay


@pytest.fixture
def rows() -> Rows:
    """Two rows of trees with one to three completions, and padding."""
    rng = np.random.default_rng(0)

    def tokens(count: int) -> np.ndarray:
        return rng.integers(0, 260, count)

    return lay(
        [
            Tree(tokens(10), (tokens(5), tokens(3))),
            Tree(tokens(7), (tokens(9),)),
            Tree(tokens(4), (tokens(2), tokens(1), tokens(6))),
        ]
    )


def run_both(model: LanguageModel, rows: Rows) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Hidden states of real places and gradients of a random sum of them: ours, then transformers'."""
    real = (rows.trees >= 0).unsqueeze(2)
    torch.manual_seed(1)
    weights = torch.randn((*rows.tokens.shape, model.width)) * real
    results = []
    for written_out in (True, False):
        role = LanguageModel(copy.deepcopy(model.model), model.tokenizer, model.frozen, model.reduced)
        with role.precision(), pytest.MonkeyPatch.context() as patch:
            if not written_out:
                patch.setattr(trunk, "fits", lambda model: False)
            hidden = role.hidden(rows)
            (hidden.float() * weights).sum().backward()
        gradients = {
            name: parameter.grad for name, parameter in role.model.named_parameters() if parameter.grad is not None
        }
        results.append((hidden.detach().float() * real, gradients))
    return results


@pytest.mark.parametrize(("method", "settings"), [("full", {}), ("upper", {"layers": 2})])
def test_hidden_states_and_gradients_are_those_of_transformers(
    tiny: Callable[..., LanguageModel],
    rows: Rows,
    method: str,
    settings: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trunk, "BLOCK", 7)  # several blocks, the last one short
    model = tiny(method, **settings)
    assert trunk.fits(model.model)
    (hidden, gradients), (expected, expected_gradients) = run_both(model, rows)
    torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == expected_gradients.keys() and len(gradients) == sum(
        1 for _ in model.trainable_parameters()
    )
    for name, gradient in gradients.items():
        assert (gradient - expected_gradients[name]).abs().max() < 2e-5 * expected_gradients[name].abs().max(), name


def test_in_bfloat16_they_differ_from_float32_no_more_than_transformers_does(
    tiny: Callable[..., LanguageModel], rows: Rows
) -> None:
    (exact, exactly), _ = run_both(tiny(), rows)
    (hidden, gradients), (expected, expected_gradients) = run_both(tiny(precision="bf16"), rows)
    assert (hidden - exact).norm() < 1.3 * (expected - exact).norm()
    for name, gradient in gradients.items():
        error, expected_error = ((x - exactly[name]).norm() for x in (gradient, expected_gradients[name]))
        assert error < 1.5 * expected_error, name


def test_weights_are_cast_once_a_context_and_anew_in_the_next(tiny: Callable[..., LanguageModel], rows: Rows) -> None:
    model = tiny(precision="bf16")
    with torch.no_grad():
        with model.precision():
            first = model.hidden(rows)
            assert model.cast
            with model.precision():  # one inside another shares its weights
                assert torch.equal(model.hidden(rows), first)
            assert model.cast
        assert model.cast is None
        decoder: Any = model.model.get_decoder()
        decoder.layers[0].mlp.up_proj.weight.mul_(1.5)
        with model.precision():
            assert not torch.allclose(model.hidden(rows).float(), first.float(), atol=1e-3)


def test_models_that_it_does_not_compute_are_left_to_transformers(tiny: Callable[..., LanguageModel]) -> None:
    model = tiny()
    assert trunk.fits(model.model)
    assert not trunk.fits(copy.deepcopy(model.model).double())  # gradient checks are written out there
    assert not trunk.fits(tiny("lora").model)
    biased: Any = copy.deepcopy(model.model)
    biased.get_decoder().layers[1].mlp.up_proj.bias = torch.nn.Parameter(torch.zeros(64))
    assert not trunk.fits(biased)
    qwen: Any = copy.deepcopy(model.model)
    qwen.config.model_type = "qwen3"
    assert not trunk.fits(qwen)
