"""Decoding: transformers' own greedy completions, log-probabilities of what was sampled, rows that finish early."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from plaudit.language.fast import engines
from plaudit.language.fast.decode import decode, draw, endings, sample
from plaudit.language.fast.engines import Engine, FusedEngine, PlainEngine, choose_engine
from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.models import LanguageModel, ModelConfig, prepare
from plaudit.language.rows import Tree, lay
from plaudit.language.sampling import SamplingConfig
from plaudit.types import PlauditError

Tiny = Callable[..., LanguageModel]
PROMPTS = [np.array([5, 6, 7, 8, 9, 10]), np.array([20]), np.array([30, 31, 32])]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that grows every other token, and prompts that go in one by one."""
    monkeypatch.setattr(engines, "GROWTH", 2)
    monkeypatch.setattr(engines, "PREFILL_TOKENS", 8)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", [FusedEngine, PlainEngine])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_greedy_equals_generate(tiny: Tiny, kind: Callable[[LanguageModel], Engine], method: str) -> None:
    model = tiny(method)
    if method == "lora":  # additions begin at zero: give them something to say
        for name, parameter in model.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.2, generator=generator(1))
    sampled = decode(kind(model), PROMPTS, SamplingConfig(20, temperature=0.0), generator(), 1, endings(model))
    for prompt, completion in zip(PROMPTS, sampled.completions(), strict=True):
        generated = model.model.generate(  # type: ignore[operator]
            torch.from_numpy(prompt)[None], max_new_tokens=20, do_sample=False, eos_token_id=0, pad_token_id=1
        )
        assert completion.tolist() == generated[0, len(prompt) :].tolist()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", [FusedEngine, PlainEngine])
def test_log_probs_are_those_of_a_recomputed_forward(tiny: Tiny, kind: Callable[[LanguageModel], Engine]) -> None:
    model, config = tiny(), SamplingConfig(25, temperature=0.8)
    sampled = decode(kind(model), PROMPTS, config, generator(), 3, endings(model))
    texts = sampled.completions()
    rows = lay([Tree(prompt, tuple(texts[3 * i : 3 * i + 3])) for i, prompt in enumerate(PROMPTS)])
    with torch.no_grad():
        recomputed = token_log_probs(model.hidden(rows).flatten(0, 1)[rows.sources], model.output, rows.targets, 0.8)
    np.testing.assert_allclose(sampled.log_probs[sampled.mask], recomputed.numpy(), atol=2e-4)
    assert (sampled.log_probs[~sampled.mask] == 0).all() and (sampled.tokens[~sampled.mask] == 0).all()


def biased(model: LanguageModel) -> LanguageModel:
    """The same shape as a Qwen2, with large biases."""
    shape = {
        name: value for name, value in model.model.config.to_dict().items() if name not in ("model_type", "head_dim")
    }
    model_with_biases = Qwen2ForCausalLM(Qwen2Config(**shape))
    for name, parameter in model_with_biases.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, generator=generator(1))
    return prepare(model_with_biases, model.tokenizer, ModelConfig("tiny", "full", precision="fp32"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["llama", "qwen2"])  # the second has biases, and its attention a path of its own
def test_engines_draw_the_same(tiny: Tiny, kind: str) -> None:
    model, config = tiny(), SamplingConfig(40)
    if kind == "qwen2":
        model = biased(model)
    ends = range(6)  # so many, that rows leave while the cache grows
    fused, plain = (
        decode(kind_of_engine(model), PROMPTS * 6, config, generator(), 2, ends)
        for kind_of_engine in (FusedEngine, PlainEngine)
    )
    assert fused.finished.any() and not fused.finished.all()
    differs = fused.tokens != plain.tokens
    column = int(differs.any(0).argmax()) if differs.any() else 40
    # a number may fall between two tokens, where a processor's last bits decide; from there on rows leave elsewhere
    assert column > 20 and differs[:, : column + 1].sum() <= 1
    assert differs.any() or (fused.finished == plain.finished).all()
    np.testing.assert_allclose(fused.log_probs[:, :column], plain.log_probs[:, :column], atol=1e-4)


def test_padding_on_the_left_changes_nothing(tiny: Tiny) -> None:
    model, config = tiny(), SamplingConfig(12, temperature=0.0)
    batch = sample(model, PROMPTS, config, generator()).completions()
    for prompt, completion in zip(PROMPTS, batch, strict=True):
        assert sample(model, [prompt], config, generator()).completions()[0].tolist() == completion.tolist()


def test_finished_rows_leave_the_batch(tiny: Tiny) -> None:
    model = tiny()
    with torch.no_grad():  # makes the end likely, so that rows finish at different times
        model.output[0] += 0.5
    left: list[int] = []
    sampled = sample(model, PROMPTS * 8, SamplingConfig(40, temperature=1.5), generator(), 2, left.append)
    assert sampled.finished.sum() > 10 and left == sorted(left, reverse=True)
    for tokens, mask, finished in zip(sampled.tokens, sampled.mask, sampled.finished, strict=True):
        completion = tokens[mask]
        assert 0 not in completion[:-1] and (completion[-1] == 0) == finished
        assert finished or mask.sum() == 40
    repeated = sample(model, PROMPTS * 8, SamplingConfig(40, temperature=1.5), generator(), 2)
    assert (repeated.tokens == sampled.tokens).all()


def test_draws_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4])).expand(40_000, 4)
    chosen, log_probs = draw(logits, SamplingConfig(), generator())
    shares = torch.bincount(chosen, minlength=4) / len(chosen)
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.01, rtol=0)
    torch.testing.assert_close(log_probs, logits[0][chosen])
    chosen, _ = draw(logits, SamplingConfig(top_k=2), generator())
    torch.testing.assert_close((chosen == 3).float().mean(), torch.tensor(4 / 7), atol=0.01, rtol=0)
    assert set(chosen.tolist()) == {2, 3}
    chosen, _ = draw(logits, SamplingConfig(top_p=0.75), generator())
    assert set(chosen.tolist()) == {1, 2, 3}  # 0.4 + 0.3 is less than 0.75
    chosen, log_probs = draw(logits, SamplingConfig(temperature=0.5), generator())
    torch.testing.assert_close((chosen == 3).float().mean(), torch.tensor(16 / 30), atol=0.01, rtol=0)
    torch.testing.assert_close(log_probs[chosen == 3][0], torch.tensor(16 / 30).log())


def test_a_token_without_weight_is_never_drawn() -> None:
    logits = torch.full((2000, 50), -torch.inf)
    logits[:, 7] = 0.0
    chosen, log_probs = draw(logits, SamplingConfig(), generator())
    assert (chosen == 7).all() and (log_probs == 0).all()


def test_other_models_go_through_transformers(tiny: Tiny) -> None:
    model = tiny()
    assert isinstance(choose_engine(model), FusedEngine)
    model.model.config.sliding_window = 16
    assert isinstance(choose_engine(model), PlainEngine)
    model.model.config.sliding_window = None


def test_what_does_not_fit_is_said(tiny: Tiny) -> None:
    model = tiny()
    with pytest.raises(PlauditError, match="do not fit the model's window of 512"):
        sample(model, [np.ones(500, np.int64)], SamplingConfig(20), generator())
    with pytest.raises(PlauditError, match="a prompt has no tokens: give each prompt at least one"):
        sample(model, [np.array([], np.int64)], SamplingConfig(20), generator())
    with pytest.raises(PlauditError, match="top_p"):
        SamplingConfig(top_p=0.0)
