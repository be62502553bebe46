"""Models of other makers: what they give here is what transformers gives, or they are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    GraniteConfig,
    Lfm2Config,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from plaudit.language import windows
from plaudit.language.fast.decode import sample
from plaudit.language.improve import TokenImproveConfig, TokenImprover, divergence
from plaudit.language.loading import report
from plaudit.language.models import LanguageModel, ModelConfig, load, prepare
from plaudit.language.policy import TokenPolicy, Writer
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.language.rows import Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.types import PlauditError

PROMPTS = [np.array([5, 6, 7, 8, 9, 10]), np.array([20, 21])]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "head_dim": 8,
}
OLD = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "initializer_range": 0.3}  # GPT-2's names
ENDS = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None}


def plain(config: Any) -> Any:
    """A model of that shape, the same each time; biases are not left at zero."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return model


def role(tokenizer: PreTrainedTokenizerFast, config: Any, method: str = "full") -> LanguageModel:
    chosen = ModelConfig(model="tiny", method=method, precision="fp32")  # type: ignore[arg-type]
    return prepare(plain(config), tokenizer, chosen)


ARCHITECTURES = {
    "gpt2": lambda v: GPT2Config(vocab_size=v, **OLD, **ENDS),
    "gpt2-dropout": lambda v: GPT2Config(vocab_size=v, **OLD, **ENDS, resid_pdrop=0.3, embd_pdrop=0.3, attn_pdrop=0.3),
    "qwen2": lambda v: Qwen2Config(vocab_size=v, **SIZES, **ENDS),
    "qwen3": lambda v: Qwen3Config(vocab_size=v, **SIZES, **ENDS),
    "gemma2": lambda v: Gemma2Config(  # attention that is not sdpa
        vocab_size=v, **SIZES, **ENDS, final_logit_softcapping=None, sliding_window=40, hidden_activation="gelu"
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_models_are_scored_as_transformers_does_learn_are_saved_and_loaded(
    tokenizer: PreTrainedTokenizerFast, name: str, tmp_path: Path
) -> None:
    model = role(tokenizer, ARCHITECTURES[name](len(tokenizer)))
    policy = TokenPolicy(model)
    writer = Writer(policy, PROMPTS, SamplingConfig(tokens=8), 3)
    writer.reset(np.random.SeedSequence(0))
    trajectory = writer.collect(2)
    assert divergence(trajectory)["mismatch"] < 1e-4  # of the decoder
    assert divergence(trajectory)["kl"] == 0.0
    exact = plain(ARCHITECTURES[name](len(tokenizer))).eval()
    with torch.no_grad():
        for row, prompt in enumerate(trajectory.prompts):
            completion = trajectory.actions[row][trajectory.mask[row]]
            logits = exact(torch.from_numpy(np.concatenate((prompt, completion)))[None]).logits[0, len(prompt) - 1 : -1]
            log_probs = logits.log_softmax(-1).gather(1, torch.from_numpy(completion)[:, None])[:, 0]
            np.testing.assert_allclose(trajectory.log_probs[row][trajectory.mask[row]], log_probs.numpy(), atol=1e-4)
    improver = TokenImprover(policy, TokenImproveConfig(learning_rate=1e-3))
    rewards = np.random.default_rng(0).normal(size=trajectory.mask.shape).astype(np.float32)
    improver(trajectory, rewards, 0.0, torch.Generator())
    model.save(tmp_path / "saved")
    loaded = load(ModelConfig(model=str(tmp_path / "saved"), method="frozen", precision="fp32"))
    assert not loaded.trainable_parameters()
    greedy = SamplingConfig(tokens=6, temperature=0.0)
    sampled, sampled_again = (sample(role, PROMPTS, greedy, torch.Generator()) for role in (model, loaded))
    np.testing.assert_array_equal(sampled.tokens, sampled_again.tokens)
    trees = [Tree(PROMPTS[0], (np.array([40, 0]), np.array([41, 42, 0])))]
    reward = TextReward(model, HeadsConfig())
    loaded_reward = TextReward(loaded, HeadsConfig())
    loaded_reward.heads.load_state_dict(reward.heads.state_dict())
    np.testing.assert_allclose(reward.score(trees), loaded_reward.score(trees), rtol=1e-4, atol=1e-4)


STACKS = {
    "gpt2": lambda v: GPT2Config(vocab_size=v, **OLD, **ENDS),
    "gpt_neox": lambda v: GPTNeoXConfig(vocab_size=v, **SIZES, **ENDS),
    "opt": lambda v: OPTConfig(
        vocab_size=v,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        word_embed_proj_dim=32,
        max_position_embeddings=64,
        init_std=0.3,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    ),
    "falcon": lambda v: FalconConfig(
        vocab_size=v, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, initializer_range=0.3, **ENDS
    ),
    "gemma3": lambda v: Gemma3TextConfig(vocab_size=v, **SIZES, **ENDS),
}


@pytest.mark.parametrize("name", STACKS)
def test_the_upper_layers_of_any_stack_learn(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Layers that cannot be run one by one learn all the same: the whole model is run."""
    config = STACKS[name](len(tokenizer))
    assert not role(tokenizer, config, "frozen").trainable_parameters()
    model = role(tokenizer, config, "upper")
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    policy = TokenPolicy(model)
    writer = Writer(policy, PROMPTS, SamplingConfig(tokens=4), 2)
    writer.reset(np.random.SeedSequence(0))
    completions = writer.collect(2)
    assert divergence(completions)["kl"] == 0.0
    rewards = np.random.default_rng(0).normal(size=completions.mask.shape).astype(np.float32)
    TokenImprover(policy, TokenImproveConfig(learning_rate=1e-3))(completions, rewards, 0.0, torch.Generator())
    moved = {name for name, tensor in model.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(".2." in name for name in moved)
    assert all(".2." in name or "norm" in name or "ln_f" in name for name in moved)
    part = ModelConfig("tiny", "lora", layers=1, precision="fp32")
    adapters = prepare(plain(config), tokenizer, part)
    assert all(".2." in name for name, parameter in adapters.model.named_parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    "config",
    [
        lambda v: GraniteConfig(vocab_size=v, **SIZES, **ENDS, logits_scaling=4.0),
        lambda v: CohereConfig(vocab_size=v, **SIZES, **ENDS, logit_scale=0.25),
        lambda v: Gemma2Config(vocab_size=v, **SIZES, **ENDS, final_logit_softcapping=5.0),
        lambda v: PhiConfig(vocab_size=v, **SIZES, **ENDS),  # a bias
    ],
)
@pytest.mark.parametrize("method", ["full", "upper", "lora", "frozen"])
def test_a_head_that_does_more_than_multiply_is_refused(
    tokenizer: PreTrainedTokenizerFast, config: Any, method: str
) -> None:
    with pytest.raises(PlauditError, match="scales, caps or shifts its logits"):
        role(tokenizer, config(len(tokenizer)), method)


@pytest.mark.parametrize(
    "config",
    [
        lambda v: BloomConfig(vocab_size=v, hidden_size=32, n_layer=2, n_head=4, **ENDS),  # takes no positions
        lambda v: Lfm2Config(  # convolutions reach from one completion into the next
            vocab_size=v, **SIZES, **ENDS, layer_types=["conv", "full_attention", "conv"]
        ),
        lambda v: GPTNeoConfig(  # looks back over so many places of a row, whatever stands there
            vocab_size=v,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            initializer_range=0.3,
            **ENDS,
        ),
    ],
)
@pytest.mark.parametrize("method", ["full", "frozen"])
def test_completions_that_would_see_each_other_are_refused(
    tokenizer: PreTrainedTokenizerFast, config: Any, method: str
) -> None:
    with pytest.raises(PlauditError, match="different results for two completions in one row than for each by itself"):
        role(tokenizer, config(len(tokenizer)), method)


WINDOWS = {  # windows that most of the texts below reach beyond
    "mistral": lambda v: MistralConfig(vocab_size=v, **SIZES, **ENDS, sliding_window=5),
    "mistral-eager": lambda v: MistralConfig(
        vocab_size=v,
        **SIZES,
        **ENDS,
        sliding_window=5,
        attn_implementation="eager",  # pyright: ignore[reportCallIssue]
    ),
    "qwen2": lambda v: Qwen2Config(
        vocab_size=v, **SIZES, **ENDS, sliding_window=5, use_sliding_window=True, max_window_layers=1
    ),
    "qwen2-unused": lambda v: Qwen2Config(vocab_size=v, **SIZES, **ENDS, sliding_window=5, use_sliding_window=False),
    "gemma3": lambda v: Gemma3TextConfig(
        vocab_size=v,
        **SIZES,
        **ENDS,
        sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "llama": lambda v: LlamaConfig(vocab_size=v, **SIZES, **ENDS, sliding_window=5),  # pyright: ignore[reportCallIssue]
    "llama4": lambda v: Llama4TextConfig(  # layers that attend within a chunk, one that attends to all, experts in one
        vocab_size=v,
        **SIZES,
        **ENDS,
        attention_chunk_size=5,
        no_rope_layers=[1, 1, 0],
        num_local_experts=2,
        intermediate_size_mlp=64,
        interleave_moe_layer_step=2,
    ),
}


@pytest.mark.parametrize("method", ["full", "upper"])
@pytest.mark.parametrize("name", WINDOWS)
def test_sliding_windows_are_those_of_transformers(
    tokenizer: PreTrainedTokenizerFast, name: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    report.cache_clear()
    model = role(tokenizer, WINDOWS[name](len(tokenizer)), method)
    assert caplog.messages == [] and model.window == model.model.config.max_position_embeddings
    policy = TokenPolicy(model)
    writer = Writer(policy, PROMPTS, SamplingConfig(tokens=12), 2)
    writer.reset(np.random.SeedSequence(0))
    trajectory = writer.collect(2)
    exact = plain(WINDOWS[name](len(tokenizer))).eval()
    longest = 0
    for row, prompt in enumerate(trajectory.prompts):
        mask = trajectory.mask[row]
        completion = trajectory.actions[row][mask]
        longest = max(longest, len(prompt) + len(completion))
        with torch.no_grad():
            logits = exact(torch.from_numpy(np.concatenate((prompt, completion)))[None]).logits[0, len(prompt) - 1 : -1]
        log_probs = logits.log_softmax(-1).gather(1, torch.from_numpy(completion)[:, None])[:, 0].numpy()
        np.testing.assert_allclose(trajectory.log_probs[row][mask], log_probs, atol=1e-4)  # of training
        np.testing.assert_allclose(trajectory.sampled_log_probs[row][mask], log_probs, atol=1e-4)  # of the decoder
    assert longest > 12
    improver = TokenImprover(policy, TokenImproveConfig(learning_rate=1e-3))
    improver(trajectory, np.ones(trajectory.mask.shape, np.float32), 0.0, torch.Generator())
    assert all(torch.isfinite(parameter).all() for parameter in model.trainable_parameters())


def test_a_window_that_cannot_be_computed_limits_texts(
    tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.cache_clear()
    monkeypatch.setattr(windows, "layer_masks", lambda model, rows: {"sliding_attention": rows.mask})
    monkeypatch.setattr(windows, "NARROW", 2)
    sliding = MistralConfig(vocab_size=len(tokenizer), **SIZES, **ENDS, sliding_window=16, max_position_embeddings=512)
    model = role(tokenizer, sliding)
    assert model.window == model.twin().window == model.reach == 16
    line = (
        "attend to the last 16 tokens in a way that Plaudit cannot compute, so texts are limited to 16 tokens, of the 5"
    )
    assert line in caplog.messages[0] and len(caplog.messages) == 1
    with pytest.raises(PlauditError, match="do not fit the model's window of 16"):
        sample(model, PROMPTS, SamplingConfig(tokens=11), torch.Generator())
