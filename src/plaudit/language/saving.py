"""Writing a model so that plain transformers loads it, and stops where it stopped here."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

from plaudit.language.hub import quiet
from plaudit.language.special_tokens import release_learned
from plaudit.language.template import Template
from plaudit.types import Message, PlauditError

EXAMPLES = (  # conversations whose roles make a template write all of its tokens
    (Message("system", "a"), Message("user", "b"), Message("assistant", "c"), Message("user", "d")),
    (Message("user", "a"), Message("assistant", "b")),
)


def find_ends(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end a completion, in order: the tokenizer's, and those in the model's generation settings.

    Raises:
        PlauditError: the generation settings name something else than tokens.
    """
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    candidates = [
        *(configured if isinstance(configured, list) else [configured]),
        getattr(tokenizer, "eos_token_id", None),
    ]
    tokens = [token for token in candidates if token is not None]
    for token in tokens:
        if type(token) is not int or token < 0:
            raise PlauditError(
                f"generation_config.json: eos_token_id must be the number of a token or a list of them, got "
                f"{token!r:.40}: set the tokens that end a text"
            )
    return sorted(set(tokens))


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
        if getattr(tokenizer, "spelling", "text") == "learn":
            release_learned(tokenizer, ends, _written_by_template(tokenizer), folder)
        if ends and model.generation_config is not None:
            settings = copy.deepcopy(model.generation_config)
            settings.eos_token_id = ends[0] if len(ends) == 1 else ends
            settings.save_pretrained(folder)


def _written_by_template(tokenizer: Any) -> str:
    """The chat template, and what it writes for conversations of the usual roles."""
    if not getattr(tokenizer, "chat_template", None):
        return ""
    texts = [tokenizer.get_chat_template()]
    for messages in EXAMPLES:
        with contextlib.suppress(PlauditError):  # a template may refuse a system message
            texts.append(Template.from_tokenizer(tokenizer).render(messages, messages[-1].role == "user"))
    return "\n".join(texts)
