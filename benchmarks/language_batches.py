"""The batches that both sides of language.py work on, as token ids: from the real pairs, by the model's own template.

Written once by ours, so that a peer needs nothing of Plaudit and no tokenizer can come between the two.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plaudit.feedback.formats._record import Fields
from plaudit.feedback.formats.hh_rlhf import dialogues
from plaudit.language.bundled import bundled_model
from plaudit.language.models import ModelConfig, load
from plaudit.language.rows import Tree
from plaudit.language.text import Chat

NEVER = "<repo_name>"  # a token that the model never writes: as the one that ends a text, it lets every text be full
LENGTH, PAIRS, ROWS = 512, 8, 8  # tokens of a sequence; pairs and packed rows of a step
PROMPTS, PROMPT, RESPONSE = 64, 64, 48
DOCUMENTS = 26  # of a step of packed rows: about what 8 rows hold


def read(file: Path, chat: Chat, length: int) -> list[Tree]:
    """Every pair as a prompt with two completions, the chosen one first, cut to ``length``."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        found = [dialogues(Fields(json.loads(line))) for line in lines]
    return [
        chat.tree(chosen.prompt, [chosen.response or "", rejected.response or ""]).cut(length)[0]
        for chosen, rejected in found
        if (chosen.response or "").strip() and (rejected.response or "").strip()
    ]


def pairs(trees: list[Tree], steps: int) -> list[dict[str, Any]]:
    """Pairs of so many steps, in the order in which they are learned."""
    return [
        {
            "prompt": each.prompt.tolist(),
            "chosen": each.completions[0].tolist(),
            "rejected": each.completions[1].tolist(),
        }
        for each in trees[: steps * PAIRS]
    ]


def packed(trees: list[Tree], rng: np.random.Generator) -> list[list[dict[str, Any]]]:
    """Documents of one step, in exactly as many rows of LENGTH tokens as a step has: best fit, longest first."""
    while True:
        chosen = [trees[index] for index in rng.choice(len(trees), DOCUMENTS, replace=False)]
        documents = [(each.prompt, each.completions[0]) for each in chosen]
        rows: list[list[int]] = []
        free: list[int] = []
        for index in sorted(range(DOCUMENTS), key=lambda index: -sum(map(len, documents[index]))):
            size = sum(map(len, documents[index]))
            fits = [row for row in range(len(rows)) if free[row] >= size]
            if fits:
                row = min(fits, key=lambda row: free[row])
                rows[row].append(index)
                free[row] -= size
            else:
                rows.append([index])
                free.append(LENGTH - size)
        if len(rows) == ROWS and sum(free) < 0.05 * ROWS * LENGTH:
            return [
                [{"prompt": documents[i][0].tolist(), "completion": documents[i][1].tolist()} for i in row]
                for row in rows
            ]


def prompts(trees: list[Tree], tokenizer: Any) -> list[dict[str, Any]]:
    """The last PROMPT tokens of prompts; those that their text gives again, because one peer takes only text."""
    found = []
    for each in trees:
        ids = each.prompt[-PROMPT:].tolist()
        text = tokenizer.decode(ids)
        if len(ids) == PROMPT and tokenizer(text)["input_ids"] == ids:
            found.append({"ids": ids, "text": text})
        if len(found) == PROMPTS:
            return found
    sys.exit("the file has too few long prompts for this benchmark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = load(ModelConfig(method="full", precision="fp32"))
    rng = np.random.default_rng(options.seed)
    trees = read(options.file, Chat(model), LENGTH)
    trees = [trees[index] for index in rng.permutation(len(trees))]
    generator = torch.Generator().manual_seed(options.seed)
    head = torch.randn(model.width, generator=generator) * (model.width + 1) ** -0.5
    short = prompts(trees, model.tokenizer)
    record = {
        "model": str(bundled_model()),
        "never": NEVER,
        "head": head.tolist(),
        "reward": pairs(trees, 3),
        "dpo": pairs(trees[24:], 2),
        "sft": [packed(trees, rng) for _ in range(2)],
        "prompts": short,
        # completions for comparing log-probabilities: what was really said, cut to one length
        "completions": [
            each.completions[0][:RESPONSE].tolist() for each in trees if len(each.completions[0]) >= RESPONSE
        ][:16],
        "advantages": [1.0, -1.0, 0.5, -0.5],  # of the four completions of a prompt, for comparing gradients
    }
    options.out.write_text(json.dumps(record))
    print(json.dumps({"pairs": len(trees)}))


if __name__ == "__main__":
    main()
