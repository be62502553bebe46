"""One model from the weights of several, by hand, and what cannot be merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from plaudit.cli import main
from plaudit.language.merge import merge
from plaudit.language.models import LanguageModel
from plaudit.types import PlauditError


@pytest.fixture
def models(tmp_path: Path, tiny: Callable[..., LanguageModel], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Two models: the second has every weight of the first, plus 1."""
    folders = [tmp_path / name for name in ("base", "policy")]
    for number, folder in enumerate(folders):
        model = tiny().model
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += number
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return [str(folder) for folder in folders]


@pytest.mark.parametrize(("weights", "shift"), [((0.75, 0.25), 0.25), ((-0.5, 1.5), 1.5), ((1.0, 0.0), 0.0)])
def test_weights_are_averaged(models: list[str], weights: tuple[float, ...], shift: float) -> None:
    counts: list[int] = []
    result, _ = merge(models, weights, report_progress=counts.append)
    base = AutoModelForCausalLM.from_pretrained(models[0])
    for merged, original in zip(result.parameters(), base.parameters(), strict=True):
        torch.testing.assert_close(merged, original + shift)
    assert counts == [1, 2]


def test_the_command_writes_a_model_with_a_card(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "merged"
    assert main(["tune", "merge", *models, "--out", str(out)]) == 0
    base, result = (AutoModelForCausalLM.from_pretrained(folder) for folder in (models[0], out))
    torch.testing.assert_close(result.lm_head.weight, base.lm_head.weight + 0.5)
    card = (out / "README.md").read_text("utf-8")
    assert "models: base, policy" in card and "weights: 0.5, 0.5" in card and str(tmp_path) not in card
    assert main(["tune", "merge", *models, "--out", str(out)]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("weights", "reason"),
    [((0.5, 0.6), "must sum to 1"), ((1.0,), "one for each"), ((float("nan"), 1.0), "must sum to 1")],
)
def test_weights_that_make_no_average_are_refused(models: list[str], weights: tuple[float, ...], reason: str) -> None:
    with pytest.raises(PlauditError, match=reason):
        merge(models, weights)


def test_models_of_other_bases_are_refused(
    models: list[str], tmp_path: Path, tiny: Callable[..., LanguageModel], tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(PlauditError, match="at least 2"):
        merge(models[:1], (1.0,))
    config = tiny().model.config
    config.num_hidden_layers = 2
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "shallow")
    tokenizer.save_pretrained(tmp_path / "shallow")
    with pytest.raises(PlauditError, match=r"differ in .* parameters, such as model.layers"):
        merge([models[0], str(tmp_path / "shallow")], (0.5, 0.5))
