"""Writing a model so that plain transformers loads it, and stops where it stopped here."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from plaudit.language.hub import quiet
from plaudit.language.model_files import report
from plaudit.language.special_tokens import release_learned
from plaudit.language.template import Template
from plaudit.types import Message, PlauditError

EXAMPLES = (  # conversations whose roles make a template write all of its tokens
    (Message("system", "a"), Message("user", "b"), Message("assistant", "c"), Message("user", "d")),
    (Message("user", "a"), Message("assistant", "b")),
)
GENERATION = "generation_config.json"
CONTROLS = (  # settings by which generate() writes or ends otherwise than the model's own probabilities do
    *("min_length", "min_new_tokens", "max_length", "max_new_tokens", "max_time", "stop_strings"),
    *("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids"),
    *("repetition_penalty", "no_repeat_ngram_size", "exponential_decay_length_penalty", "sequence_bias"),
    *("encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "remove_invalid_values", "renormalize_logits"),
    *("num_beams", "num_beam_groups", "length_penalty", "early_stopping", "diversity_penalty", "force_words_ids"),
    *("guidance_scale", "penalty_alpha", "dola_layers", "watermarking_config", "token_healing"),
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
                f"{GENERATION}: eos_token_id must be the number of a token or a list of them, got "
                f"{token!r:.40}: set the tokens that end a text"
            )
    config = getattr(model, "config", None)
    size = getattr(config.get_text_config(), "vocab_size", None) if config is not None else None
    unknown = [token for token in tokens if size is not None and token >= size]
    if unknown:
        report(f"{GENERATION}: eos_token_id names token {unknown[0]}, and the model has {size} tokens: ignored")
    return sorted(set(tokens) - set(unknown))


def write_model(model: Any, tokenizer: Any, folder: Path, controls: bool = False) -> None:
    """Write a model without adapters and its tokenizer, with every token that ends a completion in the settings.

    transformers' own generation stops only at the tokens in ``generation_config.json``. controls: keep settings there
    that Plaudit's decoder does not follow, such as a least length; without them generate() writes what ran here.
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
        path = folder / GENERATION
        if model.generation_config is not None and path.exists():
            stored = json.loads(path.read_bytes())
            changed = [] if controls else _remove_controls(stored)
            if ends:
                stored["eos_token_id"] = ends[0] if len(ends) == 1 else ends
            # as text: transformers refuses to save changed settings that only warn when they are read
            path.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
            if changed:
                report(
                    f"{GENERATION}: {', '.join(changed)} is left out of the saved model, because it was trained and "
                    "sampled without it"
                )


def _remove_controls(stored: dict[str, Any]) -> list[str]:
    """Take the settings out that Plaudit's decoder does not follow; the names of those that were set."""
    defaults = GenerationConfig()
    present = [name for name in CONTROLS if name in stored]
    values = {name: stored.pop(name) for name in present}
    return [name for name, value in values.items() if value not in (None, getattr(defaults, name, None))]


def _written_by_template(tokenizer: Any) -> str:
    """The chat template, and what it writes for conversations of the usual roles."""
    if not getattr(tokenizer, "chat_template", None):
        return ""
    texts = [tokenizer.get_chat_template()]
    for messages in EXAMPLES:
        with contextlib.suppress(PlauditError):  # a template may refuse a system message
            texts.append(Template.from_tokenizer(tokenizer).render(messages, messages[-1].role == "user"))
    return "\n".join(texts)
