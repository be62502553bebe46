"""Writing a model so that plain transformers loads it, and stops where it stopped here."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from plaudit.language.hub import quiet


def find_ends(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end a completion, in order: the tokenizer's, and those in the model's generation settings."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    candidates = [
        *(configured if isinstance(configured, list) else [configured]),
        getattr(tokenizer, "eos_token_id", None),
    ]
    return sorted({token for token in candidates if token is not None})


def write_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model without adapters and its tokenizer, with every token that ends a completion in the settings.

    transformers' own generation stops only at the tokens in ``generation_config.json``.
    """
    ends = find_ends(model, tokenizer)
    if ends and tokenizer.eos_token_id is None:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if ends and model.generation_config is not None:
            settings = copy.deepcopy(model.generation_config)
            settings.eos_token_id = ends[0] if len(ends) == 1 else ends
            settings.save_pretrained(folder)
