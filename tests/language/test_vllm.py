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

    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, shape: LanguageModel, **settings: Any) -> None:
        LLM.made.append(settings)
        self.shape = shape
        runner = SimpleNamespace(model=self)
        self.llm_engine = SimpleNamespace(
            model_executor=SimpleNamespace(driver_worker=SimpleNamespace(model_runner=runner))
        )
        self.fresh = False
        self.asked: list[SamplingParams] = []

    def load_weights(self, weights: Iterator[tuple[str, torch.Tensor]]) -> None:
        given = dict(weights)
        assert "lm_head.weight" not in given  # tied: a loader would stumble over it
        missing, unexpected = self.shape.model.load_state_dict(given, strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}
        self.fresh = False

    def reset_prefix_cache(self) -> None:
        self.fresh = True

    def generate(self, asked: list[dict[str, Any]], parameters: list[SamplingParams], use_tqdm: bool) -> list[Any]:
        assert self.fresh and not use_tqdm
        self.asked = parameters
        answers = []
        for prompt, each in zip(asked, parameters, strict=True):
            config = SamplingConfig(each.max_tokens, each.temperature, each.top_p, max(each.top_k, 0))
            generator = torch.Generator().manual_seed(each.seed)
            found = sample(self.shape, [np.array(prompt["prompt_token_ids"])], config, generator, each.n)
            outputs = []
            for tokens, log_probs, real in zip(found.tokens, found.log_probs, found.mask, strict=True):
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
    for each in blank.parameters():
        each.data.zero_()
    module: Any = ModuleType("vllm")
    module.LLM, module.SamplingParams = (lambda **settings: LLM(blank, **settings)), SamplingParams
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(vllm, "_engines", {})
    monkeypatch.setattr(LLM, "made", [])
    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)


def written(model: LanguageModel, config: SamplingConfig = CONFIG, seed: int = 0, n: int = 1) -> Any:
    return sample(model, PROMPTS, config, torch.Generator().manual_seed(seed), n)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("method", ["full", "upper", "lora"])
def test_greedy_is_what_our_own_engine_writes_whatever_learns(tiny: Callable[..., LanguageModel], method: str) -> None:
    model = tiny(method)
    for each in model.learning():  # additions that add something
        torch.nn.init.normal_(each.data, std=0.3, generator=torch.Generator().manual_seed(1))
    greedy = replace(CONFIG, temperature=0.0)
    found, ours = written(model, greedy, n=2), written(model, replace(greedy, engine="own"), n=2)
    np.testing.assert_array_equal(found.tokens, ours.tokens)
    np.testing.assert_array_equal(found.mask, ours.mask)
    np.testing.assert_array_equal(found.finished, ours.finished)
    np.testing.assert_allclose(found.log_probs, ours.log_probs, atol=1e-4)


@pytest.mark.usefixtures("library")
def test_it_is_given_the_weights_of_whoever_writes_and_made_once(tiny: Callable[..., LanguageModel]) -> None:
    model, greedy = tiny("full"), replace(CONFIG, temperature=0.0)
    before = written(model, greedy)
    other = model.twin(learns=True)
    for each in other.learning():
        each.data.mul_(-1.5)
    assert not np.array_equal(written(other, greedy).tokens, before.tokens)
    np.testing.assert_array_equal(written(model, greedy).tokens, before.tokens)
    (made,) = LLM.made
    assert made["max_model_len"] == model.window and made["dtype"] == "float32"  # 512: no more than the window


@pytest.mark.usefixtures("library")
def test_models_of_one_shape_share_an_engine_that_is_as_long_as_it_must_be(
    tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "MIN_LENGTH", 16)
    base, saved = tiny("full"), tiny("upper")
    base.model.name_or_path, saved.model.name_or_path = "base", "runs/chat/sft"
    saved.model.config.architectures = ["LlamaForCausalLM"]
    written(base)
    written(saved)
    assert [made["max_model_len"] for made in LLM.made] == [16]
    written(saved, replace(CONFIG, tokens=20))  # 5 + 20
    written(base)
    assert [made["max_model_len"] for made in LLM.made] == [16, 32]
    assert len(vllm._engines) == 1
    written(tiny("full", precision="bf16"))
    assert len(vllm._engines) == 2


@pytest.mark.usefixtures("library")
def test_seeds_differ_between_prompts_and_follow_from_the_generator(tiny: Callable[..., LanguageModel]) -> None:
    model = tiny("full")
    config = replace(CONFIG, top_p=0.9, top_k=7, temperature=0.8)
    one, same, other = written(model, config), written(model, config), written(model, config, seed=1)
    np.testing.assert_array_equal(one.tokens, same.tokens)
    assert one.tokens.shape != other.tokens.shape or not np.array_equal(one.tokens, other.tokens)
    ((engine, _),) = vllm._engines.values()
    assert len({each.seed for each in engine.asked}) == len(PROMPTS)
    assert {(each.top_p, each.top_k, each.temperature, each.logprobs) for each in engine.asked} == {(0.9, 7, 0.8, 0)}
    assert engine.asked[0].stop_token_ids == [0]
    written(model, CONFIG)
    assert engine.asked[0].top_k == -1  # vLLM's word for all


def test_without_the_library_it_says_so(tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(PlauditError, match="needs vLLM"):
        written(tiny("full"))


def test_a_prompt_that_does_not_fit_is_refused_before(tiny: Callable[..., LanguageModel]) -> None:
    with pytest.raises(PlauditError, match="do not fit the model's window"):
        written(tiny("full"), replace(CONFIG, tokens=600))
