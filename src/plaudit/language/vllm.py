"""vLLM as the sampler: completions of the same distribution as :func:`plaudit.language.fast.decode.sample`.

One engine in this process serves every model of one shape (policy, start, checkpoints), from whatever folder: before
it samples, it loads the weights of the model in use. It needs a GPU with room for both, and is meant for models that
are too large for Plaudit's own decoder.
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

from plaudit.language.lora import merge_lora
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tokens
from plaudit.language.sampling import Samples, SamplingConfig
from plaudit.types import PlauditError

SHARE = 0.35  # share of the GPU's memory for the engine; the rest is for training
MIN_LENGTH = 1024  # smallest maximal length of an engine's sequences, so that engines are seldom rebuilt
NAMES = {"_name_or_path", "architectures", "dtype", "transformers_version", "use_cache"}  # not part of the shape
_engines: dict[tuple[str, bool], tuple[Any, int]] = {}  # engine and its longest sequence, by shape and precision


def write(
    model: LanguageModel,
    prompts: Sequence[Tokens],
    config: SamplingConfig,
    generator: torch.Generator,
    n: int,
    ends: Sequence[int],
) -> Samples:
    """As :func:`plaudit.language.fast.decode.sample`.

    Raises:
        PlauditError: vLLM is not installed, or does not support the model.
    """
    llm, library = _engine(model, max(map(len, prompts)) + config.tokens)
    _load_weights(llm, model)
    # each prompt gets its own seed, because one seed for all would draw the same numbers for each
    seeds = torch.randint(2**31 - 1, (len(prompts),), generator=generator, device=generator.device).tolist()
    parameters = [
        library.SamplingParams(
            n=n,
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k or -1,
            max_tokens=config.tokens,
            logprobs=0,  # of the chosen token only
            stop_token_ids=list(ends),
            detokenize=False,
            seed=seed,
        )
        for seed in seeds
    ]
    token_prompts = [{"prompt_token_ids": prompt.tolist()} for prompt in prompts]
    outputs = [
        output for answer in llm.generate(token_prompts, parameters, use_tqdm=False) for output in answer.outputs
    ]
    width = max(len(output.token_ids) for output in outputs)
    tokens, log_probs = np.zeros((len(outputs), width), np.int64), np.zeros((len(outputs), width), np.float32)
    mask = np.zeros((len(outputs), width), np.bool_)
    for row, output in enumerate(outputs):
        ids = list(output.token_ids)
        tokens[row, : len(ids)], mask[row, : len(ids)] = ids, True
        log_probs[row, : len(ids)] = [table[token].logprob for token, table in zip(ids, output.logprobs, strict=True)]
    finished = np.array([output.token_ids[-1] in ends for output in outputs])
    return Samples(tokens, log_probs, mask, finished)


def _engine(model: LanguageModel, room: int) -> tuple[Any, Any]:
    """The engine for models of this shape and sequences of ``room`` tokens, and the library vLLM."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # its weights must be in this process
    try:
        vllm: Any = importlib.import_module("vllm")
    except ImportError as error:
        raise PlauditError("--sampling.engine vllm needs vLLM: pip install vllm, on a machine with a GPU") from error
    shape = {name: value for name, value in model.model.config.to_dict().items() if name not in NAMES}
    key = (json.dumps(shape, sort_keys=True, default=str), model.reduced)
    if key not in _engines or _engines[key][1] < room:
        _engines.pop(key, None)  # first, because there is no memory for two
        gc.collect()
        most = min(model.window, max(MIN_LENGTH, 1 << (room - 1).bit_length()))
        source = str(model.model.name_or_path)
        try:
            llm = vllm.LLM(
                model=source,
                dtype="bfloat16" if model.reduced else "float32",
                max_model_len=most,  # not the window, which would reserve memory for all its keys and values
                gpu_memory_utilization=SHARE,
                logprobs_mode="processed_logprobs",  # under the temperature, after top-p and top-k
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise PlauditError(f"vLLM does not take {source}: {reason} (--sampling.engine own does)") from error
        _engines[key] = llm, most
    return _engines[key][0], vllm


def _load_weights(llm: Any, model: LanguageModel) -> None:
    """Load the model's weights into the engine, LoRA merged, and clear the cache of the earlier ones."""
    llm.llm_engine.model_executor.driver_worker.model_runner.model.load_weights(_weights(model))
    llm.reset_prefix_cache()


def _weights(model: LanguageModel) -> Iterator[tuple[str, Tensor]]:
    source: Any = merge_lora(model.model)
    tied = getattr(source.config, "tie_word_embeddings", False)
    for name, value in source.state_dict().items():
        if not (tied and name == "lm_head.weight"):
            yield name, value.detach()
