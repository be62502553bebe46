"""What no implementation of language.py's workloads can do without: matrix products and weights read from memory.

Measures the machine's own rates in a process of its own: the best of several sizes and repeats, so that the floor is
one. A share of the floor is then never too good.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from common import report

# SmolLM2-135M
LAYERS, WIDTH, INNER, VOCABULARY, KEYS = 30, 576, 1536, 49_152, 192
LAYER = WIDTH * WIDTH * 2 + 2 * WIDTH * KEYS + 3 * WIDTH * INNER  # weights of a layer's matrices
TRUNK, HEAD = LAYERS * LAYER, VOCABULARY * WIDTH


def best(work: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest repeat."""
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rates: dict[str, float] = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        for rows, columns, inner in ((1024, 2 * INNER, WIDTH), (2048, WIDTH, INNER), (2048, 2048, 2048)):
            left, right = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
            seconds = best(lambda a=left, b=right: torch.nn.functional.linear(a, b), options.repeats)
            rates[name] = max(rates.get(name, 0.0), 2 * rows * columns * inner / seconds)
    block = torch.ones(96 * 1024 * 1024)  # 384 MiB: more than a core's caches
    rates["read"] = block.numel() * 4 / best(lambda: block.sum(), options.repeats)
    report({"flops": {name: rates[name] for name in ("bf16", "fp32")}, "bytes": rates["read"]})


def decoding(rates: dict[str, Any], precision: str, batch: int, prompt: int, new: int) -> float:
    """Seconds: each step multiplies every weight and reads it, and the cache, once; the slower of the two counts."""
    flops, size = rates["flops"][precision], {"bf16": 2, "fp32": 4}[precision]
    prefill = 2 * TRUNK * batch * prompt / flops
    steps = 0.0
    for place in range(new):
        read = (TRUNK + HEAD) * size + 2 * LAYERS * KEYS * (prompt + place) * batch * size
        steps += max(2 * (TRUNK + HEAD) * batch / flops, read / rates["bytes"])
    return prefill + steps


def training(rates: dict[str, Any], precision: str, tokens: int, predicted: int = 0, forwards: int = 0) -> float:
    """Seconds of a forward and two products backward for every weight and token; ``forwards`` more without backward.

    predicted: tokens for which the vocabulary's probabilities are needed; attention is left out.
    """
    each = 2 * (TRUNK * tokens + HEAD * predicted)
    return (3 + forwards) * each / rates["flops"][precision]


if __name__ == "__main__":
    main()
