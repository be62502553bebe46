"""vLLM as the sampler: the same completions in law as :func:`plaudit.language.decode.sample`, from its engine.

One engine in this process serves every model of one shape (policy, start, judge): before it writes, it is given the
weights of the model that shall write. It is for a GPU with room for both, and for models that are too large for the
decoder of our own.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.language.models import LanguageModel, adapted
from plaudit.language.rows import Tokens
from plaudit.language.sampling import Sampled, SamplingConfig
from plaudit.types import PlauditError

SHARE = 0.35  # of the GPU's memory that the engine may take: the rest is for learning
_engines: dict[tuple[str, int, bool], Any] = {}  # by the folder they were made from, window and precision


def written(
    model: LanguageModel,
    prompts: Sequence[Tokens],
    config: SamplingConfig,
    generator: torch.Generator,
    n: int,
    ends: Sequence[int],
) -> Sampled:
    """As :func:`plaudit.language.decode.sample`.

    Raises:
        PlauditError: vLLM is not installed, or does not take the model.
    """
    llm, library = _engine(model)
    _give(llm, model)
    # a seed of its own for every prompt: one seed for all would draw the same numbers for each
    seeds = torch.randint(2**31 - 1, (len(prompts),), generator=generator, device=generator.device).tolist()
    parameters = [
        library.SamplingParams(
            n=n,
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k or -1,
            max_tokens=config.tokens,
            logprobs=0,  # the chosen token's alone
            stop_token_ids=list(ends),
            detokenize=False,
            seed=seed,
        )
        for seed in seeds
    ]
    asked = [{"prompt_token_ids": prompt.tolist()} for prompt in prompts]
    found = [each for answer in llm.generate(asked, parameters, use_tqdm=False) for each in answer.outputs]
    width = max(len(each.token_ids) for each in found)
    tokens, log_probs = np.zeros((len(found), width), np.int64), np.zeros((len(found), width), np.float32)
    mask = np.zeros((len(found), width), np.bool_)
    for row, each in enumerate(found):
        own = list(each.token_ids)
        tokens[row, : len(own)], mask[row, : len(own)] = own, True
        log_probs[row, : len(own)] = [chosen[token].logprob for token, chosen in zip(own, each.logprobs, strict=True)]
    ended = np.array([each.token_ids[-1] in ends for each in found])
    return Sampled(tokens, log_probs, mask, ended)


def _engine(model: LanguageModel) -> tuple[Any, Any]:
    """The engine for models of this shape, and the library."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # its weights must be within reach
    try:
        vllm: Any = importlib.import_module("vllm")
    except ImportError as error:
        raise PlauditError("--sampling.engine vllm needs vLLM: pip install vllm, on a machine with a GPU") from error
    key = (str(model.model.name_or_path), model.window, model.reduced)
    if key not in _engines:
        try:
            _engines[key] = vllm.LLM(
                model=key[0],
                dtype="bfloat16" if model.reduced else "float32",
                max_model_len=model.window,
                gpu_memory_utilization=SHARE,
                logprobs_mode="processed_logprobs",  # under the temperature, as our own decoder gives them
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise PlauditError(f"vLLM does not take {key[0]}: {reason} (--sampling.engine own does)") from error
    return _engines[key], vllm


def _give(llm: Any, model: LanguageModel) -> None:
    """Put the model's weights into the engine, additions merged, and forget what it remembers of earlier ones."""
    llm.llm_engine.model_executor.driver_worker.model_runner.model.load_weights(_weights(model))
    llm.reset_prefix_cache()


def _weights(model: LanguageModel) -> Iterator[tuple[str, Tensor]]:
    source: Any = model.merged() if adapted(model.model) else model.model
    tied = getattr(source.config, "tie_word_embeddings", False)
    for name, value in source.state_dict().items():
        if not (tied and name == "lm_head.weight"):
            yield name, value.detach()
