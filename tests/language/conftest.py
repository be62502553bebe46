"""A language model of a few thousand weights, made here: no hub and no package is needed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from plaudit.language.models import LanguageModel, ModelConfig, prepare

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and a few merges, four special tokens, a chat template."""
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    plain.train_from_iterator(["the cat sat on the mat and said thank you, please go on. "] * 20, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|end|>")
    wrapped.chat_template = TEMPLATE
    return wrapped


@pytest.fixture(scope="session")
def tiny(tokenizer: PreTrainedTokenizerFast) -> Callable[..., LanguageModel]:
    """Makes a Llama of 4 layers; the same weights for every method."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,  # large, so that what should differ does
        tie_word_embeddings=True,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=None,
        attention_dropout=0.0,
    )
    model = LlamaForCausalLM(config)

    def make(method: str = "full", **settings: object) -> LanguageModel:
        chosen = ModelConfig(model="tiny", method=method, **({"precision": "fp32"} | settings))  # type: ignore[arg-type]
        return prepare(copy.deepcopy(model), tokenizer, chosen)

    return make
