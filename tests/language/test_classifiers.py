"""What is saved is what ran: plain transformers stops where the decoder stopped, and gives a reward model's scores."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from plaudit import load_reward
from plaudit.language.fast.decode import sample
from plaudit.language.loading import report
from plaudit.language.models import LanguageModel, ModelConfig, load, prepare
from plaudit.language.policy import Batch
from plaudit.language.reward import HeadsConfig, JudgedCompletions, Preferences, TextReward, load_heads_config
from plaudit.language.rows import Tree, lay
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.types import Array, Message, PlauditError

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
ENDS = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None, "initializer_range": 0.3}
FAMILIES = {
    "llama": lambda v, **more: LlamaConfig(vocab_size=v, **SHAPE, **ENDS, **more),
    "qwen2": lambda v, **more: Qwen2Config(vocab_size=v, num_key_value_heads=2, **SHAPE, **ENDS, **more),
    "gpt2": lambda v, **more: GPT2Config(vocab_size=v, n_embd=16, n_layer=2, n_head=2, **ENDS, **more),
    "phi": lambda v, **more: PhiConfig(vocab_size=v, **SHAPE, **ENDS, **more),
    "gpt_neox": lambda v, **more: GPTNeoXConfig(vocab_size=v, **SHAPE, **ENDS, **more),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def role(tokenizer: Any, family: str) -> LanguageModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family](len(tokenizer)))
    method = "upper" if family in ("llama", "qwen2") else "full"
    return prepare(model, tokenizer, ModelConfig("tiny", method, precision="fp32"))  # type: ignore[arg-type]


def comparisons(objectives: int) -> list[JudgedCompletions]:
    rng = np.random.default_rng(0)
    return [
        JudgedCompletions(
            Tree(rng.integers(60, 250, 3), tuple(np.array([*rng.integers(60, 250, 4), 0]) for _ in range(2))),
            mu=float(index % 2),
            objective=index % objectives,
        )
        for index in range(12)
    ]


def logits(folder: Path, trees: list[Tree]) -> Array:
    """transformers' scores of every completion (C, O)."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    texts = [np.concatenate((tree.prompt, completion)) for tree in trees for completion in tree.completions]
    with torch.no_grad():
        return np.concatenate([model(input_ids=torch.from_numpy(text)[None]).logits.numpy() for text in texts])


@pytest.mark.parametrize("objectives", [("reward",), ("kind", "true")])
def test_transformers_gives_the_scores_of_a_saved_reward_model(
    tokenizer: PreTrainedTokenizerFast, family: str, objectives: tuple[str, ...], tmp_path: Path
) -> None:
    reward = TextReward(role(tokenizer, family), HeadsConfig(2, objectives))
    examples = comparisons(len(objectives))
    trees = [example.tree for example in examples]
    config = TuneConfig(1e-2, batch=6)
    for _ in Tuner(reward.model, reward.trainable_parameters(), Preferences(reward), examples, config).run():
        pass
    assert not reward.heads.bias.any()  # which comparisons do not determine
    reward.normalise(trees)
    reward.temper(1.5)
    reward.save(tmp_path)
    scores = reward.score(trees)
    np.testing.assert_allclose(logits(tmp_path, trees), scores.mean(axis=2), atol=2e-6)
    config = AutoModelForSequenceClassification.from_pretrained(tmp_path).config
    assert tuple(config.id2label.values()) == objectives
    np.testing.assert_allclose(TextReward.load(tmp_path).score(trees), scores, atol=2e-6)
    AutoModelForCausalLM.from_pretrained(tmp_path)  # as before


def test_a_batch_with_padding_has_the_same_scores(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """Padding that is also the end would move the score to another token."""
    padded = AutoTokenizer.from_pretrained(save_tokenizer(tokenizer, tmp_path / "tokenizer"))
    padded.pad_token, padded.bos_token = "<|end|>", "<|user|>"
    reward = TextReward(role(padded, "llama"), HeadsConfig())
    reward.save(tmp_path / "reward")
    trees = [Tree(np.array([60, 61]), (np.array([70, 0]), np.array([70, 71, 72, 0])))]
    batch = AutoTokenizer.from_pretrained(tmp_path / "reward").pad(
        {"input_ids": [[60, 61, 70, 0], [60, 61, 70, 71, 72, 0]]}, return_tensors="pt"
    )
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    with torch.no_grad():
        np.testing.assert_allclose(model(**batch).logits.numpy(), reward.score(trees)[..., 0], atol=2e-6)
    assert padded.pad_token == "<|end|>"  # of the run's own tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("labels", [1, 2])
def test_a_published_reward_model_is_scored_fitted_further_and_saved(
    tokenizer: PreTrainedTokenizerFast, family: str, labels: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    published = AutoModelForSequenceClassification.from_config(FAMILIES[family](len(tokenizer), num_labels=labels))
    published.save_pretrained(tmp_path / "published")
    tokenizer.save_pretrained(tmp_path / "published")
    objectives = ("reward",) if labels == 1 else ("LABEL_0", "LABEL_1")
    assert load_heads_config(tmp_path / "published").objectives == objectives
    examples = comparisons(labels)
    trees = [example.tree for example in examples]
    settings = ModelConfig(method="full", precision="fp32")
    reward = TextReward.load(tmp_path / "published", settings)
    expected = logits(tmp_path / "published", trees)
    np.testing.assert_allclose(reward.score(trees)[..., 0], expected, atol=2e-6)
    if labels == 1:
        np.testing.assert_allclose(reward.reward(trees), expected[:, 0], atol=2e-6)
    config = TuneConfig(1e-2, batch=6)
    for _ in Tuner(reward.model, reward.trainable_parameters(), Preferences(reward), examples, config).run():
        pass
    scores = reward.score(trees)[..., 0]
    assert np.abs(scores - expected).max() > 1e-3
    reward.save(tmp_path / "fitted")
    np.testing.assert_allclose(logits(tmp_path / "fitted", trees), scores, atol=2e-6)
    np.testing.assert_allclose(TextReward.load(tmp_path / "fitted").score(trees)[..., 0], scores, atol=2e-6)
    more = dataclasses.replace(reward.config, objectives=(*objectives, "brief"))
    np.testing.assert_allclose(
        TextReward.load(tmp_path / "published", heads=more).score(trees)[:, 0, 0], expected[:, 0], atol=2e-6
    )


def test_a_published_reward_model_of_the_hub_that_pads_with_its_end(
    tokenizer: PreTrainedTokenizerFast, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers reads a score at the last token that is not padding, so before the end."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--org--reward"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    folder = repository / "snapshots" / ("0" * 40)
    torch.manual_seed(0)
    published = AutoModelForSequenceClassification.from_config(FAMILIES[family](len(tokenizer), num_labels=1))
    published.config.pad_token_id = 0
    published.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    texts = [[70, 0], [71, 72], [0], [0, 0], [70, 0, 71, 0, 0]]
    trees = [Tree(np.array(prompt), tuple(map(np.array, texts))) for prompt in ([60, 61], [60, 0], [0, 0], [62])]
    assert load_heads_config(Path("org/reward")).objectives == ("reward",)
    reward = TextReward.load(Path("org/reward"), ModelConfig(method="full", precision="fp32"))
    expected = logits(folder, trees)
    assert len(np.unique(expected.round(5))) > 8
    np.testing.assert_allclose(reward.score(trees)[..., 0], expected, atol=2e-6)
    reward.save(tmp_path / "again")
    np.testing.assert_allclose(logits(tmp_path / "again", trees), expected, atol=2e-6)
    np.testing.assert_allclose(TextReward.load(tmp_path / "again").score(trees)[..., 0], expected, atol=2e-6)
    rewards = load_reward("org/reward", device="cpu").score(["hi"], ["the cat"])
    text = [*tokenizer("<|user|>hi<|end|><|assistant|>the cat<|end|>")["input_ids"]]
    np.testing.assert_allclose(rewards, logits(folder, [Tree(np.array(text[:1]), (np.array(text[1:]),))])[0], atol=2e-6)


@pytest.mark.parametrize("padding", [None, 0])
def test_a_published_classifier_is_read_where_its_template_ends(
    tokenizer: PreTrainedTokenizerFast, padding: int | None, tmp_path: Path
) -> None:
    """ChatML writes a newline after the end of a response, and apply_chat_template passes it to the classifier."""
    chatml = AutoTokenizer.from_pretrained(save_tokenizer(tokenizer, tmp_path / "tokenizer"))
    chatml.chat_template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    torch.manual_seed(0)
    published = AutoModelForSequenceClassification.from_config(FAMILIES["gpt2"](len(chatml), num_labels=1))
    published.config.pad_token_id = padding
    published.save_pretrained(tmp_path / "published")
    chatml.save_pretrained(tmp_path / "published")
    responses = ["the cat", "thank you, please", "no"]

    def expected(folder: Path) -> Array:
        reference = AutoModelForSequenceClassification.from_pretrained(folder)
        conversations = [
            [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}] for text in responses
        ]
        texts = [
            AutoTokenizer.from_pretrained(folder).apply_chat_template(turns, return_tensors="pt", return_dict=False)
            for turns in conversations
        ]
        assert not any(text[0, -1] == 0 for text in texts)  # the newline follows the end
        with torch.no_grad():
            return np.concatenate([reference(input_ids=text).logits[:, 0].numpy() for text in texts])

    score = load_reward(tmp_path / "published", device="cpu")
    scores = score.score(["hi"] * 3, responses)
    np.testing.assert_allclose(scores, expected(tmp_path / "published"), atol=2e-6)
    reward = TextReward.load(tmp_path / "published", ModelConfig(method="full", precision="fp32"))
    chat = Chat(reward.model)
    tree = chat.tree((Message("user", "hi"),), responses)
    batch = Batch(lay([tree]), None, np.arange(3), None, (tree,))
    experience: Any = SimpleNamespace(mask=np.ones((3, 2), bool), finished=np.ones(3, bool), batches=(batch,))
    np.testing.assert_allclose(reward.rewards(experience), np.stack((np.zeros(3), scores), axis=1), atol=2e-6)
    examples = [JudgedCompletions(Tree(tree.prompt, tree.completions[:2]), mu=1.0)]
    for _ in Tuner(
        reward.model, reward.trainable_parameters(), Preferences(reward), examples, TuneConfig(1e-2, batch=1)
    ).run():
        pass
    reward.save(tmp_path / "fitted")
    fitted = load_reward(tmp_path / "fitted", device="cpu").score(["hi"] * 3, responses)
    assert np.abs(fitted - scores).max() > 1e-3
    np.testing.assert_allclose(fitted, expected(tmp_path / "fitted"), atol=2e-6)
    window = chat.tree((Message("user", "hi"),), ["the cat " * 400])  # longer than the table of positions
    assert np.isfinite(reward.score([window.cut(reward.model.window)[0]])).all()


def test_a_published_adapter_of_a_classifier(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """TRL's reward trainer with LoRA saves the adapter and the head, and the base is a language model."""
    from peft import LoraConfig, get_peft_model

    role(tokenizer, "llama").save(tmp_path / "base")
    torch.manual_seed(1)
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=1, pad_token_id=1)
    settings = LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS", init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = get_peft_model(classifier, settings).eval()
    adapted.save_pretrained(tmp_path / "adapter")
    tree = comparisons(1)[0].tree
    with torch.no_grad():
        texts = [torch.from_numpy(np.concatenate((tree.prompt, completion)))[None] for completion in tree.completions]
        expected = [float(adapted(input_ids=text).logits) for text in texts]
    reward = TextReward.load(tmp_path / "adapter")
    assert reward.config == HeadsConfig()
    np.testing.assert_allclose(reward.score([tree])[:, 0, 0], expected, atol=2e-6)


def test_labels_of_classifiers(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    config = FAMILIES["llama"](len(tokenizer))
    config.num_labels = 2
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    for labels, names in (
        ({"0": "kind", "1": "true"}, ("kind", "true")),
        ({"0": "a", "1": "a"}, ("LABEL_0", "LABEL_1")),
        ({"0": "a", "5": "b"}, ("a", "LABEL_1")),
    ):
        path.write_text(json.dumps(stored | {"id2label": labels}))
        assert load_heads_config(tmp_path).objectives == names
    path.write_text(json.dumps(stored | {"problem_type": "single_label_classification"}))
    with pytest.raises(PlauditError, match="LABEL_0 and LABEL_1 are classes that exclude each other"):
        TextReward.load(tmp_path)


def test_a_language_model_is_no_reward_model(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    role(tokenizer, "llama").save(tmp_path)
    with pytest.raises(PlauditError, match=r"holds no reward model: heads.json is missing"):
        TextReward.load(tmp_path)


def test_a_saved_model_stops_where_it_stopped_here(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """The tokenizer's end is not in the settings of generation; another end is there only."""
    folder = save_tokenizer(tokenizer, tmp_path / "tokenizer")
    prompt = np.array([60, 61, 62])
    greedy = SamplingConfig(tokens=24, temperature=0.0)
    model = role(AutoTokenizer.from_pretrained(folder), "qwen2")
    tokens = sample(model, [prompt], greedy, torch.Generator()).completions()[0]
    assert len(tokens) == 24  # it does not end by itself
    first = [index for index, token in enumerate(tokens) if token not in tokens[:index]]
    for number, index in enumerate(first[2:4]):
        model = role(AutoTokenizer.from_pretrained(folder), "qwen2")
        end = int(tokens[index])
        if number == 0:
            model.tokenizer.eos_token = model.tokenizer.convert_ids_to_tokens(end)  # type: ignore[union-attr]
        else:
            model.tokenizer.eos_token = None
            model.model.generation_config.eos_token_id = [end]
        expected = sample(model, [prompt], greedy, torch.Generator()).completions()[0]
        assert len(expected) == index + 1 and expected[-1] == end
        model.save(tmp_path / str(number))
        saved: Any = AutoModelForCausalLM.from_pretrained(tmp_path / str(number))
        written = saved.generate(torch.from_numpy(prompt)[None], max_new_tokens=24, do_sample=False, pad_token_id=1)
        np.testing.assert_array_equal(written[0, len(prompt) :].numpy(), expected)
        assert AutoTokenizer.from_pretrained(tmp_path / str(number)).eos_token_id is not None


def test_settings_that_the_decoder_does_not_follow_are_not_saved(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A least length or forced tokens would let generate() end elsewhere; how to sample is a recommendation."""
    report.cache_clear()
    caplog.set_level(logging.WARNING, "plaudit")
    controls = {"min_length": 30, "repetition_penalty": 3.0, "sequence_bias": [[[3], 90.0]], "stop_strings": ["x"]}
    role(tokenizer, "qwen2").save(tmp_path)
    path = tmp_path / "generation_config.json"  # with a temperature, but without do_sample, as in some published models
    path.write_text(json.dumps(controls | {"temperature": 0.7, "top_p": 0.8, "eos_token_id": [5, 10**6]}))
    model = load(ModelConfig(str(tmp_path), "frozen", precision="fp32"))
    prompt, greedy = np.array([60, 61, 62]), SamplingConfig(tokens=24, temperature=0.0)
    expected = sample(model, [prompt], greedy, torch.Generator()).completions()[0]
    model.save(tmp_path)
    stored = json.loads(path.read_text())
    assert not controls.keys() & stored.keys()
    assert (stored["temperature"], stored["top_p"], stored["eos_token_id"]) == (0.7, 0.8, [0, 5])
    said = "min_length, stop_strings, repetition_penalty, sequence_bias is left out of the saved model"
    assert any(said in line for line in caplog.messages)
    assert any("names token 1000000, and the model has" in line for line in caplog.messages)
    saved: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    written = saved.generate(torch.from_numpy(prompt)[None], max_new_tokens=24, do_sample=False, pad_token_id=1)
    np.testing.assert_array_equal(written[0, len(prompt) :].numpy(), expected)
