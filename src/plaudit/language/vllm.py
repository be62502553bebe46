"""vLLM as the sampler: the same completions in law as :func:`plaudit.language.fast.decode.sample`, from its engine.

One engine in this process serves every model of one shape (policy, start, what a checkpoint holds), whatever folder
each came from: before it writes, it is given the weights of the model that shall write. It is for a GPU with room for
both, and for models that are too large for the decoder of our own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.language.models import LanguageModel, has_lora
from plaudit.language.rows import Tokens
from plaudit.language.sampling import Sampled, SamplingConfig
from plaudit.types import PlauditError

SHARE = 0.35  # of the GPU's memory that the engine may take: the rest is for learning
LEAST = 1024  # tokens of a sequence that an engine is made for at the least, so that it is seldom made again
NAMES = {"_name_or_path", "architectures", "dtype", "transformers_version", "use_cache"}  # of a config: not the shape
_engines: dict[tuple[str, bool], tuple[Any, int]] = {}  # by shape and precision; and the longest sequence it takes


def written(
    model: LanguageModel,
    prompts: Sequence[Tokens],
    config: SamplingConfig,
    generator: torch.Generator,
    n: int,
    ends: Sequence[int],
) -> Sampled:
    """As :func:`plaudit.language.fast.decode.sample`.

    Raises:
        PlauditError: vLLM is not installed, or does not take the model.
    """
    llm, library = _engine(model, max(map(len, prompts)) + config.tokens)
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


def _engine(model: LanguageModel, room: int) -> tuple[Any, Any]:
    """The engine for models of this shape and sequences of ``room`` tokens, and the library."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # its weights must be within reach
    try:
        vllm: Any = importlib.import_module("vllm")
    except ImportError as error:
        raise PlauditError("--sampling.engine vllm needs vLLM: pip install vllm, on a machine with a GPU") from error
    shape = {name: value for name, value in model.model.config.to_dict().items() if name not in NAMES}
    key = (json.dumps(shape, sort_keys=True, default=str), model.reduced)
    if key not in _engines or _engines[key][1] < room:
        _engines.pop(key, None)  # first: there is no memory for two
        gc.collect()
        most = min(model.window, max(LEAST, 1 << (room - 1).bit_length()))
        source = str(model.model.name_or_path)
        try:
            llm = vllm.LLM(
                model=source,
                dtype="bfloat16" if model.reduced else "float32",
                max_model_len=most,  # not the window: memory for its keys and values would be asked for
                gpu_memory_utilization=SHARE,
                logprobs_mode="processed_logprobs",  # under the temperature, as ours; but after top-p and top-k
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise PlauditError(f"vLLM does not take {source}: {reason} (--sampling.engine own does)") from error
        _engines[key] = llm, most
    return _engines[key][0], vllm


def _give(llm: Any, model: LanguageModel) -> None:
    """Put the model's weights into the engine, additions merged, and forget what it remembers of earlier ones."""
    llm.llm_engine.model_executor.driver_worker.model_runner.model.load_weights(_weights(model))
    llm.reset_prefix_cache()


def _weights(model: LanguageModel) -> Iterator[tuple[str, Tensor]]:
    source: Any = model.merged() if has_lora(model.model) else model.model
    tied = getattr(source.config, "tie_word_embeddings", False)
    for name, value in source.state_dict().items():
        if not (tied and name == "lm_head.weight"):
            yield name, value.detach()
