"""vLLM as the sampler, against a stand-in for its library: what it is asked, given, and what comes of it.

The stand-in has the few calls that are used, over a model of its own that knows only the weights it was given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from plaudit.language import vllm
from plaudit.language.fast.decode import sample
from plaudit.language.models import LanguageModel
from plaudit.language.sampling import SamplingConfig
from plaudit.types import PlauditError

PROMPTS = [np.array([5, 9, 40]), np.array([7, 7]), np.array([30, 31, 32, 33, 34])]
CONFIG = SamplingConfig(tokens=6, engine="vllm")


@dataclass
class SamplingParams:
    """The fields that are set."""

    n: int
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    logprobs: int
    stop_token_ids: list[int]
    detokenize: bool
    seed: int


class LLM:
    """One request after another, by the decoder of our own on the weights that were loaded."""

    created: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, shape: LanguageModel, **settings: Any) -> None:
        LLM.created.append(settings)
        self.shape = shape
        runner = SimpleNamespace(model=self)
        self.llm_engine = SimpleNamespace(
            model_executor=SimpleNamespace(driver_worker=SimpleNamespace(model_runner=runner))
        )
        self.fresh = False
        self.requests: list[SamplingParams] = []

    def load_weights(self, weights: Iterator[tuple[str, torch.Tensor]]) -> None:
        tensors = dict(weights)
        assert "lm_head.weight" not in tensors  # tied: a loader would stumble over it
        missing, unexpected = self.shape.model.load_state_dict(tensors, strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}
        self.fresh = False

    def reset_prefix_cache(self) -> None:
        self.fresh = True

    def generate(self, prompts: list[dict[str, Any]], parameters: list[SamplingParams], use_tqdm: bool) -> list[Any]:
        assert self.fresh and not use_tqdm
        self.requests = parameters
        answers = []
        for prompt, request in zip(prompts, parameters, strict=True):
            config = SamplingConfig(request.max_tokens, request.temperature, request.top_p, max(request.top_k, 0))
            generator = torch.Generator().manual_seed(request.seed)
            sampled = sample(self.shape, [np.array(prompt["prompt_token_ids"])], config, generator, request.n)
            outputs = []
            for tokens, log_probs, real in zip(sampled.tokens, sampled.log_probs, sampled.mask, strict=True):
                chosen = [
                    {int(t): SimpleNamespace(logprob=float(p))}
                    for t, p in zip(tokens[real], log_probs[real], strict=True)
                ]
                outputs.append(SimpleNamespace(token_ids=tuple(map(int, tokens[real])), logprobs=chosen))
            answers.append(SimpleNamespace(outputs=outputs))
        return answers


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tiny: Callable[..., LanguageModel]) -> None:
    """The stand-in in place of vLLM; its model's weights are zeros until it is given some."""
    blank = tiny("full")
    for parameter in blank.parameters():
        parameter.data.zero_()
    module: Any = ModuleType("vllm")
    module.LLM, module.SamplingParams = (lambda **settings: LLM(blank, **settings)), SamplingParams
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(vllm, "_engines", {})
    monkeypatch.setattr(LLM, "created", [])
    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)


def write(model: LanguageModel, config: SamplingConfig = CONFIG, seed: int = 0, n: int = 1) -> Any:
    return sample(model, PROMPTS, config, torch.Generator().manual_seed(seed), n)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("method", ["full", "upper", "lora"])
def test_greedy_is_what_our_own_engine_writes_whatever_learns(tiny: Callable[..., LanguageModel], method: str) -> None:
    model = tiny(method)
    for parameter in model.trainable_parameters():  # additions that add something
        torch.nn.init.normal_(parameter.data, std=0.3, generator=torch.Generator().manual_seed(1))
    greedy = replace(CONFIG, temperature=0.0)
    by_vllm, by_own_engine = write(model, greedy, n=2), write(model, replace(greedy, engine="own"), n=2)
    np.testing.assert_array_equal(by_vllm.tokens, by_own_engine.tokens)
    np.testing.assert_array_equal(by_vllm.mask, by_own_engine.mask)
    np.testing.assert_array_equal(by_vllm.finished, by_own_engine.finished)
    np.testing.assert_allclose(by_vllm.log_probs, by_own_engine.log_probs, atol=1e-4)


@pytest.mark.usefixtures("library")
def test_it_is_given_the_weights_of_whoever_writes_and_made_once(tiny: Callable[..., LanguageModel]) -> None:
    model, greedy = tiny("full"), replace(CONFIG, temperature=0.0)
    before = write(model, greedy)
    twin = model.twin(learns=True)
    for parameter in twin.trainable_parameters():
        parameter.data.mul_(-1.5)
    assert not np.array_equal(write(twin, greedy).tokens, before.tokens)
    np.testing.assert_array_equal(write(model, greedy).tokens, before.tokens)
    (settings,) = LLM.created
    assert settings["max_model_len"] == model.window and settings["dtype"] == "float32"  # 512: no more than the window


@pytest.mark.usefixtures("library")
def test_models_of_one_shape_share_an_engine_that_is_as_long_as_it_must_be(
    tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "MIN_LENGTH", 16)
    base, saved = tiny("full"), tiny("upper")
    base.model.name_or_path, saved.model.name_or_path = "base", "runs/chat/sft"
    saved.model.config.architectures = ["LlamaForCausalLM"]
    write(base)
    write(saved)
    assert [settings["max_model_len"] for settings in LLM.created] == [16]
    write(saved, replace(CONFIG, tokens=20))  # 5 + 20
    write(base)
    assert [settings["max_model_len"] for settings in LLM.created] == [16, 32]
    assert len(vllm._engines) == 1
    write(tiny("full", precision="bf16"))
    assert len(vllm._engines) == 2


@pytest.mark.usefixtures("library")
def test_seeds_differ_between_prompts_and_follow_from_the_generator(tiny: Callable[..., LanguageModel]) -> None:
    model = tiny("full")
    config = replace(CONFIG, top_p=0.9, top_k=7, temperature=0.8)
    first, repeated, reseeded = write(model, config), write(model, config), write(model, config, seed=1)
    np.testing.assert_array_equal(first.tokens, repeated.tokens)
    assert first.tokens.shape != reseeded.tokens.shape or not np.array_equal(first.tokens, reseeded.tokens)
    ((engine, _),) = vllm._engines.values()
    assert len({request.seed for request in engine.requests}) == len(PROMPTS)
    assert {(request.top_p, request.top_k, request.temperature, request.logprobs) for request in engine.requests} == {
        (0.9, 7, 0.8, 0)
    }
    assert engine.requests[0].stop_token_ids == [0]
    write(model, CONFIG)
    assert engine.requests[0].top_k == -1  # vLLM's word for all


def test_without_the_library_it_says_so(tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(PlauditError, match="needs vLLM"):
        write(tiny("full"))


def test_a_prompt_that_does_not_fit_is_refused_before(tiny: Callable[..., LanguageModel]) -> None:
    with pytest.raises(PlauditError, match="do not fit the model's window"):
        write(tiny("full"), replace(CONFIG, tokens=600))
